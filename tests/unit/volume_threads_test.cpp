// Many threads on one volume: writers with their own blobs and keys, syncs, snapshots, checkpoints and readers at
// once; what each writer saw acknowledged is there after the owner's death.
#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

#include <future>

using namespace cess;
using namespace std::chrono_literals;

namespace {

constexpr unsigned writers = 4;
constexpr std::uint64_t slots = 64;

bytes block_of(unsigned writer, std::uint64_t round) {
    bytes out(4096, static_cast<std::byte>(writer * 16));
    std::memcpy(out.data(), &round, sizeof round);
    return out;
}

std::uint64_t round_in(const bytes& block) {
    std::uint64_t round = 0;
    std::memcpy(&round, block.data(), sizeof round);
    return round;
}

struct shared {
    std::unique_ptr<volume::volume> volume;
    std::atomic<bool> stop{false};
    std::mutex mutex;
    std::vector<std::string> wrong;
    void note(std::string what) {
        const std::lock_guard lock(mutex);
        wrong.push_back(std::move(what));
    }
    std::array<std::array<std::atomic<std::uint64_t>, slots>, writers> acknowledged{};
    std::array<std::array<std::atomic<std::uint64_t>, slots>, writers> applied{};
};

void write(shared& s, unsigned self) {
    seeded_random random(self);
    std::uint64_t round = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> unsynced;
    while (!s.stop) {
        const auto slot = random.below(slots);
        const auto block = block_of(self, ++round);
        volume::change edit;
        edit.write(self, slot * 4096, block);
        edit.put(to_bytes("w" + std::to_string(self) + "/" + std::to_string(slot)), to_bytes(std::to_string(round)));
        if (const auto done = s.volume->apply(edit); !done) return s.note("apply: " + done.error().message());
        s.applied[self][slot] = round;
        unsynced.emplace_back(slot, round);
        if (random.below(8) != 0) continue;
        if (const auto done = s.volume->sync(); !done) return s.note("sync: " + done.error().message());
        for (const auto& [at, done] : unsynced) s.acknowledged[self][at] = done;
        unsynced.clear();
    }
}

void read(shared& s, unsigned self) {
    seeded_random random(100 + self);
    bytes block(4096);
    while (!s.stop) {
        const auto writer = static_cast<unsigned>(random.below(writers));
        const auto slot = random.below(slots);
        const auto least = s.applied[writer][slot].load();
        if (const auto done = s.volume->read(writer, slot * 4096, block); !done) s.note("read: " + done.error().message());
        else if (round_in(block) < least) s.note("round " + std::to_string(round_in(block)) + " after " + std::to_string(least));
        else if (block[100] != static_cast<std::byte>(writer * 16) && round_in(block) != 0) s.note("bytes of somebody else");
        if (const auto done = s.volume->map(writer, 0, slots * 4096); !done) s.note("map: " + done.error().message());
    }
}

}  // namespace

TEST_CASE("writers, readers, snapshots and checkpoints at once, and nothing acknowledged is lost") {
    support::memory_options options;
    options.append_time = 200us;
    support::memory_network net(options);
    net.create_volume("v", ledger::volume_type::filesystem);
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 1 * MiB;
    how.memtable = 128 * KiB;
    how.append_idle = 5ms;
    how.checkpoint_idle = 50ms;
    how.journal_checkpoint = 1 * MiB;
    shared s;
    {
        auto opened = net.open("v", how);
        REQUIRE(opened.has_value());
        s.volume = std::move(*opened);
    }
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < writers; ++i) threads.emplace_back([&s, i] { write(s, i); });
    for (unsigned i = 0; i < 2; ++i) threads.emplace_back([&s, i] { read(s, i); });
    for (int i = 0; i < 10; ++i) {
        std::this_thread::sleep_for(100ms);
        auto made = s.volume->create_snapshot("s" + std::to_string(i));
        if (!made) FAIL(made.error().message());
        auto done = s.volume->checkpoint();
        if (!done) FAIL(done.error().message());
        (void)s.volume->usage_now();
    }
    s.stop = true;
    for (auto& thread : threads) thread.join();
    CHECK(s.wrong == std::vector<std::string>{});
    net.crash(2);
    s.volume.reset();
    auto again = net.open("v", how);
    REQUIRE(again.has_value());
    int lost = 0, disagree = 0;
    for (unsigned w = 0; w < writers; ++w)
        for (std::uint64_t slot = 0; slot < slots; ++slot) {
            bytes block(4096);
            REQUIRE((*again)->read(w, slot * 4096, block).has_value());
            lost += round_in(block) < s.acknowledged[w][slot];
            const auto key = "w" + std::to_string(w) + "/" + std::to_string(slot);
            const auto value = (*again)->get(as_view(key));
            REQUIRE(value.has_value());
            const auto round = *value ? std::stoull(to_string(**value)) : 0;
            disagree += round != round_in(block);
        }
    CHECK(lost == 0);
    CHECK(disagree == 0);
}

TEST_CASE("an owner's death ends the append that is under way, at once") {
    support::memory_options options;
    options.append_time = 200ms;
    support::memory_network net(options);
    net.create_volume("v", ledger::volume_type::filesystem);
    auto opened = net.open("v", {});
    REQUIRE(opened.has_value());
    volume::change edit;
    edit.put(to_bytes("key"), to_bytes("value"));
    REQUIRE((*opened)->apply(edit).has_value());
    auto synced = std::async(std::launch::async, [&] { return (*opened)->sync(); });
    std::this_thread::sleep_for(50ms);
    net.crash(0);
    const auto ended = synced.get();
    CHECK(!ended.has_value());
    std::this_thread::sleep_for(200ms);  // the network looks at what was due meanwhile, and finds nothing
}
