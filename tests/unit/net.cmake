cess_test(unit/net_vocabulary_test core_net)
cess_test(unit/net_test core_net)
