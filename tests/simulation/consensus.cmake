# The committee's step machines in one thread (support/consensus_world.hpp).
add_library(cess_committee STATIC support/consensus_world.cpp)
target_include_directories(cess_committee PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cess_committee PUBLIC chain_consensus PRIVATE cess_strict)
cess_test(simulation/consensus_seeds_test cess_committee)
if(CESS_SANITIZE)
  target_compile_definitions(consensus_seeds_test PRIVATE CESS_FEWER_SEEDS)
endif()

# The same with seeded bugs compiled in (chain/consensus/src/mutants.hpp): in this one program only.
get_target_property(consensus_files chain_consensus SOURCES)
list(FILTER consensus_files INCLUDE REGEX "\\.cpp$")
list(TRANSFORM consensus_files PREPEND ${PROJECT_SOURCE_DIR}/chain/consensus/)
cess_test(simulation/consensus_mutants_test core_wire core_crypto)
target_sources(consensus_mutants_test PRIVATE support/consensus_world.cpp ${consensus_files})
target_include_directories(consensus_mutants_test PRIVATE ${PROJECT_SOURCE_DIR}/chain/consensus/include ${PROJECT_SOURCE_DIR}/chain/consensus/src)
target_compile_definitions(consensus_mutants_test PRIVATE CESS_CONSENSUS_MUTANTS)
