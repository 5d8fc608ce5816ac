// Whether this process still owns its volume: asked of the journal's members time and again, so that an owner that only
// reads hears of its successor too. An owner whose appends are acknowledged need not ask.
//
// run() lives on the session's strand; the rest may be called from any thread.
#pragma once

#include <objectstore/layer/deadlines.hpp>
#include <objectstore/layer/journal_writer.hpp>

#include <atomic>
#include <functional>
#include <mutex>

namespace cess::layer {

class lease_watch {
public:
    struct setup {
        net::env& world;
        chain::client& ledger;
        deadlines limits;
        std::shared_ptr<miner_link> link;
        std::shared_ptr<journal_writer> journal;
        ledger::lease lease;
    };
    explicit lease_watch(setup how);

    // Every quarter of owner_silence, until cancelled or deposed.
    static net::awaitable<void> run(std::shared_ptr<lease_watch> self);
    // Told once; at once if it is known already. None: not any more; waits for a call under way.
    void on_deposed(std::function<void(const error&)> tell);
    // Whether N-m members have said within owner_silence that they know of no newer term.
    [[nodiscard]] bool confirmed() const noexcept;

private:
    struct answers {
        net::time_point asked;
        std::size_t confirming = 0;
        std::size_t denying = 0;  // have seen a newer term
        net::task_group all;
    };
    net::awaitable<bool> look();  // false: deposed
    net::awaitable<void> ask(std::size_t member, answers& to);
    net::awaitable<std::optional<bool>> ledger_agrees();  // none: it does not answer
    void depose();
    void confirm(net::time_point at) noexcept { m_confirmed = at.time_since_epoch().count(); }

    const setup m_how;
    entry_index m_acknowledged;
    net::time_point m_looked;
    std::atomic<net::duration::rep> m_confirmed;
    std::mutex m_mutex;  // guards what follows; held while told
    std::function<void(const error&)> m_tell;
    bool m_deposed = false;
};

}  // namespace cess::layer
