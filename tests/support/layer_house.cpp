#include <support/layer_house.hpp>

#include <cstdio>
#include <cstdlib>

namespace cess::test {
namespace {

using namespace std::chrono_literals;

void require(bool holds, const std::string& what) {
    if (holds) return;
    std::fprintf(stderr, "layer_house: %s\n", what.c_str());
    std::abort();
}

chain::network_config config_of(const crypto::signing_key& validator) {
    chain::network_config out;
    out.origin = genesis_of(validator);
    net::peer at;
    at.id = crypto::id_of<node_id>(validator.pub());
    out.validators.push_back(at);
    return out;
}

net::awaitable<result<void>> stopping(storage::miner& of) {
    co_await of.stop();
    co_return result<void>();
}
net::awaitable<result<void>> stopping(chain::validator& of) {
    co_await of.stop();
    co_return result<void>();
}
net::awaitable<result<void>> stopping(net::local_network& of) {
    co_await of.stop();
    co_return result<void>();
}

}  // namespace

layer::deadlines layer_house::quick() {
    layer::deadlines out;
    out.read = 4s;
    out.put = 6s;
    out.append = 20s;
    out.recovery = 2s;
    out.request = 1s;
    out.owner_silence = 300ms;
    return out;
}

layer_house::layer_house(unsigned miners, std::string directory)
    : m_network(std::make_unique<net::local_network>(m_world)), m_validator_key(key_from(1)),
      m_validator_id(crypto::id_of<node_id>(m_validator_key.pub())), m_config(config_of(m_validator_key)), m_account(account_from(2)) {
    chain::validator_dependencies on{m_world, m_disk, "chain", m_state, m_validator_key, m_config.origin, m_workers, m_count, {}};
    auto validator = chain::make_validator(on);
    require(validator.has_value(), validator ? "" : validator.error().message());
    m_validator = std::move(*validator);
    m_network->add(m_validator_id, *m_validator);
    m_admin_network = m_network->caller_as(crypto::id_of<node_id>(m_account.key.pub()));
    m_admin = chain::make_client(m_world, *m_admin_network, m_config);
    for (unsigned i = 0; i < miners; ++i) add_miner(i, directory);
    create_volume();
}

void layer_house::add_miner(unsigned number, const std::string& directory) {
    auto m = std::make_unique<storage_miner>();
    const auto key = key_from(100 + number);
    m->id = crypto::id_of<node_id>(key.pub());
    m->directory = directory.empty() ? "miner" : directory + "/miner" + std::to_string(number);
    if (directory.empty()) m->memory = std::make_unique<faulty_disk>(4 * GiB);
    m->workers = std::make_unique<net::worker_pool>(1);
    storage::miner_dependencies on{m_world, m->disk(), ledger::trust(ledger::id_of(m_config.origin), m_config.origin.first), m->count, nullptr, m->workers.get(), nullptr};
    storage::miner_options how;
    how.directory = m->directory;
    how.self = m->id;
    how.capacity = 3 * GiB;
    how.disk_reserve = 1 * MiB;
    how.exclusive = !m->memory;
    auto opened = storage::open_miner(on, how);
    require(opened.has_value(), opened ? "" : opened.error().message());
    m->service = std::move(*opened);
    m_network->add(m->id, *m->service);

    ledger::register_node joins;
    joins.node.id = m->id;
    joins.node.owner = m_account.id();
    joins.node.address = "miner" + std::to_string(number);
    joins.node.failure_domain = joins.node.address;
    joins.node.offered = 100 * GiB;
    joins.consent = ledger::consent_of(key, ledger::id_of(m_config.origin), joins.node);
    auto op = m_admin->submit(m_account, std::move(joins), m_world.now() + 5s);
    auto joined = net::wait(m_world, std::move(op));
    require(joined.has_value(), joined ? "" : joined.error().message());
    m_miners.push_back(std::move(m));
}

void layer_house::create_volume() {
    m_volume = m_world.random().id<volume_id>();
    const auto key = crypto::secret_key::generate(m_world.random());
    m_keys.add(m_volume, 0, key);
    ledger::create_volume make;
    make.id = m_volume;
    make.name = "v";
    make.block_size = 4096;
    make.keyring.push_back(layer::keyring::wrap(m_account, m_volume, 0, key, m_world.random()));
    auto op = m_admin->submit(m_account, std::move(make), m_world.now() + 5s);
    auto made = net::wait(m_world, std::move(op));
    require(made.has_value(), made ? "" : made.error().message());
}

layer_house::~layer_house() {
    for (auto& m : m_miners) {
        auto op = stopping(*m->service);
        (void)net::wait(m_world, std::move(op));
    }
    auto chain = stopping(*m_validator);
    (void)net::wait(m_world, std::move(chain));
    auto network = stopping(*m_network);
    (void)net::wait(m_world, std::move(network));
}

layer_house::owner::owner(layer_house& in, layer::deadlines limits)
    : session(crypto::signing_key::generate(in.m_world.random())), network(in.m_network->caller_as(crypto::id_of<node_id>(session.pub()))),
      ledger(chain::make_client(in.m_world, *network, in.m_config)), blocks(cache::make_memory_cache(64 * MiB, count)) {
    cess::layer::dependencies on{in.m_world, *network, *ledger, blocks, count, limits, 2};
    layer = cess::layer::make_layer(on);
}

std::unique_ptr<layer_house::owner> layer_house::new_owner(layer::deadlines limits) { return std::make_unique<owner>(*this, limits); }

layer_house::storage_miner& layer_house::holder(const node_id& id) {
    for (auto& m : m_miners)
        if (m->id == id) return *m;
    require(false, "no such miner");
    return *m_miners.front();
}

net::local_network::fate layer_house::dead() {
    net::local_network::fate out;
    out.down = true;
    return out;
}

layer::segment_spec layer_house::spec(std::uint64_t number, ledger::shape geometry) const {
    layer::segment_spec out;
    out.number = {(std::uint64_t{1} << 40) + number};  // of the first term
    out.geometry = geometry;
    out.lineage = m_volume;
    return out;
}

}  // namespace cess::test
