// The storage miner's promises, one by one, on a disk that behaves.
#include <support/faulty_disk.hpp>
#include <support/storage_world.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::storage;
using namespace cess::test;

namespace {

struct fixture {
    explicit fixture(std::uint64_t seed = 1) : book(seed), random(seed), bed(disk, book, seed), volume(book, random, bed.how.self) {
        bed.how.limits.journal_file_size = 64 * KiB;
        bed.with_ledger = true;
        REQUIRE(bed.open());
        own();
    }
    void own(std::uint64_t reservation = 64 * MiB) {
        volume.take(bed.miner->status().incarnation, reservation);
        REQUIRE(bed.present(volume));
        writer = {volume.journal(), {}, {}};
    }
    put_request request(const sample_segment& s, std::uint8_t index) const { return {volume.record.id, volume.term(), s.identity, index}; }
    result<std::uint64_t> begin(const sample_segment& s, std::uint8_t index) {
        TRY(const auto begun, bed.ask<put_handle>(volume.owner(volume.term()), method::put_begin, plan_of(request(s, index))));
        return begun.first.handle;
    }
    result<void> chunk(std::uint64_t handle, std::uint64_t at, byte_view data) {
        CHECK_OK(bed.ask<empty_reply>(volume.owner(volume.term()), method::put_chunk, chunk_request{handle, at}, to_bytes(data)));
        return {};
    }
    result<void> commit(std::uint64_t handle, const segment_identity& named) {
        CHECK_OK(bed.ask<empty_reply>(volume.owner(volume.term()), method::put_commit, put_end{handle, named}));
        return {};
    }
    result<void> put(const sample_segment& s, std::uint8_t index) {
        CHECK_OK(bed.ask<empty_reply>(volume.owner(volume.term()), method::put, request(s, index), s.fragments[index]));
        return {};
    }
    result<bytes> get(const sample_segment& s, std::uint8_t index) {
        get_request what;
        what.fragment = {s.id(), index};
        what.length = static_cast<std::uint32_t>(s.fragments[index].size());
        TRY(auto got, bed.ask<get_reply>({}, method::get, what));
        return std::move(got.second);
    }
    bytes payload(std::size_t size) {
        bytes out(size);
        random.fill(out);
        return out;
    }
    result<journal_state> fence() {
        const journal_ref old{volume.record.id, {volume.term().value - 1}};
        const fence_request what{volume.proof(), volume.term(), old};
        TRY(auto got, bed.ask<journal_state>(volume.owner(volume.term()), method::journal_fence, what));
        return got.first;
    }
    void reopen() {
        bed.kill();
        disk.crash(7);
        REQUIRE(bed.open());
    }
    std::string fragment_path(const sample_segment& s) const {
        for (const auto& path : disk.files())
            if (path.find(s.id().hex()) != std::string::npos) return path;
        return {};
    }

    faulty_disk disk;
    paper_ledger book;
    seeded_random random;
    storage_bed bed;
    sample_volume volume;
    journal_writer writer;
};

}  // namespace

TEST_CASE("a fragment that was put is read back, whole and in ranges, with its proof") {
    fixture f;
    const auto s = make_segment(f.random, 300 * KiB);
    REQUIRE(f.put(s, 1));
    REQUIRE(f.put(s, 1));  // again: the same
    REQUIRE(equal(f.get(s, 1).value(), s.fragments[1]));
    get_request what;
    what.fragment = {s.id(), 1};
    what.offset = 70000;
    what.length = 1000;
    what.with_proof = true;
    const auto got = f.bed.ask<get_reply>({}, method::get, what);
    REQUIRE(got.has_value());
    CHECK(equal(got->second, byte_view(s.fragments[1]).subspan(70000, 1000)));
    CHECK(got->first.proof->identity == s.identity);
    CHECK(got->first.proof->leaves == leaf_hashes(s.fragments[1]));
    what.offset = 150 * KiB;
    CHECK(f.bed.ask<get_reply>({}, method::get, what).error() == errc::out_of_range);
    what.fragment.index = 0;
    CHECK(f.bed.ask<get_reply>({}, method::get, what).error() == errc::not_found);
}

// What the reference program says of the same bytes: b3sum --derive-key "cess 2026-11 fragment leaf".
TEST_CASE("a segment's name is pinned, from the hash of a leaf up") {
    bytes fragment(2 * leaf_size + 1);
    for (std::size_t i = 0; i < fragment.size(); ++i) fragment[i] = static_cast<std::byte>(i % 251);
    const auto leaves = leaf_hashes(fragment);
    REQUIRE(leaves.size() == 3);
    CHECK(leaves[0].hex() == "89e6d1211fed8cfd824586cacc5be9eaafefbe9a453e729ea9e9dabfda878459");
    CHECK(leaves[1].hex() == "e670ff9597a7d8d48f79d71df0791872f3ec638f0dcfe47a5e3d98c5f73430b4");
    CHECK(leaves[2].hex() == "41a0fbc92b30fc296666e61ccd0c682eb6aa2aca3ef7edefa79ad1265c3c0f76");
    const auto root = merkle_root(leaves);
    CHECK(root.hex() == "8d1708a44cb5c97f289051693a25a4111f60a4cea73342b9bdc85648773c7ea5");
    CHECK(merkle_root({}).hex() == "151e9429ee801985810e041b9ee3a9651fb6787ea59cc62a6c4ff7358d562f1a");
    CHECK(id_of({{1, 1}, fragment.size(), {root, root}}).hex() == "eed527cbbc49ffffaeb34d73c3a23544f277cd5775ebe15a142e53c15cfa2212");
}

