cess_test(unit/block_cache_test cache core_base)
