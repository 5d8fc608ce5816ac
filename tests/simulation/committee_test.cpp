// A committee of four whole validators on the simulator's thread, with their disks, stores and clients: what goes on with one of them
// dead, what stops with two, and what is left when they all die.
#include <support/chain_network.hpp>
#include <support/faulty_disk.hpp>
#include <support/rivals.hpp>
#include <support/store_around.hpp>

#include <chain/client/protocol.hpp>
#include <chain/consensus/cks_coin.hpp>
#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <future>

using namespace cess;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t members = 4;

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

// Throws out of every call, as what it stands on may when memory is short; or spoils pieces of the state, as liars among those who are asked may.
class throwing_caller final : public net::caller {
public:
    explicit throwing_caller(std::unique_ptr<net::caller> to) : below(std::move(to)) {}
    net::awaitable<result<net::reply>> spoiled(net::awaitable<result<net::reply>> call) {
        auto got = co_await std::move(call);
        if (!got || got->body.size() < 10) co_return got;
        auto body = to_bytes(as_text(got->body));
        body[body.size() - 1 - spoils++ % 8] ^= std::byte{1};
        got->body = std::move(body);
        co_return got;
    }
    net::awaitable<result<net::reply>> call(net::peer to, net::request what, net::time_point deadline, net::lane on) override {
        if (throws) throw std::runtime_error("out of everything");
        if (what.method == mute) what.method = 0xffff;
        if (spoils > 0 && to.id == spoils_of && what.method == 0x0282) return spoiled(below->call(std::move(to), std::move(what), deadline, on));
        return below->call(std::move(to), std::move(what), deadline, on);
    }
    std::unique_ptr<net::caller> below;
    bool throws = false;
    net::method_id mute = 0;  // is not understood by anybody
    node_id spoils_of;
    std::size_t spoils = 0;  // so many pieces, and one
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

net::awaitable<void> rivalry(test::rivals& in, chain::client& by, unsigned operations, unsigned& busy) {
    auto all = in.run(by, operations);
    (void)co_await std::move(all);
    --busy;
}

// Rounds of submissions in which members die, some with their power, some of them all at once; then all are there again, every
// transaction must be answered "ok", and be there. Answers what went wrong, if anything did.
std::string ordeal(committee_run& on, int rounds) {
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

}  // namespace

TEST_CASE("four members order, certify and show the same blocks; one may die, and catches up") {
    committee_run on(1);
    on.start_all();
    for (std::size_t i = 0; i < 20; ++i) {
        on.submit(i, 1min);
        on.world.run_for(10ms);
    }
    on.world.run_for(2s);
    CHECK(on.done(0, 20));
    on.end(3, false);
    for (std::size_t i = 20; i < 40; ++i) {
        on.submit(i, 1min);
        on.world.run_for(100ms);
    }
    on.world.run_for(30s);
    CHECK(on.done(20, 40));
    REQUIRE(on.start(3).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(on.all[3]->node->height().value > 10);
    const auto height = on.all[0]->node->height().value;
    for (std::uint64_t h = 1; h <= height; ++h) {
        const auto first = on.block(0, h);
        REQUIRE(first.has_value());
        for (std::size_t i = 1; i < members; ++i) {
            const auto other = on.block(i, h);
            REQUIRE(other.has_value());
            CHECK(*other == *first);
        }
    }
    CHECK_FALSE(on.block(0, height + 1).has_value());
}

TEST_CASE("a signature comes before the block that has it, and in the block if it does not come") {
    std::array<net::duration, 2> took{};
    for (const bool muted : {false, true}) {
        committee_run on(18);
        on.pace.round_min = 20'000;  // a disk takes no time here
        on.start_all();
        for (const auto& m : on.all) m->caller->mute = muted ? 0x0285 : 0;
        const auto began = on.world.now();
        for (std::size_t i = 0; i < 20; ++i) CHECK(on.world.run(on.client->submit(on.account, ledger::action(on.creation(i)), on.world.now() + 1min)).has_value());
        took[muted ? 1 : 0] = on.world.now() - began;
    }
    CHECK(took[0] * 10 < took[1] * 9);
}

TEST_CASE("epochs end and begin under load, and clients follow, those who know the genesis alone too") {
    committee_run on(11);
    on.epoch_rounds = 60;
    on.closed_epochs = 100;
    on.start_all();
    for (std::size_t i = 0; i < 60; ++i) {
        on.submit(i, 1min);
        on.world.run_for(100ms);
    }
    on.world.run_for(10s);
    CHECK(on.done(0, 60));
    CHECK(on.agree());
    CHECK(on.epoch(0) >= 3);
    on.client = chain::make_client(on.world, *on.caller, on.config);
    for (std::size_t i = 0; i < 60; ++i) CHECK(on.present(i));
    CHECK(on.client->trust().now().epoch == on.epoch(0));
    const auto height = on.all[0]->node->height().value;
    CHECK(height >= 60 + on.epoch(0));  // each epoch's end has one of its own
    for (std::uint64_t h = 1; h <= height; ++h) {
        const auto first = on.block(0, h), other = on.block(1, h);
        REQUIRE(first.has_value());
        REQUIRE(other.has_value());
        CHECK(*other == *first);
    }
}

TEST_CASE("a member that was away while an epoch ended comes into the next one") {
    for (const bool power : {false, true}) {
        committee_run on(12);
        on.epoch_rounds = 60;
        on.start_all();
        on.submit(0, 1min);
        on.world.run_for(1s);
        on.end(3, power);
        std::size_t next = 1;
        for (; on.epoch(0) == 0 && next < 100; ++next) {
            on.submit(next, 1min);
            on.world.run_for(300ms);
        }
        on.world.run_for(2s);
        CHECK(on.epoch(0) == 1);
        CHECK(on.done(0, next));
        REQUIRE(on.start(3).has_value());
        on.world.run_for(20s);
        CHECK(on.epoch(3) == on.epoch(0));
        on.end(2, false);  // now it is needed
        on.submit(next, 1min);
        on.world.run_for(10s);
        CHECK(on.done(next, next + 1));
        CHECK(on.agree());
    }
}

TEST_CASE("a member that was away for epochs whose logs have gone takes the state, and counts at once") {
    committee_run on(13);
    on.epoch_rounds = 40;
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(1s);
    on.end(3, true);
    auto next = on.run_to_epoch(0, 3, 1);
    on.world.run_for(5s);
    REQUIRE(on.done(0, next));
    REQUIRE(on.start(3).has_value());
    on.world.run_for(10s);
    CHECK(on.epoch(3) == on.epoch(0));
    CHECK(on.knows(3, next));
    on.end(2, false);  // now it is needed
    on.submit(next, 1min);
    on.world.run_for(10s);
    CHECK(on.done(next, next + 1));
    CHECK(on.agree());
    const auto folders = on.all[3]->disk.list("/chain/dag");
    REQUIRE(folders.has_value());
    CHECK(folders->size() <= 2);
}

TEST_CASE("a member that has lost its disk takes the state, though one who is asked spoils it, and says nothing before the next epoch") {
    committee_run on(14);
    on.epoch_rounds = 2000;
    on.start_all();
    std::size_t next = 0;
    for (; next < 30; ++next) {
        on.submit(next, 1min);
        on.world.run_for(20ms);
    }
    on.epoch_rounds = 60;
    for (std::size_t i = 0; i < members; ++i) {  // with shorter epochs
        on.end(i, false);
        REQUIRE(on.start(i).has_value());
        on.world.run_for(1s);
    }
    next = on.run_to_epoch(0, 2, next);
    on.world.run_for(5s);
    REQUIRE(on.done(0, next));
    on.epoch_rounds = 100'000;  // from here on for its sake alone
    for (std::size_t i = 0; i < 3; ++i) {
        on.end(i, false);
        REQUIRE(on.start(i).has_value());
        on.world.run_for(1s);
    }
    on.end(3, true);
    on.wipe(3);
    on.all[3]->caller->spoils_of = on.all[1]->id();
    on.all[3]->caller->spoils = 1;
    const auto lost_in = on.epoch(0);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(5s);
    CHECK(on.knows(3, next));
    CHECK(on.epoch(3) == lost_in);
    CHECK(on.own_blocks(3) == 0);
    on.submit(next, 1min);
    on.world.run_for(2s);
    CHECK(on.done(next, next + 1));
    CHECK(on.knows(3, ++next));
    CHECK(on.own_blocks(3) == 0);
    next = on.run_to_epoch(3, lost_in + 1, next);
    on.world.run_for(10s);
    CHECK(on.epoch(3) == lost_in + 1);
    CHECK(on.own_blocks(3) > 0);
    on.end(0, false);  // now it is needed
    on.submit(next, 1min);
    on.world.run_for(10s);
    CHECK(on.done(next, next + 1));
    CHECK(on.agree());
}

TEST_CASE("a member that loses its disk in the first epoch follows in silence; one that dies while it fetches the state begins anew") {
    committee_run on(15);
    on.epoch_rounds = 100'000;
    on.start_all();
    for (std::size_t i = 0; i < 10; ++i) {
        on.submit(i, 1min);
        on.world.run_for(20ms);
    }
    on.world.run_for(1s);
    on.end(3, true);
    on.wipe(3);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1s);
    CHECK(on.knows(3, 10));
    CHECK(on.epoch(3) == 0);
    CHECK(on.own_blocks(3) == 0);
    auto next = on.run_to_epoch(0, 2, 10);
    on.end(3, true);
    on.wipe(3);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(on.start(3).has_value());
        on.all[3]->disk.die_at(on.random.below(12));
        on.world.run_for(std::chrono::milliseconds(on.random.below(40)));
        on.end(3, on.random.below(2) == 0);
    }
    REQUIRE(on.start(3).has_value());
    on.world.run_for(10s);
    next = on.run_to_epoch(3, on.epoch(0) + 1, next);
    on.world.run_for(10s);
    CHECK(on.knows(3, next));
    CHECK(on.own_blocks(3) > 0);
    CHECK(on.agree());
}

