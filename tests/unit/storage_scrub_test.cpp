// What a miner finds when it reads everything it holds, and what it does with what it found.
#include <support/faulty_disk.hpp>
#include <support/storage_world.hpp>

#include <node/storage/health.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using namespace cess::storage;
using namespace cess::test;

namespace {

constexpr std::uint64_t data_at = 4096;  // in a fragment's file

struct scrubbed {
    explicit scrubbed(std::uint64_t seed = 1) : book(seed), random(seed), bed(disk, book, seed), volume(book, random, bed.how.self) {
        bed.how.limits.journal_file_size = 64 * KiB;
        REQUIRE(bed.open());
        volume.take(bed.miner->status().incarnation);
        REQUIRE(bed.present(volume));
        writer = {volume.journal(), {}, {}};
    }
    result<void> put(const sample_segment& s, std::uint8_t index) {
        const put_request what{volume.record.id, volume.term(), s.identity, index};
        CHECK_OK(bed.ask<empty_reply>(volume.owner(volume.term()), method::put, what, s.fragments[index]));
        return {};
    }
    result<bytes> get(const sample_segment& s, std::uint8_t index, std::uint64_t offset, std::uint32_t length) {
        get_request what;
        what.fragment = {s.id(), index};
        what.offset = offset;
        what.length = length;
        TRY(auto got, bed.ask<get_reply>({}, method::get, what));
        return std::move(got.second);
    }
    result<bytes> get(const sample_segment& s, std::uint8_t index) { return get(s, index, 0, static_cast<std::uint32_t>(s.fragments[index].size())); }
    std::string path_of(const sample_segment& s, std::uint8_t index) const {
        const auto start = s.id().hex() + ".0" + std::to_string(index) + ".";
        for (const auto& path : disk.files())
            if (path.find(start) != std::string::npos) return path;
        FAIL("no file of the fragment");
        return {};
    }
    void flip(const sample_segment& s, std::uint8_t index, std::uint64_t offset) { REQUIRE(disk.flip(path_of(s, index), offset)); }
    void pass() { REQUIRE(bed.world.run(bed.miner->scrub())); }
    health_reply health() {
        health_request what;
        what.network = book.trust().network();
        return bed.ask<health_reply>({}, method::health, what).value().first;
    }
    fault only_fault() {
        const auto now = health();
        REQUIRE(now.faults == 1);
        REQUIRE(now.listed.size() == 1);
        return now.listed.front();
    }
    static fault_kind kind(const fault& f) { return static_cast<fault_kind>(f.kind); }
    void reopen() {
        bed.kill();
        disk.new_process();
        REQUIRE(bed.open());
    }

    faulty_disk disk;
    paper_ledger book;
    seeded_random random;
    storage_bed bed;
    sample_volume volume;
    journal_writer writer;
};

}  // namespace

TEST_CASE("a pass over sound fragments finds nothing and says when it was") {
    scrubbed f;
    for (int i = 0; i < 5; ++i) REQUIRE(f.put(make_segment(f.random, 300 * KiB), 1));
    CHECK(f.health().last_pass_s == 0);
    f.pass();
    const auto now = f.health();
    CHECK(now.faults == 0);
    CHECK(now.passes == 1);
    CHECK(now.last_pass_s > 0);
    CHECK(now.permille == 1000);
    CHECK(f.bed.count.render().find("cess_storage_scrubbed_fragments_total{miner=\"" + f.bed.how.self.brief() + "\"} 5") != std::string::npos);
    f.reopen();
    CHECK(f.health().passes == 1);
}

TEST_CASE("a flipped byte is found, named, not served, and remembered across a restart") {
    scrubbed f;
    const auto s = make_segment(f.random, 600 * KiB);
    const auto other = make_segment(f.random, 100 * KiB);
    REQUIRE(f.put(s, 1));
    REQUIRE(f.put(other, 0));
    f.pass();
    f.flip(s, 1, data_at + 2 * leaf_size + 77);
    f.pass();
    for (int round = 0; round < 2; ++round) {
        const auto found = f.only_fault();
        CHECK(found.segment == s.id());
        CHECK(found.index == 1);
        CHECK(found.volume == f.volume.record.id);
        CHECK(f.kind(found) == fault_kind::leaves);
        CHECK(found.leaves == std::vector<std::uint32_t>{2});
        CHECK(describe(found).find(s.id().hex()) != std::string::npos);
        CHECK(f.get(s, 1).error() == errc::corrupt);
        CHECK(f.get(s, 1, 3 * leaf_size - 1, 2).error() == errc::corrupt);
        // What is sound of it still helps a reader.
        CHECK(equal(f.get(s, 1, 0, 2 * leaf_size).value(), byte_view(s.fragments[1]).first(2 * leaf_size)));
        CHECK(f.get(s, 1, 3 * leaf_size, 100).has_value());
        CHECK(equal(f.get(other, 0).value(), other.fragments[0]));
        f.reopen();
    }
    CHECK(f.bed.count.render().find("cess_storage_faults{miner=\"" + f.bed.how.self.brief() + "\"} 1") != std::string::npos);
}