TEST_CASE("a request of another release is refused by its version, and says so") {
    fixture f;
    const auto s = make_segment(f.random, 300 * KiB);
    const auto owner = f.volume.owner(f.volume.term());
    auto old = wire::encode(hello_request{f.book.trust().network()});
    old.front() = std::byte{1};
    const auto greeted = f.bed.ask_raw({}, method::hello, old, {}).failure;
    CHECK(greeted == errc::unsupported);
    CHECK(greeted.what.find("has version 1, and this miner's is 3: client and miners must be of the same release") != std::string::npos);
    old = wire::encode(f.request(s, 0));
    old.front() = std::byte{1};
    CHECK(f.bed.ask_raw(owner, method::put, old, s.fragments[0]).failure == errc::unsupported);
    CHECK(f.get(s, 0).error() == errc::not_found);
}

TEST_CASE("ranges that are asked for together are answered in order, each with its own outcome") {
    fixture f;
    const auto one = make_segment(f.random, 300 * KiB), two = make_segment(f.random, 90 * KiB);
    REQUIRE(f.put(one, 1));
    REQUIRE(f.put(two, 0));
    get_ranges_request what;
    what.ranges = {{{two.id(), 0}, 100, 50}, {{one.id(), 0}, 0, 10}, {{one.id(), 1}, 70000, 4096}, {{one.id(), 1}, 150 * KiB, 1}, {{one.id(), 1}, 3, 0}, {{two.id(), 0}, 0, 7}};
    const auto got = f.bed.ask<get_ranges_reply>({}, method::get_ranges, what);
    REQUIRE(got.has_value());
    std::vector<errc> codes;
    for (const auto& each : got->first.outcomes) codes.push_back(static_cast<errc>(each.code));
    CHECK(codes == std::vector<errc>{errc::ok, errc::not_found, errc::ok, errc::out_of_range, errc::ok, errc::ok});
    auto expected = to_bytes(byte_view(two.fragments[0]).subspan(100, 50));
    append(expected, byte_view(one.fragments[1]).subspan(70000, 4096));
    append(expected, byte_view(two.fragments[0]).first(7));
    CHECK(got->second == expected);
    what.ranges.clear();
    CHECK(f.bed.ask<get_ranges_reply>({}, method::get_ranges, what)->first.outcomes.empty());
}

TEST_CASE("a fragment comes in chunks in any order and is there only once it is whole") {
    fixture f;
    const auto s = make_segment(f.random, 400 * KiB + 10);
    const auto handle = f.begin(s, 0).value();
    const auto& data = s.fragments[0];
    const auto chunk = [&](std::uint64_t at, std::size_t size) { return f.chunk(handle, at, byte_view(data).subspan(static_cast<std::size_t>(at), size)); };
    REQUIRE(chunk(2 * leaf_size, data.size() - 2 * leaf_size));
    CHECK(f.get(s, 0).error() == errc::not_found);
    CHECK(chunk(100, 50).error() == errc::invalid);
    CHECK(chunk(0, 100).error() == errc::invalid);
    CHECK(f.bed.ask<empty_reply>(f.bed.how.self, method::put_chunk, chunk_request{handle, 0}, bytes(leaf_size)).error() == errc::not_found);
    REQUIRE(chunk(0, 2 * leaf_size));
    REQUIRE(f.commit(handle, s.identity));
    CHECK(equal(f.get(s, 0).value(), data));
    CHECK(f.commit(handle, s.identity).error() == errc::not_found);
}

TEST_CASE("a fragment that came in chunks twice is there once") {
    fixture f;
    const auto s = make_segment(f.random, 200 * KiB);
    std::vector<std::uint64_t> handles;
    for (int i = 0; i < 2; ++i) {
        handles.push_back(f.begin(s, 1).value());
        REQUIRE(f.chunk(handles.back(), 0, s.fragments[1]));
    }
    REQUIRE(f.commit(handles[0], s.identity));
    const auto once = f.bed.miner->status();
    REQUIRE(f.commit(handles[1], s.identity));
    CHECK(f.bed.miner->status().fragments == 1);
    CHECK(f.bed.miner->status().used < once.used);  // the second upload's room
    CHECK(equal(f.get(s, 1).value(), s.fragments[1]));
}

