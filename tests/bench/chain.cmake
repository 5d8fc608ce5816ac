# Run by hand: bin/chain_bench [directory [index]], with what the index for the JSON API costs
add_executable(chain_bench bench/chain_bench.cpp)
target_link_libraries(chain_bench PRIVATE chain_node chain_client cess_strict)
target_include_directories(chain_bench PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
# Run by hand: bin/consensus_bench
add_executable(consensus_bench bench/consensus_bench.cpp)
target_link_libraries(consensus_bench PRIVATE cess_committee cess_strict)
# Run by hand: bin/committee_bench [directory]
add_executable(committee_bench bench/committee_bench.cpp)
target_link_libraries(committee_bench PRIVATE chain_node chain_client chain_consensus cess_strict)
