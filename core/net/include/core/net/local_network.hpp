// A network inside one process, for tests: requests go straight to the service registered under the peer's id, with
// the deadlines and the fates of a real one on demand.
#pragma once

#include <core/net/rpc.hpp>
#include <core/net/task_group.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace cess::net {

// Thread-safe. stop() before the services and the env go.
class local_network {
public:
    explicit local_network(env& world);
    ~local_network();

    void add(node_id id, service& at);
    void remove(const node_id& id);  // as if the process had died: calls get errc::unavailable

    // What happens to calls to `id` from now on.
    struct fate {
        bool down = false;             // errc::unavailable at once
        bool lose_requests = false;    // never arrives: the caller's deadline passes
        bool lose_replies = false;     // carried out, but nobody hears of it
        duration delay{0};             // before it arrives
        std::function<bool(const request&)> only;  // if set, the fate meets only requests for which it is true
        std::function<void(reply&)> alter;         // a peer that lies
    };
    void set_fate(const node_id& id, fate what);

    // A caller that authenticates as `self`. Must not outlive the network.
    [[nodiscard]] std::unique_ptr<caller> caller_as(node_id self);
    awaitable<void> stop();

    struct state;

private:
    std::shared_ptr<state> m_state;
};

}  // namespace cess::net
