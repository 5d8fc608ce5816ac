cess_test(unit/block_cache_test cache core_base)
cess_test(unit/disk_cache_test cache core_os)
target_sources(disk_cache_test PRIVATE support/faulty_disk.cpp)