TEST_CASE("a member without its disk that reaches nobody can be stopped, while it fetches the state too") {
    committee_run on(16);
    on.epoch_rounds = 60;
    on.start_all();
    const auto next = on.run_to_epoch(0, 2, 0);
    on.end(3, true);
    on.wipe(3);
    for (std::size_t i = 0; i < 3; ++i) on.end(i, false);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1s);
    on.end(3, false);  // it knows nothing yet
    on.epoch_rounds = 100'000;
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(on.start(i).has_value());
    REQUIRE(on.start(3).has_value());
    on.all[3]->caller->mute = 0x0282;
    on.world.run_for(5s);
    CHECK_FALSE(on.knows(3, 1));
    CHECK(on.ask(*on.caller, 3, chain::method::nodes, wire::encode(chain::nodes_request()), {}) == errc::unavailable);
    on.end(3, false);  // it is in the middle of it
    REQUIRE(on.start(3).has_value());
    on.all[3]->caller->mute = 0;
    on.world.run_for(30s);
    CHECK(on.knows(3, next));
    CHECK(on.agree());
}

TEST_CASE("who is behind is no witness that a log has gone") {
    committee_run on(17);
    on.epoch_rounds = 100'000;
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(1s);
    auto head = wire::encode(std::pair(std::uint8_t{2}, std::pair(ledger::id_of(on.config.origin), std::uint64_t{7})));  // of an epoch to come
    append(head, wire::encode(std::pair(std::vector<consensus::block_ref>(), std::optional<consensus::round_number>(1))));
    CHECK(on.ask(*on.all[1]->caller, 0x0281, head, {}) == errc::unavailable);
}

