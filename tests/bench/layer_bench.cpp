// Megabytes a second of segments put and read, and appends a second, over four miners on this disk in one process.
//     layer_bench [directory]
#include <support/layer_house.hpp>

#include <core/base/log.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>

using namespace cess;
using namespace cess::test;

namespace {

double seconds(net::duration d) { return static_cast<double>(d.count()) / 1e9; }

struct stage {
    layer_house& house;
    layer::session& session;
    layer::layer& layer;

    std::vector<ledger::segment_record> put(std::size_t count, byte_view content) {
        std::vector<ledger::segment_record> out;
        const auto began = house.world().now();
        for (std::size_t i = 0; i < count; ++i) {
            auto record = session.put_segment(house.keys(), house.spec(i + 1), content);
            if (!record) {
                std::fprintf(stderr, "put: %s\n", record.error().message().c_str());
                std::exit(1);
            }
            out.push_back(std::move(*record));
        }
        const auto took = seconds(house.world().now() - began);
        std::printf("put of %zu KiB segments      %8.1f MB/s\n", content.size() / 1024, static_cast<double>(count * content.size()) / took / 1e6);
        return out;
    }

    void read(const std::vector<ledger::segment_record>& segments, std::size_t step, const char* name) {
        auto reader = house.new_owner();
        bytes out(step);
        std::uint64_t total = 0, requests = 0;
        const auto began = house.world().now();
        for (const auto& segment : segments)
            for (std::uint64_t at = 0; at + step <= segment.length; at += step * (step < 65536 ? 61 : 1)) {
                std::vector<layer::piece> pieces;
                pieces.push_back({&segment, at, out});
                if (auto done = reader->layer->read(house.keys(), pieces); !done) {
                    std::fprintf(stderr, "read: %s\n", done.error().message().c_str());
                    std::exit(1);
                }
                total += step;
                ++requests;
            }
        const auto took = seconds(house.world().now() - began);
        std::printf("%-27s  %8.1f MB/s  %8.0f reads/s\n", name, static_cast<double>(total) / took / 1e6, static_cast<double>(requests) / took);
    }

    // Many threads at once, nothing cached. The processor's time is the whole process's, its miners' included.
    void read_deep(const std::vector<ledger::segment_record>& segments, unsigned depth, unsigned each) {
        auto reader = house.new_owner(layer::deadlines());
        std::vector<std::thread> threads;
        const auto began = house.world().now();
        const auto before = std::clock();
        for (unsigned t = 0; t < depth; ++t)
            threads.emplace_back([&, t] {
                seeded_random random(t);
                bytes out(4 * KiB);
                for (unsigned i = 0; i < each; ++i) {
                    const auto& segment = segments[random.below(segments.size())];
                    std::vector<layer::piece> pieces;
                    pieces.push_back({&segment, random.below(segment.length / out.size()) * out.size(), out});
                    if (!reader->layer->read(house.keys(), pieces)) std::abort();
                }
            });
        for (auto& thread : threads) thread.join();
        const auto took = seconds(house.world().now() - began);
        const auto reads = static_cast<double>(reader->count.make_counter("cess_layer_read_bytes_total", "").value()) / 4096;
        std::printf("read at random, 4 KiB, depth %u  %8.0f reads/s  %8.1f processor µs a read\n", depth, reads / took,
                    static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC * 1e6 / reads);
    }

    void append(std::size_t count, std::size_t size, std::size_t depth) {
        std::mutex mutex;
        std::condition_variable wake;
        std::size_t done = 0;
        const auto began = house.world().now();
        for (std::size_t sent = 0; sent < count; ++sent) {
            {
                std::unique_lock hold(mutex);
                wake.wait(hold, [&] { return sent - done < depth; });
            }
            session.append(bytes(size, std::byte{7}), [&](result<void>) {
                const std::lock_guard hold(mutex);
                ++done;
                wake.notify_all();
            });
        }
        std::unique_lock hold(mutex);
        wake.wait(hold, [&] { return done == count; });
        const auto took = seconds(house.world().now() - began);
        std::printf("append of %7zu B, depth %-3zu %8.1f MB/s  %8.0f appends/s\n", size, depth, static_cast<double>(count * size) / took / 1e6,
                    static_cast<double>(count) / took);
    }
};

}  // namespace

int main(int argc, char** argv) {
    log::settings quiet;
    quiet.threshold = log::level::error;
    (void)log::configure(quiet);
    const std::string directory = argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / "cess-layer-bench").string();
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    {
        layer_house house(4, directory);
        auto owner = house.new_owner(layer::deadlines());
        auto taken = owner->layer->take(house.account(), house.volume(), owner->session, {});
        if (!taken) {
            std::fprintf(stderr, "take: %s\n", taken.error().message().c_str());
            return 1;
        }
        seeded_random random(1);
        bytes content(16 * MiB);
        random.fill(content);
        stage on{house, *taken->holder, *owner->layer};
        const auto segments = on.put(8, content);
        on.read(segments, 1 * MiB, "read in order, 1 MiB");
        on.read(segments, 4 * KiB, "read scattered, 4 KiB");
        on.read_deep(segments, 1, 4000);
        on.read_deep(segments, 32, 500);
        house.down(segments.front().holders.front());
        on.read(segments, 1 * MiB, "the same, a miner dead, 1 MiB");
        on.read(segments, 4 * KiB, "the same, a miner dead, 4 KiB");
        house.set_fate(segments.front().holders.front(), {});
        on.append(500, 4 * KiB, 1);
        on.append(4000, 4 * KiB, 32);
        on.append(64, 1 * MiB, 8);
    }
    std::filesystem::remove_all(directory);
    return 0;
}
