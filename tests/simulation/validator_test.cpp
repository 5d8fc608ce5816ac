// The validator over a disk that forgets and tears, restarted again and again: no acknowledged transaction is lost, none
// is applied twice, and a restart comes to the same root.
#include <support/chain_network.hpp>
#include <support/faulty_disk.hpp>
#include <support/store_around.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <set>

using namespace cess;
using namespace std::chrono_literals;

namespace {

// Memory, with the fate of a process: dead, it keeps nothing more.
class mortal_store final : public test::store_around {
public:
    result<void> commit(const kv::batch& b) override { return dead ? error(errc::io, "dead") : below.commit(b); }
    result<void> flush() override { return dead ? error(errc::io, "dead") : below.flush(); }
    bool dead = false;
};

class chain_run {
public:
    explicit chain_run(std::uint64_t seed) : world(seed), random(seed * 7919 + 1), validator_key(test::key_from(5)), account(test::account_from(6)) {
        config.origin = test::genesis_of(validator_key);
        config.validators = {{crypto::id_of<node_id>(validator_key.pub()), "validator"}};
        log::settings quiet_log;
        quiet_log.threshold = log::level::off;
        REQUIRE(log::configure(quiet_log).has_value());
        caller = network.caller_as(crypto::id_of<node_id>(test::key_from(8).pub()));
        client = chain::make_client(world, *caller, config);
    }
    ~chain_run() {
        if (node) stop();
        world.run(quiet(network.stop()));
    }

    result<void> start() {
        chain::validator_limits limits;
        limits.log_file_size = file_size;
        limits.replay_blocks_max = 5;
        recovering = true;
        chain::validator_dependencies needs{world, disk, "/chain/blocks", store, validator_key, config.origin, workers, count, limits};
        // It never lacks a block, so that nothing is ever to be built.
        if (indexed) needs.index = {[]() -> result<std::unique_ptr<kv::store>> { return error(errc::unsupported, "no scratch store"); }, [] {}};
        auto made = chain::make_validator(std::move(needs));
        recovering = false;
        if (!made) return std::move(made).error();
        node = std::move(*made);
        network.add(config.validators[0].id, *node);
        return {};
    }
    void stop() {
        network.remove(config.validators[0].id);
        world.run(quiet(node->stop()));
        node.reset();
    }
    // Ends the process as it stands; `power` too: what was not synced is lost or torn.
    void end(bool power) {
        store.dead = true;
        disk.die_at(0);
        if (node) stop();
        store.dead = false;
        store.below.crash();
        if (power) disk.crash(random.next());
        else disk.new_process();
    }

