cess_test(unit/tree_copy_test core_base)
target_sources(tree_copy_test PRIVATE ${PROJECT_SOURCE_DIR}/cli/src/copy/attribute_copy.cpp ${PROJECT_SOURCE_DIR}/cli/src/copy/tree_copy.cpp)
target_include_directories(tree_copy_test PRIVATE ${PROJECT_SOURCE_DIR}/cli/src)
