// Strangers at the miner's port: random and mutated requests, huge counts, replays. Refused, counted, bounded; and
// what honest owners have stored stays as it is.
#include <support/faulty_disk.hpp>
#include <support/storage_probe.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::storage;
using namespace cess::test;

namespace {

struct target {
    explicit target(std::uint64_t seed) : book(seed), random(seed), bed(disk, book, seed), volume(book, random, bed.how.self) {
        REQUIRE(bed.open());
        volume.take(bed.miner->status().incarnation, 2 * MiB);
        REQUIRE(bed.present(volume));
        writer.name = volume.journal();
        for (int i = 0; i < 4; ++i) writer.add(bytes(200, std::byte{7}));
        REQUIRE(bed.append(volume, writer, 0, 2));
        segment = make_segment(random, 100 * KiB, {1, 1});
        put = {volume.record.id, volume.term(), segment.identity, 0};
        REQUIRE(bed.ask<empty_reply>(volume.owner(volume.term()), method::put, put, segment.fragments[0]));
    }
    // Well-formed requests of every kind.
    std::vector<bytes> corpus() {
        auto [append_head, append_body] = writer.group(volume.session(volume.term()), 3, 3);
        const fragment_ref ref{segment.id(), 0};
        get_request get;
        get.fragment = ref;
        get.length = 1000;
        get.with_proof = true;
        const get_ranges_request ranges{{{ref, 0, 1000}, {ref, 5000, 10}, {{segment.id(), 1}, 0, 1}}};
        const auto other = make_segment(random, 1000, {1, 1});
        const put_request other_put{volume.record.id, volume.term(), other.identity, 1};
        return {
            probe_of(method::hello, wire::encode(hello_request{book.trust().network()}), {}),
            probe_of(method::present, wire::encode(present_request{volume.proof()}), {}),
            probe_of(method::put, wire::encode(other_put), other.fragments[1]),
            probe_of(method::put_begin, wire::encode(plan_of(other_put)), {}),
            probe_of(method::put_chunk, wire::encode(chunk_request{1, 0}), bytes(100, std::byte{1})),
            probe_of(method::put_commit, wire::encode(put_end{1, other.identity}), {}),
            probe_of(method::get, wire::encode(get), {}),
            probe_of(method::get_ranges, wire::encode(ranges), {}),
            probe_of(method::verify, wire::encode(ref), {}),
            probe_of(method::settle, wire::encode(settle_request{{volume.proof()}}), {}),
            probe_of(method::journal_append, wire::encode(append_head), append_body),
            probe_of(method::journal_fence, wire::encode(fence_request{volume.proof(), volume.term(), writer.name}), {}),
            probe_of(method::journal_read, wire::encode(journal_read_request{writer.name, {0}, 4096}), {}),
            probe_of(method::journal_trim, wire::encode(trim_request{volume.proof()}), {}),
            probe_of(method::journal_state, wire::encode(writer.name), {}),
        };
    }
    void intact() {
        get_request get;
        get.fragment = {segment.id(), 0};
        get.length = static_cast<std::uint32_t>(segment.fragments[0].size());
        CHECK(bed.ask<get_reply>({}, method::get, get)->second == segment.fragments[0]);
        const auto state = bed.ask<journal_state>(volume.owner(volume.term()), method::journal_state, writer.name);
        REQUIRE(state.has_value());
        CHECK(state->first.end >= entry_index{3});
        CHECK(state->first.chain == writer.before(state->first.end.value));
    }

    faulty_disk disk;
    paper_ledger book;
    seeded_random random;
    storage_bed bed;
    sample_volume volume;
    journal_writer writer;
    sample_segment segment;
    put_request put;
};

}  // namespace

TEST_CASE("mutated requests are refused and change nothing that was stored") {
    target t(1);
    const auto corpus = t.corpus();
    for (int i = 0; i < 6000; ++i) {
        auto input = corpus[static_cast<std::size_t>(t.random.below(corpus.size()))];
        for (auto changes = t.random.below(5); changes > 0; --changes) {
            const auto at = static_cast<std::size_t>(t.random.below(input.size()));
            switch (t.random.below(4)) {
            case 0: input[at] ^= static_cast<std::byte>(1U << t.random.below(8)); break;
            case 1: input[at] = std::byte{0xff}; break;
            case 2: input.resize(std::max<std::size_t>(at, 1)); break;
            default: input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), std::byte{0});
            }
        }
        (void)probe(t.bed, t.volume, input);
    }
    t.intact();
    CHECK(t.bed.count.render().find("cess_storage_refusals_total{") != std::string::npos);
}

TEST_CASE("random bytes under every method are refused") {
    target t(2);
    for (int i = 0; i < 5000; ++i) {
        bytes input(t.random.below(400));
        t.random.fill(input);
        (void)probe(t.bed, t.volume, input);
    }
    t.intact();
}

