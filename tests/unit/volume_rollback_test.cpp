// Rolling back: the head becomes what a snapshot is, whatever was done since, and nothing else changes; who dies in the
// middle of it leaves a mark. Seeds are printed by what fails.
#include <support/memory_layer.hpp>
#include <support/volume_model.hpp>

#include <objectstore/volume/rollback.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using support::volume_model;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t blob_size = 512 * KiB;
constexpr std::uint64_t blob_count = 4;

volume::settings small(bool cleaning = true) {
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 1 * MiB;
    how.memtable = 64 * KiB;
    how.append_idle = 5ms;
    how.checkpoint_idle = 30ms;
    how.clean_slack = 64 * KiB;
    how.clean_bandwidth = 16 * GiB;
    how.clean_look = cleaning ? net::duration(2ms) : net::duration(10min);
    return how;
}

const auto silent = [](std::uint64_t, std::uint64_t) {};

// A volume with snapshots, and what each should hold.
class trial {
public:
    trial(std::uint64_t seed, ledger::volume_type type) : m_random(seed) {
        net.create_volume("v", type, type == ledger::volume_type::block ? blob_size : 0);
        open();
    }

    void open() {
        auto opened = net.open("v", small());
        if (!opened) FAIL(opened.error().message());
        on = std::move(*opened);
    }
    void edit(std::uint64_t changes) {
        for (; changes > 0; --changes) edit_once();
    }
    void snapshot(const std::string& name) {
        must(on->create_snapshot(name));
        snapshots[name] = now;
    }
    [[nodiscard]] result<void> roll_back(const std::string& name, memory_network::fault meanwhile = nullptr) {
        must(on->checkpoint());
        auto to = net.open_snapshot("v", name);
        if (!to) FAIL(to.error().message());
        net.set_fault(std::move(meanwhile));
        auto done = volume::roll_back(*on, **to, name, silent);
        if (done) now = snapshots.at(name);
        return done;
    }
    void check(const std::string& when) {
        compare(now, *on, when);
        for (const auto& [name, model] : snapshots) {
            auto opened = net.open_snapshot("v", name);
            if (!opened) FAIL(when + ": " + opened.error().message());
            compare(model, **opened, when + ": " + name);
        }
    }
    static void must(const result<void>& done) {
        if (!done) FAIL(done.error().message());
    }

    memory_network net;
    std::unique_ptr<volume::volume> on;
    volume_model now;
    std::map<std::string, volume_model> snapshots;

private:
    static void compare(const volume_model& model, volume::reader& with, const std::string& when) {
        const auto differs = model.compare(with, blob_size, blob_count);
        if (!differs.empty()) FAIL(when + ": " + differs);
    }
    void edit_once() {
        volume::change what;
        bytes data;
        const auto blob = 1 + m_random.below(on->record().type == ledger::volume_type::block ? 1 : blob_count);
        const auto offset = m_random.below(blob_size - 1);
        const auto length = 1 + m_random.below(std::min<std::uint64_t>(blob_size - offset, m_random.below(8) ? 9000 : blob_size));
        const auto key = to_bytes("key" + std::to_string(m_random.below(40)));
        switch (m_random.below(12)) {
            case 0: what.put(key, bytes(m_random.below(3000), static_cast<std::byte>(m_random.below(256)))); break;
            case 1: what.erase(key); break;
            case 2: what.zero(blob, offset, length); break;
            case 3: what.share(1 + m_random.below(blob_count), m_random.below(blob_size - length + 1), blob, offset, length); break;
            case 4:
                if (m_random.below(3) == 0) what.drop(blob);
                break;
            default:
                data.resize(length);
                m_random.fill(data);
                what.write(blob, offset, data);
        }
        if (what.empty()) return;
        if (auto done = on->apply(what); !done) FAIL(done.error().message());
        now.run(what);
    }

    seeded_random m_random;
};

}  // namespace

TEST_CASE("a rolled back volume is what the snapshot is, and all snapshots stay what they are") {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        INFO("seed " << seed);
        trial t(seed, ledger::volume_type::filesystem);
        for (int round = 0; round < 5; ++round) {
            t.edit(60);
            t.snapshot("s" + std::to_string(round));
        }
        t.edit(60);
        for (const auto* to : {"s1", "s4", "s0", "s3"}) {
            trial::must(t.roll_back(to));
            CHECK_FALSE(volume::unfinished_rollback(*t.on).value().has_value());
            t.check(std::string("at ") + to);
            t.edit(20);
            t.check(std::string("after ") + to);
        }
        trial::must(t.on->close());
        t.open();
        t.check("opened again");
    }
}

TEST_CASE("what was rolled back over is freed") {
    trial t(9, ledger::volume_type::filesystem);
    t.edit(100);
    t.snapshot("s");
    trial::must(t.on->checkpoint());
    for (int i = 0; i < 5; ++i) t.edit(60);
    trial::must(t.roll_back("s"));
    trial::must(t.on->checkpoint());
    trial::must(t.net.delete_snapshot("v", "s"));
    trial::must(t.on->clean());
    trial::must(t.on->checkpoint());
    CHECK(t.net.data_bytes("v") <= t.on->usage_now().logical * 3 / 2 + 64 * KiB);
    t.snapshots.clear();
    t.check("alone");
}