    static ledger::create_volume creation(std::size_t i) {
        ledger::create_volume what;
        what.name = "v" + std::to_string(i);
        what.id = volume_id::from(crypto::sha256(as_view(what.name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return what;
    }
    // Submits in the background; the outcome is kept.
    void submit(std::size_t i, net::duration within) { world.spawn(submitting(i, within)); }
    net::awaitable<void> submitting(std::size_t i, net::duration within) {
        ledger::action what = creation(i);
        auto op = client->submit(account, std::move(what), world.now() + within);
        auto done = co_await std::move(op);
        outcomes.insert_or_assign(i, done ? error() : done.error());
    }
    // False too when the client refuses to believe a state older than one it has seen.
    bool present(std::size_t i) {
        auto read = world.run(client->read(ledger::key::volume(creation(i).id), world.now() + 30s));
        return read && read->value.has_value();
    }
    static net::awaitable<result<void>> quiet(net::awaitable<void> op) {
        co_await std::move(op);
        co_return result<void>();
    }

    simulation::world world;
    seeded_random random;
    test::faulty_disk disk;
    mortal_store store;
    net::worker_pool workers{0};
    metrics count;
    net::local_network network{world};
    crypto::signing_key validator_key;
    chain::account account;
    chain::network_config config;
    std::unique_ptr<net::caller> caller;
    std::unique_ptr<chain::client> client;
    std::unique_ptr<chain::validator> node;
    std::map<std::size_t, error> outcomes;
    bool recovering = false;
    bool indexed = false;
    std::uint64_t file_size = 2048;  // a few blocks a file
};

// Rounds of submissions, each ended by a death somewhere; every transaction must be answered "ok" in the end, and what
// was answered must be there. Answers what went wrong, if anything did.
std::string ordeal(chain_run& on, int rounds) {
    std::size_t next = 0;
    if (!on.start()) return "does not start";
    for (int round = 0; round < rounds; ++round) {
        for (auto n = 1 + on.random.below(6); n > 0; --n) on.submit(next++, 1h);
        const auto fatal = on.random.below(12);
        on.disk.die_at(fatal);
        on.world.run_for(200ms);
        on.end(on.random.below(2) == 0);
        if (auto started = on.start(); !started) return "does not start: " + started.error().message();
    }
    on.world.run_for(10min);
    for (std::size_t i = 0; i < next; ++i) {
        if (!on.outcomes.contains(i)) return "no answer to " + std::to_string(i);
        if (on.outcomes[i].code != errc::ok) return "answer to " + std::to_string(i) + ": " + on.outcomes[i].message();
    }
    on.end(true);
    if (auto started = on.start(); !started) return "does not start: " + started.error().message();
    for (std::size_t i = 0; i < next; ++i)
        if (!on.present(i)) return "lost " + std::to_string(i);
    return {};
}

}  // namespace

TEST_CASE("no acknowledged transaction is lost or applied twice, whenever the validator dies") {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
        INFO("seed " << seed);
        chain_run on(seed);
        CHECK(ordeal(on, 4) == "");
    }
}

TEST_CASE("an index has every transaction once and every block, whenever the validator dies") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        INFO("seed " << seed);
        chain_run on(seed);
        on.indexed = true;
        REQUIRE(ordeal(on, 4) == "");
        const auto& records = on.node->certified();
        const auto range = records.indexed().value();
        CHECK(range.from.value == 1);
        CHECK(range.upto == on.node->height());
        CHECK(records.of_account(on.account.id(), std::nullopt, 1000)->size() == on.outcomes.size());
        for (block_height height{1}; height <= range.upto; height = height.next()) {
            const auto block = consensus::named(wire::decode<consensus::block>(records.encoded_block(height).value()).value());
            const auto entry = records.block(height).value();
            CHECK(entry.digest == block->ref.digest);
            REQUIRE(entry.transactions == block->body().payload.size());
            const auto listed = records.transactions(height, 0, 1000).value();
            REQUIRE(listed.size() == entry.transactions);
            for (std::size_t i = 0; i < listed.size(); ++i)
                CHECK(listed[i].id == ledger::digest_of(wire::decode<ledger::signed_transaction>(block->body().payload[i])->body));
        }
    }
}

TEST_CASE("removing any one fsync of the validator is noticed") {
    // (while recovering, of a directory): leaving out all syncs of a kind must be missed by some run, none by none. A
    // run: a process dies at some operation, the next one recovers and answers, then the power fails.
    using kind = std::pair<bool, bool>;
    std::set<kind> kinds, missed;
    const auto run = [&](std::uint64_t fatal, std::uint64_t seed, std::optional<kind> left_out) -> std::string {
        chain_run on(seed);
        on.file_size = 512;  // every block begins a file
        on.disk.watch([&](std::size_t, const test::faulty_disk::sync_point& at) {
            const kind here{on.recovering, at.directory};
            if (at.place.find("blocks") == std::string::npos) return false;
            kinds.insert(here);
            return here == left_out;
        });
        if (!on.start()) return "does not start";
        on.submit(0, 1h);
        on.world.run_for(100ms);
        on.disk.die_at(fatal);
        on.submit(1, 1h);
        on.world.run_for(100ms);
        on.end(false);
        if (!on.start()) return "does not start after a kill";
        on.world.run_for(1min);
        const bool answered = on.outcomes.contains(0) && on.outcomes.contains(1) && on.outcomes[0].code == errc::ok && on.outcomes[1].code == errc::ok;
        if (!answered) return "no answer";
        on.end(true);
        if (!on.start()) return "does not start after a power cut";
        return on.present(0) && on.present(1) ? "" : "lost";
    };
    const std::vector<std::optional<kind>> lies{std::nullopt, kind{false, false}, kind{false, true}, kind{true, false}, kind{true, true}};
    for (std::uint64_t fatal = 0; fatal < 6; ++fatal)
        for (std::uint64_t seed = 1; seed <= 12; ++seed)
            for (const auto& left_out : lies) {
                if (left_out && missed.contains(*left_out)) continue;
                const auto wrong = run(fatal, seed, left_out);
                if (left_out && !wrong.empty()) missed.insert(*left_out);
                INFO("fatal " << fatal << " seed " << seed);
                if (!left_out) CHECK(wrong == "");
            }
    CHECK(kinds.size() == 4);
    for (const auto& [recovering, directory] : kinds) {
        INFO((recovering ? "while recovering" : "while running") << (directory ? ", of the directory" : ", of a file"));
        CHECK(missed.contains({recovering, directory}));
    }
}