TEST_CASE("chunks are committed under the name of what was begun, or not at all") {
    fixture f;
    const auto before = f.bed.miner->status().used;
    const auto s = make_segment(f.random, 200 * KiB), other = make_segment(f.random, 200 * KiB);
    const auto commit = [&](const segment_identity& named, errc why) {
        const auto handle = f.begin(s, 0).value();
        REQUIRE(f.chunk(handle, 0, s.fragments[0]));
        CHECK(f.commit(handle, named).error() == why);
        CHECK(f.commit(handle, s.identity).error() == errc::not_found);
    };
    commit(other.identity, errc::corrupt);
    auto bad = s.identity;
    bad.roots.pop_back();
    commit(bad, errc::invalid);
    bad = s.identity;
    ++bad.stored_length;
    commit(bad, errc::invalid);
    bad = s.identity;
    ++bad.geometry.m;
    bad.roots.push_back(bad.roots.back());
    commit(bad, errc::invalid);
    const auto handle = f.begin(s, 0).value();
    REQUIRE(f.chunk(handle, 0, byte_view(s.fragments[0]).first(leaf_size)));
    CHECK(f.commit(handle, s.identity).error() == errc::invalid);  // not whole
    CHECK(f.bed.miner->status().used == before);
    CHECK(f.bed.miner->status().fragments == 0);
}

TEST_CASE("bytes that do not match the segment's identity are refused and leave nothing") {
    fixture f;
    const auto before = f.bed.miner->status().used;
    auto s = make_segment(f.random, 200 * KiB);
    auto bad = s;
    bad.fragments[0][5] ^= std::byte{1};
    CHECK(f.put(bad, 0).error() == errc::corrupt);
    bad = s;
    bad.fragments[0].pop_back();
    CHECK(f.put(bad, 0).error() == errc::invalid);
    bad = s;
    bad.identity.roots.pop_back();
    CHECK(f.put(bad, 0).error() == errc::invalid);
    bad = s;
    bad.identity.geometry.k = 0;
    CHECK(f.put(bad, 0).error() == errc::invalid);
    bad = s;
    bad.identity.stored_length = ~std::uint64_t{0};
    CHECK(f.begin(bad, 0).error() == errc::too_large);
    CHECK(f.bed.miner->status().used == before);
    CHECK(f.bed.miner->status().fragments == 0);
}

TEST_CASE("bit rot is found by verify and never hidden") {
    fixture f;
    const auto s = make_segment(f.random, 200 * KiB);
    REQUIRE(f.put(s, 0));
    const fragment_ref ref{s.id(), 0};
    CHECK(f.bed.ask<verify_reply>({}, method::verify, ref)->first.sound);
    REQUIRE(f.disk.flip(f.fragment_path(s), 4096 + 77));
    CHECK_FALSE(f.bed.ask<verify_reply>({}, method::verify, ref)->first.sound);
    REQUIRE(f.disk.flip(f.fragment_path(s), 4096 + 77));
    REQUIRE(f.disk.flip(f.fragment_path(s), 60));
    CHECK_FALSE(f.bed.ask<verify_reply>({}, method::verify, ref)->first.sound);
    f.reopen();
    CHECK(f.get(s, 0).error() == errc::corrupt);
}

TEST_CASE("only the session of the newest lease writes") {
    fixture f;
    const auto s = make_segment(f.random, 100 * KiB);
    const auto first = f.volume.term();
    const auto stranger = f.bed.how.self;
    CHECK(f.bed.ask<empty_reply>(stranger, method::put, f.request(s, 0), s.fragments[0]).error() == errc::permission);
    auto ahead = f.request(s, 0);
    ahead.term = ahead.term.next();
    CHECK(f.bed.ask<empty_reply>(f.volume.owner(first), method::put, ahead, s.fragments[0]).error() == errc::lease_required);
    const auto old = f.request(s, 0);
    f.own();
    CHECK(f.bed.ask<empty_reply>(f.volume.owner(first), method::put, old, s.fragments[0]).error() == errc::fenced);
    f.reopen();
    CHECK(f.bed.ask<empty_reply>(f.volume.owner(first), method::put, old, s.fragments[0]).error() == errc::fenced);
    CHECK(f.put(s, 0));
}

TEST_CASE("records that are forged, of another network or replayed change nothing") {
    fixture f;
    auto old = f.volume.proof();
    f.own();
    CHECK(f.bed.ask<empty_reply>({}, method::present, present_request{old}));  // certified, but nothing new
    const auto s = make_segment(f.random, 100 * KiB);
    REQUIRE(f.put(s, 0));
    auto forged = f.volume.proof();
    (*forged.value)[40] ^= std::byte{1};
    CHECK_FALSE(f.bed.ask<empty_reply>({}, method::present, present_request{forged}));
    paper_ledger other(99);
    other.write(ledger::key::volume(f.volume.record.id), f.volume.record);
    CHECK(f.bed.ask<empty_reply>({}, method::present, present_request{other.prove(ledger::key::volume(f.volume.record.id))}).error() == errc::permission);
    // A record under a key that is not a volume's.
    f.book.write(ledger::key::node(f.bed.how.self), f.volume.record);
    CHECK(f.bed.ask<empty_reply>({}, method::present, present_request{f.book.prove(ledger::key::node(f.bed.how.self))}).error() == errc::invalid);
}

