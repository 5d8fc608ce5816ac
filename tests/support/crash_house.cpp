#include <support/crash_house.hpp>

#include <node/storage/protocol.hpp>

#include <stdexcept>

namespace cess::test {
namespace {

using namespace std::chrono_literals;

constexpr net::duration patience = 30s;  // of an administrator

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what); }

template <class Service>
net::awaitable<result<void>> stopping(Service& of) {
    co_await of.stop();
    co_return result<void>();
}

chain::network_config config_of(const crypto::signing_key& validator) {
    chain::network_config out;
    out.origin = genesis_of(validator);
    net::peer at;
    at.id = crypto::id_of<node_id>(validator.pub());
    out.validators.push_back(at);
    return out;
}

}  // namespace

void doom::dies_at(crash_point at, unsigned n) noexcept {
    m_left = n;
    m_at = static_cast<int>(at);
}

void doom::reached(crash_point at) noexcept {
    if (m_dead) return;
    m_seen |= std::uint64_t{1} << static_cast<unsigned>(at);
    if (m_at != static_cast<int>(at)) return;
    if (m_left.fetch_sub(1) != 1) return;
    m_met = true;
    m_dead = true;
}

// ---- the network -----------------------------------------------------------------------------------------

// The calls of one end, through the weather. Its process may die at any moment of a call.
class weather_caller final : public net::caller {
public:
    weather_caller(crash_house& in, node_id self, const doom* fate)
        : m_in(in), m_self(self), m_fate(fate), m_inner(in.m_network->caller_as(self)) {}

    net::awaitable<result<net::reply>> call(net::peer to, net::request what, net::time_point deadline, net::lane on) override {
        const auto method = what.method;
        if (dead()) co_return gone(method);
        const auto trip = m_in.draw(m_self, to.id);
        if (trip.never_arrives) co_return co_await silence(method, deadline);
        const bool left = co_await rest(trip.out);
        if (!left) co_return error(errc::canceled, "call given up");
        if (dead()) co_return gone(method);
        if (trip.doubled) {
            net::request twin = what;
            auto first = co_await m_inner->call(to, std::move(twin), deadline, on);
            if (dead()) co_return gone(method);
        }
        if (trip.lied_to && what.method == storage::method::journal_append) co_return pretend(what);
        auto answer = co_await m_inner->call(std::move(to), std::move(what), deadline, on);
        if (answer && trip.lied_to) lie(method, *answer);
        if (trip.unheard) co_return co_await silence(method, deadline);
        const bool back = co_await rest(trip.back);
        if (!back) co_return error(errc::canceled, "call given up");
        if (dead()) co_return gone(method);
        co_return answer;
    }

private:
    [[nodiscard]] bool dead() const { return m_fate && m_fate->dead(); }
    // Told what ends its threads soonest: to wait for deadlines would be no truer, only longer.
    static error gone(net::method_id method) {
        const bool writes = method == storage::method::journal_append || method == storage::method::present ||
                            (method >= storage::method::put && method <= storage::method::put_commit);
        return error(writes ? errc::fenced : errc::canceled, "this process is dead");
    }

    net::awaitable<bool> rest(net::duration d) {
        if (d <= net::duration(0)) co_return true;
        auto slept = co_await m_in.m_world.sleep_for(d);
        co_return slept.has_value();
    }
    // Until the deadline, or the end of this process.
    net::awaitable<result<net::reply>> silence(net::method_id method, net::time_point deadline) {
        while (m_in.m_world.now() < deadline && !dead()) {
            const auto until = std::min(deadline, m_in.m_world.now() + net::duration(4ms));
            auto slept = co_await m_in.m_world.sleep_until(until);
            if (!slept) co_return std::move(slept).error();
        }
        co_return dead() ? gone(method) : error(errc::timeout, "no answer");
    }
    static result<net::reply> pretend(const net::request& what) {
        const auto asked = wire::decode<storage::append_request>(what.head);
        if (!asked) return std::move(asked).error();
        storage::append_reply says;
        says.durable = {asked->first.value + asked->lengths.size()};
        net::reply out;
        out.head = wire::encode(says);
        return out;
    }
    static void lie(net::method_id method, net::reply& answer) {
        if (storage::method::is_read(method) && !answer.body.empty()) answer.body[answer.body.size() / 3] ^= std::byte{4};
        if (method != storage::method::journal_fence) return;
        auto state = wire::decode<storage::journal_state>(answer.head);
        if (!state) return;
        state->end = state->base = entry_index{0};
        answer.head = wire::encode(*state);
    }

    crash_house& m_in;
    const node_id m_self;
    const doom* const m_fate;  // null: never dies
    const std::unique_ptr<net::caller> m_inner;
};

