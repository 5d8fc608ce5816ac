cess_test(unit/config_test core_config)
cess_test(unit/key_file_test core_keys)
