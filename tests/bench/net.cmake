# Run by hand: bin/rpc_bench [seconds]
add_executable(rpc_bench bench/rpc_bench.cpp)
target_link_libraries(rpc_bench PRIVATE core_net cess_strict)