crash_house::trip crash_house::draw(const node_id& from, const node_id& to) {
    const std::lock_guard lock(m_mutex);
    const auto chance = [this](unsigned permille) { return permille && m_random.below(1000) < permille; };
    const auto delay = [&] {
        if (!m_sky.delay_us_max) return net::duration(0);
        const net::duration once = std::chrono::microseconds(m_random.below(m_sky.delay_us_max));
        return chance(m_sky.straggling_permille) ? once * 10 : once;
    };
    trip out;
    out.out = delay();
    out.back = delay();
    out.never_arrives = m_cut.contains({from, to}) || chance(m_sky.lost_permille);
    out.unheard = chance(m_sky.lost_permille);
    out.doubled = chance(m_sky.doubled_permille);
    out.lied_to = m_liar == to;
    return out;
}

void crash_house::set_sky(sky how) {
    const std::lock_guard lock(m_mutex);
    m_sky = how;
}

void crash_house::cut(const node_id& client, std::size_t miner) {
    const std::lock_guard lock(m_mutex);
    m_cut.insert({client, m_miners[miner].id});
}

void crash_house::mend_all() {
    const std::lock_guard lock(m_mutex);
    m_cut.clear();
}

void crash_house::set_liar(std::optional<std::size_t> miner) {
    const std::lock_guard lock(m_mutex);
    m_liar.reset();
    if (miner) m_liar = m_miners[*miner].id;
}

void crash_house::fate_of(const node_id& id, bool down) {
    net::local_network::fate what;
    what.down = down;
    m_network->set_fate(id, std::move(what));
}

void crash_house::set_consensus(bool up) { fate_of(m_validator_id, !up); }

// ---- life ------------------------------------------------------------------------------------------------

layer::deadlines crash_house::quick() {
    layer::deadlines out;
    out.read = 4s;
    out.put = 4s;
    out.append = 4s;
    out.ledger = 1500ms;
    out.recovery = 1s;
    out.request = 400ms;
    out.owner_silence = 200ms;
    out.hedge = 20ms;
    return out;
}

layer::deadlines crash_house::patient() {
    auto out = quick();
    out.read = out.put = out.append = out.recovery = 30s;
    out.ledger = 10s;
    out.request = 5s;
    return out;
}

crash_house::crash_house(std::uint64_t seed, unsigned miners)
    : m_network(std::make_unique<net::local_network>(m_world)), m_random(seed), m_validator_key(key_from(1)),
      m_validator_id(crypto::id_of<node_id>(m_validator_key.pub())), m_config(config_of(m_validator_key)), m_account(account_from(2)) {
    chain::validator_dependencies on{m_world, m_chain_disk, "chain", m_state, m_validator_key, m_config.origin, m_chain_workers, m_count, {}};
    auto validator = chain::make_validator(on);
    if (!validator) give_up(validator.error().message());
    m_validator = std::move(*validator);
    m_network->add(m_validator_id, *m_validator);
    m_admin_network = std::make_unique<weather_caller>(*this, crypto::id_of<node_id>(m_account.key.pub()), nullptr);
    m_admin = chain::make_client(m_world, *m_admin_network, m_config);
    for (unsigned i = 0; i < miners; ++i) {
        auto key = key_from(100 + i);
        const auto id = crypto::id_of<node_id>(key.pub());
        m_miners.push_back({std::move(key), id, std::make_unique<faulty_disk>(4 * GiB), nullptr, false});
        start(i);
        register_miner(i);
    }
}

void crash_house::register_miner(std::size_t miner) {
    const auto& m = m_miners[miner];
    ledger::register_node joins;
    joins.node.id = m.id;
    joins.node.owner = m_account.id();
    joins.node.address = "miner" + std::to_string(miner);
    joins.node.failure_domain = joins.node.address;
    joins.node.offered = 100 * GiB;
    joins.consent = ledger::consent_of(m.key, ledger::id_of(m_config.origin), joins.node);
    if (auto joined = submit(std::move(joins)); !joined) give_up(joined.error().message());
}

crash_house::~crash_house() {
    for (auto& each : m_lives)
        if (each->service) {
            auto op = stopping(*each->service);
            (void)net::wait(m_world, std::move(op));
        }
    auto chain = stopping(*m_validator);
    (void)net::wait(m_world, std::move(chain));
    auto network = stopping(*m_network);
    (void)net::wait(m_world, std::move(network));
}

crash_house::process::process(crash_house& in, const layer::deadlines& limits, const layer::recovery_mutations& broken)
    : session(crypto::signing_key::generate(in.m_world.random())), id(crypto::id_of<node_id>(session.pub())),
      network(std::make_unique<weather_caller>(in, id, &fate)), ledger(chain::make_client(in.m_world, *network, in.m_config)),
      blocks(cache::make_memory_cache(2 * MiB, count)) {
    layer::dependencies on{in.m_world, *network, *ledger, blocks, count, limits, 1, &fate, broken};
    layer = layer::make_layer(on);
}

