// One request, one answer: what is asked, by whom, and which part of the store answers. Blocking.
#include "scrubber.hpp"
#include "sweeper.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

constexpr std::size_t settle_max = 1024;
constexpr std::uint64_t at_once_max = 128 * KiB;  // bytes that a network's thread copies for one request
constexpr unsigned verifying_max = 2;  // anybody may ask for it, and each reads a whole fragment

template <class Message>
net::reply encoded(const Message& message, bytes body = {}) {
    return net::reply({}, wire::encode(message), std::move(body));
}

result<net::reply> done(result<void> outcome) {
    CHECK_OK(std::move(outcome));
    return encoded(empty_reply{});
}

result<net::reply> hello(store& on, const node_id&, const hello_request& what, byte_view) {
    if (what.network != on.leases.network()) return error(errc::invalid, "this miner is of another network");
    const auto now = on.status();
    hello_reply out;
    out.id = on.how.self;
    out.incarnation = now.incarnation;
    out.capacity = now.capacity;
    out.used = now.used;
    out.fragments = now.fragments;
    return encoded(out);
}

result<net::reply> health(store& on, const node_id&, const health_request& what, byte_view) {
    if (what.network != on.leases.network()) return error(errc::invalid, "this miner is of another network");
    return encoded(on.scrubbing->health());
}

result<net::reply> present(store& on, const node_id&, const present_request& what, byte_view) {
    CHECK_OK(on.leases.learn(what.volume));
    return encoded(empty_reply{});
}

// ---- fragments -------------------------------------------------------------------------------------------

result<net::reply> put(store& on, const node_id& from, const put_request& what, byte_view body) {
    TRY(const auto lease, on.leases.writer(from, what.volume, what.term));
    return done(on.incoming.put(what, body, lease.reservation));
}

result<net::reply> put_begin(store& on, const node_id& from, const put_plan& what, byte_view) {
    TRY(const auto lease, on.leases.writer(from, what.volume, what.term));
    TRY(const auto handle, on.incoming.begin(from, what, lease.reservation, on.on.world.now(), on.on.world.random()));
    return encoded(put_handle{handle});
}

result<net::reply> put_chunk(store& on, const node_id& from, const chunk_request& what, byte_view body) {
    return done(on.incoming.chunk(from, what, body, on.on.world.now()));
}

result<net::reply> put_commit(store& on, const node_id& from, const put_end& what, byte_view) {
    TRY(const auto tag, on.incoming.tag_of(from, what.handle));
    TRY(const auto lease, on.leases.writer(from, tag.volume, tag.term));
    return done(on.incoming.commit(from, what, lease.reservation));
}

result<net::reply> get(store& on, const node_id&, const get_request& what, byte_view) {
    if (what.length > net::body_size_max) return error(errc::too_large, "a read is at most " + format_size(net::body_size_max));
    TRY(const auto fragment, on.fragments.open(what.fragment));
    TRY(auto data, fragment->read(what.offset, what.length));
    get_reply out;
    if (what.with_proof) out.proof = fragment->proof();
    return encoded(out, std::move(data));
}

// Bounded before anything is read.
result<void> check_ranges(const get_ranges_request& what) {
    if (what.ranges.size() > ranges_max) return error(errc::too_large, "at most " + std::to_string(ranges_max) + " ranges are read at once");
    std::uint64_t total = 0;
    for (const auto& range : what.ranges) total += range.length;
    if (total > ranges_bytes_max) return error(errc::too_large, "ranges read at once have at most " + format_size(ranges_bytes_max));
    return {};
}

result<bytes> read_range(store& on, const fragment_range& what) {
    TRY(const auto fragment, on.fragments.open(what.fragment));
    return fragment->read(what.offset, what.length);
}

result<net::reply> get_ranges(store& on, const node_id&, const get_ranges_request& what, byte_view) {
    CHECK_OK(check_ranges(what));
    get_ranges_reply out;
    bytes body;
    for (const auto& range : what.ranges) {
        auto data = read_range(on, range);
        if (data) append(body, *data);
        const auto failed = data ? error() : std::move(data).error();
        if (failed.code != errc::ok) on.count.refused(failed.code);
        out.outcomes.push_back({static_cast<std::uint16_t>(failed.code), failed.what});
    }
    on.count.ranges.add(what.ranges.size());
    return encoded(out, std::move(body));
}

