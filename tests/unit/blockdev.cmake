# Over the engine in memory, and over the volume in memory that forgets what was not synced.
cess_test(unit/device_test blockdev fs_testing volume_testing)
cess_test(unit/limiter_test blockdev fs_testing volume_testing)
