// A committee of four whole validators on the simulator's thread, with their disks, stores and clients, which tests end, wipe and start
// again as they like.
#pragma once

#include <support/chain_network.hpp>
#include <support/faulty_disk.hpp>
#include <support/rivals.hpp>
#include <support/store_around.hpp>

#include <chain/client/protocol.hpp>
#include <chain/consensus/cks_coin.hpp>
#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <future>
#include <set>

namespace cess::test {

using namespace std::chrono_literals;

inline constexpr std::size_t members = 4;

class mortal_store final : public test::store_around {
public:
    result<std::optional<bytes>> get(const bytes& key) override {
        if (throws) throw std::runtime_error("the store is gone");
        return below.get(key);
    }
    result<void> commit(const kv::batch& b) override {
        std::size_t state = 0;
        for (const auto& [key, value] : b)
            if (key[0] == std::byte{'S'}) state += key.size() + (value ? value->size() : 0);
        largest = std::max(largest, state);
        return dead ? error(errc::io, "dead") : below.commit(b);
    }
    result<void> flush() override { return dead ? error(errc::io, "dead") : below.flush(); }
    result<void> keep_copy(const std::string& name) override { return dead ? error(errc::io, "dead") : below.keep_copy(name); }
    result<void> drop_copies(const std::string& but) override { return dead ? error(errc::io, "dead") : below.drop_copies(but); }
    bool dead = false, throws = false;
    std::size_t largest = 0;  // of what one batch changed of the state, in bytes
};

// Throws out of every call, as what it stands on may when memory is short; hears nobody, or not some; and spoils what it is told, as liars among those
// who are asked may.
class throwing_caller final : public net::caller {
public:
    explicit throwing_caller(std::unique_ptr<net::caller> to) : below(std::move(to)) {}
    net::awaitable<result<net::reply>> call(net::peer to, net::request what, net::time_point deadline, net::lane on) override {
        if (throws) throw std::runtime_error("out of everything");
        const auto method = what.method;
        if (method == mute || (method == 0x0280 && deaf.contains(to.id))) what.method = 0xffff;
        if (method == 0x0282) ++pieces_asked;
        const bool lie = spoil && to.id == spoils_of;
        auto calling = below->call(std::move(to), std::move(what), deadline, on);
        return lie ? spoiled(method, std::move(calling)) : std::move(calling);
    }
    std::unique_ptr<net::caller> below;
    bool throws = false;
    net::method_id mute = 0;  // is not understood by anybody
    std::set<node_id> deaf;   // hear of no blocks
    std::size_t pieces_asked = 0;  // of states
    node_id spoils_of;
    std::function<void(net::method_id method, net::reply& answer)> spoil;

private:
    net::awaitable<result<net::reply>> spoiled(net::method_id method, net::awaitable<result<net::reply>> call) {
        auto got = co_await std::move(call);
        if (got) spoil(method, *got);
        co_return got;
    }
};

struct waiting_task final : net::worker_pool::task {
    explicit waiting_task(std::future<void> on) : until(std::move(on)) {}
    void run() noexcept override { until.wait(); }
    std::future<void> until;
};

struct member {
    crypto::signing_key key = test::key_from(1);
    crypto::secret_key coin;
    test::faulty_disk disk;
    mortal_store state;
    metrics count;
    std::unique_ptr<throwing_caller> caller;
    chain::validator_limits limits;
    bool indexed = false;  // it keeps an index
    net::worker_pool* workers = nullptr;  // its own, if set
    net::worker_pool* readers = nullptr;
    std::unique_ptr<chain::validator> node;
    [[nodiscard]] node_id id() const { return crypto::id_of<node_id>(key.pub()); }
};

class committee_run {
public:
    explicit committee_run(std::uint64_t seed) : world(seed), random(seed * 7919 + 1), account(test::account_from(6)) {
        log::settings quiet_log;
        quiet_log.threshold = log::level::off;
        REQUIRE(log::configure(quiet_log).has_value());
        seeded_random dealer(seed + 77);
        const auto dealt = consensus::deal_coin(dealer, members, 2);
        config.origin.name = "test";
        config.origin.coin = dealt.verification;
        config.origin.default_geometry = {2, 1};
        config.origin.created_unix = 1;
        for (std::size_t i = 0; i < members; ++i) {
            auto& m = *all.emplace_back(std::make_unique<member>());
            m.key = test::key_from(100 + i);
            m.coin = dealt.secrets[i];
            REQUIRE(m.disk.make_directories("/chain/dag/epoch-0").has_value());
            m.caller = std::make_unique<throwing_caller>(network.caller_as(m.id()));
            config.origin.first.members.push_back(m.key.pub());
            config.validators.push_back({m.id(), "member"});
        }
        caller = network.caller_as(crypto::id_of<node_id>(test::key_from(8).pub()));
        client = chain::make_client(world, *caller, config);
    }
    ~committee_run() {
        for (std::size_t i = 0; i < members; ++i)
            if (all[i]->node) end(i, false);
        world.run(quiet(network.stop()));
    }

