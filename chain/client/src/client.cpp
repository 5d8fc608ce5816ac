#include <chain/client/client.hpp>
#include <chain/client/protocol.hpp>
#include <core/net/channel.hpp>
#include <core/net/deadline.hpp>
#include <core/net/retry.hpp>

#include <algorithm>
#include <atomic>
#include <functional>

namespace cess::chain {
namespace {

constexpr std::size_t tickets_max = 32;           // transactions under way; others wait
constexpr std::uint64_t lifetime = 20'000;        // blocks that a transaction stays valid
constexpr auto attempt_within = std::chrono::seconds(10);
constexpr std::size_t listed_max = 1'000'000;     // entries that a list may grow to

// A refusal's words come from one validator, unproved: for people, so only as one short printable line.
std::string words_of(byte_view body) {
    std::string out(as_text(body.first(std::min<std::size_t>(body.size(), 400))));
    std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
}

// One stream of numbered transactions. The ledger takes a client's numbers in rising order, so whatever goes out at the
// same time goes out under different client ids.
struct ticket {
    client_id client;
    std::uint64_t number = 0;
};

class network_client final : public client {
public:
    network_client(net::env& world, net::caller& through, network_config network)
        : m_world(world), m_through(through), m_config(std::move(network)), m_network(ledger::id_of(m_config.origin)), m_trust(m_network, m_config.origin.first) {
        const auto count = m_config.validators.size();
        if (count > 1) m_favourite = world.random().next() % count;  // not all clients at the same one
        for (std::size_t i = 0; i < tickets_max; ++i) {
            ticket fresh;
            fresh.client = world.random().id<client_id>();
            (void)m_tickets.try_send(fresh);
        }
    }

    [[nodiscard]] const network_config& network() const noexcept override { return m_config; }
    [[nodiscard]] const ledger::trust& trust() const noexcept override { return m_trust; }