TEST_CASE("members die with and without their power while epochs end, and nothing acknowledged is lost") {
    for (std::uint64_t seed = 1; seed <= 16; ++seed) {
        committee_run on(seed + 40);
        on.epoch_rounds = 20 + seed * 3;
        INFO("seed " << seed);
        CHECK(ordeal(on, 8) == "");
        CHECK(on.epoch(0) >= 1);
    }
}

TEST_CASE("with two of four dead nothing is acknowledged; with three everything is") {
    committee_run on(2);
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(2s);
    REQUIRE(on.done(0, 1));
    on.end(1, false);
    on.end(2, true);
    const auto height = on.all[0]->node->height();
    for (std::size_t i = 1; i < 6; ++i) on.submit(i, 1h);
    on.submit(6, 20s);
    on.world.run_for(2min);
    for (std::size_t i = 1; i < 6; ++i) CHECK_FALSE(on.outcomes.contains(i));
    CHECK(on.outcomes[6].code != errc::ok);
    CHECK(on.all[0]->node->height() == height);
    REQUIRE(on.start(2).has_value());
    on.world.run_for(1min);
    CHECK(on.done(1, 6));
    CHECK(on.agree());
}

TEST_CASE("who was away comes past rounds that are larger than an answer") {
    committee_run on(11);
    on.start_all();
    on.world.run_for(1s);
    on.end(3, false);
    const auto before = on.all[0]->node->height().value;
    for (std::uint8_t i = 0; i < 6; ++i) {  // two a burst, to two members, so that both have a block of nearly 2 MiB in one round
        on.world.spawn(on.large(i));
        if (i % 2 == 1) on.world.run_for(1s);
    }
    on.world.run_for(2min);  // heartbeats, until the other is too far behind to hear of single blocks
    CHECK(on.all[0]->node->height().value >= before + 6);
    REQUIRE(on.start(3).has_value());
    on.world.run_for(1min);
    CHECK(on.agree());
}