TEST_CASE("a device gets the snapshot's size back and keeps its own keys") {
    trial t(3, ledger::volume_type::block);
    volume::change settings;
    settings.put(to_bytes("limits"), to_bytes("then"));
    REQUIRE(t.on->apply(settings).has_value());
    t.edit(50);
    t.snapshot("s");
    trial::must(t.on->resize(2 * blob_size));
    settings = volume::change();
    settings.put(to_bytes("limits"), to_bytes("now"));
    bytes tail(4096, std::byte{7});
    settings.write(1, blob_size + 4096, tail);
    REQUIRE(t.on->apply(settings).has_value());
    t.edit(50);
    auto keys = t.now.keys;
    trial::must(t.roll_back("s"));
    CHECK(t.on->record().size == blob_size);
    CHECK(t.on->get(to_bytes("limits")).value() == to_bytes("now"));
    const auto after = t.on->map(1, blob_size, blob_size).value();
    REQUIRE(after.size() == 1);
    CHECK_FALSE(after[0].data);
    keys["limits"] = to_bytes("now");
    t.now.keys = keys;
    CHECK(t.now.compare(*t.on, blob_size, 1).empty());
}

TEST_CASE("a nearly full volume is rolled back though all of it changed places, one that is limited below its snapshot is not touched") {
    memory_network net;
    constexpr std::uint64_t limit = 1 * MiB;
    net.create_volume("v", ledger::volume_type::filesystem, limit);
    auto opened = net.open("v", small());
    REQUIRE(opened.has_value());
    auto& on = **opened;
    bytes much(900 * KiB), little(50 * KiB);
    seeded_random(1).fill(much);
    seeded_random(2).fill(little);
    const auto fill = [&](volume::blob_id with_much, volume::blob_id with_little) {
        volume::change away;
        away.drop(1);
        away.drop(2);
        REQUIRE(on.apply(away).has_value());
        for (std::uint64_t at = 0; at < much.size(); at += 50 * KiB) {
            volume::change part;
            part.write(with_much, at, byte_view(much).subspan(at, 50 * KiB));
            REQUIRE(on.apply(part).has_value());
        }
        volume::change rest;
        rest.write(with_little, 0, little);
        REQUIRE(on.apply(rest).has_value());
    };
    fill(1, 2);
    trial::must(on.create_snapshot("s"));
    trial::must(on.checkpoint());
    fill(2, 1);
    auto to = net.open_snapshot("v", "s");
    REQUIRE(to.has_value());
    trial::must(volume::roll_back(on, **to, "s", silent));
    bytes now(much.size());
    trial::must(on.read(1, 0, now));
    CHECK(std::equal(now.begin(), now.end(), much.begin()));
    fill(2, 1);
    volume::change less;
    less.drop(2);
    REQUIRE(on.apply(less).has_value());
    for (int i = 0; i < 400 && on.usage_now().logical > little.size(); ++i) std::this_thread::sleep_for(10ms);
    trial::must(on.resize(512 * KiB));
    CHECK(volume::roll_back(on, **to, "s", silent).error().code == errc::no_space);
    CHECK_FALSE(volume::unfinished_rollback(on).value().has_value());
    bytes kept(little.size());
    trial::must(on.read(1, 0, kept));
    CHECK(kept == little);
}

TEST_CASE("an owner that dies in the middle leaves a mark, and another call ends what it began") {
    int marked = 0;
    for (std::uint64_t allowed = 0; allowed < 24; ++allowed) {
        const std::string_view broken = allowed % 2 ? "read" : "append";
        INFO(broken << "s that pass: " << allowed / 2);
        trial t(100 + allowed, ledger::volume_type::filesystem);
        t.edit(80);
        t.snapshot("s");
        t.edit(80);
        t.snapshot("later");
        t.edit(40);
        const auto before = t.now;
        std::atomic<std::int64_t> left{static_cast<std::int64_t>(allowed / 2)};
        const auto done = t.roll_back("s", [&](std::string_view what) -> result<void> {
            if (what == broken && left-- <= 0) return error(broken == "append" ? errc::fenced : errc::unavailable, "cut off");
            return {};
        });
        if (broken == "read") (void)t.on->sync();
        t.net.crash(0);
        t.on.reset();
        t.net.set_fault(nullptr);
        t.open();
        const auto mark = volume::unfinished_rollback(*t.on).value();
        if (mark) {
            ++marked;
            CHECK(*mark == "s");
            CHECK_FALSE(done.has_value());
        } else {
            t.now = done || t.snapshots.at("s").compare(*t.on, blob_size, blob_count).empty() ? t.snapshots.at("s") : before;
            t.check("not begun, or at its end");
        }
        const auto* to = allowed % 4 < 2 ? "s" : "later";
        trial::must(t.roll_back(to));
        t.check("ended");
        CHECK_FALSE(volume::unfinished_rollback(*t.on).value().has_value());
        CHECK(volume::abandon_rollback(*t.on).error().code == errc::not_found);
    }
    CHECK(marked >= 8);
}
