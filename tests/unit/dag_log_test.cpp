// The log of a committee member on a disk that forgets and tears, and an index that falls behind: what was synced is there,
// what comes back is a prefix of what was appended, and damage is told from torn tails.
#include <support/faulty_disk.hpp>
#include <support/store_around.hpp>

#include <block_log.hpp>
#include <dag_log.hpp>

#include <core/crypto/crypto.hpp>
#include <core/wire/codec.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

using namespace cess;
using chain::dag_log;
using consensus::block_ptr;
using consensus::round_number;

namespace {

constexpr const char* home = "/dag";

block_ptr block_of(round_number round, consensus::author_index author, bytes payload) {
    consensus::block b;
    b.body.round = round;
    b.body.author = author;
    b.body.payload.push_back(std::move(payload));
    return consensus::named(std::move(b));
}

// RocksDB without its log, in memory: flushes when it likes, and a crash leaves what the last flush had.
class lazy_store final : public test::store_around {
public:
    explicit lazy_store(std::uint64_t seed) : m_random(seed) {}
    result<void> commit(const kv::batch& b) override {
        CHECK_OK(below.commit(b));
        return m_random.below(4) == 0 ? below.flush() : result<void>();
    }
    void wipe() {
        kv::batch all;
        for (const auto& entry : *below.scan({}, {}, 1'000'000)) all.emplace(entry.key, std::nullopt);
        REQUIRE(below.commit(all).has_value());
        REQUIRE(below.flush().has_value());
    }

private:
    seeded_random m_random;
};

// A member: what it appended, and what of that must be there.
struct member {
    explicit member(std::uint64_t seed) : random(seed), index(seed + 1) {
        how.file_size = 5000;
        how.unsynced_max = 9000;
    }

    // Opens and compares. Answers what is wrong, if anything is.
    std::string open() {
        phase = "open";
        const round_number from = 1;
        std::vector<block_ptr> seen;
        auto opened = dag_log::open(disk, home, index, how, from, [&](const block_ptr& b) -> result<void> {
            seen.push_back(b);
            return {};
        });
        if (!opened) return "does not open: " + opened.error().message();
        log = std::move(*opened);
        return compare(from, seen);
    }
    std::string compare(round_number from, const std::vector<block_ptr>& seen) {
        std::size_t there = 0;
        while (there < appended.size() && log->holds(appended[there]->ref)) ++there;
        if (there < synced) return "lost block " + std::to_string(there) + " of " + std::to_string(synced) + " synced";
        for (std::size_t i = there; i < appended.size(); ++i)
            if (log->holds(appended[i]->ref)) return "a block without what it stands behind";
        appended.resize(there);
        synced = there;  // who opened it acts on all of it
        std::vector<block_ptr> wanted;
        for (const auto& b : appended)
            if (b->ref.round >= from) wanted.push_back(b);
        if (seen.size() != wanted.size()) return "visited " + std::to_string(seen.size()) + " of " + std::to_string(wanted.size());
        for (std::size_t i = 0; i < seen.size(); ++i)
            if (seen[i]->ref != wanted[i]->ref) return "visited out of order";
        return reads();
    }
    std::string reads() {
        for (std::size_t i = 0; i < synced; ++i) {
            const auto got = log->read(appended[i]->ref);
            if (!got) return "read: " + got.error().message();
            if (!*got) return "not there: block " + std::to_string(i);
            if (**got != wire::encode(appended[i]->what)) return "other bytes";
        }
        for (std::size_t i = synced; i < appended.size(); ++i)
            if (const auto got = log->read(appended[i]->ref); !got || *got) return "given out before it was synced";
        return in_order();
    }
    std::string in_order() {
        std::vector<consensus::block_ref> wanted;
        for (std::size_t i = 0; i < synced; ++i) wanted.push_back(appended[i]->ref);
        std::sort(wanted.begin(), wanted.end());
        const auto got = log->read_from(0, 1 * GiB);
        if (!got) return "read_from: " + got.error().message();
        if (got->size() < wanted.size()) return "read_from: too few";
        for (std::size_t i = 0; i < wanted.size(); ++i)
            if (consensus::named(*wire::decode<consensus::block>((*got)[got->size() - wanted.size() + i]))->ref != wanted[i]) return "read_from: order";
        return {};
    }