    result<void> start(std::size_t i) {
        auto& m = *all[i];
        chain::validator_dependencies needs{world, m.disk, "/chain/dag", m.state, m.key, config.origin, m.workers ? *m.workers : workers, m.count, m.limits};
        needs.limits.log_file_size = 16 * KiB;
        needs.limits.replay_blocks_max = 5;
        needs.limits.checkpoint_rounds = 40;
        if (epoch_rounds > 0) needs.limits.epoch_rounds = epoch_rounds;
        needs.limits.epoch_rounds_min = 40;
        needs.limits.closed_epochs = closed_epochs;
        needs.committee.emplace(chain::committee_dependencies{*m.caller, config.validators, m.coin, pace, m.readers ? *m.readers : workers});
        if (m.indexed) needs.index = {[] { return result<std::unique_ptr<kv::store>>(std::make_unique<kv::memory_store>()); }, [] {}};
        TRY(m.node, chain::make_validator(std::move(needs)));
        network.add(m.id(), *m.node);
        net::local_network::fate distant;
        distant.delay = 2ms;
        network.set_fate(m.id(), distant);
        return {};
    }
    void start_all() {
        for (std::size_t i = 0; i < members; ++i) REQUIRE(start(i).has_value());
    }
    // Ends the process as it stands; `power` too: what was not synced is lost or torn.
    void end(std::size_t i, bool power) {
        auto& m = *all[i];
        m.state.dead = true;
        m.disk.die_at(0);
        network.remove(m.id());
        if (m.node) world.run(quiet(m.node->stop()));
        m.node.reset();
        m.state.dead = false;
        m.state.below.crash();
        if (power) m.disk.crash(random.next());
        else m.disk.new_process();
    }