TEST_CASE("huge counts and lengths cost nothing") {
    target t(3);
    const auto owner = t.volume.owner(t.volume.term());
    wire::encoder forged;
    forged(append_request::wire_version, t.writer.name, entry_index{3}, entry_index{0}, hash256{}, std::uint32_t{0xffffffff});
    CHECK(t.bed.ask_raw(owner, method::journal_append, forged.view(), {}).failure == errc::protocol);
    auto [request, body] = t.writer.group(t.volume.session(t.volume.term()), 3, 3);
    request.lengths.assign(100, 0xffffffffU);
    CHECK(t.bed.ask_raw(owner, method::journal_append, wire::encode(request), body).failure == errc::invalid);
    request.lengths.assign(1, 200);
    request.first = {~std::uint64_t{0}};
    CHECK(t.bed.ask_raw(owner, method::journal_append, wire::encode(request), body).failure == errc::invalid);
    get_request get;
    get.fragment = {t.segment.id(), 0};
    get.length = 0xffffffff;
    CHECK(t.bed.ask_raw(owner, method::get, wire::encode(get), {}).failure == errc::too_large);
    get.length = 10;
    get.offset = ~std::uint64_t{0} - 3;
    CHECK(t.bed.ask_raw(owner, method::get, wire::encode(get), {}).failure == errc::out_of_range);
    get_ranges_request ranges{std::vector<fragment_range>(ranges_max + 1, {get.fragment, 0, 1})};
    CHECK(t.bed.ask_raw(owner, method::get_ranges, wire::encode(ranges), {}).failure == errc::too_large);
    ranges.ranges.assign(ranges_max, {get.fragment, 0, 0xffffffff});
    CHECK(t.bed.ask_raw(owner, method::get_ranges, wire::encode(ranges), {}).failure == errc::too_large);
    ranges.ranges.assign(2, {get.fragment, 0, static_cast<std::uint32_t>(ranges_bytes_max / 2 + 1)});
    CHECK(t.bed.ask_raw(owner, method::get_ranges, wire::encode(ranges), {}).failure == errc::too_large);
    ranges.ranges.assign(1, {get.fragment, ~std::uint64_t{0} - 3, 10});
    const auto past = t.bed.ask<get_ranges_reply>(owner, method::get_ranges, ranges);
    REQUIRE(past.has_value());
    CHECK(past->first.outcomes.front().code == static_cast<std::uint16_t>(errc::out_of_range));
    CHECK(past->second.empty());
    wire::encoder many;
    many(std::uint8_t{1}, std::uint32_t{0xffffffff});
    CHECK(t.bed.ask_raw(owner, method::get_ranges, many.view(), {}).failure == errc::protocol);
    const journal_read_request read{t.writer.name, {~std::uint64_t{0}}, 0xffffffff};
    CHECK(t.bed.ask_raw(owner, method::journal_read, wire::encode(read), {}).failure == errc::out_of_range);
    const auto handle = t.bed.ask<put_handle>(owner, method::put_begin, put_plan{t.volume.record.id, t.volume.term(), {1, 1}, 70000, 0});
    REQUIRE(handle.has_value());
    CHECK(t.bed.ask_raw(owner, method::put_chunk, wire::encode(chunk_request{handle->first.handle, ~std::uint64_t{0} - 0xffff}), bytes(leaf_size)).failure == errc::out_of_range);
    CHECK(t.bed.ask_raw(owner, method::put_chunk, wire::encode(chunk_request{handle->first.handle, 0}), {}).failure == errc::out_of_range);
    CHECK(t.bed.ask_raw(owner, method::hello, bytes(net::head_size_max + 1), {}).failure == errc::too_large);
    CHECK(t.bed.ask_raw(owner, 0x01ff, {}, {}).failure == errc::unsupported);
    t.intact();
}

TEST_CASE("what one owner sent is worth nothing in another's mouth") {
    target t(4);
    const auto stranger = t.bed.how.self;
    for (const auto& input : t.corpus()) {
        auto theirs = input;
        theirs[2] = std::byte{1};
        (void)probe(t.bed, t.volume, theirs);
    }
    const auto [request, body] = t.writer.group(t.volume.session(t.volume.term()), 3, 3);
    CHECK(t.bed.ask_raw(stranger, method::journal_append, wire::encode(request), body).failure == errc::permission);
    CHECK(t.bed.ask_raw(stranger, method::put, wire::encode(t.put), t.segment.fragments[0]).failure == errc::permission);
    // Replays by the owner are harmless: the same answer again.
    for (int i = 0; i < 3; ++i) CHECK(t.bed.append(t.volume, t.writer, 3, 3).value() == entry_index{4});
    t.intact();
}