TEST_CASE("a damaged fragment is taken anew from its owner, and is sound then") {
    scrubbed f;
    const auto s = make_segment(f.random, 600 * KiB);
    REQUIRE(f.put(s, 2));
    const auto used = f.bed.miner->status().used;
    f.flip(s, 2, data_at);
    f.pass();
    CHECK(f.health().faults == 1);
    REQUIRE(f.put(s, 2));
    CHECK(f.health().faults == 0);
    CHECK(equal(f.get(s, 2).value(), s.fragments[2]));
    CHECK(f.bed.miner->status().used == used);
    CHECK(f.bed.miner->status().fragments == 1);
    f.pass();
    CHECK(f.health().faults == 0);
}

TEST_CASE("damage to the header, to the hashes, a file cut short and a file that is gone are told apart") {
    scrubbed f;
    std::vector<sample_segment> all;
    for (int i = 0; i < 5; ++i) {
        all.push_back(make_segment(f.random, 300 * KiB));
        REQUIRE(f.put(all.back(), 0));
    }
    const auto length = all[0].fragments[0].size();
    f.flip(all[0], 0, 10);
    f.flip(all[1], 0, data_at + length + 5);
    REQUIRE(f.disk.open(f.path_of(all[2], 0), os::open_mode::read_write).value()->truncate(data_at + length / 2));
    REQUIRE(f.disk.remove(f.path_of(all[3], 0)));
    f.pass();
    const auto now = f.health();
    REQUIRE(now.faults == 4);
    for (const auto& found : now.listed) {
        const auto which = static_cast<std::size_t>(std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.id() == found.segment; }) - all.begin());
        REQUIRE(which < 4);
        CHECK(f.kind(found) == std::vector{fault_kind::header, fault_kind::header, fault_kind::header, fault_kind::missing}[which]);
        CHECK_FALSE(f.get(all[which], 0).has_value());
    }
    CHECK(equal(f.get(all[4], 0).value(), all[4].fragments[0]));
    f.reopen();
    CHECK(f.health().faults == 4);
    f.pass();
    CHECK(f.health().faults == 4);
    // The ledger frees them all: nothing stays listed, and every byte is given back.
    f.bed.how.free_horizon = net::duration::zero();
    f.bed.with_ledger = true;
    f.reopen();
    for (const auto& s : all) f.book.free(f.volume.record.id, s.id(), f.bed.how.self);
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.health().faults == 0);
    CHECK(f.bed.miner->status().fragments == 0);
}

TEST_CASE("what an owner has verified is marked at once, without waiting for a pass") {
    scrubbed f;
    const auto s = make_segment(f.random, 300 * KiB);
    REQUIRE(f.put(s, 0));
    const fragment_ref which{s.id(), 0};
    CHECK(f.bed.ask<verify_reply>({}, method::verify, which)->first.sound);
    f.flip(s, 0, data_at + 5);
    CHECK_FALSE(f.bed.ask<verify_reply>({}, method::verify, which)->first.sound);
    CHECK(f.only_fault().segment == s.id());
    CHECK(f.get(s, 0).error() == errc::corrupt);
    f.flip(s, 0, data_at + 5);  // the disk thinks better of it
    CHECK(f.bed.ask<verify_reply>({}, method::verify, which)->first.sound);
    CHECK(f.health().faults == 0);
    CHECK(equal(f.get(s, 0).value(), s.fragments[0]));
}

TEST_CASE("a journal that has lost an entry answers no more, also after a restart, and is found by a pass") {
    scrubbed f;
    for (int i = 0; i < 12; ++i) {
        bytes payload(20 * KiB);
        f.random.fill(payload);
        f.writer.add(std::move(payload));
        const auto at = f.writer.payloads.size() - 1;
        REQUIRE(f.bed.append(f.volume, f.writer, at, at));
    }
    f.pass();
    CHECK(f.health().faults == 0);
    std::string first;
    for (const auto& path : f.disk.files())
        if (first.empty() && path.find("/journals/") != std::string::npos) first = path;
    REQUIRE(f.disk.flip(first, 8 * KiB));
    f.pass();
    for (int round = 0; round < 2; ++round) {
        const auto found = f.only_fault();
        CHECK(f.kind(found) == fault_kind::journal);
        CHECK(found.volume == f.volume.record.id);
        CHECK(found.term == f.volume.term());
        CHECK(f.bed.ask<journal_state>(f.volume.owner(f.volume.term()), method::journal_state, f.volume.journal()).error() == errc::corrupt);
        f.writer.add(bytes(100, std::byte{1}));
        const auto at = f.writer.payloads.size() - 1;
        CHECK(f.bed.append(f.volume, f.writer, at, at).error() == errc::corrupt);
        f.writer.payloads.pop_back();
        f.writer.chains.pop_back();
        f.reopen();
        REQUIRE(f.bed.present(f.volume));
    }
}

TEST_CASE("a pass on a disk that fails goes on after it, and blames no fragment for a full process") {
    scrubbed f;
    for (int i = 0; i < 4; ++i) REQUIRE(f.put(make_segment(f.random, 200 * KiB), 1));
    for (std::uint64_t at = 0; at < 24; ++at) {
        f.disk.fail_at(at, errc::exhausted);
        (void)f.bed.world.run(f.bed.miner->scrub());
        f.disk.no_faults();
        f.pass();
        REQUIRE(f.health().faults == 0);
    }
    f.disk.fail_at(1, errc::io);
    (void)f.bed.world.run(f.bed.miner->scrub());
    CHECK(f.health().faults == 1);
    f.disk.no_faults();
    f.pass();
    CHECK(f.health().faults == 0);
}