TEST_CASE("a restart comes to the same certificate from the log alone, and from any flushed state") {
    chain_run on(3);
    REQUIRE(on.start().has_value());
    for (std::size_t i = 0; i < 30; ++i) {
        on.submit(i, 1min);
        on.world.run_for(20ms);
    }
    const auto before = on.node->certificate();
    CHECK(before.body.height.value > 10);
    on.end(true);
    REQUIRE(on.start().has_value());
    CHECK(wire::encode(on.node->certificate()) == wire::encode(before));
    on.end(true);
    on.store.below.crash();
    kv::batch wipe;
    for (const auto& entry : *on.store.scan({}, {}, 100000)) wipe.emplace(entry.key, std::nullopt);
    REQUIRE(on.store.commit(wipe).has_value());
    REQUIRE(on.start().has_value());
    CHECK(wire::encode(on.node->certificate()) == wire::encode(before));
}

TEST_CASE("damage in the middle of the log stops the validator instead of losing what follows") {
    chain_run on(4);
    REQUIRE(on.start().has_value());
    for (std::size_t i = 0; i < 30; ++i) {
        on.submit(i, 1min);
        on.world.run_for(20ms);
    }
    on.end(false);
    const auto files = on.disk.files();
    REQUIRE(files.size() > 3);
    for (const auto& path : {files[1], files.back()}) {
        REQUIRE(on.disk.flip(path, 100));
        kv::batch wipe;
        for (const auto& entry : *on.store.scan({}, {}, 100000)) wipe.emplace(entry.key, std::nullopt);
        REQUIRE(on.store.commit(wipe).has_value());
        const auto started = on.start();
        if (path == files[1]) {
            REQUIRE_FALSE(started.has_value());
            CHECK(started.error().code == errc::corrupt);
        }
        on.end(false);
        REQUIRE(on.disk.flip(path, 100));
    }
}

TEST_CASE("a refusal reaches the client with its words") {
    chain_run on(10);
    REQUIRE(on.start().has_value());
    on.submit(0, 1min);
    on.world.run_for(1s);
    ledger::action again = chain_run::creation(0);
    const auto refused = on.world.run(on.client->submit(on.account, std::move(again), on.world.now() + 10s));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::conflict);
    CHECK(refused.error().what.find("choose another") != std::string::npos);
}

TEST_CASE("a failed disk stops the validator with its reason; reads go on") {
    chain_run on(5);
    REQUIRE(on.start().has_value());
    on.submit(0, 1min);
    on.world.run_for(1s);
    REQUIRE(on.outcomes[0].code == errc::ok);
    on.disk.fail_at(1, errc::io);  // the sync of the next block
    on.submit(1, 5s);
    on.world.run_for(20s);
    CHECK(on.outcomes[1].code == errc::unavailable);
    CHECK(on.node->failure().code == errc::unavailable);
    CHECK(on.present(0));
    CHECK_FALSE(on.present(1));
    CHECK(on.world.run(on.client->health(on.world.now() + 5s)).has_value());
}

TEST_CASE("an idle validator writes nothing") {
    chain_run on(6);
    REQUIRE(on.start().has_value());
    on.submit(0, 1min);
    on.world.run_for(1s);
    const auto height = on.node->height();
    const auto steps = on.world.steps();
    on.world.run_for(24h);
    CHECK(on.node->height() == height);
    CHECK(on.world.steps() < steps + 10);
}

