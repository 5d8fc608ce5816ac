# Run by hand: bin/storage_bench [directory]
add_executable(storage_bench bench/storage_bench.cpp)
target_link_libraries(storage_bench PRIVATE storage_test_support cess_strict)