TEST_CASE("a reservation bounds the provisional bytes of a term") {
    fixture f;
    f.own(260 * KiB);  // files count: 4 KiB and the hashes more than their fragments
    const auto a = make_segment(f.random, 400 * KiB);
    const auto b = make_segment(f.random, 200 * KiB);
    REQUIRE(f.put(a, 0));
    CHECK(f.put(b, 0).error() == errc::no_space);
    const auto tiny = make_segment(f.random, 100 * KiB);
    CHECK(f.put(tiny, 0));
    // Once the ledger lists it, it is not provisional any more.
    ledger::segment_record record;
    record.lineage = f.volume.record.id;
    record.number = {1};
    record.id = a.id();
    record.holders = {node_id{}};
    const auto listed = ledger::key::segment(record.lineage, record.number);
    f.book.write(listed, record);
    CHECK(f.bed.ask<empty_reply>({}, method::settle, settle_request{{f.book.prove(listed)}}).error() == errc::invalid);  // at another miner
    CHECK(f.put(b, 0).error() == errc::no_space);
    record.holders = {f.bed.how.self};
    f.book.write(listed, record);
    REQUIRE(f.bed.ask<empty_reply>({}, method::settle, settle_request{{f.book.prove(listed)}}));
    CHECK(f.put(b, 0));
    f.reopen();
    CHECK(f.bed.miner->status().provisional == 2);
    CHECK(equal(f.get(a, 0).value(), a.fragments[0]));
}

TEST_CASE("a full miner refuses before it writes and its accounts survive a restart") {
    fixture f;
    f.bed.how.capacity = 1 * MiB;
    f.reopen();
    const auto a = make_segment(f.random, 1600 * KiB);
    const auto b = make_segment(f.random, 600 * KiB);
    REQUIRE(f.put(a, 0));
    CHECK(f.put(b, 0).error() == errc::no_space);
    const auto used = f.bed.miner->status().used;
    f.reopen();
    CHECK(f.bed.miner->status().used == used);
    CHECK(equal(f.get(a, 0).value(), a.fragments[0]));
}

TEST_CASE("unfinished uploads are bounded, belong to their caller, and expire") {
    fixture f;
    f.bed.how.limits.uploads_per_caller_max = 3;
    f.reopen();
    const auto before = f.bed.miner->status().used;
    for (int i = 0; i < 3; ++i) REQUIRE(f.begin(make_segment(f.random, 100 * KiB), 0));
    const auto s = make_segment(f.random, 100 * KiB);
    CHECK(f.begin(s, 0).error() == errc::exhausted);
    f.bed.world.advance(std::chrono::minutes(5));
    CHECK(f.begin(s, 0));
    f.reopen();
    CHECK(f.bed.miner->status().used == before);
}

TEST_CASE("appends are contiguous, chained, signed, and answered by position") {
    fixture f;
    for (int i = 0; i < 20; ++i) f.writer.add(f.payload(3000));
    CHECK(f.bed.append(f.volume, f.writer, 3, 5).value() == entry_index{0});  // a gap: nothing appended
    CHECK(f.bed.append(f.volume, f.writer, 0, 4).value() == entry_index{5});
    CHECK(f.bed.append(f.volume, f.writer, 0, 4).value() == entry_index{5});   // again
    CHECK(f.bed.append(f.volume, f.writer, 2, 3).value() == entry_index{5});   // inside
    CHECK(f.bed.append(f.volume, f.writer, 2, 8).value() == entry_index{9});   // overlapping
    CHECK(f.bed.append(f.volume, f.writer, 12, 13).value() == entry_index{9});
    auto other = f.writer;
    other.payloads.resize(8);
    other.chains.resize(8);
    other.add(f.payload(10));
    CHECK(f.bed.append(f.volume, other, 8, 8).error() == errc::conflict);
    other.add(f.payload(10));
    CHECK(f.bed.append(f.volume, other, 9, 9).error() == errc::conflict);
    auto [request, body] = f.writer.group(f.volume.session(f.volume.term()), 9, 10);
    request.lengths[0] += 1;
    CHECK(f.bed.ask<append_reply>(f.volume.owner(f.volume.term()), method::journal_append, request, body).error() == errc::invalid);
    request.lengths[0] -= 1;
    body[3] ^= std::byte{1};
    CHECK(f.bed.ask<append_reply>(f.volume.owner(f.volume.term()), method::journal_append, request, body).error() == errc::invalid);
    CHECK(f.bed.append(f.volume, f.writer, 9, 19).value() == entry_index{20});
}

