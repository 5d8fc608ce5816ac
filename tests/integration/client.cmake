cess_test(integration/client_test objectstore_client node_roles core_keys core_net)
target_include_directories(client_test PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/client/src)