    result<void> append(std::size_t count) {
        phase = appended.empty() ? "first append" : "append";
        std::vector<block_ptr> some;
        for (; count > 0; --count) {
            const auto late = std::min<round_number>(round - 1, random.below(8) == 0 ? random.below(6) : 0);
            bytes payload(size ? *size : random.below(20) == 0 ? 6000 : random.below(1500));
            random.fill(payload);
            some.push_back(block_of(round - late, static_cast<consensus::author_index>(count), std::move(payload)));
        }
        ++round;
        appended.insert(appended.end(), some.begin(), some.end());
        return log->append(some);
    }
    result<void> sync() {
        phase = "sync";
        CHECK_OK(log->sync());
        synced = appended.size();
        return {};
    }
    // Some work, until its end or the first error.
    result<void> work() {
        for (int step = 0; step < 12; ++step) {
            CHECK_OK(append(1 + random.below(4)));
            if (random.below(3) != 0) CHECK_OK(sync());
        }
        return {};
    }
    // The process ends as it stands; with `power` what was not synced is lost or torn.
    void end(bool power) {
        log.reset();
        index.below.crash();
        if (power) disk.crash(random.next());
        else disk.new_process();
    }
    [[nodiscard]] std::vector<std::string> paths() const { return disk.files(); }
    bytes contents(const std::string& path) {
        auto file = *disk.open(path, os::open_mode::read);
        bytes out(*file->size());
        REQUIRE(file->read_at(0, out).has_value());
        return out;
    }
    void write(const std::string& path, std::uint64_t offset, byte_view what) {
        auto file = *disk.open(path, os::open_mode::read_write);
        REQUIRE(file->truncate(offset).has_value());
        REQUIRE(file->write_at(offset, what).has_value());
        REQUIRE(file->sync().has_value());
    }

    seeded_random random;
    test::faulty_disk disk;
    lazy_store index;
    dag_log::options how;
    std::unique_ptr<dag_log> log;
    std::vector<block_ptr> appended;
    std::size_t synced = 0;
    round_number round = 1;
    std::optional<std::size_t> size;  // of payloads
    std::string phase;
};

void grow(member& on, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        REQUIRE(on.append(3).has_value());
        REQUIRE(on.sync().has_value());
    }
}

bool one_line_about(const error& what, const std::string& path) {
    return what.code == errc::corrupt && what.what.find(path) != std::string::npos && what.what.find("byte") != std::string::npos && what.what.find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("whenever the process dies or the power fails, what was synced is there, and the rest is a prefix") {
    std::size_t torn = 0;
    for (std::uint64_t fatal = 0; fatal < 90; ++fatal)
        for (std::uint64_t seed = 1; seed <= 6; ++seed) {
            INFO("fatal " << fatal << " seed " << seed);
            member on(seed * 1000 + fatal);
            REQUIRE(on.open() == "");
            for (int life = 0; life < 3; ++life) {
                on.disk.die_at(fatal + on.random.below(4));
                (void)on.work();
                const auto before = on.appended.size();
                on.end(on.random.below(3) != 0);
                REQUIRE(on.open() == "");
                torn += before - on.appended.size();
                if (on.random.below(2) == 0) continue;
                on.end(true);  // at once: what the last life acted on is durable
                REQUIRE(on.open() == "");
            }
        }
    CHECK(torn > 1000);
}

TEST_CASE("after a failed write or sync the log takes nothing more, and the next process loses nothing that was synced") {
    for (std::uint64_t fatal = 0; fatal < 60; ++fatal)
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            INFO("fatal " << fatal << " seed " << seed);
            member on(seed * 1000 + fatal);
            REQUIRE(on.open() == "");
            on.disk.fail_at(fatal, errc::io);
            if (!on.work()) {
                const auto refused = on.log->append({block_of(99, 0, {})});
                REQUIRE_FALSE(refused.has_value());
                CHECK(refused.error().code == errc::io);
                CHECK(refused.error().what.find("injected") != std::string::npos);
                CHECK_FALSE(on.log->sync().has_value());
            }
            on.end(on.random.below(2) == 0);
            REQUIRE(on.open() == "");
            on.end(true);
            REQUIRE(on.open() == "");
        }
}

TEST_CASE("an opening that dies loses nothing either") {
    for (std::uint64_t fatal = 0; fatal < 40; ++fatal) {
        INFO("fatal " << fatal);
        member on(fatal);
        REQUIRE(on.open() == "");
        REQUIRE(on.work().has_value());
        REQUIRE(on.append(4).has_value());
        on.end(fatal % 2 == 0);
        on.disk.die_at(fatal);
        const auto first = on.open();
        if (on.disk.fault_met()) REQUIRE(first != "");
        on.end(true);
        REQUIRE(on.open() == "");
    }
}

