// What is overwritten while it is in a buffer is not stored: how much that saves, and that nobody misses it.
#include <support/memory_device.hpp>

#include "journal.hpp"
#include "squeezing.hpp"

#include <future>

using namespace cess;
using support::memory_device;
using support::memory_network;
using support::sound;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t segment = memory_device::segment;
constexpr std::uint64_t block = 4 * KiB;
constexpr std::uint64_t blocks_of_segment = segment / block;
constexpr std::uint64_t device = memory_device::size;
constexpr std::uint64_t hot = 4;  // blocks, the device's first

volume::settings small() { return memory_device::settings(0); }

std::uint64_t counted(memory_network& net, const std::string& name) {
    std::uint64_t sum = 0;
    const auto text = net.count().render();
    for (std::size_t at = 0; (at = text.find('\n' + name, at)) != std::string::npos;) {
        at = text.find(' ', at);
        sum += std::stoull(text.substr(at + 1));
    }
    return sum;
}
std::uint64_t stored(memory_network& net) { return counted(net, "cess_volume_data_bytes_total"); }
std::uint64_t squeezed(memory_network& net) { return counted(net, "cess_volume_squeezed_bytes_total"); }

class disk : public memory_device {
public:
    explicit disk(memory_network& net) : memory_device(net, small()) {}
    void write(std::uint64_t offset, std::size_t length) { memory_device::write(offset, length, ++m_written); }
    void heat(std::uint64_t rounds) {
        for (std::uint64_t i = 0; i < rounds * hot; ++i) write(i % hot * block, block);
    }
    // A buffer full: a quarter of it stays, of the rest only the last round.
    void fill_hot_and_cold(std::uint64_t cold) {
        heat(3);
        write(cold, blocks_of_segment / 4 * block);
    }

private:
    std::uint64_t m_written = 0;
};

// Puts wait until it goes: what is sealed meanwhile waits behind the two workers, which hold `segment` bytes each.
class slow_puts {
public:
    explicit slow_puts(memory_network& net) : m_net(net) {
        net.set_fault([this](std::string_view what) -> result<void> {
            while (what == "put" && m_wait) std::this_thread::sleep_for(1ms);
            return {};
        });
    }
    void end() { m_wait = false; }
    ~slow_puts() {
        end();
        m_net.set_fault(nullptr);
        std::this_thread::sleep_for(5ms);  // of those that look
    }

private:
    memory_network& m_net;
    std::atomic<bool> m_wait{true};
};

bytes snapshot_contents(memory_network& net, const std::string& name) { return disk::snapshot_contents(net, name); }

}  // namespace

TEST_CASE("of what is overwritten again and again about what is live is stored") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    SECTION("flushed") {
        for (int i = 0; i < 64; ++i) {
            d.heat(1);
            sound(d.on->sync());
        }
    }
    SECTION("not flushed") { d.heat(64); }
    const auto written = 64 * hot * block;
    for (int i = 0; i < 1000 && squeezed(net) < written / 2; ++i) std::this_thread::sleep_for(5ms);
    d.checkpoint();
    CHECK(stored(net) <= written * (hot + 2) / blocks_of_segment);
    CHECK(stored(net) + squeezed(net) <= written);
    CHECK(d.sane());
    CHECK(d.on->usage_now().stored <= 2 * segment);
    sound(d.on->close());
    d.open();
    CHECK(d.sane());
}

TEST_CASE("what is not overwritten is stored as it was") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    d.write(0, device);
    d.checkpoint();
    CHECK(squeezed(net) == 0);
    CHECK(stored(net) == device);
}

