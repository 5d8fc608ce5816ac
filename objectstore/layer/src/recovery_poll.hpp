// Asking many miners the same thing at once, until enough have answered and the rest had a moment more.
#pragma once

#include <objectstore/layer/miners.hpp>

#include <core/net/task_group.hpp>

#include <algorithm>
#include <functional>
#include <optional>

namespace cess::layer {

// `answers[i]` is what miner i validly answered. Retries those that fail, until `deadline`, or until `grace` after
// `enough` of them answered; a `patient` poll then goes on waiting for whoever is silent, and gives up only those that
// refuse the connection or gave no valid answer. `valid` judges an answer.
template <class Reply, class Message>
class poll {
public:
    using judge = std::function<bool(std::size_t, const Reply&)>;
    struct question {
        std::vector<node_id> miners;
        net::method_id method = 0;
        Message message;
        std::size_t enough = 0;
        net::duration grace{0};
        net::duration request{0};
        net::time_point deadline;
        bool patient = false;
        judge valid;
        std::vector<error>* failures = nullptr;  // if wanted: the last failure of each miner
    };

    static net::awaitable<std::vector<std::optional<Reply>>> run(miner_link& link, question ask) {
        poll all(link, std::move(ask), co_await boost::asio::this_coro::executor);
        for (std::size_t i = 0; i < all.m_ask.miners.size(); ++i) all.m_tasks.spawn(all.one(i));
        all.m_tasks.spawn(all.stop_at(all.m_ask.deadline));
        if (all.m_ask.miners.empty() || all.m_ask.enough == 0) all.m_tasks.spawn(all.stop_at(link.world().now() + all.m_ask.grace));
        co_await all.m_tasks.join();
        co_return std::move(all.m_answers);
    }

private:
    poll(miner_link& link, question ask, boost::asio::any_io_executor on)
        : m_link(link), m_ask(std::move(ask)), m_answers(m_ask.miners.size()), m_gone(m_ask.miners.size(), false), m_tasks(std::move(on)) {}

    net::awaitable<void> one(std::size_t i) {
        const net::duration pause = std::chrono::milliseconds(100);
        while (m_link.world().now() < m_ask.deadline) {
            const auto until = std::min(m_ask.deadline, m_link.world().now() + m_ask.request);
            auto answer = co_await m_link.ask<Reply>(m_ask.miners[i], m_ask.method, m_ask.message, net::request_body(), until, net::lane::control);
            if (answer) {
                m_gone[i] = true;
                if (m_ask.valid(i, answer->message)) took(i, std::move(answer->message));
                co_return;
            }
            const auto code = answer.error().code;
            if (code == errc::canceled) co_return;
            m_gone[i] = code != errc::timeout;
            if (m_ask.failures) m_ask.failures->at(i) = std::move(answer).error();
            auto slept = co_await m_link.world().sleep_for(pause);
            if (!slept) co_return;
        }
    }
    void took(std::size_t i, Reply answer) {
        m_answers[i] = std::move(answer);
        ++m_count;
        if (m_count == m_answers.size()) m_tasks.cancel();
        if (m_count == m_ask.enough) m_tasks.spawn(stop_at(m_link.world().now() + m_ask.grace));
    }
    net::awaitable<void> stop_at(net::time_point when) {
        auto slept = co_await m_link.world().sleep_until(when);
        while (slept && m_ask.patient && m_link.world().now() < m_ask.deadline && !std::all_of(m_gone.begin(), m_gone.end(), [](bool gone) { return gone; })) {
            const net::duration pause = std::chrono::milliseconds(50);
            slept = co_await m_link.world().sleep_for(pause);
        }
        if (slept) m_tasks.cancel();
    }

    miner_link& m_link;
    question m_ask;
    std::vector<std::optional<Reply>> m_answers;
    std::vector<bool> m_gone;  // answered, or known to be down
    std::size_t m_count = 0;
    net::task_group m_tasks;
};

}  // namespace cess::layer