TEST_CASE("removing any one sync of the log is noticed") {
    // Every block begins a file, and two share a sync, so the syncs of a call are always the same: the first file's beginning
    // (0) and name, its record (1), the second's beginning (2) and name.
    std::set<std::string> kinds, missed;
    const auto run = [&](std::uint64_t fatal, std::uint64_t seed, const std::string& left_out) -> std::string {
        member on(seed);
        on.how.file_size = 500;
        on.size = 1000;
        std::string call;
        int nth = 0;
        const bool power = seed % 2 == 0;
        on.disk.watch([&](std::size_t, const test::faulty_disk::sync_point& at) {
            // The root's, when the directory is made; and after a power cut all that is seen is durable.
            if (at.place.empty() || (on.phase == "open" && power)) return false;
            const auto now = on.phase + std::to_string(on.round);
            if (std::exchange(call, now) != now) nth = 0;
            const auto kind = on.phase + (at.directory ? ", directory" : ", file " + std::to_string(nth++));
            kinds.insert(kind);
            return kind == left_out;
        });
        if (const auto wrong = on.open(); !wrong.empty()) return wrong;
        on.disk.die_at(fatal);
        while (on.append(2) && on.sync()) {}
        on.end(power);
        if (const auto wrong = on.open(); !wrong.empty()) return wrong;
        (void)(on.append(1) && on.sync() && seed % 4 < 2 && on.append(1));
        on.end(true);
        return on.open();
    };
    for (std::uint64_t fatal = 0; fatal < 26; ++fatal)
        for (std::uint64_t seed = 1; seed <= 40; ++seed) {
            INFO("fatal " << fatal << " seed " << seed);
            REQUIRE(run(fatal, seed, "none") == "");
            for (const auto& kind : std::set<std::string>(kinds))
                if (!missed.contains(kind) && !run(fatal, seed, kind).empty()) missed.insert(kind);
        }
    const std::set<std::string> all{"open, directory",        "open, file 0",   "first append, file 0", "first append, file 1", "first append, file 2",
                                    "first append, directory", "append, file 0", "append, file 1",       "append, file 2",       "append, directory", "sync, file 0"};
    CHECK(kinds == all);
    for (const auto& kind : kinds) {
        INFO(kind);
        CHECK(missed.contains(kind));
    }
}

TEST_CASE("a record that was cut off does not come back behind one that took its place") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        INFO("seed " << seed);
        member on(seed);
        const auto alike = [&](round_number round) { return block_of(round, 0, bytes(400, static_cast<std::byte>(on.random.below(256)))); };
        const auto add = [&](round_number round) {
            on.appended.push_back(alike(round));
            REQUIRE(on.log->append({on.appended.back()}).has_value());
        };
        REQUIRE(on.open() == "");
        add(1);
        REQUIRE(on.sync().has_value());
        for (round_number round = 2; round < 6; ++round) add(round);
        on.end(true);
        REQUIRE(on.open() == "");
        add(12);
        on.end(true);
        REQUIRE(on.open() == "");
    }
}

TEST_CASE("a flipped bit is refused with the file and the byte, in what was durable; past that it is a torn tail") {
    member on(7);
    REQUIRE(on.open() == "");
    grow(on, 12);
    on.log.reset();
    REQUIRE(on.index.flush().has_value());
    const auto files = on.paths();
    REQUIRE(files.size() > 4);
    const auto size = on.contents(files.back()).size();
    const auto blocks = on.appended;
    std::size_t cut = 0;
    for (const bool indexed : {true, false}) {
        if (!indexed) on.index.wipe();
        for (const auto& path : {files.front(), files[2], files.back()})
            for (std::uint64_t at = 0; at < on.contents(path).size(); at += 13) {
                INFO(path << " byte " << at << (indexed ? "" : ", no index"));
                const auto before = on.contents(path);
                REQUIRE(on.disk.flip(path, at));
                const auto opened = dag_log::open(on.disk, home, on.index, on.how, 1, [](const block_ptr&) { return result<void>(); });
                if (opened) {  // nothing says that the last sync was
                    CHECK_FALSE(indexed);
                    CHECK(path == files.back());
                    for (std::size_t i = 0; i + 3 < blocks.size(); ++i) CHECK((*opened)->holds(blocks[i]->ref));
                    ++cut;
                } else {
                    CHECK(one_line_about(opened.error(), path));
                }
                if (opened) on.index.wipe();
                on.write(path, 0, before);
            }
    }
    CHECK(cut > 10);
    CHECK(cut < size / 13);
}

