# Run by hand: bin/chain_bench [directory]
add_executable(chain_bench bench/chain_bench.cpp)
target_link_libraries(chain_bench PRIVATE chain_node chain_client cess_strict)
target_include_directories(chain_bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
