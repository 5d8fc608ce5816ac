cess_fuzz(fuzz/s3_fuzz objectstore_s3)
if(CESS_FUZZ)
  target_include_directories(s3_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/objectstore/s3/src)
endif()
