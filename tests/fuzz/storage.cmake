if(COMMAND cess_fuzz)
  cess_fuzz(fuzz/storage_fuzz storage_test_support)
endif()
