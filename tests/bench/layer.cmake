# Run by hand: bin/layer_bench [directory]
add_executable(layer_bench bench/layer_bench.cpp)
target_link_libraries(layer_bench PRIVATE cess_layer_house cess_strict)
