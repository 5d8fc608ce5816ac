// Clients that want the same names, and what they were told, for linearizable.hpp to judge.
#pragma once

#include <chain/client/client.hpp>
#include <core/base/random.hpp>

#include <support/linearizable.hpp>

#include <array>
#include <atomic>
#include <mutex>

namespace cess::test {

// Any number of run() at once, on any threads.
class rivals {
public:
    static constexpr std::size_t names = 2;
    using history = std::vector<name_operation>;

    // `patience`: how long an answer may take, at most; what takes longer has an unknown end.
    rivals(net::env& world, chain::account account, std::uint64_t seed, net::duration patience)
        : m_world(world), m_account(std::move(account)), m_random(seed), m_patience(patience) {}

    // Takes names and gives them back, one after the other.
    net::awaitable<result<void>> run(chain::client& by, unsigned operations) {
        std::array<unsigned, names> mine{};
        for (unsigned i = 0; i < operations; ++i) {
            const auto name = below(names);
            name_question what{mine[name] == 0 || below(2) == 0, 0};
            if (what.take) mine[name] = ++m_attempts;
            what.who = mine[name];
            auto asked = ask(by, name, what);
            co_await std::move(asked);
            auto slept = co_await m_world.sleep_for(std::chrono::milliseconds(below(60)));
            if (!slept) co_return std::move(slept).error();
        }
        co_return result<void>();
    }
    [[nodiscard]] std::array<history, names> histories() {
        std::lock_guard lock(m_mutex);
        return m_histories;
    }

private:
    // Each attempt is a volume of its own, so that who gives a name back can only give back his.
    [[nodiscard]] ledger::action action_of(std::size_t name, name_question what) const {
        const auto id = volume_id::from(crypto::sha256(as_view("attempt " + std::to_string(what.who))).view());
        if (!what.take) return ledger::delete_volume{id};
        ledger::create_volume creation;
        creation.id = id;
        creation.name = "wanted" + std::to_string(name);
        creation.block_size = 4096;
        creation.geometry = {2, 1};
        return creation;
    }
    net::awaitable<void> ask(chain::client& by, std::size_t name, name_question what) {
        const auto at = began(name, what);
        const auto deadline = m_world.now() + m_patience / 10 + m_patience * static_cast<long>(below(100)) / 100;
        auto call = by.submit(m_account, action_of(name, what), deadline);
        const auto done = co_await std::move(call);
        const auto refused = done ? errc::ok : done.error().code;
        if (refused == errc::ok || refused == errc::exists || refused == errc::not_found) ended(name, at, refused == errc::ok);
    }
    std::size_t began(std::size_t name, name_question what) {
        std::lock_guard lock(m_mutex);
        m_histories[name].push_back({what, now()});
        return m_histories[name].size() - 1;
    }
    void ended(std::size_t name, std::size_t at, bool answer) {
        std::lock_guard lock(m_mutex);
        m_histories[name][at].ended = now();
        m_histories[name][at].answer = answer;
    }
    [[nodiscard]] std::uint64_t below(std::uint64_t n) {
        std::lock_guard lock(m_mutex);
        return m_random.below(n);
    }
    [[nodiscard]] std::int64_t now() const { return m_world.now().time_since_epoch().count(); }

    net::env& m_world;
    const chain::account m_account;
    std::mutex m_mutex;
    seeded_random m_random;
    const net::duration m_patience;
    std::atomic<unsigned> m_attempts{0};
    std::array<history, names> m_histories;
};

}  // namespace cess::test