    // Its keys are all that is left of it.
    void wipe(std::size_t i) {
        auto fresh = std::make_unique<member>();
        fresh->key = all[i]->key;
        fresh->coin = all[i]->coin;
        fresh->caller = std::move(all[i]->caller);
        all[i] = std::move(fresh);
    }
    // What member i alone says of the volumes, with its proofs.
    bool knows(std::size_t i, std::size_t volumes) {
        auto asked = config;
        asked.validators = {config.validators[i]};
        const auto one = chain::make_client(world, *caller, asked);
        for (std::size_t v = 0; v < volumes; ++v) {
            const auto read = world.run(one->read(ledger::key::volume(creation(v).id), world.now() + 10s));
            if (!read || !read->value) return false;
        }
        return true;
    }
    [[nodiscard]] std::uint64_t own_blocks(std::size_t i) { return all[i]->count.make_counter("cess_consensus_own_blocks_total", "Own blocks of the committee's DAG").value(); }
    // One volume after the other, until member `of` is in that epoch.
    std::size_t run_to_epoch(std::size_t of, std::uint64_t wanted, std::size_t next) {
        for (const auto last = next + 200; epoch(of) < wanted && next < last; ++next) {
            submit(next, 1min);
            world.run_for(300ms);
        }
        return next;
    }
    static ledger::create_volume creation(std::size_t i) {
        ledger::create_volume what;
        what.name = "v" + std::to_string(i);
        what.id = volume_id::from(crypto::sha256(as_view(what.name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return what;
    }
    void submit(std::size_t i, net::duration within) { world.spawn(submitting(i, within)); }
    net::awaitable<void> submitting(std::size_t i, net::duration within) {
        ledger::action what = creation(i);
        auto op = client->submit(account, std::move(what), world.now() + within);
        auto done = co_await std::move(op);
        outcomes.insert_or_assign(i, done ? error() : done.error());
    }
    // All blocks of member 0.
    net::awaitable<void> fetch_all(net::caller& as) {
        net::request what;
        what.method = 0x0281;
        what.head = blocks_head();
        append(what.head, wire::encode(std::pair(std::vector<consensus::block_ref>(), std::optional<consensus::round_number>(1))));
        auto op = as.call(config.validators[0], std::move(what), world.now() + 1h, net::lane::bulk);
        auto done = co_await std::move(op);
        if (!done && done.error().code == errc::exhausted) ++busy;
    }
    // To member 0, of another client each: cheap to send, dear to apply.
    net::awaitable<void> heavy(std::uint8_t i) {
        ledger::transaction body;
        body.network = ledger::id_of(config.origin);
        body.account = account.id();
        body.client.raw.fill(std::byte{i});
        body.number = 1;
        body.expires = {1000};
        body.what = ledger::reap{{}, ledger::limits::reap_max};
        net::request ask;
        ask.method = chain::method::submit;
        ask.head = wire::encode(ledger::sign(account.key, std::move(body)));
        auto op = caller->call(config.validators[0], std::move(ask), world.now() + 30s, net::lane::bulk);
        auto done = co_await std::move(op);
        if (!done && done.error().code == errc::exhausted) ++busy;
    }
    // To member i % 2, of another client each: what the ledger refuses, but only once it is ordered.
    net::awaitable<void> large(std::uint8_t i) {
        auto what = creation(0);
        what.name = std::string(1'900'000, 'x');
        ledger::transaction body;
        body.network = ledger::id_of(config.origin);
        body.account = account.id();
        body.client.raw.fill(std::byte{i});
        body.number = 1;
        body.expires = {1000};
        body.what = what;
        net::request ask;
        ask.method = chain::method::submit;
        ask.head = wire::encode(ledger::sign(account.key, std::move(body)));
        auto op = caller->call(config.validators[i % 2], std::move(ask), world.now() + 30s, net::lane::bulk);
        (void)co_await std::move(op);
    }
    [[nodiscard]] bool done(std::size_t from, std::size_t to) const {
        for (auto i = from; i < to; ++i)
            if (!outcomes.contains(i) || outcomes.at(i).code != errc::ok) return false;
        return true;
    }
    bool present(std::size_t i) {
        auto read = world.run(client->read(ledger::key::volume(creation(i).id), world.now() + 30s));
        return read && read->value.has_value();
    }
    // Whether all live members have come to the same certified state.
    bool agree() {
        std::optional<ledger::certificate_body> first;
        for (const auto& m : all) {
            if (!m->node) continue;
            const auto body = m->node->certificate().body;
            if (first && body != *first) return false;
            first = body;
        }
        return first.has_value();
    }
    [[nodiscard]] std::uint64_t epoch(std::size_t i) const { return all[i]->node->certificate().body.next.epoch; }
    // Of the DAG, at the last start.
    std::int64_t replayed(std::size_t i) {
        auto& count = all[i]->count.make_gauge("cess_consensus_replayed_blocks", "Blocks of the committee's DAG that the start read again");
        return count.value();
    }
    result<bytes> block(std::size_t at, std::uint64_t height) {
        net::request what;
        what.method = chain::method::block;
        what.head = wire::encode(chain::block_request{{height}});
        auto got = world.run(caller->call(config.validators[at], std::move(what), world.now() + 10s, net::lane::control));
        if (!got) return std::move(got).error();
        return std::move(got->body);
    }
    errc ask(net::caller& as, net::method_id method, bytes head, bytes body) { return ask(as, 0, method, std::move(head), std::move(body)); }
    errc ask(net::caller& as, std::size_t of, net::method_id method, bytes head, bytes body) {
        net::request what;
        what.method = method;
        what.head = std::move(head);
        what.body = std::move(body);
        const auto got = world.run(as.call(config.validators[of], std::move(what), world.now() + 10s, net::lane::control));
        return got ? errc::ok : got.error().code;
    }
    [[nodiscard]] bytes blocks_head() const { return head_of(ledger::id_of(config.origin)); }
    static bytes head_of(const network_id& network) { return wire::encode(std::pair(std::uint8_t{2}, std::pair(network, std::uint64_t{0}))); }  // of epoch 0
    static net::awaitable<result<void>> quiet(net::awaitable<void> op) {
        co_await std::move(op);
        co_return result<void>();
    }

    simulation::world world;
    seeded_random random;
    net::worker_pool workers{0};
    net::local_network network{world};
    chain::account account;
    chain::network_config config;
    std::vector<std::unique_ptr<member>> all;
    std::unique_ptr<net::caller> caller;
    std::unique_ptr<chain::client> client;
    std::map<std::size_t, error> outcomes;
    std::size_t busy = 0;
    std::uint64_t epoch_rounds = 0;  // 0 = as ever
    std::uint64_t closed_epochs = 1;
    consensus::pacing pace;
};

inline net::awaitable<void> rivalry(test::rivals& in, chain::client& by, unsigned operations, unsigned& busy) {
    auto all = in.run(by, operations);
    (void)co_await std::move(all);
    --busy;
}

// Rounds of submissions in which members die, some with their power, some of them all at once; then all are there again, every
// transaction must be answered "ok", and be there. Answers what went wrong, if anything did.
inline std::string ordeal(committee_run& on, int rounds) {
    std::size_t next = 0;
    on.start_all();
    for (int round = 0; round < rounds; ++round) {
        for (auto n = 1 + on.random.below(6); n > 0; --n) on.submit(next++, 1h);
        const auto victims = on.random.below(1U << members);
        const bool at_an_operation = on.random.below(2) == 0;
        for (std::size_t i = 0; i < members; ++i)
            if ((victims >> i & 1) != 0 && at_an_operation) on.all[i]->disk.die_at(on.random.below(40));
        on.world.run_for(std::chrono::milliseconds(20 + on.random.below(400)));
        for (std::size_t i = 0; i < members; ++i)
            if ((victims >> i & 1) != 0) on.end(i, on.random.below(2) == 0);
        on.world.run_for(std::chrono::milliseconds(on.random.below(3000)));
        for (std::size_t i = 0; i < members; ++i)
            if (!on.all[i]->node)
                if (auto started = on.start(i); !started) return "member " + std::to_string(i) + " does not start: " + started.error().message();
    }
    on.world.run_for(5min);
    for (std::size_t i = 0; i < next; ++i) {
        if (!on.outcomes.contains(i)) return "no answer to " + std::to_string(i);
        if (on.outcomes[i].code != errc::ok) return "answer to " + std::to_string(i) + ": " + on.outcomes[i].message();
    }
    if (!on.agree()) return "members differ";
    for (std::size_t i = 0; i < members; ++i) on.end(i, true);
    for (std::size_t i = 0; i < members; ++i)
        if (auto started = on.start(i); !started) return "member " + std::to_string(i) + " does not start: " + started.error().message();
    on.world.run_for(1min);
    for (std::size_t i = 0; i < next; ++i)
        if (!on.present(i)) return "lost " + std::to_string(i);
    return on.agree() ? "" : "members differ at the end";
}

}  // namespace cess::test