TEST_CASE("a start reads what came after the newest checkpoint, not all that ever was") {
    committee_run on(12);
    on.start_all();
    on.submit(0, 1min);
    on.world.run_for(20min);
    REQUIRE(on.done(0, 1));
    for (const bool power : {true, false}) {
        for (std::size_t i = 0; i < members; ++i) on.end(i, power);
        for (std::size_t i = 0; i < members; ++i) {
            REQUIRE(on.start(i).has_value());
            CHECK(on.replayed(i) > 2 * 128 * static_cast<std::int64_t>(members - 1));  // as deep as may still count
            CHECK(on.replayed(i) < 500 * static_cast<std::int64_t>(members));          // of more than 1,000 rounds
        }
        const std::size_t next = power ? 1 : 2;
        on.submit(next, 1min);
        on.world.run_for(10s);
        CHECK(on.done(next, next + 1));
        CHECK(on.agree());
        CHECK(on.present(0));
    }
}

TEST_CASE("a lone transaction does not wait for a heartbeat") {
    committee_run on(3);
    on.start_all();
    on.world.run_for(10s);
    const auto began = on.world.now();
    on.submit(0, 1min);
    on.world.drive([&] { return on.outcomes.contains(0); }, began + 1min);
    CHECK(on.done(0, 1));
    CHECK(on.world.now() - began < 200ms);
}

TEST_CASE("a member whose state is not what the others signed stops and says so") {
    committee_run on(4);
    on.start_all();
    for (std::size_t i = 0; i < 3; ++i) on.submit(i, 1min);
    on.world.run_for(2s);
    REQUIRE(on.done(0, 3));
    REQUIRE(on.all[2]->state.flush().has_value());
    on.end(2, false);
    kv::batch damage;
    auto key = ledger::key::volume(committee_run::creation(0).id);
    key.insert(key.begin(), std::byte{'S'});
    REQUIRE(on.all[2]->state.get(key)->has_value());
    damage.emplace(key, std::nullopt);
    auto name = ledger::key::volume_name(on.account.id(), "v0");
    name.insert(name.begin(), std::byte{'S'});
    damage.emplace(name, std::nullopt);
    REQUIRE(on.all[2]->state.commit(damage).has_value());
    REQUIRE(on.start(2).has_value());
    on.world.run_for(5s);
    CHECK(on.all[2]->node->failure().code == errc::ok);
    on.submit(0, 10s);  // refused by all others, since the volume is there
    on.world.run_for(20s);
    CHECK(on.all[2]->node->failure().what.find("differs from the one that") != std::string::npos);
    CHECK(on.all[0]->node->failure().code == errc::ok);
    on.submit(7, 1min);
    on.world.run_for(30s);
    CHECK(on.done(7, 8));
}