TEST_CASE("garbage behind the last record is cut off, whatever it looks like") {
    member on(8);
    REQUIRE(on.open() == "");
    grow(on, 3);
    on.end(false);
    const auto path = on.paths().back();
    const auto sound = on.contents(path);
    member other(9);
    REQUIRE(other.open() == "");
    grow(other, 9);
    auto foreign = other.contents(other.paths().back());
    bytes noise(3000);
    on.random.fill(noise);
    auto half = to_bytes(byte_view(sound).subspan(64, 200));
    for (const auto& garbage : {noise, foreign, half, bytes(1, std::byte{0}), bytes(5000, std::byte{0}), bytes(56, std::byte{0xff})}) {
        auto text = sound;
        append(text, garbage);
        on.write(path, 0, text);
        REQUIRE(on.open() == "");
        CHECK(on.appended.size() == 9);
        CHECK(on.contents(path) == sound);
        on.end(true);
    }
    // Its own last record once more is no successor either.
    auto twice = sound;
    append(twice, byte_view(sound).last(56 + wire::encode(on.appended.back()->what).size()));
    on.write(path, 0, twice);
    REQUIRE(on.open() == "");
    CHECK(on.contents(path) == sound);
}

TEST_CASE("a payload that looks like a durable record is not taken for one when its block is torn") {
    member on(10);
    on.how.file_size = on.how.unsynced_max = 1 * MiB;
    REQUIRE(on.open() == "");
    grow(on, 2);
    // Another log's records under its own header: all that a stranger can make.
    member stranger(11);
    stranger.how.file_size = 1 * MiB;  // all of it in one file
    REQUIRE(stranger.open() == "");
    grow(stranger, 6);
    const auto disguised = stranger.contents(stranger.paths().front());
    on.appended.push_back(block_of(9, 1, disguised));
    on.appended.push_back(block_of(9, 2, disguised));
    REQUIRE(on.log->append({on.appended[6], on.appended[7]}).has_value());
    on.end(false);
    const auto path = on.paths().front();
    const auto end = on.contents(path).size();
    REQUIRE(on.disk.flip(path, end - 2 * disguised.size() - 300));  // of the last but one, near its front
    REQUIRE(on.open() == "");
    CHECK(on.appended.size() == 6);
}

TEST_CASE("an index that is behind or absent is brought up from the log; one that knows more is refused") {
    member on(12);
    REQUIRE(on.open() == "");
    grow(on, 4);
    REQUIRE(on.index.flush().has_value());
    grow(on, 8);
    on.end(true);
    REQUIRE(on.open() == "");
    CHECK(on.appended.size() == 36);
    on.log.reset();
    on.index.wipe();
    REQUIRE(on.open() == "");
    CHECK(on.appended.size() == 36);
    on.log.reset();
    REQUIRE(on.index.flush().has_value());
    const auto paths = on.paths();
    const auto last = on.contents(paths.back());
    on.write(paths.back(), last.size() - 1, {});
    CHECK(on.open().find("is damaged at byte") != std::string::npos);
    on.write(paths.back(), 64, {});
    CHECK(on.open().find("were durable") != std::string::npos);
    on.write(paths.back(), 0, last);
    REQUIRE(on.disk.rename(paths[1], "/elsewhere").has_value());
    CHECK(on.open().find("is missing; restore it") != std::string::npos);
    REQUIRE(on.disk.rename("/elsewhere", paths[1]).has_value());
    REQUIRE(on.open() == "");
}

TEST_CASE("only the files that the state needs are read again") {
    member on(14);
    REQUIRE(on.open() == "");
    grow(on, 30);
    REQUIRE(on.index.flush().has_value());
    on.end(true);
    REQUIRE(on.disk.flip(on.paths().front(), 100));
    on.disk.no_faults();
    std::size_t seen = 0;
    const auto opened = dag_log::open(on.disk, home, on.index, on.how, 28, [&](const block_ptr& b) -> result<void> {
        CHECK(b->ref.round >= 28);
        ++seen;
        return {};
    });
    REQUIRE(opened.has_value());
    CHECK(seen == 9);
    CHECK(on.disk.operations() < 200);
    const auto damaged = (*opened)->read(on.appended.front()->ref);
    REQUIRE_FALSE(damaged.has_value());
    CHECK(one_line_about(damaged.error(), on.paths().front()));
}

