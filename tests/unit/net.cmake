cess_test(unit/net_vocabulary_test core_net)
cess_test(unit/net_test core_net)
target_include_directories(net_test PRIVATE ${PROJECT_SOURCE_DIR}/core/net/src)
