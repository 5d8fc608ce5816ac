# The whole write path in one process, killed at named steps.
add_library(cess_crash_trial STATIC support/write_history.cpp support/crash_house.cpp support/crash_trial.cpp support/seed_farm.cpp)
target_include_directories(cess_crash_trial PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cess_crash_trial PUBLIC objectstore_volume objectstore_layer chain_node chain_client node_storage cache core_kv
  storage_test_support PRIVATE cess_strict)
cess_test(simulation/volume_crash_test cess_crash_trial)
cess_test(simulation/volume_mutants_test cess_crash_trial)
cess_test(unit/write_history_test cess_crash_trial)
set_tests_properties(simulation/volume_mutants_test PROPERTIES TIMEOUT 1500)  # under sanitizers, beside others
