add_test(NAME integration/s3_clients COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/s3_clients.sh)
set_tests_properties(integration/s3_clients PROPERTIES
  LABELS integration TIMEOUT 1800 SKIP_RETURN_CODE 77 ENVIRONMENT "CESS_BIN=${CMAKE_BINARY_DIR}/bin")
