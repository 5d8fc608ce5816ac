// A storage miner on a real directory: synced appends, puts and gets. Run by hand: bin/storage_bench [directory]
#include <support/storage_world.hpp>

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

using namespace cess;
using namespace cess::storage;

namespace {

using seconds = std::chrono::duration<double>;

struct bench {
    explicit bench(const std::string& directory) : book(1), random(1), volume(book, random, self) {
        miner_options how;
        how.directory = directory;
        how.self = self;
        how.capacity = 8 * GiB;
        miner_dependencies on{world, os::posix_file_system(), book.trust(), count};
        on.workers = &workers;
        on.journal_workers = &journal_workers;
        auto opened = open_miner(std::move(on), how);
        if (!opened) {
            std::fprintf(stderr, "%s\n", opened.error().message().c_str());
            std::exit(1);
        }
        at = std::move(*opened);
        volume.take(at->status().incarnation, 8 * GiB);
        (void)call(method::present, wire::encode(present_request{volume.proof()}), {});
    }
    ~bench() {
        (void)net::wait(world, stopped(*at));
        at.reset();
    }
    static net::awaitable<result<int>> stopped(storage::miner& m) {
        co_await m.stop();
        co_return 0;
    }
    static net::awaitable<result<net::reply>> served(storage::miner& m, node_id from, net::request what) {
        auto reply = co_await m.serve(from, std::move(what));
        if (reply.failure.code != errc::ok) co_return reply.failure;
        co_return reply;
    }
    net::reply call(net::method_id method, bytes head, bytes body) {
        net::request what;
        what.method = method;
        what.head = std::move(head);
        what.body = std::move(body);
        auto reply = net::wait(world, served(*at, volume.owner(volume.term()), std::move(what)));
        if (!reply) {
            std::fprintf(stderr, "%s\n", reply.error().message().c_str());
            std::exit(1);
        }
        return std::move(*reply);
    }

    net::real_env world{2};
    net::worker_pool workers{2};
    net::worker_pool journal_workers{2};
    metrics count;
    test::paper_ledger book;
    seeded_random random;
    node_id self = node_id::from(crypto::sha256(as_view("miner")).view());
    test::sample_volume volume;
    std::unique_ptr<storage::miner> at;
};

template <class F>
double timed(F f) {
    const auto began = std::chrono::steady_clock::now();
    f();
    return seconds(std::chrono::steady_clock::now() - began).count();
}

void appends(bench& b) {
    test::journal_writer writer{b.volume.journal(), {}, {}};
    constexpr std::uint64_t count = 4000;
    std::vector<std::pair<append_request, bytes>> groups;
    for (std::uint64_t i = 0; i < count; ++i) {
        bytes payload(4096);
        b.random.fill(payload);
        writer.add(std::move(payload));
        groups.push_back(writer.group(b.volume.session(b.volume.term()), i, i));
    }
    const auto took = timed([&] {
        for (auto& [request, body] : groups) (void)b.call(method::journal_append, wire::encode(request), std::move(body));
    });
    std::printf("append 4 KiB, synced, one at a time   %8.0f /s\n", count / took);
}

void puts_and_gets(bench& b) {
    constexpr int count = 24;
    std::vector<test::sample_segment> segments;
    for (int i = 0; i < count; ++i) segments.push_back(test::make_segment(b.random, 8 * MiB, {1, 0}));
    const auto put_all = [&](int from, int step) {
        for (int i = from; i < count; i += step) {
            const auto& s = segments[static_cast<std::size_t>(i)];
            const put_plan plan{b.volume.record.id, b.volume.term(), s.identity.geometry, s.identity.stored_length, 0};
            const auto handle = wire::decode<put_handle>(b.call(method::put_begin, wire::encode(plan), {}).head).value();
            for (std::uint64_t at = 0; at < 8 * MiB; at += 1 * MiB)
                (void)b.call(method::put_chunk, wire::encode(chunk_request{handle.handle, at}), to_bytes(byte_view(s.fragments[0]).subspan(at, 1 * MiB)));
            (void)b.call(method::put_commit, wire::encode(put_end{handle.handle, s.identity}), {});
        }
    };
    const auto took = timed([&] {
        std::thread other(put_all, 1, 2);
        put_all(0, 2);
        other.join();
    });
    std::printf("put 8 MiB fragments, two at a time     %8.0f MB/s\n", count * 8.0 * 1.048576 / took);
    constexpr int reads = 5000;
    const auto reading = timed([&] {
        for (int i = 0; i < reads; ++i) {
            get_request what;
            what.fragment = {segments[b.random.below(count)].id(), 0};
            what.offset = b.random.below(2000) * 4096;
            what.length = 4096;
            (void)b.call(method::get, wire::encode(what), {});
        }
    });
    std::printf("get 4 KiB, one at a time               %8.0f /s\n", reads / reading);
}

}  // namespace

int main(int argc, char** argv) {
    (void)log::configure({log::level::warn, {}});
    const std::string directory = (argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path()) / "cess-storage-bench";
    std::filesystem::remove_all(directory);
    {
        bench b(directory);
        appends(b);
        puts_and_gets(b);
    }
    std::filesystem::remove_all(directory);
    return 0;
}
