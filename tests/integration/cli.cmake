# Real processes and real clients. 77 = cannot run here (no FUSE, no loop devices), said by name.
function(cess_script name timeout)
  add_test(NAME integration/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/integration/${ARGN})
  set_tests_properties(integration/${name} PROPERTIES
    LABELS integration TIMEOUT ${timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "CESS_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

cess_script(commands 600 commands.sh)
cess_script(blockdev 900 blockdev.sh)
cess_script(three_faces 900 three_faces.sh)
cess_script(bad_miners 600 bad_miners.sh)
cess_script(crashes 1800 crash_test.py --crashes 50)
cess_script(quick_start 1800 quick_start.sh)
