# The simulated network, and the journal's protocol on it.
add_library(cess_world STATIC support/simulation.cpp)
target_include_directories(cess_world PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cess_world PUBLIC core_net PRIVATE cess_strict)
add_library(cess_simulation STATIC support/simulated_ledger.cpp support/model_miner.cpp
  support/journal_world.cpp support/journal_chaos.cpp)
target_include_directories(cess_simulation PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cess_simulation PUBLIC cess_world objectstore_layer chain_ledger chain_client core_net PRIVATE cess_strict)
cess_test(simulation/journal_cases_test cess_simulation)
cess_test(simulation/miner_directory_test cess_simulation)
cess_test(simulation/journal_seeds_test cess_simulation)
cess_test(simulation/journal_mutants_test cess_simulation)