TEST_CASE("garbage, strangers and replays at the validator are refused") {
    chain_run on(7);
    REQUIRE(on.start().has_value());
    on.submit(0, 1min);
    on.world.run_for(1s);
    const auto height = on.node->height();
    const auto ask = [&](net::method_id method, bytes head) {
        net::request what;
        what.method = method;
        what.head = std::move(head);
        const auto got = on.world.run(on.caller->call(on.config.validators[0], std::move(what), on.world.now() + 60s, net::lane::control));
        return got ? errc::ok : got.error().code;
    };
    for (net::method_id method = 0x0200; method <= 0x0210; ++method) {
        CHECK(ask(method, {}) != errc::ok);
        CHECK(ask(method, bytes(1000, std::byte{0xff})) != errc::ok);
    }
    ledger::transaction body;
    body.network = ledger::id_of(on.config.origin);
    body.account = on.account.id();
    body.number = 1;
    body.expires = {1000};
    body.what = chain_run::creation(9);
    CHECK(ask(0x0200, wire::encode(sign(test::key_from(99), body))) == errc::permission);
    CHECK(ask(0x0200, bytes(ledger::limits::transaction_size_max + 1)) == errc::too_large);
    auto elsewhere = body;
    elsewhere.network.raw[0] ^= std::byte{1};
    CHECK(ask(0x0200, wire::encode(sign(on.account.key, elsewhere))) == errc::permission);
    auto expired = body;
    expired.expires = {0};
    CHECK(ask(0x0200, wire::encode(sign(on.account.key, expired))) == errc::timeout);
    CHECK(on.node->height() == height);
    const auto good = wire::encode(sign(on.account.key, body));
    CHECK(ask(0x0200, good) == errc::ok);
    CHECK(ask(0x0200, good) == errc::ok);
    CHECK(on.node->height().value == height.value + 1);  // the repetition made no block
}

TEST_CASE("the client believes no validator that lies") {
    chain_run on(8);
    REQUIRE(on.start().has_value());
    on.submit(0, 1min);
    on.world.run_for(1s);
    const auto id = on.config.validators[0].id;
    const auto reading = [&] {
        return on.world.run(on.client->read(ledger::key::volume(chain_run::creation(0).id), on.world.now() + 5s));
    };
    REQUIRE(reading().has_value());
    std::size_t refused = 0;
    for (int i = 0; i < 300; ++i) {
        net::local_network::fate fate;
        fate.alter = [&](net::reply& answer) {
            if (!answer.head.empty()) answer.head[on.random.below(answer.head.size())] ^= static_cast<std::byte>(1 + on.random.below(255));
        };
        on.network.set_fate(id, fate);
        const auto got = reading();
        CHECK_FALSE(got.has_value());
        refused += !got.has_value();
    }
    CHECK(refused == 300);
    // An old answer, true once.
    net::reply old;
    net::local_network::fate record;
    record.alter = [&](net::reply& answer) { old = answer; };
    on.network.set_fate(id, record);
    REQUIRE(reading().has_value());
    on.network.set_fate(id, {});
    on.submit(1, 1min);
    on.world.run_for(1s);
    net::local_network::fate replay;
    replay.alter = [&](net::reply& answer) { answer = old; };
    on.network.set_fate(id, replay);
    CHECK_FALSE(reading().has_value());
    on.network.set_fate(id, {});
    CHECK(reading().has_value());
}

TEST_CASE("transactions survive lost requests and lost replies exactly once") {
    chain_run on(9);
    REQUIRE(on.start().has_value());
    const auto id = on.config.validators[0].id;
    for (std::size_t i = 0; i < 60; ++i) {
        net::local_network::fate fate;
        fate.lose_requests = i % 3 == 0;
        fate.lose_replies = i % 3 == 1;
        on.network.set_fate(id, fate);
        on.submit(i, 1h);
        on.world.run_for(50ms);
    }
    on.network.set_fate(id, {});
    on.world.run_for(10min);
    for (std::size_t i = 0; i < 60; ++i) {
        INFO(i);
        REQUIRE(on.outcomes.contains(i));
        CHECK(on.outcomes[i].code == errc::ok);
        CHECK(on.present(i));
    }
    CHECK(on.world.run(on.client->volumes(on.account.id(), on.world.now() + 10s))->size() == 60);
}