TEST_CASE("a writer that signs wrongly is refused at its first group after a start, and soon in any case") {
    fixture f;
    for (int i = 0; i < 100; ++i) f.writer.add(f.payload(100));
    const auto append_unsigned = [&](std::uint64_t at) {
        auto [request, body] = f.writer.group(f.volume.session(f.volume.term()), at, at);
        request.sig.raw[3] ^= std::byte{1};
        return f.bed.ask<append_reply>(f.volume.owner(f.volume.term()), method::journal_append, request, body);
    };
    CHECK(append_unsigned(0).error() == errc::permission);
    REQUIRE(f.bed.append(f.volume, f.writer, 0, 0));
    std::uint64_t taken = 1;
    while (taken < 100 && append_unsigned(taken)) ++taken;
    CHECK(taken <= 64);
    CHECK(append_unsigned(taken).error() == errc::permission);
    CHECK(f.bed.append(f.volume, f.writer, taken, taken).value() == entry_index{taken + 1});
    f.reopen();
    CHECK(append_unsigned(taken + 1).error() == errc::permission);
}

TEST_CASE("a journal is read back in whole groups, across files and restarts") {
    fixture f;
    for (int i = 0; i < 60; ++i) f.writer.add(f.payload(100 + 300 * static_cast<std::size_t>(i)));
    for (std::uint64_t i = 0; i < 60; i += 2) REQUIRE(f.bed.append(f.volume, f.writer, i, i + 1).value() == entry_index{i + 2});
    for (int round = 0; round < 2; ++round) {
        std::vector<bytes> seen;
        entry_index next{0};
        for (;;) {
            const journal_read_request what{f.writer.name, next, 40000};
            const auto got = f.bed.ask<journal_read_reply>(f.volume.owner(f.volume.term()), method::journal_read, what);
            REQUIRE(got.has_value());
            CHECK(got->first.previous == f.writer.before(next.value));
            byte_view body = got->second;
            for (const auto& group : got->first.groups) {
                CHECK(group.first == next);
                for (const auto length : group.lengths) {
                    seen.push_back(to_bytes(body.first(length)));
                    body = body.subspan(length);
                    next = next.next();
                }
            }
            if (!got->first.more) break;
        }
        CHECK(seen == f.writer.payloads);
        f.reopen();
    }
    const journal_read_request inside{f.writer.name, {31}, 1};
    const auto got = f.bed.ask<journal_read_reply>(f.volume.owner(f.volume.term()), method::journal_read, inside);
    REQUIRE(got->first.groups.size() == 1);
    CHECK(got->first.groups[0].first == entry_index{30});
    CHECK(f.bed.ask<journal_read_reply>(f.bed.how.self, method::journal_read, inside).error() == errc::permission);
    const journal_read_request beyond{f.writer.name, {61}, 1};
    CHECK(f.bed.ask<journal_read_reply>(f.volume.owner(f.volume.term()), method::journal_read, beyond).error() == errc::out_of_range);
}

namespace {

// A journal of several files, all of them trimmed.
void leave_spares(fixture& f) {
    for (int i = 0; i < 40; ++i) f.writer.add(f.payload(5000));
    for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(f.bed.append(f.volume, f.writer, i, i));
    f.volume.commit_root({40});
    REQUIRE(f.bed.ask<empty_reply>({}, method::journal_trim, trim_request{f.volume.proof()}));
}
std::size_t spares(const fixture& f) {
    const auto files = f.disk.files();
    return static_cast<std::size_t>(std::count_if(files.begin(), files.end(), [](const auto& path) { return path.find("/tmp/spare-") != std::string::npos; }));
}
// Whether only zeros follow the last record in its page: no append has to read what was there.
bool last_page_is_whole(fixture& f) {
    std::string last;
    for (const auto& path : f.disk.files())
        if (path.find("/journals/") != std::string::npos) last = std::max(last, path);
    const auto raw = os::read_file(f.disk, last, 1 * MiB).value();
    std::size_t at = 128;  // behind the header; records of the file's earlier life count from less
    for (std::uint64_t next = 0;;) {
        wire::decoder head(byte_view(raw).subspan(at, 64)), stored(byte_view(raw).subspan(at + 64, 8));
        std::uint32_t magic = 0, group = 0, body = 0;
        std::uint64_t first = 0;
        head(magic, group, body);
        stored(first);
        if (magic != 0x524a5343 || first < next) break;
        next = first + 1;
        at += (64 + group + body + 7) / 8 * 8;
    }
    for (auto i = at; i % 4096 != 0; ++i)
        if (raw[i] != std::byte{0}) return false;
    return at % 4096 != 0;
}
std::vector<bytes> read_journal(fixture& f, std::uint64_t next, std::uint64_t end) {
    std::vector<bytes> out;
    while (next < end) {
        const auto got = f.bed.ask<journal_read_reply>(f.volume.owner(f.volume.term()), method::journal_read, journal_read_request{f.writer.name, {next}, 20000});
        REQUIRE(got.has_value());
        byte_view body = got->second;
        for (const auto& group : got->first.groups)
            for (const auto length : group.lengths) {
                out.push_back(to_bytes(body.first(length)));
                body = body.subspan(length);
                ++next;
            }
    }
    return out;
}

}  // namespace

