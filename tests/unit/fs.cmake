# The model of a filesystem and its random comparison, over whatever volume a test brings.
add_library(fs_testing STATIC support/fs_model.cpp support/fs_random.cpp support/memory_volume.cpp)
target_include_directories(fs_testing PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(fs_testing PUBLIC fs PRIVATE cess_strict)

cess_test(unit/fs_operations_test fs_testing)
cess_test(unit/fs_model_test fs_testing)
cess_test(unit/fs_engine_test fs_testing volume_testing)
cess_test(unit/fs_format_test fs)
target_include_directories(fs_format_test PRIVATE ${PROJECT_SOURCE_DIR}/fs/src)
cess_test(unit/fs_mount_test fs_program)
target_include_directories(fs_mount_test PRIVATE ${PROJECT_SOURCE_DIR}/fs/src)

# Tools: what FUSE and the operations cost without engine and network.
add_executable(memfs_mount support/memfs_mount.cpp)
target_link_libraries(memfs_mount PRIVATE fs_testing volume_testing cess_strict)
