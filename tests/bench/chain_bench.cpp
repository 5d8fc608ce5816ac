// Transactions a second through a single validator with its fsyncs, RocksDB, proofs and checks, in one process.
#include <support/chain_process.hpp>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <thread>

using namespace cess;

namespace {

double seconds_since(std::chrono::steady_clock::time_point began) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); }

void measure(test::chain_process& on, unsigned clients, unsigned each) {
    std::atomic<unsigned> failed{0};
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < clients; ++t)
        threads.emplace_back([&, t] {
            for (unsigned i = 0; i < each; ++i)
                if (!on.submit(test::chain_process::creation("b" + std::to_string(clients) + "." + std::to_string(t) + "." + std::to_string(i)))) ++failed;
        });
    for (auto& t : threads) t.join();
    const auto took = seconds_since(began);
    std::printf("clients=%u transactions=%u failed=%u per_second=%.0f mean_ms=%.2f\n", clients, clients * each, failed.load(), clients * each / took, took * 1000 / each);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string directory = argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / "cess-chain-bench").string();
    std::filesystem::remove_all(directory);
    test::chain_process on(directory);
    on.indexed = argc > 2 && std::string_view(argv[2]) == "index";
    if (auto started = on.start(); !started) return std::fprintf(stderr, "%s\n", started.error().message().c_str()), 1;
    measure(on, 1, 300);
    measure(on, 8, 200);
    measure(on, 32, 100);
    // Applying alone, with neither network nor fsync; several times, since a machine is not always as quick.
    for (int i = 0; i < 5; ++i) {
        on.stop();
        std::filesystem::remove_all(directory + "/state");
        const auto began = std::chrono::steady_clock::now();
        const auto used = std::clock();
        if (auto started = on.start(); !started) return std::fprintf(stderr, "%s\n", started.error().message().c_str()), 1;
        std::printf("replay of %llu blocks: %.2f s, %.2f s of processor\n", static_cast<unsigned long long>(on.node->height().value), seconds_since(began),
                    static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
    }
    return 0;
}