result<net::reply> verify(store& on, const node_id&, const fragment_ref& what, byte_view) {
    struct place {
        explicit place(std::atomic<unsigned>& of) : taken(of), number(++of) {}
        ~place() { --taken; }
        std::atomic<unsigned>& taken;
        const unsigned number;
    } const mine(on.verifying);
    if (mine.number > verifying_max) return error(errc::exhausted, "other fragments are being verified; try again");
    TRY(const auto out, on.scrubbing->check(what));
    if (!out.sound) on.count.rotten.add();
    return encoded(out);
}

// The segment whose freed record has this key.
std::optional<std::pair<segment_id, volume_id>> freed_by_key(byte_view key) {
    if (key.size() < volume_id::size + segment_id::size) return std::nullopt;
    const auto tail = key.last(volume_id::size + segment_id::size);
    const std::pair named{segment_id::from(tail.subspan(volume_id::size)), volume_id::from(tail)};
    if (!equal(key, ledger::key::freed(named.second, named.first))) return std::nullopt;
    return named;
}

// Only a holder commits: what the ledger frees is told to holders alone, so that anything else would stay for ever.
result<void> settle_listed(store& on, byte_view key, byte_view value) {
    const auto listed = wire::decode<ledger::segment_record>(value);
    if (!listed || !equal(key, ledger::key::segment(listed->lineage, listed->number))) return error(errc::invalid, "the record does not settle a segment");
    if (std::find(listed->holders.begin(), listed->holders.end(), on.how.self) == listed->holders.end())
        return error(errc::invalid, "the ledger lists the segment at other miners");
    CHECK_OK(on.fragments.commit(listed->id, listed->lineage));
    on.count.settled.add();
    return {};
}

result<void> settle_one(store& on, const ledger::proved_record& record) {
    TRY(const auto value, on.leases.check(record));
    if (!value) return error(errc::not_found, "the record proves an absence, which settles nothing");
    if (const auto freed = freed_by_key(record.key)) return on.sweeping->learn_freed({*freed}, on.on.world.now());
    return settle_listed(on, record.key, *value);
}

result<net::reply> settle(store& on, const node_id&, const settle_request& what, byte_view) {
    if (what.records.size() > settle_max) return error(errc::too_large, "at most 1024 records settle at once");
    for (const auto& record : what.records) CHECK_OK(settle_one(on, record));
    return encoded(empty_reply{});
}

// ---- journals --------------------------------------------------------------------------------------------

net::reply state_reply(store& on, const journal_ref& name, const journal::position& at) {
    journal_state out;
    out.journal = name;
    out.incarnation = on.identity.incarnation;
    out.fence = on.leases.fence_of(name.volume);
    out.base = at.base;
    out.base_chain = at.base_chain;
    out.end = at.end;
    out.chain = at.chain;
    return encoded(out);
}

result<net::reply> journal_fence(store& on, const node_id& from, const fence_request& what, byte_view) {
    TRY(const auto known, on.leases.learn(what.volume));
    if (what.journal.volume != known.volume) return error(errc::invalid, "the journal belongs to another volume");
    if (known.gone) return error(errc::fenced, "volume " + known.volume.brief() + " is deleted");
    if (what.term < known.fence) return error(errc::fenced, "volume " + known.volume.brief() + " is owned in term " + std::to_string(known.fence.value));
    CHECK_OK(on.leases.writer(from, known.volume, what.term));
    const auto* const old = known.lease_of(what.journal.term);
    if (old && !old->member) return error(errc::permission, "this miner, with this incarnation, is no member of that journal");
    // After the fence: what was being appended when it fell is in the state or was never acknowledged.
    TRY(const auto at, on.journals->state(what.journal));
    return state_reply(on, what.journal, at);
}

