// Rates of the engine over a layer in memory: what it costs without network and disks of miners.
//   volume_bench [seconds a measurement]
#include <support/memory_layer.hpp>

#include <cstdio>
#include <cstdlib>

using namespace cess;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

double seconds_each = 2;

std::unique_ptr<volume::volume> open(support::memory_network& net) {
    volume::settings how;
    auto out = net.open("v", how);
    if (!out) {
        std::fprintf(stderr, "open: %s\n", out.error().message().c_str());
        std::exit(1);
    }
    return std::move(*out);
}

void report(const char* what, std::uint64_t count, std::uint64_t bytes_each, double seconds) {
    const auto rate = static_cast<double>(count) / seconds;
    std::printf("%-44s %10.0f /s %9.1f MiB/s\n", what, rate, rate * static_cast<double>(bytes_each) / (1024 * 1024));
    std::fflush(stdout);
}

template <class F>
void measure(const char* what, unsigned threads, std::uint64_t bytes_each, F once) {
    std::atomic<std::uint64_t> count{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> running;
    const auto began = clock_type::now();
    for (unsigned t = 0; t < threads; ++t)
        running.emplace_back([&, t] {
            for (std::uint64_t i = 0; !stop; ++i) {
                if (!once(t, i)) {
                    std::fprintf(stderr, "%s: refused\n", what);
                    std::exit(1);
                }
                ++count;
            }
        });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds_each));
    stop = true;
    for (auto& each : running) each.join();
    report(what, count, bytes_each, std::chrono::duration<double>(clock_type::now() - began).count());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) seconds_each = std::atof(argv[1]);
    if (seconds_each <= 0) {
        std::fprintf(stderr, "usage: volume_bench [seconds a measurement]\n");
        return 2;
    }
    support::memory_network net;
    net.create_volume("v", ledger::volume_type::block, 64 * GiB);
    const auto v = open(net);
    const bytes block(4096, std::byte{1}), large(128 * KiB, std::byte{2});
    const auto write = [&](std::uint64_t blob, std::uint64_t offset, const bytes& data) {
        volume::change edit;
        edit.write(blob, offset, data);
        return v->apply(edit).has_value();
    };
    measure("put of a small key", 1, 0, [&](unsigned, std::uint64_t i) {
        volume::change edit;
        edit.put(to_bytes("key" + std::to_string(i % 100'000)), bytes(100, std::byte{3}));
        return v->apply(edit).has_value();
    });
    measure("write of 4 KiB at random", 1, 4096, [&](unsigned, std::uint64_t i) { return write(1, i * 7919 % 262'144 * 4096, block); });
    measure("write of 4 KiB in sequence", 1, 4096, [&](unsigned, std::uint64_t i) { return write(2, i * 4096, block); });
    measure("write of 128 KiB in sequence", 1, 128 * KiB, [&](unsigned, std::uint64_t i) { return write(3, i * 128 * KiB % (4 * GiB), large); });
    measure("write of 4 KiB and sync, one thread", 1, 4096, [&](unsigned, std::uint64_t i) { return write(4, i * 4096 % GiB, block) && v->sync(); });
    measure("write of 4 KiB and sync, 8 threads", 8, 4096, [&](unsigned t, std::uint64_t i) {
        return write(5 + t, i * 4096 % GiB, block) && v->sync();
    });
    bytes out(4096);
    measure("read of 4 KiB at random", 1, 4096, [&](unsigned, std::uint64_t i) { return v->read(1, i * 7919 % 262'144 * 4096, out).has_value(); });
    const auto began = clock_type::now();
    if (!v->close()) return 1;
    std::printf("%-44s %10.3f s\n", "close", std::chrono::duration<double>(clock_type::now() - began).count());
    return 0;
}