TEST_CASE("a member whose task throws stops, says why, and joins all the same") {
    committee_run on(12);
    on.start_all();
    on.world.run_for(1s);
    auto& broken = *on.all[1];
    CHECK(broken.node->failure().code == errc::ok);
    broken.caller->throws = true;
    on.submit(0, 1min);
    on.world.run_for(10s);
    CHECK(broken.node->failure().what.find("out of everything") != std::string::npos);
    CHECK(broken.count.render().find("cess_chain_stopped 1") != std::string::npos);
    CHECK(on.done(0, 1));
    const auto stopped = on.world.run(committee_run::quiet(broken.node->stop()));
    CHECK(stopped.has_value());
    broken.caller->throws = false;
    on.end(1, false);
    REQUIRE(on.start(1).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(broken.node->failure().code == errc::ok);
}

TEST_CASE("a member that throws while it takes another's block stops and says why") {
    committee_run on(13);
    on.start_all();
    on.world.run_for(5min);  // past the horizon, below which the store is asked
    auto& broken = *on.all[0];
    broken.state.throws = true;
    consensus::block what;
    auto& body = what.body;
    body.network = ledger::id_of(on.config.origin);
    body.epoch = on.config.origin.first.epoch;
    body.author = 1;
    body.round = static_cast<consensus::round_number>(broken.count.make_gauge("cess_consensus_round", "").value());
    for (consensus::author_index i = 0; i < members; ++i)
        if (i != 1) body.parents.push_back({body.round - 1, i, hash256()});
    body.weak.push_back({1, 1, hash256()});
    CHECK(on.ask(*on.all[1]->caller, 0x0280, on.blocks_head(), wire::encode(std::vector<bytes>{wire::encode(what)})) != errc::ok);
    broken.state.throws = false;
    on.world.run_for(10s);
    CHECK(broken.node->failure().what.find("the store is gone") != std::string::npos);
}

TEST_CASE("what a stalled disk leaves unwritten is bounded, and the others go on") {
    committee_run on(14);
    net::worker_pool stalled(1, 0);  // refuses all work as an overfull one would
    auto& slow = *on.all[3];
    slow.workers = &stalled;
    slow.limits.untaken_bytes_max = 256 * KiB;
    on.start_all();
    on.world.run_for(1s);
    on.world.spawn(on.large(0));  // of two members, so that both blocks come before either is in the sequence
    on.world.spawn(on.large(1));
    on.submit(0, 1min);
    on.world.run_for(30s);
    CHECK(on.done(0, 1));
    const auto unlogged = slow.count.make_gauge("cess_consensus_unlogged_bytes", "").value();
    CHECK(unlogged > 0);
    CHECK(unlogged < 3 * static_cast<std::int64_t>(MiB));
    CHECK(on.ask(*on.all[1]->caller, 3, 0x0280, on.blocks_head(), wire::encode(std::vector<bytes>())) == errc::exhausted);
    stalled.stop();
}

TEST_CASE("what is cheap to send and dear to apply is bounded by what it costs") {
    committee_run on(15);
    on.all[0]->limits.queue_bytes_max = 5 * MiB;  // two of them and a half
    on.start_all();
    on.world.run_for(1s);
    on.end(1, false);
    on.end(2, false);  // nothing is ordered
    for (std::uint8_t i = 0; i < 8; ++i) on.world.spawn(on.heavy(i));
    on.world.run_for(1s);
    CHECK(on.busy >= 4);
    CHECK(on.busy < 8);
}

TEST_CASE("who catches up holds back no more of the state than its bound") {
    committee_run on(16);
    on.all[3]->limits.held_back_max = 4 * KiB;
    on.start_all();
    on.world.run_for(1s);
    on.end(3, false);
    for (std::size_t i = 0; i < 60; ++i) {
        on.submit(i, 1min);
        on.world.run_for(50ms);
    }
    on.world.run_for(2s);
    REQUIRE(on.done(0, 60));
    on.all[3]->state.largest = 0;
    REQUIRE(on.start(3).has_value());
    on.world.run_for(30s);
    CHECK(on.agree());
    CHECK(on.all[3]->state.largest > 0);
    CHECK(on.all[3]->state.largest < 12 * KiB);
}

TEST_CASE("a member pushes its own blocks only") {
    committee_run on(17);
    on.start_all();
    on.world.run_for(1s);
    const auto block_by = [&](consensus::author_index author) {
        consensus::block what;
        what.body.network = ledger::id_of(on.config.origin);
        what.body.author = author;
        what.body.round = 1;
        return wire::encode(std::vector<bytes>{wire::encode(what)});
    };
    auto& peer = *on.all[1]->caller;
    CHECK(on.ask(peer, 0x0280, on.blocks_head(), block_by(2)) == errc::permission);
    CHECK(on.ask(peer, 0x0280, on.blocks_head(), block_by(1)) == errc::protocol);
    const auto rendered = on.all[0]->count.render();
    CHECK(rendered.find("cess_consensus_refused_blocks_total{member=\"1\"} 2") != std::string::npos);
    CHECK(rendered.find("cess_consensus_refused_blocks_total{member=\"2\"} 0") != std::string::npos);
}

TEST_CASE("of one member few requests are under way at once") {
    committee_run on(19);
    net::worker_pool slow(1);
    std::promise<void> released;
    on.all[0]->readers = &slow;
    on.start_all();
    on.world.run_for(1s);
    std::unique_ptr<net::worker_pool::task> work = std::make_unique<waiting_task>(released.get_future());
    REQUIRE(slow.submit(work).has_value());
    for (int i = 0; i < 12; ++i) on.world.spawn(on.fetch_all(*on.all[1]->caller));
    on.world.run_for(1s);
    CHECK(on.busy == 8);
    released.set_value();
    slow.stop();  // those four are answered
    on.world.run_for(1s);
    CHECK(on.busy == 8);
}

TEST_CASE("who asks for more blocks than a member can read keeps nothing else waiting") {
    committee_run on(18);
    net::worker_pool overfull(1, 0);  // refuses all work
    on.all[0]->readers = &overfull;
    on.start_all();
    on.world.run_for(1s);
    auto fetch = on.blocks_head();
    append(fetch, wire::encode(std::pair(std::vector<consensus::block_ref>(), std::optional<consensus::round_number>(1))));
    CHECK(on.ask(*on.all[1]->caller, 0x0281, fetch, {}) == errc::exhausted);
    CHECK(on.ask(*on.all[1]->caller, 2, 0x0281, fetch, {}) == errc::ok);
    on.submit(0, 1min);
    on.world.run_for(5s);
    CHECK(on.done(0, 1));
    CHECK(on.agree());
}

TEST_CASE("strangers, garbage and other networks' messages move no member") {
    committee_run on(5);
    on.start_all();
    on.world.run_for(1s);
    const auto ask = [&](net::caller& as, net::method_id method, bytes head, bytes body) { return on.ask(as, method, std::move(head), std::move(body)); };
    auto& peer = *on.all[1]->caller;
    const auto network = ledger::id_of(on.config.origin);
    const auto head = on.blocks_head();
    CHECK(ask(*on.caller, 0x0280, head, wire::encode(std::vector<bytes>())) == errc::permission);
    CHECK(ask(peer, 0x0280, head, wire::encode(std::vector<bytes>())) == errc::ok);
    CHECK(ask(peer, 0x0280, {}, {}) == errc::protocol);
    CHECK(ask(peer, 0x0280, head, bytes(100, std::byte{0xff})) == errc::protocol);
    for (const int method : {0x0281, 0x0282, 0x0284, 0x0285}) CHECK(ask(peer, static_cast<net::method_id>(method), bytes(100, std::byte{0xff}), {}) == errc::protocol);
    auto many = head;
    append(many, wire::encode(std::vector(65, std::pair(block_height{1}, signature()))));
    many[0] = std::byte{1};
    CHECK(ask(peer, 0x0285, many, {}) == errc::too_large);
    auto elsewhere = network;
    elsewhere.raw[0] ^= std::byte{1};
    CHECK(ask(peer, 0x0280, on.head_of(elsewhere), wire::encode(std::vector<bytes>())) == errc::permission);
    on.submit(0, 1min);
    on.world.run_for(2s);
    CHECK(on.done(0, 1));
}

TEST_CASE("no acknowledged transaction is lost, whenever members and their power fail") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        INFO("seed " << seed);
        committee_run on(seed);
        CHECK(ordeal(on, 4) == "");
    }
}

