#include <core/base/log.hpp>
#include <core/base/memory.hpp>
#include <core/net/blocking.hpp>
#include <core/net/http_metrics.hpp>
#include <node/roles/host.hpp>

#include "running_node.hpp"

#include <algorithm>

namespace cess::roles {
namespace {

class running_host final : public host {
public:
    explicit running_host(const process_config& how)
        : m_grace(how.stop_grace),
          m_world(static_cast<unsigned>(how.network_threads)),
          m_workers(static_cast<unsigned>(how.workers)),
          m_journal_workers(static_cast<unsigned>(how.journal_workers)),
          m_shared{m_world, m_workers, m_journal_workers, m_count} {}

    // Also after a start that failed half way.
    ~running_host() override { stop(); }

    result<void> start_node(const node_config& how) {
        TRY(const auto what, parse_role(how.role));
        auto started = what == role::storage ? start_storage(m_shared, how) : start_consensus(m_shared, how);
        if (!started) return std::move(started).error().with_context(how.role + " node " + how.directory);
        m_nodes.push_back(std::move(*started));
        return {};
    }

    result<void> start_metrics(const std::string& listen) {
        TRY(m_metrics, net::serve_metrics(m_world, m_count, listen, [this] { return healthy(); }));
        return {};
    }

    [[nodiscard]] std::vector<node_status> nodes() const override {
        std::vector<node_status> all;
        for (const auto& n : m_nodes) all.push_back(n->status());
        return all;
    }

    [[nodiscard]] std::string metrics_address() const override { return m_metrics ? m_metrics->address() : std::string(); }

    void stop() override {
        if (std::exchange(m_stopped, true)) return;
        m_metrics.reset();
        // Miners before the consensus nodes they registered at.
        for (auto n = m_nodes.rbegin(); n != m_nodes.rend(); ++n) {
            const auto stopped = net::wait(m_world, (*n)->stop(m_grace));
            if (!stopped) log::warn("node", "stopping: {}", stopped.error().message());
        }
        m_workers.stop();
        m_journal_workers.stop();
    }

private:
    [[nodiscard]] bool healthy() const {
        return std::all_of(m_nodes.begin(), m_nodes.end(), [](const auto& n) { return n->status().registered; });
    }

    net::duration m_grace;
    metrics m_count;
    net::real_env m_world;
    net::worker_pool m_workers;
    net::worker_pool m_journal_workers;
    shared_resources m_shared;
    std::vector<std::unique_ptr<running_node>> m_nodes;
    net::metrics_endpoint m_metrics;
    bool m_stopped = false;
};

}  // namespace

result<std::unique_ptr<host>> host::start(loaded with) {
    keep_freed_memory();
    auto made = std::make_unique<running_host>(with.process);
    // Consensus first: the others register there.
    std::stable_partition(with.nodes.begin(), with.nodes.end(), [](const node_config& n) { return n.role == "consensus"; });
    for (const auto& n : with.nodes) CHECK_OK(made->start_node(n));
    CHECK_OK(made->start_metrics(with.process.metrics));
    return std::unique_ptr<host>(std::move(made));
}

}  // namespace cess::roles
