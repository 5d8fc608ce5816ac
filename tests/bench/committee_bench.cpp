// Transactions a second through a committee of four with its fsyncs, RocksDB, proofs and checks, all in one process, without TLS.
#include <chain/client/client.hpp>
#include <chain/consensus/cks_coin.hpp>
#include <chain/node/validator.hpp>
#include <core/base/log.hpp>
#include <core/net/blocking.hpp>
#include <core/net/local_network.hpp>
#include <core/net/real_env.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

using namespace cess;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t members = 4;

double seconds_since(std::chrono::steady_clock::time_point began) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); }

net::awaitable<result<void>> ended(net::awaitable<void> op) {
    co_await std::move(op);
    co_return result<void>();
}

crypto::signing_key key_of(unsigned n) { return crypto::signing_key(crypto::secret_key(bytes(32, static_cast<std::byte>(n)))); }

struct member {
    crypto::signing_key key = key_of(1);
    crypto::secret_key coin;
    metrics count;
    std::unique_ptr<kv::store> state;
    std::unique_ptr<net::caller> caller;
    std::unique_ptr<chain::validator> node;
};

class committee {
public:
    explicit committee(const std::string& directory) : m_account{key_of(99), {}} {
        system_random random;
        auto dealt = consensus::deal_coin(random, members, 2);
        m_config.origin.name = "bench";
        m_config.origin.coin = dealt.verification;
        for (std::size_t i = 0; i < members; ++i) {
            auto& m = *m_members.emplace_back(std::make_unique<member>());
            m.key = key_of(static_cast<unsigned>(i) + 1);
            m.coin = dealt.secrets[i];
            const auto id = crypto::id_of<node_id>(m_members[i]->key.pub());
            m_config.origin.first.members.push_back(m_members[i]->key.pub());
            m_config.validators.push_back({id, "here"});
            m_members[i]->caller = m_network.caller_as(id);
        }
        m_caller = m_network.caller_as(crypto::id_of<node_id>(m_account.key.pub()));
        for (std::size_t i = 0; i < members; ++i) m_started = m_started && start(*m_members[i], directory + "/" + std::to_string(i), i);
        m_client = chain::make_client(m_world, *m_caller, m_config);
    }
    ~committee() {
        for (std::size_t i = 0; i < members; ++i) {
            m_network.remove(m_config.validators[i].id);
            if (m_members[i]->node) (void)net::wait(m_world, ended(m_members[i]->node->stop()));
        }
        (void)net::wait(m_world, ended(m_network.stop()));
    }
    [[nodiscard]] bool started() const { return m_started; }
    result<bytes> submit(const std::string& name) {
        ledger::create_volume what;
        what.name = name;
        what.id = volume_id::from(crypto::sha256(as_view(name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return net::wait(m_world, m_client->submit(m_account, ledger::action(what), m_world.now() + 30s));
    }

private:
    bool start(member& m, const std::string& directory, std::size_t i) {
        auto& disk = os::posix_file_system();
        if (!disk.make_directories(directory + "/log/epoch-0")) return false;
        auto state = kv::open_rocks_store(directory + "/state", {});
        if (!state) return false;
        m.state = std::move(*state);
        chain::validator_dependencies needs{m_world, disk, directory + "/log", *m.state, m.key, m_config.origin, m_workers, m.count, {}};
        needs.committee.emplace(chain::committee_dependencies{*m.caller, m_config.validators, m.coin, consensus::pacing(), m_workers});
        auto made = chain::make_validator(std::move(needs));
        if (!made) return std::fprintf(stderr, "%s\n", made.error().message().c_str()), false;
        m.node = std::move(*made);
        m_network.add(m_config.validators[i].id, *m.node);
        return true;
    }

    net::worker_pool m_workers{8};
    net::real_env m_world{2};
    net::local_network m_network{m_world};
    chain::account m_account;
    chain::network_config m_config;
    std::vector<std::unique_ptr<member>> m_members;
    std::unique_ptr<net::caller> m_caller;
    std::unique_ptr<chain::client> m_client;
    bool m_started = true;
};

void measure(committee& on, unsigned clients, unsigned each) {
    std::mutex mutex;
    std::vector<double> all;
    std::atomic<unsigned> failed{0};
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < clients; ++t)
        threads.emplace_back([&, t] {
            for (unsigned i = 0; i < each; ++i) {
                const auto at = std::chrono::steady_clock::now();
                if (!on.submit("b" + std::to_string(clients) + "." + std::to_string(t) + "." + std::to_string(i))) ++failed;
                std::lock_guard lock(mutex);
                all.push_back(seconds_since(at));
            }
        });
    for (auto& t : threads) t.join();
    const auto took = seconds_since(began);
    std::sort(all.begin(), all.end());
    std::printf("clients=%u transactions=%u failed=%u per_second=%.0f p50_ms=%.1f p99_ms=%.1f\n", clients, clients * each, failed.load(), clients * each / took,
                all[all.size() / 2] * 1000, all[all.size() * 99 / 100] * 1000);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string directory = argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / "cess-committee-bench").string();
    std::filesystem::remove_all(directory);
    committee on(directory);
    if (!on.started()) return 1;
    measure(on, 1, 100);
    measure(on, 8, 100);
    measure(on, 32, 100);
    return 0;
}
