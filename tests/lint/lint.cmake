find_package(Python3 REQUIRED COMPONENTS Interpreter)
foreach(lint layers co_await shape)
  add_test(NAME lint/${lint} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/lint/${lint}.py)
  set_tests_properties(lint/${lint} PROPERTIES LABELS lint TIMEOUT 120)
endforeach()

# Each public header compiles alone, with what its module declares (CMAKE_VERIFY_INTERFACE_HEADER_SETS in the root).
add_test(NAME lint/headers_alone COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/lint/headers_alone.py ${CMAKE_BINARY_DIR})
set_tests_properties(lint/headers_alone PROPERTIES LABELS lint TIMEOUT 900)

# A program and its man page name the same options.
add_test(NAME lint/man_pages COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/lint/man_pages.py ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(lint/man_pages PROPERTIES LABELS lint TIMEOUT 120)