    net::awaitable<result<bytes>> submit(const account& who, ledger::action what, net::time_point deadline) override;
    net::awaitable<result<ledger::proved_record>> read(bytes key, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::node_record>>> nodes(net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::volume_record>>> volumes(account_id of, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::view_record>>> views(volume_id of, net::time_point deadline) override;
    net::awaitable<result<std::vector<ledger::segment_record>>> segments(volume_id lineage, segment_number after, std::uint32_t limit, net::time_point deadline) override;
    net::awaitable<result<freed_page>> freed_for(node_id miner, ledger::freed_cursor after, net::time_point deadline) override;
    net::awaitable<result<status>> health(net::time_point deadline) override;
    net::awaitable<result<void>> follow_handovers(net::time_point deadline) override;

private:
    struct held_ticket;
    // Says whether a reply can be believed; a validator whose reply cannot is passed over.
    using judge = std::function<result<void>(const net::reply&)>;
    net::awaitable<result<net::reply>> ask(net::method_id method, bytes head, net::time_point deadline, judge believe);
    net::awaitable<result<void>> judged(std::size_t which, const judge& believe, const net::reply& answer, net::time_point deadline);
    net::awaitable<result<void>> follow_from(std::size_t which, net::time_point deadline);
    net::awaitable<result<net::reply>> ask_one(std::size_t which, net::method_id method, bytes head, net::time_point deadline);
    template <class Reply, class Request>
    net::awaitable<result<Reply>> ask_for(net::method_id method, Request what, net::time_point deadline);
    net::awaitable<result<status_reply>> ask_status(net::time_point deadline);

    result<void> accept(const ledger::state_certificate& certificate, block_height at_least);
    result<ledger::proved_record> accept_record(byte_view head, const bytes& key, block_height at_least);
    result<ledger::outcome> accept_outcome(byte_view head, const ledger::transaction& sent, const hash256& digest);
    [[nodiscard]] block_height seen() const noexcept { return {m_seen.load()}; }

    net::env& m_world;
    net::caller& m_through;
    const network_config m_config;
    const network_id m_network;
    net::bounded_channel<ticket> m_tickets{tickets_max};
    std::atomic<std::uint64_t> m_seen{0};        // the highest certified height; never believe an older state
    std::atomic<bool> m_seen_any{false};
    std::atomic<std::size_t> m_favourite{0};     // the validator that answered last
    ledger::trust m_trust;
};

// ---- asking ----------------------------------------------------------------------------------------------

net::awaitable<result<net::reply>> network_client::ask_one(std::size_t which, net::method_id method, bytes head, net::time_point deadline) {
    net::request what;
    what.method = method;
    what.head = std::move(head);
    auto call = m_through.call(m_config.validators[which], std::move(what), deadline, net::lane::control);
    co_return co_await std::move(call);
}

net::awaitable<result<net::reply>> network_client::ask(net::method_id method, bytes head, net::time_point deadline, judge believe) {
    const auto count = m_config.validators.size();
    if (count == 0) co_return error(errc::unavailable, "the configuration names no consensus node");
    const net::retry_policy pauses{std::chrono::milliseconds(20), std::chrono::seconds(1), 0};
    std::size_t disbelieved = 0;
    auto which = m_favourite.load() % count;
    for (unsigned attempt = 1;; ++attempt) {
        auto call = ask_one(which, method, head, std::min(deadline, m_world.now() + attempt_within));
        auto got = co_await std::move(call);
        if (got) {
            auto judging = judged(which, believe, *got, deadline);
            const auto good = co_await std::move(judging);
            if (good) {
                m_favourite = which;
                co_return got;
            }
            got = good.error();
            if (!net::is_transient(good.error().code) && ++disbelieved >= count) co_return got;
        } else if (!net::is_transient(got.error().code)) {
            co_return got;
        }
        which = (which + 1) % count;
        const auto pause = attempt < count ? net::duration(0) : net::pause_after(pauses, attempt - static_cast<unsigned>(count) + 1, m_world.random());
        if (m_world.now() + pause >= deadline) co_return std::move(got).error().with_context("consensus");
        if (pause > net::duration(0)) {
            auto slept = co_await m_world.sleep_for(pause);
            if (!slept) co_return std::move(slept).error();
        }
    }
}

// What is of an epoch that is not known here is looked at once more when the handovers up to there are.
net::awaitable<result<void>> network_client::judged(std::size_t which, const judge& believe, const net::reply& answer, net::time_point deadline) {
    if (!believe) co_return result<void>();
    auto good = believe(answer);
    if (good || !m_trust.wants_handovers()) co_return good;
    auto following = follow_from(which, std::min(deadline, m_world.now() + attempt_within));
    auto followed = co_await std::move(following);
    if (followed) co_return believe(answer);
    co_return good;
}

// Of one node, as far as it can prove.
net::awaitable<result<void>> network_client::follow_from(std::size_t which, net::time_point deadline) {
    for (;;) {
        handovers_request what;
        what.network = m_network;
        what.from = m_trust.now().epoch;
        auto call = ask_one(which, method::handovers, wire::encode(what), deadline);
        auto got = co_await std::move(call);
        if (!got) co_return std::move(got).error();
        const auto all = wire::decode<std::vector<ledger::state_certificate>>(got->head);
        if (!all) co_return all.error();
        for (const auto& last : *all) CO_CHECK_OK(m_trust.follow(last));
        if (m_trust.now().epoch == what.from) co_return result<void>();
    }
}

net::awaitable<result<void>> network_client::follow_handovers(net::time_point deadline) {
    result<void> last = error(errc::unavailable, "the configuration names no consensus node");
    for (std::size_t i = 0; i < m_config.validators.size(); ++i) {
        const auto share = (deadline - m_world.now()) / static_cast<int>(m_config.validators.size() - i);  // one that hangs leaves the others theirs
        auto following = follow_from((m_favourite + i) % m_config.validators.size(), m_world.now() + share);
        last = co_await std::move(following);
        if (last && !m_trust.wants_handovers()) co_return last;
    }
    co_return last;
}

template <class Reply, class Request>
net::awaitable<result<Reply>> network_client::ask_for(net::method_id method, Request what, net::time_point deadline) {
    auto call = ask(method, wire::encode(what), deadline, nullptr);
    auto got = co_await std::move(call);
    if (!got) co_return std::move(got).error();
    co_return wire::decode<Reply>(got->head);
}

// ---- believing -------------------------------------------------------------------------------------------

result<void> network_client::accept(const ledger::state_certificate& certificate, block_height at_least) {
    CHECK_OK(m_trust.follow(certificate));
    const auto height = certificate.body.height;
    if (height < at_least)
        return error(errc::unavailable, "a consensus node answered from height " + std::to_string(height.value) + ", " + std::to_string(at_least.value) + " was seen before");
    for (auto seen = m_seen.load(); seen < height.value && !m_seen.compare_exchange_weak(seen, height.value);) {}
    m_seen_any = true;
    return {};
}

result<ledger::proved_record> network_client::accept_record(byte_view head, const bytes& key, block_height at_least) {
    TRY(auto record, wire::decode<ledger::proved_record>(head));
    if (record.key != key) return error(errc::protocol, "a consensus node answered with another record");
    CHECK_OK(m_trust.check(record));
    CHECK_OK(accept(record.certificate, at_least));
    return record;
}

result<ledger::outcome> network_client::accept_outcome(byte_view head, const ledger::transaction& sent, const hash256& digest) {
    TRY(const auto record, accept_record(head, ledger::key::client(sent.account, sent.client), {}));
    if (!record.value) return error(errc::corrupt, "a consensus node answered without an outcome");
    TRY(auto known, wire::decode<ledger::client_record>(*record.value));
    if (known.number != sent.number || known.digest != digest) return error(errc::corrupt, "a consensus node answered with another transaction's outcome");
    return std::move(known.result);
}

// ---- transactions and records ----------------------------------------------------------------------------

// Goes back to the others when its transaction ends, in whatever way. Its next number makes an older one void.
struct network_client::held_ticket {
    held_ticket(net::bounded_channel<ticket>& to, ticket t) : pool(to), mine(t) {}
    ~held_ticket() { (void)pool.try_send(mine); }
    held_ticket(const held_ticket&) = delete;
    held_ticket& operator=(const held_ticket&) = delete;
    net::bounded_channel<ticket>& pool;
    ticket mine;
};

net::awaitable<result<bytes>> network_client::submit(const account& who, ledger::action what, net::time_point deadline) {
    const auto key = who.key;
    auto free = m_tickets.receive();
    auto timed = net::with_deadline<ticket>(m_world, std::move(free), deadline);
    auto got = co_await std::move(timed);
    if (!got) co_return std::move(got).error().with_context("wait for earlier transactions");
    held_ticket held(m_tickets, *got);
    if (!m_seen_any) {
        auto asked = ask_status(deadline);
        auto known = co_await std::move(asked);
        if (!known) co_return std::move(known).error();
    }
    ledger::transaction body;
    body.network = m_network;
    body.account = crypto::id_of<account_id>(key.pub());
    body.client = held.mine.client;
    body.number = ++held.mine.number;
    body.expires = {seen().value + lifetime};
    body.what = std::move(what);
    const auto sent = ledger::sign(key, std::move(body));
    auto head = wire::encode(sent);
    if (head.size() > ledger::limits::transaction_size_max) co_return error(errc::too_large, "transaction of more than 2 MiB");
    const auto digest = ledger::digest_of(sent.body);
    ledger::outcome outcome;
    const judge believe = [&](const net::reply& answer) -> result<void> {
        TRY(outcome, accept_outcome(answer.head, sent.body, digest));
        if (outcome.code != errc::ok) outcome.what = words_of(answer.body);
        return {};
    };
    auto call = ask(method::submit, std::move(head), deadline, believe);
    auto answered = co_await std::move(call);
    if (!answered) co_return std::move(answered).error();
    if (outcome.code != errc::ok) co_return error(outcome.code, std::move(outcome.what));
    co_return std::move(outcome.value);
}

net::awaitable<result<ledger::proved_record>> network_client::read(bytes key, net::time_point deadline) {
    read_request what;
    what.network = m_network;
    what.key = key;
    what.at_least = seen();
    const auto at_least = what.at_least;
    ledger::proved_record record;
    const judge believe = [&](const net::reply& answer) -> result<void> {
        TRY(record, accept_record(answer.head, key, at_least));
        return {};
    };
    auto call = ask(method::read, wire::encode(what), deadline, believe);
    auto answered = co_await std::move(call);
    if (!answered) co_return std::move(answered).error();
    co_return std::move(record);
}

net::awaitable<result<client::freed_page>> network_client::freed_for(node_id miner, ledger::freed_cursor after, net::time_point deadline) {
    freed_request what;
    what.miner = miner;
    what.after = after;
    freed_page out;
    const judge believe = [&](const net::reply& answer) -> result<void> {
        TRY(auto decoded, wire::decode<freed_reply>(answer.head));
        if (decoded.next < after) return error(errc::protocol, "a list of freed segments that goes back");
        for (const auto& record : decoded.records) {
            CHECK_OK(trust().check(record));
            if (!record.value) return error(errc::corrupt, "a freed segment that the ledger does not know");
            CHECK_OK(accept(record.certificate, {}));
        }
        out.records = std::move(decoded.records);
        out.next = decoded.next;
        return {};
    };
    auto call = ask(method::freed, wire::encode(what), deadline, believe);
    auto answered = co_await std::move(call);
    if (!answered) co_return std::move(answered).error();
    co_return std::move(out);
}

// ---- lists -----------------------------------------------------------------------------------------------

net::awaitable<result<std::vector<ledger::node_record>>> network_client::nodes(net::time_point deadline) {
    std::vector<ledger::node_record> out;
    nodes_request what;
    for (bool more = true; more && out.size() < listed_max;) {
        auto call = ask_for<page<ledger::node_record>>(method::nodes, what, deadline);
        auto got = co_await std::move(call);
        if (!got) co_return std::move(got).error();
        more = got->more && !got->records.empty();
        if (more) what.after = got->records.back().id;
        std::move(got->records.begin(), got->records.end(), std::back_inserter(out));
    }
    co_return std::move(out);
}

net::awaitable<result<std::vector<ledger::volume_record>>> network_client::volumes(account_id of, net::time_point deadline) {
    std::vector<ledger::volume_record> out;
    volumes_request what;
    what.of = of;
    for (bool more = true; more && out.size() < listed_max;) {
        auto call = ask_for<page<ledger::volume_record>>(method::volumes, what, deadline);
        auto got = co_await std::move(call);
        if (!got) co_return std::move(got).error();
        more = got->more && !got->records.empty();
        if (more) what.after = got->records.back().name;
        std::move(got->records.begin(), got->records.end(), std::back_inserter(out));
    }
    co_return std::move(out);
}

net::awaitable<result<std::vector<ledger::view_record>>> network_client::views(volume_id of, net::time_point deadline) {
    std::vector<ledger::view_record> out;
    views_request what;
    what.of = of;
    for (bool more = true; more && out.size() < listed_max;) {
        auto call = ask_for<page<ledger::view_record>>(method::views, what, deadline);
        auto got = co_await std::move(call);
        if (!got) co_return std::move(got).error();
        more = got->more && !got->records.empty();
        if (more) what.after = got->records.back().name;
        std::move(got->records.begin(), got->records.end(), std::back_inserter(out));
    }
    co_return std::move(out);
}

net::awaitable<result<std::vector<ledger::segment_record>>> network_client::segments(volume_id lineage, segment_number after, std::uint32_t limit, net::time_point deadline) {
    std::vector<ledger::segment_record> out;
    segments_request what;
    what.lineage = lineage;
    what.after = after;
    for (bool more = true; more && out.size() < limit;) {
        what.limit = limit - static_cast<std::uint32_t>(out.size());
        auto call = ask_for<page<ledger::segment_record>>(method::segments, what, deadline);
        auto got = co_await std::move(call);
        if (!got) co_return std::move(got).error();
        more = got->more && !got->records.empty();
        if (more) what.after = got->records.back().number;
        std::move(got->records.begin(), got->records.end(), std::back_inserter(out));
    }
    co_return std::move(out);
}

// ---- health ----------------------------------------------------------------------------------------------

net::awaitable<result<status_reply>> network_client::ask_status(net::time_point deadline) {
    status_request what;
    what.network = m_network;
    status_reply out;
    const judge believe = [&](const net::reply& answer) -> result<void> {
        TRY(out, wire::decode<status_reply>(answer.head));
        return accept(out.certificate, {});
    };
    auto call = ask(method::status, wire::encode(what), deadline, believe);
    auto answered = co_await std::move(call);
    if (!answered) co_return std::move(answered).error();
    co_return std::move(out);
}

net::awaitable<result<client::status>> network_client::health(net::time_point deadline) {
    auto call = ask_status(deadline);
    auto got = co_await std::move(call);
    if (!got) co_return std::move(got).error();
    status out;
    out.height = got->certificate.body.height;
    out.epoch = got->certificate.body.next.epoch;
    out.transactions = got->transactions;
    out.finality_us = got->finality_us;
    co_return out;
}

}  // namespace

std::unique_ptr<client> make_client(net::env& world, net::caller& through, network_config network) {
    return std::make_unique<network_client>(world, through, std::move(network));
}

}  // namespace cess::chain
