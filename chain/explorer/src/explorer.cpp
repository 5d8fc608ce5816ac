#include <chain/explorer/explorer.hpp>

#include "answers.hpp"

#include <core/base/log.hpp>
#include <core/net/offload.hpp>

namespace cess::chain {
namespace {

class http_explorer final : public explorer {
public:
    http_explorer(net::env& world, const records& on, metrics& count, const options& how)
        : m_world(world), m_on(on), m_queue_time_max(how.queue_time_max), m_reader(1, how.queue_max),
          m_requests(count.make_counter("cess_explorer_requests_total", "Requests to the JSON API whose head could be read")),
          m_refused(count.make_counter("cess_explorer_refused_total", "What came to the JSON API and was no request, and what was past its bounds")) {}

    result<void> listen(const options& how) {
        net::http_server::options serve;
        serve.listen = how.listen;
        serve.connections_max = how.connections_max;
        serve.head_timeout = how.head_timeout;
        serve.idle_timeout = how.idle_timeout;
        serve.refused = &m_refused;
        serve.refuse = refusal;
        TRY(m_server, net::http_server::start(m_world, [this](net::http_request asked) { return serve_one(std::move(asked)); }, std::move(serve)));
        return {};
    }

    [[nodiscard]] std::string address() const override { return m_server->address(); }
    net::awaitable<void> stop() override {
        auto stopping = m_server->stop();
        co_await std::move(stopping);
    }

private:
    net::awaitable<net::http_response> serve_one(net::http_request asked) {
        m_requests.add();
        if (auto known = answer_at_once(asked)) co_return std::move(*known);
        const auto what = std::make_shared<const net::http_request>(std::move(asked));
        const auto work = [this, what, until = m_world.now() + m_queue_time_max] { return read_answer(*what, until); };
        auto job = net::offload(m_reader, work);
        auto done = co_await std::move(job);
        if (done) co_return std::move(*done);
        m_refused.add();
        co_return refusal(503, "this node's API is busy; come again in a second");
    }

    result<net::http_response> read_answer(const net::http_request& what, net::time_point until) const {
        if (m_world.now() > until) return error(errc::timeout);
        try {
            return answer(m_on, what);
        } catch (const std::exception& broken) {
            log::warn("explorer", "an answer failed: {}", broken.what());
            return refusal(500, "this node cannot read its records; its log says why");
        }
    }

    net::env& m_world;
    const records& m_on;
    const net::duration m_queue_time_max;
    net::worker_pool m_reader;
    counter& m_requests;
    counter& m_refused;
    std::unique_ptr<net::http_server> m_server;
};

}  // namespace

result<std::unique_ptr<explorer>> explorer::start(net::env& world, const records& on, metrics& count, options how) {
    auto made = std::make_unique<http_explorer>(world, on, count, how);
    if (auto listening = made->listen(how); !listening) return std::move(listening).error().with_context("explorer " + how.listen);
    return std::unique_ptr<explorer>(std::move(made));
}

}  // namespace cess::chain