TEST_CASE("a snapshot has what was overwritten before it was stored, and so have its clones") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    {
        slow_puts slow(net);
        d.write(512 * KiB, 2 * segment);  // for the two workers
        d.fill_hot_and_cold(128 * KiB);
        sound(d.on->create_snapshot("s"));
        const auto old = d.image;
        d.fill_hot_and_cold(192 * KiB);
        sound(d.on->create_snapshot("t"));
        const auto later = d.image;
        d.heat(2);
        sound(d.on->sync());
        slow.end();
        d.checkpoint();
        CHECK(squeezed(net) >= 3 * hot * block);
        CHECK(snapshot_contents(net, "s") == old);
        CHECK(snapshot_contents(net, "t") == later);
        REQUIRE(net.clone("d", "s", "c").has_value());
        auto clone = net.open("c", small());
        REQUIRE(clone.has_value());
        CHECK(disk::contents(**clone) == old);
        CHECK(d.sane());
        // They move, and are found.
        auto reader = net.open_snapshot("d", "t");
        REQUIRE(reader.has_value());
        d.write(512 * KiB, 2 * segment - block);
        d.checkpoint();
        sound(d.on->clean());
        CHECK(disk::contents(**clone) == old);
        CHECK(disk::contents(**reader) == later);
    }
    sound(d.on->close());
    d.open();
    CHECK(d.sane());
}

TEST_CASE("a root is whole, whatever was overwritten after its cut") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    std::thread rooted;
    bytes old;
    {
        slow_puts slow(net);
        d.write(512 * KiB, 2 * segment);
        d.fill_hot_and_cold(128 * KiB);
        old = d.image;
        const auto at = d.on->applied();
        rooted = std::thread([&] { d.checkpoint(); });
        for (int i = 0; i < 50; ++i) std::this_thread::sleep_for(2ms);  // it is cut
        REQUIRE(d.on->applied() == at);
        d.heat(4);
        sound(d.on->sync());
        slow.end();
        rooted.join();
    }
    CHECK(squeezed(net) > 0);
    REQUIRE(net.anchor_head("d", "head").has_value());
    CHECK(snapshot_contents(net, "head") == old);
    CHECK(d.sane());
}

TEST_CASE("squeezed segments are cleaned, with what lives in their containers, again and again") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    // Each buffer: a block that stays, one that a later round takes, the rest hot.
    const auto mix = [&](std::uint64_t first) {
        for (std::uint64_t i = 0; i < 8; ++i) {
            d.write((first + 2 * i) * block, 2 * block);
            d.heat((blocks_of_segment - 2) / hot);
            d.write(0, (blocks_of_segment - 2) % hot * block);
        }
    };
    mix(32);
    sound(d.on->create_snapshot("s"));
    const auto old = d.image;
    mix(64);
    d.checkpoint();
    CHECK(squeezed(net) > 8 * segment / 2);
    for (std::uint64_t round = 2; round <= 8; round *= 2) {
        for (std::uint64_t i = 32; i < 80; i += round) d.write(i * block, block);
        d.checkpoint();
        sound(d.on->clean());
        CHECK(d.sane());
        CHECK(snapshot_contents(net, "s") == old);
        sound(d.on->close());
        d.open();
        CHECK(d.sane());
    }
    REQUIRE(net.delete_snapshot("d", "s").has_value());
    sound(d.on->clean());
    CHECK(d.sane());
    CHECK(net.data_bytes("d") <= d.on->usage_now().logical * 3 / 2 + segment);
}

TEST_CASE("what was shared stays, though the original is overwritten in the same buffer") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::filesystem);
    disk d(net);
    d.write(0, hot * block);
    volume::change reflink;
    reflink.share(1, 0, 2, 0, hot * block);
    d.apply(reflink);
    const auto shared = d.image;
    d.heat(8);
    d.checkpoint();
    bytes copy(hot * block);
    sound(d.on->read(2, 0, copy));
    CHECK(std::equal(copy.begin(), copy.end(), shared.begin()));
    CHECK(d.sane());
    CHECK(squeezed(net) > 0);
}

TEST_CASE("a squeezed segment that cannot be stored is tried again") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    std::atomic<int> failures{6};
    net.set_fault([&](std::string_view what) -> result<void> {
        if (what == "put" && failures-- > 0) return error(errc::unavailable, "injected");
        return {};
    });
    d.heat(16);
    d.write(512 * KiB, segment);
    for (int i = 0; i < 1000 && squeezed(net) == 0; ++i) std::this_thread::sleep_for(5ms);
    d.checkpoint();
    CHECK(squeezed(net) > 0);
    CHECK(d.sane());
    sound(d.on->close());
    d.open();
    CHECK(d.sane());
}