TEST_CASE("files of a trimmed journal are written again, and what they held is never taken for entries") {
    fixture f;
    leave_spares(f);
    const auto before = spares(f);
    REQUIRE(before >= 2);
    // Records of the same size: each old one begins where the last new one ends.
    for (int i = 0; i < 30; ++i) f.writer.add(f.payload(5000));
    for (std::uint64_t i = 40; i < 70; ++i) REQUIRE(f.bed.append(f.volume, f.writer, i, i).value() == entry_index{i + 1});
    CHECK(spares(f) < before);
    CHECK(last_page_is_whole(f));
    const std::vector<bytes> expected(f.writer.payloads.begin() + 40, f.writer.payloads.end());
    CHECK(read_journal(f, 40, 70) == expected);
    f.reopen();
    CHECK(f.bed.ask<journal_state>(f.volume.owner(f.volume.term()), method::journal_state, f.writer.name)->first.end == entry_index{70});
    CHECK(read_journal(f, 40, 70) == expected);
    f.writer.add(f.payload(5000));
    CHECK(f.bed.append(f.volume, f.writer, 70, 70).value() == entry_index{71});
}

// Whose bytes are in a file from its earlier life chose them. Summed one by one, these would take minutes.
TEST_CASE("what only looks like records does not keep a journal from opening") {
    fixture f;
    for (int i = 0; i < 4; ++i) f.writer.add(f.payload(5000));
    for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(f.bed.append(f.volume, f.writer, i, i));
    wire::encoder fake;  // of 4 MiB, written long after everything here was durable
    fake(std::uint32_t{0x524a5343}, std::uint32_t{0}, std::uint32_t{4 * MiB - 64}, ~std::uint32_t{0}, hash256{}, std::uint64_t{0}, std::uint32_t{1});
    auto one = std::move(fake).take();
    one.resize(64, std::byte{0});
    bytes many;
    for (int i = 0; i < 200'000; ++i) append(many, one);
    for (const auto& path : f.disk.files()) {
        if (path.find("/journals/") == std::string::npos) continue;
        const auto file = f.disk.open(path, os::open_mode::read_write).value();
        REQUIRE(file->write_at(file->size().value(), many));
        REQUIRE(file->sync());
    }
    f.reopen();
    CHECK(f.bed.append(f.volume, f.writer, 3, 3).value() == entry_index{4});
}

TEST_CASE("spare journal files make room for whatever needs it") {
    fixture f;
    f.bed.how.capacity = f.bed.miner->status().used + 600 * KiB;
    f.reopen();
    leave_spares(f);
    REQUIRE(spares(f) >= 2);
    const auto s = make_segment(f.random, 500 * KiB, {1, 0});
    CHECK(f.put(s, 0));
    CHECK(spares(f) == 0);
    CHECK(f.put(make_segment(f.random, 500 * KiB, {1, 0}), 0).error() == errc::no_space);
    const auto used = f.bed.miner->status().used;
    f.reopen();
    CHECK(f.bed.miner->status().used <= used);  // what was written ahead is cut
}

TEST_CASE("a fence reports the old journal and refuses its owner for ever") {
    fixture f;
    for (int i = 0; i < 10; ++i) f.writer.add(f.payload(500));
    REQUIRE(f.bed.append(f.volume, f.writer, 0, 6));
    const auto old = f.writer;
    f.volume.take(f.bed.miner->status().incarnation);
    const auto state = f.fence();
    REQUIRE(state.has_value());
    CHECK(state->end == entry_index{7});
    CHECK(state->chain == old.before(7));
    CHECK(state->fence == f.volume.term());
    CHECK(f.bed.append(f.volume, old, 7, 8).error() == errc::fenced);
    f.reopen();
    CHECK(f.bed.append(f.volume, old, 7, 8).error() == errc::fenced);
    CHECK(f.fence()->end == entry_index{7});
    // Not by a stranger, and not with a term that is not the record's.
    const fence_request what{f.volume.proof(), f.volume.term(), old.name};
    CHECK(f.bed.ask<journal_state>(f.bed.how.self, method::journal_fence, what).error() == errc::permission);
    const fence_request late{f.volume.proof(), old.name.term, old.name};
    CHECK(f.bed.ask<journal_state>(f.volume.owner(old.name.term), method::journal_fence, late).error() == errc::fenced);
}

TEST_CASE("a wiped store is not the member it was") {
    fixture f;
    f.volume.record.leases.back().members[0].incarnation.raw[0] ^= std::byte{1};
    f.volume.write();
    REQUIRE(f.bed.present(f.volume));
    f.writer.add(f.payload(10));
    CHECK(f.bed.append(f.volume, f.writer, 0, 0).error() == errc::permission);
    const journal_ref own = f.volume.journal();
    const fence_request what{f.volume.proof(), f.volume.term(), own};
    CHECK(f.bed.ask<journal_state>(f.volume.owner(f.volume.term()), method::journal_fence, what).error() == errc::permission);
}

TEST_CASE("trimming follows certified roots, deletes whole files, and lets a late joiner start at the base") {
    fixture f;
    for (int i = 0; i < 60; ++i) f.writer.add(f.payload(8000));
    for (std::uint64_t i = 0; i < 50; ++i) REQUIRE(f.bed.append(f.volume, f.writer, i, i));
    const auto before = f.bed.miner->status().used;
    f.volume.commit_root({40});
    REQUIRE(f.bed.ask<empty_reply>({}, method::journal_trim, trim_request{f.volume.proof()}));
    CHECK(f.bed.miner->status().used < before);
    f.reopen();
    const auto state = f.bed.ask<journal_state>(f.volume.owner(f.volume.term()), method::journal_state, f.writer.name);
    CHECK(state->first.base <= entry_index{40});
    CHECK(state->first.base > entry_index{20});
    CHECK(state->first.base_chain == f.writer.before(state->first.base.value));
    CHECK(state->first.end == entry_index{50});
    CHECK(f.bed.append(f.volume, f.writer, 2, 3).value() == entry_index{50});  // it had them once
    CHECK(f.bed.append(f.volume, f.writer, 50, 50).value() == entry_index{51});
    // A laggard whose entries are all unneeded becomes empty and joins again at the base, not above it.
    f.volume.commit_root({55});
    REQUIRE(f.bed.ask<empty_reply>({}, method::journal_trim, trim_request{f.volume.proof()}));
    CHECK(f.bed.append(f.volume, f.writer, 51, 51).value() == entry_index{0});
    CHECK(f.bed.append(f.volume, f.writer, 57, 57, {57}).error() == errc::lease_required);
    CHECK(f.bed.append(f.volume, f.writer, 55, 56, {55}).value() == entry_index{57});
    f.reopen();
    CHECK(f.bed.append(f.volume, f.writer, 57, 57, {55}).value() == entry_index{58});
}

TEST_CASE("a journal that no lease lists any more is dropped, its space comes back") {
    fixture f;
    const auto empty = f.bed.miner->status().used;
    for (int i = 0; i < 10; ++i) f.writer.add(f.payload(8000));
    REQUIRE(f.bed.append(f.volume, f.writer, 0, 9));
    f.own();
    CHECK(f.bed.ask<empty_reply>({}, method::journal_trim, trim_request{f.volume.proof()}));
    CHECK(f.bed.miner->status().journals == 1);  // still listed
    f.volume.commit_root({0});
    CHECK(f.bed.ask<empty_reply>({}, method::journal_trim, trim_request{f.volume.proof()}));
    CHECK(f.bed.miner->status().journals == 0);
    CHECK(f.bed.miner->status().used == empty);
    f.reopen();
    CHECK(f.bed.miner->status().used == empty);
}

TEST_CASE("a damaged journal says so and never pretends to be shorter") {
    fixture f;
    for (int i = 0; i < 10; ++i) f.writer.add(f.payload(1000));
    for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(f.bed.append(f.volume, f.writer, i, i));
    for (const auto& path : f.disk.files())
        if (path.find("/journals/") != std::string::npos) REQUIRE(f.disk.flip(path, 4000));
    f.reopen();
    CHECK(f.bed.append(f.volume, f.writer, 0, 0).error() == errc::corrupt);
    f.volume.take(f.bed.miner->status().incarnation);
    CHECK(f.fence().error() == errc::corrupt);
}

TEST_CASE("the sweeper deletes what was freed, settles what is listed, and drops what no root will ever list") {
    fixture f;
    const auto listed = make_segment(f.random, 100 * KiB);
    const auto elsewhere = make_segment(f.random, 100 * KiB);
    const auto orphan = make_segment(f.random, 100 * KiB);
    const auto freed = make_segment(f.random, 100 * KiB);
    for (const auto* s : {&listed, &elsewhere, &orphan, &freed}) REQUIRE(f.put(*s, 0));
    const auto list = [&](const sample_segment& s, std::uint64_t number, node_id holder) {
        ledger::segment_record record;
        record.lineage = f.volume.record.id;
        record.number = {number};
        record.id = s.id();
        record.holders = {holder};
        f.book.write(ledger::key::segment(record.lineage, record.number), record);
        f.book.write(ledger::key::segment_by_id(record.lineage, record.id), ledger::segment_ref{record.lineage, record.number});
    };
    list(listed, 1, f.bed.how.self);
    list(elsewhere, 2, node_id{});
    f.book.free(f.volume.record.id, freed.id(), f.bed.how.self);
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.get(freed, 0).error() == errc::not_found);
    CHECK(f.get(elsewhere, 0).error() == errc::not_found);
    CHECK(f.get(listed, 0).has_value());
    CHECK(f.get(orphan, 0).has_value());  // its term may still list it
    f.own();
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.get(orphan, 0).has_value());  // no root of the higher term yet
    f.volume.commit_root({0});
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.get(orphan, 0).error() == errc::not_found);
    CHECK(f.get(listed, 0).has_value());
    CHECK(f.bed.miner->status().provisional == 0);
    f.reopen();
    CHECK(f.bed.miner->status().fragments == 1);
}