TEST_CASE("what rivals are told is linearizable, whenever members and their power fail") {
    std::size_t known = 0, unknown = 0, mistaken = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        INFO("seed " << seed);
        committee_run on(seed + 40);
        on.start_all();
        test::rivals all(on.world, on.account, on.random.next(), 200ms);
        std::vector<std::unique_ptr<net::caller>> callers;
        std::vector<std::unique_ptr<chain::client>> clients;
        unsigned busy = 5;
        for (unsigned i = 0; i < 5; ++i) {
            callers.push_back(on.network.caller_as(crypto::id_of<node_id>(test::key_from(20 + i).pub())));
            clients.push_back(chain::make_client(on.world, *callers.back(), on.config));
            on.world.spawn(rivalry(all, *clients.back(), 40, busy));
        }
        while (busy > 0) {
            on.world.run_for(std::chrono::milliseconds(100 + on.random.below(1500)));
            const auto first = on.random.below(members), count = on.random.below(members + 1);
            const bool power = on.random.below(2) == 0;
            for (std::size_t i = 0; i < count; ++i) on.end((first + i) % members, power);
            on.world.run_for(std::chrono::milliseconds(on.random.below(800)));
            for (std::size_t i = 0; i < members; ++i)
                if (!on.all[i]->node) REQUIRE(on.start(i).has_value());
        }
        for (auto history : all.histories()) {
            CHECK(test::linearizable(history));
            for (auto& op : history) {
                ++(op.answer ? known : unknown);
                if (!op.answer || mistaken >= 20) continue;
                op.answer = !*op.answer;  // would it notice?
                mistaken += test::linearizable(history) ? 0 : 1;
                op.answer = !*op.answer;
            }
        }
    }
    CHECK(known > 300);
    CHECK(unknown > 20);
    CHECK(mistaken == 20);
}

