# An object layer in memory, for the engine and for faces on it.
add_library(volume_testing STATIC support/memory_layer.cpp)
target_include_directories(volume_testing PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(volume_testing PUBLIC objectstore_volume chain_ledger core_net PRIVATE cess_strict)

cess_test(unit/volume_test volume_testing)
cess_test(unit/volume_model_test volume_testing)
set_tests_properties(unit/volume_model_test PROPERTIES TIMEOUT 1200)  # under sanitizers, beside others
cess_test(unit/volume_cleaning_test volume_testing)
cess_test(unit/volume_failure_test volume_testing)
cess_test(unit/volume_rollback_test volume_testing)
cess_test(unit/volume_opening_test volume_testing)
cess_test(unit/volume_local_test volume_testing core_os)
target_sources(volume_local_test PRIVATE support/faulty_disk.cpp)
target_include_directories(volume_local_test PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/volume/src)
cess_test(unit/volume_threads_test volume_testing)
cess_test(unit/volume_snapshots_test volume_testing)
cess_test(unit/volume_flatten_test volume_testing)
cess_test(unit/extent_cache_test volume_testing)
target_include_directories(extent_cache_test PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/volume/src)
cess_test(unit/comparison_test volume_testing)
cess_test(unit/store_test objectstore_volume)
set_tests_properties(unit/store_test PROPERTIES TIMEOUT 300)  # what it looks for is a wait without end
target_include_directories(store_test PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/volume/src)

add_executable(volume_bench bench/volume_bench.cpp)
target_link_libraries(volume_bench PRIVATE volume_testing cess_strict)
cess_test(unit/read_path_test volume_testing objectstore_layer)
target_include_directories(read_path_test PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/volume/src ${PROJECT_SOURCE_DIR}/objectstore/layer/src)