// ---- miners ----------------------------------------------------------------------------------------------

void crash_house::start(std::size_t miner) {
    auto& m = m_miners[miner];
    if (m.now) return;
    auto alive = std::make_unique<life>(*m.disk);
    alive->network = std::make_unique<weather_caller>(*this, m.id, nullptr);
    alive->ledger = chain::make_client(m_world, *alive->network, m_config);
    storage::miner_dependencies on{m_world, alive->disk, ledger::trust(ledger::id_of(m_config.origin), m_config.origin.first), alive->count,
                                   alive->ledger.get(), &alive->workers, nullptr};
    storage::miner_options how;
    how.directory = "miner";
    how.self = m.id;
    how.capacity = 3 * GiB;
    how.disk_reserve = 1 * MiB;
    how.exclusive = false;
    how.free_horizon = 30ms;
    how.limits.sweep_interval = 50ms;
    how.limits.provisional_check_age = 50ms;
    how.limits.journal_file_size = 1 * MiB;
    auto opened = storage::open_miner(on, how);
    if (!opened) give_up("a miner does not start again: " + opened.error().message());
    alive->service = std::move(*opened);
    m.now = alive.get();
    m_lives.push_back(std::move(alive));
    m_network->add(m.id, *m.now->service);
    fate_of(m.id, false);
}

void crash_house::start_all() {
    for (std::size_t i = 0; i < m_miners.size(); ++i) start(i);
}

void crash_house::cut_power(std::size_t miner, std::uint64_t seed) {
    auto& m = m_miners[miner];
    if (!m.now) return;
    m.now->dead = true;  // from here on nothing it does succeeds: no answer promises what is lost
    m.disk->crash(seed);
    fate_of(m.id, true);
    m_network->remove(m.id);
    auto op = stopping(*m.now->service);
    (void)net::wait(m_world, std::move(op));
    m.now = nullptr;
}

void crash_house::wipe(std::size_t miner) {
    m_old_disks.push_back(std::exchange(m_miners[miner].disk, std::make_unique<faulty_disk>(4 * GiB)));
    if (m_miners[miner].lies_about_syncs) lie_about_syncs();
}

void crash_house::lie_about_syncs() {
    for (auto& m : m_miners) {
        m.lies_about_syncs = true;
        m.disk->watch([](std::size_t, const faulty_disk::sync_point&) { return true; });
    }
}

// ---- the administrator -----------------------------------------------------------------------------------

result<void> crash_house::submit(ledger::action what) {
    auto op = m_admin->submit(m_account, std::move(what), m_world.now() + patience);
    auto done = net::wait(m_world, std::move(op));
    if (!done) return std::move(done).error();
    return {};
}

result<std::optional<bytes>> crash_house::read(bytes key) {
    auto op = m_admin->read(std::move(key), m_world.now() + patience);
    TRY(auto got, net::wait(m_world, std::move(op)));
    return std::move(got.value);
}

ledger::volume_record crash_house::create_volume(const std::string& name, std::uint64_t size) {
    ledger::create_volume make;
    make.id = m_world.random().id<volume_id>();
    make.name = name;
    make.type = ledger::volume_type::block;
    make.size = size;
    make.block_size = 4096;
    make.geometry = {2, 1};
    make.keyring.push_back(layer::keyring::wrap(m_account, make.id, 0, crypto::secret_key::generate(m_world.random()), m_world.random()));
    const auto id = make.id;
    if (auto made = submit(std::move(make)); !made) give_up("create volume: " + made.error().message());
    return record(id);
}

result<ledger::volume_record> crash_house::clone(const ledger::volume_record& of, const std::string& snapshot, const std::string& name) {
    TRY(const auto value, read(ledger::key::view(of.id, snapshot)));
    if (!value) return error(errc::not_found, "snapshot " + snapshot);
    TRY(auto view, wire::decode<ledger::view_record>(*value));
    ledger::create_volume make;
    make.id = m_world.random().id<volume_id>();
    make.name = name;
    make.type = of.type;
    make.size = view.size;
    make.block_size = of.block_size;
    make.geometry = of.geometry;
    make.keyring = view.keyring;
    make.keyring.push_back(layer::keyring::wrap(m_account, make.id, 1, crypto::secret_key::generate(m_world.random()), m_world.random()));
    make.base = ledger::view_ref{of.id, snapshot};
    const auto id = make.id;
    CHECK_OK(submit(std::move(make)));
    return record(id);
}

ledger::volume_record crash_house::record(const volume_id& id) {
    auto value = read(ledger::key::volume(id));
    if (!value || !*value) give_up("no such volume");
    auto decoded = wire::decode<ledger::volume_record>(**value);
    if (!decoded) give_up("a volume's record cannot be read");
    return *decoded;
}

}  // namespace cess::test