TEST_CASE("a committee is not made of two or three, nor of strangers, nor with another's share of the coin") {
    committee_run on(6);
    auto& m = *on.all[0];
    const auto make = [&](const ledger::genesis& origin, const crypto::secret_key& coin, std::vector<net::peer> known) {
        chain::validator_dependencies needs{on.world, m.disk, "/chain/dag", m.state, m.key, origin, on.workers, m.count, chain::validator_limits()};
        needs.committee.emplace(chain::committee_dependencies{*m.caller, std::move(known), coin, consensus::pacing(), on.workers});
        const auto made = chain::make_validator(std::move(needs));
        return made ? errc::ok : made.error().code;
    };
    const auto& good = on.config.origin;
    CHECK(make(good, on.all[1]->coin, on.config.validators) == errc::permission);
    CHECK(make(good, m.coin, {on.config.validators[0]}) == errc::invalid);
    auto three = good;
    three.first.members.pop_back();
    three.coin.pop_back();
    CHECK(make(three, m.coin, on.config.validators) == errc::unsupported);
    auto without = good;
    without.coin.clear();
    CHECK(make(without, m.coin, on.config.validators) == errc::invalid);
    auto strangers = good;
    std::swap(strangers.first.members[0], strangers.first.members[1]);
    CHECK(make(strangers, m.coin, on.config.validators) == errc::permission);
    strangers.first.members[1] = test::key_from(55).pub();
    CHECK(make(strangers, m.coin, on.config.validators) == errc::permission);
}
