// Four processes of cess-node: one is killed and it goes on, two and it waits, all and nothing that was acknowledged is lost.
#include <chain/client/client.hpp>
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>
#include <support/rivals.hpp>
#include <support/written_committee.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cess;
using namespace std::chrono_literals;

namespace {

class processes {
public:
    processes() : m_account{crypto::signing_key::generate(m_random), {}} {
        for (unsigned i = 0; i < 4; ++i) start(i);
        const auto with = roles::load(m_files.conf(0), roles::overrides());
        REQUIRE(with.has_value());
        auto network = roles::network_of(with->nodes.at(0));
        REQUIRE(network.has_value());
        m_network = std::move(*network);
        m_caller = net::make_tls_caller(m_world, crypto::signing_key::generate(m_random), net::tls_limits(), m_count);
        m_client = chain::make_client(m_world, *m_caller, m_network);
    }
    ~processes() {
        for (unsigned i = 0; i < 4; ++i) kill(i);
    }

    void start(unsigned i) {
        const char* folder = std::getenv("CESS_BIN");
        REQUIRE(folder != nullptr);
        const auto program = std::string(folder) + "/cess-node", conf = m_files.conf(i), log = m_files.dir.path + "/" + std::to_string(i) + ".log";
        const auto pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            const auto to = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            ::dup2(to, 2);
            ::execl(program.c_str(), program.c_str(), "--conf", conf.c_str(), nullptr);
            ::_exit(127);
        }
        m_pids[i] = pid;
    }
    void kill(unsigned i) {
        if (m_pids[i] <= 0) return;
        ::kill(m_pids[i], SIGKILL);
        ::waitpid(m_pids[i], nullptr, 0);
        m_pids[i] = 0;
    }

    result<bytes> create(const std::string& name, net::duration within = 60s) {
        ledger::create_volume what;
        what.name = name;
        what.id = volume_id::from(crypto::sha256(as_view(name)).view());
        what.block_size = 4096;
        what.geometry = {2, 1};
        return net::wait(m_world, m_client->submit(m_account, ledger::action(what), m_world.now() + within));
    }
    void create_all(const std::string& prefix, unsigned n) {
        for (unsigned i = 0; i < n; ++i) {
            const auto name = prefix + std::to_string(i);
            const auto done = create(name);
            INFO(name << ": " << (done ? "" : done.error().message()));
            REQUIRE(done.has_value());
            m_acknowledged.push_back(name);
        }
    }
    // Of several clients, a thread each, that want the same names while `meanwhile` goes on.
    template <class F>
    std::array<test::rivals::history, test::rivals::names> rivalry(unsigned clients, unsigned operations, F meanwhile) {
        test::rivals all(m_world, m_account, 1, 5s);
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < clients; ++i)
            threads.emplace_back([&] {
                const auto caller = net::make_tls_caller(m_world, crypto::signing_key::generate(m_random), net::tls_limits(), m_count);
                const auto by = chain::make_client(m_world, *caller, m_network);
                (void)net::wait(m_world, all.run(*by, operations));
            });
        meanwhile();
        for (auto& thread : threads) thread.join();
        return all.histories();
    }
    // How many of the acknowledged member `i` has by itself; all its records are proved.
    std::size_t at_member(unsigned i) {
        auto alone = m_network;
        alone.validators = {m_network.validators[i]};
        const auto only = chain::make_client(m_world, *m_caller, alone);
        const auto there = [&](const std::string& name) {
            const auto id = volume_id::from(crypto::sha256(as_view(name)).view());
            const auto got = net::wait(m_world, only->read(ledger::key::volume(id), m_world.now() + 5s));
            return got && got->value.has_value();
        };
        return static_cast<std::size_t>(std::count_if(m_acknowledged.begin(), m_acknowledged.end(), there));
    }
    bool everywhere() {
        for (unsigned i = 0; i < 4; ++i)
            if (at_member(i) != m_acknowledged.size()) return false;
        return true;
    }
    // One state root at all members, at one height.
    bool agree() {
        std::vector<ledger::certificate_body> all;
        for (const auto& who : m_network.validators) {
            auto alone = m_network;
            alone.validators = {who};
            const auto only = chain::make_client(m_world, *m_caller, alone);
            const auto got = net::wait(m_world, only->read(ledger::key::volume({}), m_world.now() + 5s));
            if (!got) return false;
            all.push_back(got->certificate.body);
        }
        return std::all_of(all.begin(), all.end(), [&](const auto& body) { return body == all[0]; });
    }
    template <class F>
    static bool in_time(F holds) {
        for (int i = 0; i < 600; ++i) {
            if (holds()) return true;
            std::this_thread::sleep_for(100ms);
        }
        return false;
    }

private:
    test::written_committee m_files;
    system_random m_random;
    net::real_env m_world{1};
    metrics m_count;
    chain::account m_account;
    chain::network_config m_network;
    std::unique_ptr<net::caller> m_caller;
    std::unique_ptr<chain::client> m_client;
    std::array<pid_t, 4> m_pids{};
    std::vector<std::string> m_acknowledged;
};

}  // namespace

TEST_CASE("four processes: one is killed and it goes on, two and it waits, all and nothing acknowledged is lost") {
    processes on;
    on.create_all("a", 10);
    on.kill(1);
    on.create_all("b", 10);
    on.start(1);
    CHECK(processes::in_time([&] { return on.everywhere() && on.agree(); }));

    on.kill(0);
    on.kill(2);
    CHECK_FALSE(on.create("nobody", 8s).has_value());
    on.start(0);
    on.create_all("c", 5);
    on.start(2);
    CHECK(processes::in_time([&] { return on.everywhere() && on.agree(); }));

    for (unsigned i = 0; i < 4; ++i) on.kill(i);
    for (unsigned i = 0; i < 4; ++i) on.start(i);
    CHECK(processes::in_time([&] { return on.everywhere() && on.agree(); }));
    on.create_all("d", 3);

    // For people: how long one transaction after the other takes.
    const auto began = std::chrono::steady_clock::now();
    on.create_all("e", 30);
    std::printf("four processes, one client: %.1f ms a transaction\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / 30 * 1000);
}

TEST_CASE("what rivals are told by four processes is linearizable, whichever are killed") {
    processes on;
    on.create_all("a", 1);
    const auto histories = on.rivalry(5, 60, [&] {
        for (unsigned i = 0; i < 8; ++i) {
            on.kill(i % 4);
            if (i % 3 == 2) on.kill((i + 1) % 4);  // then nothing is answered until they are back
            std::this_thread::sleep_for(700ms);
            on.start(i % 4);
            if (i % 3 == 2) on.start((i + 1) % 4);
            std::this_thread::sleep_for(500ms);
        }
    });
    std::size_t known = 0, all = 0;
    for (const auto& history : histories) {
        CHECK(test::linearizable(history));
        all += history.size();
        known += static_cast<std::size_t>(std::count_if(history.begin(), history.end(), [](const auto& op) { return op.answer.has_value(); }));
    }
    std::printf("rivals: %zu of %zu operations were answered\n", known, all);
    CHECK(all == 300);
    CHECK(known > 100);
    CHECK(processes::in_time([&] { return on.agree(); }));
}