TEST_CASE("a block is held once appended, and given out once durable; many share a sync, and it comes by itself in the end") {
    member on(15);
    on.how.file_size = 1 * MiB;
    REQUIRE(on.open() == "");
    REQUIRE(on.append(1).has_value());
    on.disk.watch();
    std::vector<block_ptr> many;
    for (consensus::author_index i = 1; i < 7; ++i) many.push_back(block_of(5, i, bytes(1000, std::byte{1})));
    REQUIRE(on.log->append(many).has_value());
    CHECK(on.disk.watched().empty());
    CHECK(on.log->holds(many[0]->ref));
    CHECK_FALSE(on.log->read(many[0]->ref)->has_value());
    CHECK(on.log->read_from(1, 1 * MiB)->empty());
    REQUIRE(on.log->sync().has_value());
    CHECK(on.disk.watched().size() == 1);
    CHECK(*on.log->read(many[0]->ref) == wire::encode(many[0]->what));
    CHECK_FALSE(on.log->holds(block_of(5, 9, {})->ref));
    REQUIRE(on.log->sync().has_value());
    CHECK(on.disk.watched().size() == 1);  // nothing new, nothing to do
    for (consensus::author_index i = 0; i < 40; ++i) REQUIRE(on.log->append({block_of(6, i, bytes(1000, std::byte{2}))}).has_value());
    CHECK(on.disk.watched().size() > 4);
    CHECK(on.log->read_from(6, 3500)->size() == 3);
    CHECK(on.log->read_from(6, 1)->size() == 1);
}

TEST_CASE("a store that fails makes the log hold nothing and take nothing, with the reason") {
    struct broken_store final : test::store_around {
        result<std::optional<bytes>> get(const bytes& key) override { return broken ? error(errc::io, "a bad sector") : below.get(key); }
        bool broken = false;
    } store;
    test::faulty_disk disk;
    const auto log = dag_log::open(disk, home, store, {}, 1, [](const block_ptr&) { return result<void>(); });
    REQUIRE(log.has_value());
    REQUIRE((*log)->append({block_of(1, 0, {})}).has_value());
    store.broken = true;
    CHECK_FALSE((*log)->holds(block_of(1, 1, {})->ref));
    store.broken = false;
    const auto refused = (*log)->sync();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what.find("a bad sector") != std::string::npos);
}

TEST_CASE("readers see whole blocks while others are appended and synced") {
    member on(16);
    REQUIRE(on.open() == "");
    std::mutex mutex;
    std::vector<block_ptr> durable;
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0}, read{0};
    const auto reader = [&](std::uint64_t seed) {
        seeded_random random(seed);
        while (!done) {
            block_ptr b;
            {
                std::lock_guard lock(mutex);
                if (durable.empty()) continue;
                b = durable[random.below(durable.size())];
            }
            if (!on.log->holds(b->ref)) ++wrong;
            const auto got = on.log->read(b->ref);
            if (!got || !*got || **got != wire::encode(b->what)) ++wrong;
            const auto some = on.log->read_from(b->ref.round, 4000);
            if (!some) ++wrong;
            else
                for (const auto& text : *some)
                    if (!wire::decode<consensus::block>(text)) ++wrong;
            ++read;
        }
    };
    std::thread first(reader, 1), second(reader, 2);
    for (int i = 0; i < 300 || (read < 300 && i < 100'000); ++i) {
        if (!on.append(2) || !on.sync()) ++wrong;
        std::lock_guard lock(mutex);
        durable = on.appended;
    }
    done = true;
    first.join();
    second.join();
    CHECK(wrong == 0);
    CHECK(read >= 300);
}

