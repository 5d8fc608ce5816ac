cess_test(unit/config_test core_config)