// The owner of that journal's term or of a later one.
result<void> may_read(store& on, const node_id& from, const journal_ref& name) {
    const auto known = on.leases.find(name.volume);
    if (!known) return error(errc::lease_required, "this miner has not seen a lease of volume " + name.volume.brief());
    for (const auto& lease : known->leases)
        if (lease.term >= name.term && crypto::id_of<node_id>(lease.session) == from) return {};
    if (known->fence < name.term) return error(errc::lease_required, "this miner has not seen the lease of term " + std::to_string(name.term.value));
    return error(errc::permission, "only the owner of that term or of a later one reads a journal");
}

result<net::reply> journal_read(store& on, const node_id& from, const journal_read_request& what, byte_view) {
    CHECK_OK(may_read(on, from, what.journal));
    bytes body;
    TRY(const auto out, on.journals->read(what, body));
    return encoded(out, std::move(body));
}

result<net::reply> state_of_journal(store& on, const node_id& from, const journal_ref& what, byte_view) {
    CHECK_OK(may_read(on, from, what));
    TRY(const auto at, on.journals->state(what));
    return state_reply(on, what, at);
}

result<net::reply> journal_trim(store& on, const node_id&, const trim_request& what, byte_view) {
    TRY(const auto known, on.leases.learn(what.volume));
    return done(on.journals->trim(known));
}

// A program of another release is told so, for its user: what it sends is no nonsense.
template <class Message>
result<void> check_version(byte_view head) {
    if constexpr (wire::versioned<Message>) {
        const auto version = head.empty() ? Message::wire_version : std::to_integer<std::uint8_t>(head.front());
        if (version != Message::wire_version)
            return error(errc::unsupported, "this request has version " + std::to_string(version) + ", and this miner's is " +
                                                std::to_string(Message::wire_version) + ": client and miners must be of the same release");
    }
    return {};
}

template <class Message>
result<net::reply> decoded(store& on, const node_id& from, const net::request& what, result<net::reply> (*handler)(store&, const node_id&, const Message&, byte_view)) {
    CHECK_OK(check_version<Message>(what.head));
    auto message = wire::decode<Message>(what.head);
    if (!message) return std::move(message).error().with_context("request");
    return handler(on, from, *message, what.body);
}

result<net::reply> dispatch(store& on, const node_id& from, const net::request& what) {
    switch (what.method) {
    case method::hello: return decoded(on, from, what, hello);
    case method::health: return decoded(on, from, what, health);
    case method::present: return decoded(on, from, what, present);
    case method::put: return decoded(on, from, what, put);
    case method::put_begin: return decoded(on, from, what, put_begin);
    case method::put_chunk: return decoded(on, from, what, put_chunk);
    case method::put_commit: return decoded(on, from, what, put_commit);
    case method::get: return decoded(on, from, what, get);
    case method::get_ranges: return decoded(on, from, what, get_ranges);
    case method::verify: return decoded(on, from, what, verify);
    case method::settle: return decoded(on, from, what, settle);
    case method::journal_fence: return decoded(on, from, what, journal_fence);
    case method::journal_read: return decoded(on, from, what, journal_read);
    case method::journal_trim: return decoded(on, from, what, journal_trim);
    case method::journal_state: return decoded(on, from, what, state_of_journal);
    default: return error(errc::unsupported, "no such method of a storage miner");
    }
}

}  // namespace

std::optional<net::reply> answer_at_once(store& on, const net::request& what) {
    if (what.method != method::get_ranges) return std::nullopt;
    const auto asked = wire::decode<get_ranges_request>(what.head);
    if (!asked || !check_ranges(*asked)) return std::nullopt;
    std::uint64_t total = 0;
    for (const auto& range : asked->ranges) total += range.length;
    if (total > at_once_max) return std::nullopt;
    get_ranges_reply out;
    bytes body(total);
    byte_span rest = body;
    for (const auto& range : asked->ranges) {
        const auto fragment = on.fragments.opened(range.fragment);
        if (!fragment || !fragment->read_at_once(range.offset, rest.first(range.length))) return std::nullopt;
        rest = rest.subspan(range.length);
        out.outcomes.emplace_back();
    }
    on.count.ranges.add(asked->ranges.size());
    return encoded(out, std::move(body));
}

net::reply answer(store& on, const node_id& from, const net::request& what) {
    auto answered = dispatch(on, from, what);
    return answered ? std::move(*answered) : net::reply::of(answered.error());
}

}  // namespace cess::storage