TEST_CASE("an owner that dies between any two entries leaves a prefix of what it overwrote") {
    for (std::uint64_t survivors = 0; survivors < 5; ++survivors) {
        for (int pause_us : {0, 300, 1000, 3000, 10'000, 30'000}) {
            INFO(survivors << " entries survive, after " << pause_us << " us");
            memory_network net;
            net.create_volume("d", ledger::volume_type::block, device);
            disk d(net);
            auto how = small();
            how.append_idle = 1ms;
            sound(d.on->close());
            d.open(how);
            std::map<sequence_number, bytes> history;
            d.heat(9);
            sound(d.on->sync());
            const auto acknowledged = d.on->applied();
            history[acknowledged] = d.image;
            net.hold_appends(true);
            for (int i = 0; i < 60; ++i) {
                d.write(static_cast<std::uint64_t>(i) % hot * block, block);
                history[d.on->applied()] = d.image;
                if (i % 20 == 19) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
            }
            std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
            net.crash(survivors);
            d.on.reset();
            net.hold_appends(false);
            d.open();
            // An opening may add a change of its own that edits nothing.
            const auto last = std::prev(history.upper_bound(d.on->applied()));
            REQUIRE(d.on->applied() >= acknowledged);
            const auto found = disk::contents(*d.on);
            CHECK((found == last->second || (last != history.begin() && found == std::prev(last)->second)));
            d.checkpoint();
            CHECK(disk::contents(*d.on) == found);
        }
    }
}

TEST_CASE("an entry that began before a buffer was squeezed keeps the bytes that it speaks of") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::filesystem);
    auto how = small();
    how.segment_size = 8 * MiB;
    how.buffers_max = 32 * MiB;
    how.append_idle = 10min;
    auto opened = net.open("d", how);
    REQUIRE(opened.has_value());
    auto on = std::move(*opened);
    std::uint64_t seed = 0;
    const auto write = [&](std::uint64_t offset, std::uint64_t length) {
        bytes data(length);
        seeded_random(++seed).fill(data);
        volume::change edit;
        edit.write(1, offset, data);
        REQUIRE(on->apply(edit).has_value());
        return data;
    };
    const auto first = write(0, block), large = write(1 * MiB, 5 * MiB);
    // Its payload takes two entries. Between them all that the first holds is overwritten, and stored without it.
    std::atomic<int> appends{0};
    std::atomic<bool> go{false};
    net.set_fault([&](std::string_view what) -> result<void> {
        if (what != "append") return {};
        const auto number = ++appends;
        while (number == 1 && !go) std::this_thread::sleep_for(1ms);
        return number <= 2 ? result<void>() : error(errc::unavailable, "it dies here");
    });
    std::thread flushing([&] { CHECK(on->sync(sequence_number{2}).has_value()); });
    while (appends == 0) std::this_thread::sleep_for(1ms);
    write(0, block);
    write(1 * MiB, 2 * MiB + 512 * KiB);
    write(8 * MiB, 512 * KiB);
    for (int i = 0; i < 1000 && squeezed(net) == 0; ++i) std::this_thread::sleep_for(5ms);
    CHECK(squeezed(net) > 2 * MiB);
    std::this_thread::sleep_for(20ms);  // its location is handed on
    go = true;
    flushing.join();
    CHECK(appends == 2);
    net.crash(0);
    on.reset();
    net.set_fault(nullptr);
    opened = net.open("d", how);
    REQUIRE(opened.has_value());
    on = std::move(*opened);
    bytes found(block), more(5 * MiB);
    sound(on->read(1, 0, found));
    sound(on->read(1, 1 * MiB, more));
    CHECK(found == first);
    CHECK(more == large);
}