TEST_CASE("it works over RocksDB and real files") {
    const auto root = std::filesystem::temp_directory_path() / ("cess-dag-log-" + std::to_string(::getpid()));
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root);
    std::vector<block_ptr> all;
    const auto open = [&](kv::store& index, std::vector<block_ptr>& seen) {
        return dag_log::open(os::posix_file_system(), (root / "log").string(), index, {}, 1, [&](const block_ptr& b) -> result<void> {
            seen.push_back(b);
            return {};
        });
    };
    for (int life = 0; life < 3; ++life) {
        auto index = kv::open_rocks_store((root / "index").string(), {});  // closed unflushed: of what it has, the log must know
        REQUIRE(index.has_value());
        std::vector<block_ptr> seen;
        auto log = open(**index, seen);
        REQUIRE(log.has_value());
        REQUIRE(seen.size() == all.size());
        for (const auto& b : all) CHECK((*log)->holds(b->ref));
        for (round_number r = 1; r <= 50; ++r) {
            all.push_back(block_of(r, static_cast<consensus::author_index>(life), bytes(2000, std::byte{3})));
            REQUIRE((*log)->append({all.back()}).has_value());
            REQUIRE((*log)->sync().has_value());
        }
        CHECK((*log)->read_from(50, 1 * MiB)->size() == static_cast<std::size_t>(life) + 1);
    }
    std::filesystem::remove_all(root);
}

TEST_CASE("the formats of both logs on disk are these") {
    test::faulty_disk disk;
    const auto contents = [&](const std::string& path) {
        auto file = *disk.open(path, os::open_mode::read);
        bytes out(*file->size());
        REQUIRE(file->read_at(0, out).has_value());
        return out;
    };
    {
        const auto log = chain::block_log::open(disk, "/blocks", 100, {1}, [](block_height, byte_view) { return result<void>(); });
        REQUIRE(log.has_value());
        for (std::uint64_t height = 1; height <= 3; ++height) REQUIRE((*log)->append({height}, as_view("block " + std::to_string(height))).has_value());
        CHECK((*log)->append({3}, as_view("again")).error().code == errc::invalid);
        CHECK(to_string(*(*log)->read({1})) == "block 1");
        CHECK(to_string(*(*log)->read({3})) == "block 3");
        CHECK((*log)->read({4}).error().code == errc::not_found);
        disk.fail_at(3, errc::io);  // its sync, behind the making of its file
        CHECK((*log)->append({4}, bytes(100, std::byte{0})).error().code == errc::io);
        CHECK((*log)->last().value == 3);
        CHECK((*log)->append({4}, {}).error().what.find("an earlier write failed") != std::string::npos);
    }
    CHECK(disk.files() == std::vector<std::string>{"/blocks/0000000000000001.blocks", "/blocks/0000000000000002.blocks", "/blocks/0000000000000003.blocks",
                                                   "/blocks/0000000000000004.blocks"});
    wire::encoder plain;
    plain(std::uint32_t{0x4b4c4243}, std::uint32_t{7}, std::uint64_t{2});
    auto wanted = plain.view();
    append(wanted, crypto::sha256({plain.view(), as_view("block 2")}).raw);
    append(wanted, as_view("block 2"));
    CHECK(contents("/blocks/0000000000000002.blocks") == wanted);

    kv::memory_store index;
    const auto block = block_of(1, 0, {});
    {
        const auto log = dag_log::open(disk, home, index, {}, 1, [](const block_ptr&) { return result<void>(); });
        REQUIRE(log.has_value());
        REQUIRE((*log)->append({block}).has_value());
        REQUIRE((*log)->sync().has_value());
        REQUIRE((*log)->append({block_of(1, 1, {})}).has_value());
    }
    const auto file = contents("/dag/0000000000000001.dag");
    const auto salt = byte_view(file).subspan(16, 16);
    wire::encoder front;
    front(std::uint32_t{0x47414443}, std::uint32_t{1}, std::uint64_t{1});
    front.raw(salt);
    front.raw(crypto::sha256(front.view()).raw);
    const auto text = wire::encode(block->what);
    for (std::uint64_t number = 1; number <= 2; ++number) {
        wire::encoder fields;
        fields.raw(salt.first(4));
        fields(static_cast<std::uint32_t>(text.size()), number, number - 1);
        const auto body = number == 1 ? text : wire::encode(block_of(1, 1, {})->what);
        front.raw(fields.view());
        front.raw(crypto::sha256({salt, fields.view(), body}).raw);
        front.raw(body);
    }
    CHECK(file == front.view());
    REQUIRE(index.get(to_bytes("Dp"))->has_value());
    bytes name = to_bytes("Dn");
    name.resize(2 + 7 + 1 + 2, std::byte{0});
    name[9] = std::byte{1};
    append(name, block->ref.digest.raw);
    CHECK(*index.get(name) == wire::encode(chain::record_log::place{1, 64, 1}));
}
