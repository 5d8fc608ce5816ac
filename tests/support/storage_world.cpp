#include "storage_world.hpp"

#include <algorithm>

namespace cess::test {
namespace {

struct sleeping {
    std::shared_ptr<net::resumption<result<void>>> held = std::make_shared<net::resumption<result<void>>>();
    void operator()(net::resumption<result<void>> done) {
        std::weak_ptr<net::resumption<result<void>>> weak = held;
        done.on_cancel([weak] {
            if (const auto at = weak.lock(); at && *at) (*at)(result<void>(error(errc::canceled)));
        });
        *held = std::move(done);
    }
};

}  // namespace

net::awaitable<result<void>> still_env::sleep_until(net::time_point) {
    sleeping start;
    const auto keep = start.held;
    auto op = net::suspend<result<void>>(std::move(start));
    co_return co_await std::move(op);
}

paper_ledger::paper_ledger(std::uint64_t seed) : m_key([&] {
      seeded_random random(seed);
      return crypto::signing_key::generate(random);
  }()) {
    m_committee.members = {m_key.pub()};
    m_network = network_id::from(crypto::sha256(as_view("paper network")).view());
}

void paper_ledger::set(const bytes& key, std::optional<bytes> value) {
    ledger::tree::changes changes;
    changes[crypto::sha256(key)] = value ? std::optional(crypto::sha256(*value)) : std::nullopt;
    m_tree.update(changes);
    if (value) m_values[key] = std::move(*value);
    else m_values.erase(key);
    m_height = m_height.next();
}

ledger::proved_record paper_ledger::prove(const bytes& key) {
    ledger::proved_record out;
    out.key = key;
    if (const auto at = m_values.find(key); at != m_values.end()) out.value = at->second;
    out.proof = m_tree.prove(crypto::sha256(key));
    auto& body = out.certificate.body;
    body.network = m_network;
    body.height = m_height;
    body.state_root = m_tree.root();
    body.next = m_committee;
    out.certificate.signatures = {{0, ledger::sign(m_key, body)}};
    return out;
}

void paper_ledger::free(const volume_id& lineage, const segment_id& id, const node_id& holder) {
    const auto key = ledger::key::freed(lineage, id);
    ledger::freed_record record;
    record.lineage = lineage;
    record.id = id;
    record.since = m_height;
    record.holders = {holder};
    set(ledger::key::segment_by_id(lineage, id), std::nullopt);
    write(key, record);
    m_freed.push_back(key);
}

net::awaitable<result<chain::client::freed_page>> paper_client::freed_for(node_id, ledger::freed_cursor after, net::time_point) {
    freed_page page;
    page.next = after;
    for (auto i = after.value; i < m_of.freed_keys().size() && page.records.size() < 8; ++i) {
        page.records.push_back(m_of.prove(m_of.freed_keys()[i]));
        page.next = {i + 1};
    }
    co_return page;
}

sample_segment make_segment(random_source& random, std::uint64_t length, ledger::shape geometry) {
    sample_segment out;
    out.identity.geometry = geometry;
    out.identity.stored_length = length;
    const auto each = storage::fragment_length(out.identity);
    for (unsigned i = 0; i < unsigned{geometry.k} + geometry.m; ++i) {
        bytes fragment(static_cast<std::size_t>(each));
        random.fill(fragment);
        out.identity.roots.push_back(storage::merkle_root(storage::leaf_hashes(fragment)));
        out.fragments.push_back(std::move(fragment));
    }
    return out;
}

sample_volume::sample_volume(paper_ledger& in, random_source& random, node_id miner) : m_ledger(in), m_random(random), m_miner(miner) {
    record.id = random.id<volume_id>();
    record.name = "sample";
}

void sample_volume::take(incarnation_id incarnation, std::uint64_t reservation) {
    record.term = record.term.next();
    const auto session = crypto::signing_key::generate(m_random);
    m_sessions.emplace(record.term.value, session);
    ledger::lease lease;
    lease.volume = record.id;
    lease.term = record.term;
    lease.session = session.pub();
    lease.reservation = reservation;
    lease.members = {{m_miner, incarnation}};
    record.leases.push_back(lease);
    write();
}

void sample_volume::commit_root(entry_index journal_base) {
    record.head.term = record.term;
    record.head.journal_base = journal_base;
    record.leases = {record.leases.back()};
    write();
}

void sample_volume::write() { m_ledger.write(ledger::key::volume(record.id), record); }

void journal_writer::add(bytes payload) {
    chains.push_back(storage::chain_hash(name, {payloads.size()}, before(payloads.size()), payload));
    payloads.push_back(std::move(payload));
}

std::pair<storage::append_request, bytes> journal_writer::group(const crypto::signing_key& session, std::uint64_t first, std::uint64_t last) const {
    storage::append_request out;
    out.journal = name;
    out.first = {first};
    out.previous = before(first);
    out.chain = chains[last];
    bytes body;
    for (auto i = first; i <= last; ++i) {
        out.lengths.push_back(static_cast<std::uint32_t>(payloads[i].size()));
        append(body, payloads[i]);
    }
    out.sig = session.sign(storage::group_digest(name, {last}, chains[last]).view());
    return {out, body};
}

storage_bed::storage_bed(os::file_system& disk, paper_ledger& book, std::uint64_t seed) : world(seed), client(book), m_disk(disk), m_book(book) {
    how.directory = "/m";
    how.self = node_id::from(crypto::sha256(as_view("miner")).view());
    how.capacity = 256 * MiB;
    how.disk_reserve = 1 * MiB;
    how.exclusive = false;
    how.free_horizon = net::duration(0);
    how.limits.provisional_check_age = net::duration(0);
}

result<void> storage_bed::open() {
    storage::miner_dependencies on{world, m_disk, m_book.trust(), count};
    if (with_ledger) on.ledger = &client;
    on.workers = workers;
    TRY(miner, storage::open_miner(std::move(on), how));
    return {};
}

void storage_bed::kill() {
    miner.reset();
    world.settle();
}

net::reply storage_bed::ask_raw(const node_id& from, net::method_id method, bytes head, bytes body) {
    net::request what;
    what.method = method;
    what.head = std::move(head);
    what.body = std::move(body);
    return world.run(miner->serve(from, std::move(what)));
}

result<void> storage_bed::present(sample_volume& volume) {
    CHECK_OK(ask<storage::empty_reply>(volume.owner(volume.term()), storage::method::present, storage::present_request{volume.proof()}));
    return {};
}

result<entry_index> storage_bed::append(sample_volume& volume, const journal_writer& writer, std::uint64_t first, std::uint64_t last, entry_index begin) {
    auto [request, body] = writer.group(volume.session(writer.name.term), first, last);
    request.begin = begin;
    TRY(const auto got, ask<storage::append_reply>(volume.owner(writer.name.term), storage::method::journal_append, request, std::move(body)));
    return got.first.durable;
}

}  // namespace cess::test