TEST_CASE("what a root lists while the sweeper asks about it stays") {
    fixture f;
    const auto taken_over = make_segment(f.random, 100 * KiB);
    REQUIRE(f.put(taken_over, 0));
    f.own();  // the next owner, who knows it from the journal
    const auto by_id = ledger::key::segment_by_id(f.volume.record.id, taken_over.id());
    bool listed = false;
    // Its root becomes final, and this miner hears of it, after the ledger was asked about the segment.
    const auto root = [&](bytes key) -> net::awaitable<void> {
        if (!equal(key, by_id) || std::exchange(listed, true)) co_return;
        ledger::segment_record record;
        record.lineage = f.volume.record.id;
        record.number = {1};
        record.id = taken_over.id();
        record.holders = {f.bed.how.self};
        f.book.write(ledger::key::segment(record.lineage, record.number), record);
        f.book.write(by_id, ledger::segment_ref{record.lineage, record.number});
        f.volume.commit_root({0});
        net::request what;
        what.method = method::present;
        what.head = wire::encode(present_request{f.volume.proof()});
        auto told = f.bed.miner->serve(f.volume.owner(f.volume.term()), std::move(what));
        (void)co_await std::move(told);
    };
    f.bed.client.after_read = root;
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(listed);
    CHECK(f.get(taken_over, 0).has_value());
    f.bed.client.after_read = nullptr;
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.get(taken_over, 0).has_value());
    CHECK(f.bed.miner->status().provisional == 0);
}