TEST_CASE("a root tells of no segment that is complete only from a change after it") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    disk d(net);
    sound(d.on->close());
    auto how = small();
    how.append_idle = 10min;
    d.open(how);
    std::atomic<int> puts{0};
    std::atomic<bool> go{false};
    net.set_fault([&](std::string_view what) -> result<void> {
        const bool first = what == "put" && puts++ == 0;
        while (first && !go) std::this_thread::sleep_for(1ms);
        return {};
    });
    d.write(512 * KiB, block);
    std::thread rooted([&] { d.checkpoint(); });  // waits for that block
    while (puts == 0) std::this_thread::sleep_for(1ms);
    d.write(0, block);
    sound(d.on->sync());
    const auto durable = d.image;
    d.heat(4);
    d.write(256 * KiB, hot * block);
    for (int i = 0; i < 1000 && squeezed(net) == 0; ++i) std::this_thread::sleep_for(5ms);
    CHECK(squeezed(net) > 0);
    std::this_thread::sleep_for(20ms);
    go = true;
    rooted.join();
    net.crash(0);
    d.on.reset();
    net.set_fault(nullptr);
    d.open();
    CHECK(disk::contents(*d.on) == durable);
}

// ---- the parts -------------------------------------------------------------------------------------------

namespace {

using volume::overwritten_range;
using volume::segment_buffer;

std::shared_ptr<segment_buffer> buffer_of(std::uint64_t number, std::uint64_t capacity) {
    auto out = std::make_shared<segment_buffer>(segment_number{number}, capacity, std::make_shared<buffer_recycler>(0));
    for (std::uint64_t i = 0; i < capacity; ++i) *out->at(i) = static_cast<std::byte>(i * 7 + i / 256);
    return out;
}

std::vector<volume::entry_header> entries_of(memory_network& net, const volume_id& id) {
    system_random random;
    layer::layer::open_options how;
    how.force = true;
    auto owned = net.layer().take(net.account(), id, crypto::signing_key::generate(random), how);
    REQUIRE(owned.has_value());
    std::vector<volume::entry_header> out;
    for (const auto& entry : owned->history) {
        wire::decoder in(entry);
        in(out.emplace_back());
        REQUIRE(!in.failed());
    }
    return out;
}

}  // namespace

