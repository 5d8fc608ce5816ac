# The commit rule as a model, searched by Spin.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME model/commit_rule COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/model/check.py)
set_tests_properties(model/commit_rule PROPERTIES LABELS simulation TIMEOUT 600)