TEST_CASE("another volume's freed record never touches a fragment") {
    fixture f;
    const auto s = make_segment(f.random, 100 * KiB);
    REQUIRE(f.put(s, 0));
    f.book.free(f.random.id<volume_id>(), s.id(), f.bed.how.self);
    REQUIRE(f.bed.world.run(f.bed.miner->sweep()));
    CHECK(f.get(s, 0).has_value());
}

TEST_CASE("a store keeps its incarnation, and refuses to be what it is not") {
    fixture f;
    const auto incarnation = f.bed.miner->status().incarnation;
    f.reopen();
    CHECK(f.bed.miner->status().incarnation == incarnation);
    f.bed.kill();
    const auto self = f.bed.how.self;
    f.bed.how.self.raw[0] ^= std::byte{1};
    CHECK(f.bed.open().error() == errc::invalid);
    f.bed.how.self = self;
    REQUIRE(f.disk.flip("/m/store", 3));
    CHECK(f.bed.open().error() == errc::corrupt);
    f.bed.how.directory = "/other";
    REQUIRE(f.bed.open());
    CHECK(f.bed.miner->status().incarnation != incarnation);
}

TEST_CASE("a store of another version is refused in one line, and nothing in it is judged") {
    fixture f;
    const auto s = make_segment(f.random, 100 * KiB);
    REQUIRE(f.put(s, 0));
    f.bed.kill();
    auto old = os::read_file(f.disk, "/m/store", 1 * MiB).value();
    old.resize(old.size() - hash256::size);
    old.front() = std::byte{1};
    append(old, crypto::sha256(old).view());
    REQUIRE(os::write_file_durably(f.disk, "/m/store", old));
    const auto opened = f.bed.open();
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error() == errc::unsupported);
    CHECK(opened.error().what == "/m is a store of version 1, and this program's is 2: run the release that made it, or choose an empty directory");
    CHECK_FALSE(f.disk.exists("/m/scrub"));
}

TEST_CASE("concurrent appends share syncs, and every one is answered") {
    fixture f;
    f.bed.kill();
    net::worker_pool pool(3);
    f.bed.workers = &pool;
    REQUIRE(f.bed.open());
    for (int i = 0; i < 64; ++i) f.writer.add(f.payload(500));
    std::vector<entry_index> answers;
    std::size_t failures = 0;
    for (std::uint64_t i = 0; i < 64; ++i) {
        auto [request, body] = f.writer.group(f.volume.session(f.volume.term()), i, i);
        net::request what;
        what.method = method::journal_append;
        what.head = wire::encode(request);
        what.body = std::move(body);
        boost::asio::co_spawn(f.bed.world.executor(), f.bed.miner->serve(f.volume.owner(f.volume.term()), std::move(what)), [&](std::exception_ptr, net::reply reply) {
            const auto answer = wire::decode<append_reply>(reply.head);
            if (reply.failure.code == errc::ok && answer) answers.push_back(answer->durable);
            else ++failures;
        });
    }
    while (answers.size() + failures < 64) f.bed.world.settle();
    CHECK(failures == 0);
    const auto state = f.bed.ask<journal_state>(f.volume.owner(f.volume.term()), method::journal_state, f.writer.name);
    CHECK(state->first.end == entry_index{64});
    f.bed.world.run([](storage::miner& m) -> net::awaitable<int> {
        co_await m.stop();
        co_return 0;
    }(*f.bed.miner));
    net::request late;
    late.method = method::hello;
    CHECK(f.bed.world.run(f.bed.miner->serve({}, late)).failure == errc::unavailable);
    f.bed.kill();
}