TEST_CASE("squeezing keeps exactly what was not overwritten, if that pays") {
    const auto buffer = buffer_of(7, segment);
    const std::uint64_t used = segment - 100;
    const auto range = [](std::uint32_t offset, std::uint32_t length, std::uint64_t death) {
        return overwritten_range{segment_number{7}, offset, length, sequence_number{death}};
    };
    auto none = volume::squeeze(*buffer, used, {});
    CHECK((none && !*none));
    auto little = volume::squeeze(*buffer, used, {range(0, 1000, 1), range(5000, 10'000, 2)});
    CHECK((little && !*little));
    auto all = volume::squeeze(*buffer, used, {range(0, static_cast<std::uint32_t>(used), 1)});
    CHECK((all && !*all));
    auto made = volume::squeeze(*buffer, used, {range(30'000, 20'000, 9), range(50'000, 15'436, 3), range(10, 1000, 4)});
    REQUIRE((made && *made));
    const auto& out = **made;
    CHECK(out.complete_from == sequence_number{9});
    CHECK(out.left_out + out.content.size() == used);
    REQUIRE(out.index->pieces().size() == 2);
    CHECK(out.content.size() == volume::container_table::size_of(2) + 10 + 28'990);
    for (const std::uint64_t at : {0, 9, 1010, 29'999}) {
        const auto found = out.index->find(segment_number{7}, at);
        REQUIRE(found.length > 0);
        CHECK(out.content[found.at] == *buffer->at(at));
    }
    for (const std::uint64_t at : {10, 1009, 30'000, 65'435}) CHECK(out.index->find(segment_number{7}, at).length == 0);
}

TEST_CASE("the location of a squeezed segment waits for the change that makes it complete") {
    memory_network net;
    const auto id = net.create_volume("d", ledger::volume_type::block, device).id;
    system_random random;
    auto owned = net.layer().take(net.account(), id, crypto::signing_key::generate(random), layer::layer::open_options());
    REQUIRE(owned.has_value());
    {
        volume::journal log(*owned->holder, {}, {10min, 5s, 5s, nullptr, {}}, sequence_number{}, [](const error&) {});
        const auto squeezed = buffer_of(1, segment), whole = buffer_of(2, segment);
        const auto push = [&](std::uint64_t at) {
            volume::applied_change change;
            change.at = {at};
            change.when = std::chrono::steady_clock::now();
            change.encoded = wire::encode(volume::change_record());
            change.places = {{squeezed, static_cast<std::uint32_t>(at * 100), 100}, {whole, static_cast<std::uint32_t>(at * 100), 100}};
            log.push(std::move(change));
        };
        const auto locate = [&](const std::shared_ptr<segment_buffer>& buffer, std::uint64_t complete_from) {
            volume::location_record at;
            at.at.lineage = id;
            at.at.number = buffer->number();
            at.squeezed = complete_from != 0;
            buffer->complete_from = {complete_from};
            log.locate(buffer, at);
        };
        push(1);
        locate(squeezed, 3);
        locate(whole, 0);
        sound(log.sync(sequence_number{1}));
        push(2);
        sound(log.sync(sequence_number{2}));
        // Who waits for the location lets the change come that it waits for.
        auto located = std::async(std::launch::async, [&log] { return log.sync_locations(); });
        std::this_thread::sleep_for(50ms);
        push(3);
        sound(located.get());
        CHECK(log.stored() == sequence_number{3});
    }
    const auto entries = entries_of(net, id);
    REQUIRE(entries.size() == 3);
    const auto number_of = [](const auto& each) { return each.segment.value; };
    REQUIRE(entries[0].locations.size() == 1);
    CHECK(entries[0].locations[0].at.number.value == 2);
    CHECK(!entries[0].locations[0].squeezed);
    REQUIRE(entries[0].payload.size() == 1);
    CHECK(number_of(entries[0].payload[0]) == 1);
    CHECK(entries[1].locations.empty());
    REQUIRE(entries[1].payload.size() == 1);
    CHECK(number_of(entries[1].payload[0]) == 1);
    REQUIRE(entries[2].locations.size() == 1);
    CHECK(entries[2].locations[0].at.number.value == 1);
    CHECK(entries[2].locations[0].squeezed);
    CHECK(entries[2].payload.empty());
}

TEST_CASE("what is left out was overwritten before the first cut and before the sealing, or is durable") {
    volume::segment_table table;
    table.set_own(0);
    const auto fill = [&](std::uint64_t number) {
        table.add(buffer_of(number, segment));
        volume::live_deltas born;
        born[{0, segment_number{number}}] = {static_cast<std::int64_t>(segment), true, false};
        table.commit(born, sequence_number{10});
    };
    const auto overwrite = [&](std::uint64_t number, std::uint32_t offset, std::uint64_t at, bool shared = false) {
        volume::live_deltas deltas;
        deltas[{0, segment_number{number}}] = {-100, false, shared};
        table.commit(deltas, sequence_number{at}, {{segment_number{number}, offset, 100, sequence_number{at}}});
    };
    const auto deaths = [&](std::uint64_t number, std::uint64_t durable) {
        std::vector<std::uint64_t> out;
        for (const auto& each : table.take_overwritten(segment_number{number}, sequence_number{durable})) out.push_back(each.death.value);
        return out;
    };
    using list = std::vector<std::uint64_t>;
    const segment_number one{1};
    CHECK(!table.is_remembered(one));
    fill(1);
    CHECK(table.is_remembered(one));
    overwrite(1, 0, 11);
    overwrite(1, 200, 12);
    CHECK(deaths(1, 100).empty());  // still open
    table.seal(one, segment);
    overwrite(1, 400, 13);
    overwrite(1, 600, 14);
    SECTION("before the sealing") { CHECK(deaths(1, 0) == list{11, 12}); }
    SECTION("or durable") { CHECK(deaths(1, 13) == list{11, 12, 13}); }
    SECTION("before the first cut") {
        (void)table.take_cut(sequence_number{14}, 10);
        overwrite(1, 800, 15);
        (void)table.take_cut(sequence_number{15}, 10);
        CHECK(deaths(1, 100) == list{11, 12, 13, 14});
    }
    SECTION("once") {
        CHECK(deaths(1, 100).size() == 4);
        CHECK(deaths(1, 100).empty());
        CHECK(!table.is_remembered(one));
    }
    SECTION("nothing, once parts are named twice") {
        overwrite(1, 800, 15, true);
        CHECK(deaths(1, 100).empty());
    }
    SECTION("as many as there is room for") {
        for (std::uint32_t i = 0; i < 100; ++i) overwrite(1, 1000 + 200 * i, 15 + i);
        CHECK(deaths(1, 1000).size() == segment / 2048);
    }
}

TEST_CASE("many blocks that are left each begin a sealed block of their own") {
    for (const std::uint64_t kept : {63, 64, 200}) {
        const auto buffer = buffer_of(7, 4 * MiB);
        std::vector<overwritten_range> gone;
        std::uint64_t at = 0;
        for (std::uint64_t i = 0; i < kept; ++i, at += 3 * block)
            gone.push_back({segment_number{7}, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(2 * block), sequence_number{i + 1}});
        for (int i = 0; i < 2; ++i) {  // what the next of this size is likely to find
            const bytes before((kept + 1) * block, std::byte{0xa5});
            REQUIRE(std::count(before.begin(), before.end(), std::byte{0xa5}) == static_cast<std::ptrdiff_t>(before.size()));
        }
        auto made = volume::squeeze(*buffer, at, gone);
        REQUIRE((made && *made));
        const auto& out = **made;
        CHECK(out.index->pieces().size() == kept);
        const auto end = volume::container_table::size_of(kept), begin = out.index->find(segment_number{7}, 2 * block).at;
        CHECK(std::count(out.content.begin() + static_cast<std::ptrdiff_t>(end), out.content.begin() + static_cast<std::ptrdiff_t>(begin), std::byte{0}) ==
              static_cast<std::ptrdiff_t>(begin - end));
        CHECK(out.left_out + out.content.size() == at);
        std::uint64_t aligned = 0;
        for (const auto& piece : out.index->pieces()) {
            const auto found = out.index->find(segment_number{7}, piece.offset);
            aligned += found.at % block == 0;
            CHECK(std::memcmp(&out.content[found.at], buffer->at(piece.offset), piece.length) == 0);
        }
        CHECK(aligned == (kept >= 64 ? kept : 0));
    }
}

TEST_CASE("what stands behind a table is read ahead once the table is known") {
    memory_network net;
    net.create_volume("d", ledger::volume_type::block, device);
    auto how = small();
    how.readahead = 512 * KiB;
    memory_device d(net, how);
    const auto half = device / 2, piece = segment / 4;
    std::uint64_t written = 0;
    for (std::uint64_t at = hot * block; at < half; at += piece) {  // of each buffer a quarter stays, beside what is hot
        for (std::uint64_t i = 0; i < 3 * hot; ++i) d.write(i % hot * block, block, ++written);
        sound(d.on->sync());
        d.write(at, piece, ++written);
    }
    d.checkpoint();
    REQUIRE(squeezed(net) > 0);
    CHECK(d.sane());  // this knows all tables
    sound(d.on->sync());
    const auto before = net.ahead_bytes();
    for (std::uint64_t at = 0; at < half; at += 32 * KiB) {
        bytes out(32 * KiB);
        sound(d.on->read(1, at, out));
        CHECK(std::equal(out.begin(), out.end(), d.image.begin() + static_cast<std::ptrdiff_t>(at)));
    }
    CHECK(net.ahead_bytes() - before > half / 2);
}
