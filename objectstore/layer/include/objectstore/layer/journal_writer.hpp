// Appends entries to the journal of one term at several miners and says when they are durable.
//
// Members are written to independently, each strictly in order, one request at a time; groups are formed while earlier
// ones are under way. An entry is acknowledged when `tolerated`+1 members have it on stable storage, each of which got
// everything from the journal's beginning on. E = tolerated+2 members are kept up to date: the tolerated+1 quickest at
// once, for answers wait for them; the others follow, with what gathered in `lag` as one group. A prompt member that a
// following one passes, or answers in half its time, follows from then on. When one of the E fails or falls behind, a
// spare is filled from another member's copy and takes its place, while the slow one goes on in the background. Failure
// is final: after the first, nothing is acknowledged any more. Silence is one only while the journal is being begun;
// afterwards (outlive_silence) what waits goes on being sent, in order and for ever, and is acknowledged when members are
// back. Being deposed is always final.
//
// Lives on one strand (the executor it is made with): every member function is called there. stop() before destruction.
#pragma once

#include <objectstore/layer/journal.hpp>
#include <objectstore/layer/miners.hpp>
#include <objectstore/layer/mutations.hpp>
#include <objectstore/layer/signal.hpp>

#include <core/base/crash_points.hpp>
#include <core/net/task_group.hpp>

#include <deque>
#include <functional>

namespace cess::layer {

struct journal_limits {
    net::duration append = std::chrono::seconds(30);    // from append(), or the last acknowledgement of any, to this one's
    net::duration request = std::chrono::seconds(3);    // one request to one member
    net::duration spare_after = std::chrono::milliseconds(500);  // a member without an answer for so long gets a substitute
    net::duration lag = std::chrono::milliseconds(5);  // by which a member that no answer waits for may be behind
    std::uint64_t window_bytes = 16 * MiB;              // acknowledged groups kept to bring members up to date; further back is copied
    std::uint32_t page_bytes = 1 * MiB;                 // of a copied page
    std::size_t groups_in_flight_max = 4;
    std::size_t group_bytes_max = group_payload_max;    // unless a single entry is larger
    std::size_t group_count_max = group_entries_max;
};

class journal_writer : public std::enable_shared_from_this<journal_writer> {
public:
    struct setup {
        storage::journal_ref journal;
        std::vector<ledger::journal_member> members;
        unsigned tolerated = 1;
        journal_limits limits;
        journal_mutations broken;
        crash_points* crashes = nullptr;
    };
    using completion = std::function<void(result<void>)>;  // called on the strand; must not block

    journal_writer(boost::asio::any_io_executor strand, std::shared_ptr<miner_link> link, chain::client& ledger, crypto::signing_key session, setup how);
    ~journal_writer();
    void start();
    void outlive_silence() noexcept { m_patient = true; }  // an append past its deadline is no failure from now on
    net::awaitable<void> stop();  // cancels and waits; completions still owed get errc::canceled

    // The entries of one append, sealed in order. `done` is called once, in order.
    void append(std::vector<sealed_entry> entries, completion done);
    // The certified root contains everything before `base`: forgets it here and tells the members (the link's lease is the
    // certificate they are shown, so set that first).
    void trim(entry_index base);

    [[nodiscard]] const std::optional<error>& failure() const noexcept { return m_failure; }
    [[nodiscard]] std::uint64_t bytes_kept() const noexcept { return m_bytes_kept; }  // since the last trim
    [[nodiscard]] entry_index acknowledged() const noexcept { return m_acknowledged; }
    [[nodiscard]] bool silent() const noexcept { return m_silent; }  // nobody has acknowledged anything for an append's time
    [[nodiscard]] unsigned members_needed() const noexcept { return m_how.tolerated + 1; }

private:
    struct group {
        entry_index first;
        entry_index end;
        hash256 previous;
        hash256 chain;
        std::vector<std::uint32_t> lengths;
        signature sig;
        bytes body;
        net::time_point formed{};
    };
    struct mark {  // of a group that is still needed, in the window or not
        entry_index first;
        entry_index end;
        hash256 previous;
        hash256 chain;
        std::uint64_t size = 0;
    };
    struct member {
        node_id miner;
        entry_index durable;           // holds everything from begin to here
        bool target = false;           // kept up to date
        bool prompt = false;           // gets every group at once
        net::duration pace{};          // mean time of its answers
        bool fenced = false;
        bool behind = false;           // being filled from another member
        bool stale = false;            // holds only what was trimmed: must be told so before it can begin anew
        unsigned failures = 0;         // in a row
        net::time_point quiet_since{};  // oldest moment since which it owes an answer
        bool owes = false;
    };
    struct waiting {
        entry_index end;
        completion done;
        net::time_point deadline;
    };

    static net::awaitable<void> run_member(std::shared_ptr<journal_writer> self, std::size_t which);
    static net::awaitable<void> watch(std::shared_ptr<journal_writer> self);
    static net::awaitable<void> ask_ledger(std::shared_ptr<journal_writer> self);
    static net::awaitable<void> tell_trimmed(std::shared_ptr<journal_writer> self, std::size_t which);

    net::awaitable<result<void>> send_window(std::size_t which);
    net::awaitable<result<void>> copy_page(std::size_t which);
    net::awaitable<result<void>> copy_group(std::size_t which, storage::stored_group stored, byte_view body);
    net::awaitable<result<void>> send(std::size_t which, storage::append_request what, net::request_body body, entry_index end);
    net::awaitable<result<void>> trim_at(node_id miner);
    net::awaitable<result<void>> advance(std::size_t which);

    void form_groups();
    void add_group(std::size_t count);
    void shrink_window();
    [[nodiscard]] result<void> took(member& from, entry_index sent_end, entry_index says);
    void recompute();
    void choose_targets();
    void choose_prompt();
    void passed(member& from);
    void fail(error why);
    void heard_fenced(member& from);
    void heard_nobody();
    [[nodiscard]] std::shared_ptr<const group> in_window(entry_index first) const;
    [[nodiscard]] std::vector<std::shared_ptr<const group>> next_for(const member& m) const;
    [[nodiscard]] net::time_point due(const member& m) const;
    [[nodiscard]] const mark* mark_at(entry_index first) const;
    [[nodiscard]] const mark* mark_before(entry_index end) const;
    [[nodiscard]] std::optional<std::size_t> source_for(std::size_t which) const;
    [[nodiscard]] bool has_work(const member& m) const;
    [[nodiscard]] bool somebody_idle() const;
    [[nodiscard]] std::size_t groups_in_flight() const;
    [[nodiscard]] bool healthy(const member& m) const;
    [[nodiscard]] entry_index begin() const { return m_marks.empty() ? m_end : m_marks.front().first; }

    std::shared_ptr<miner_link> m_link;
    net::env& m_world;
    chain::client& m_ledger;
    crypto::signing_key m_session;
    setup m_how;
    std::vector<member> m_members;
    std::deque<sealed_entry> m_pending;
    std::deque<std::shared_ptr<const group>> m_window;
    std::deque<mark> m_marks;
    std::deque<waiting> m_waiting;
    entry_index m_end;           // of all groups formed
    entry_index m_acknowledged;  // first entry that is not
    std::uint64_t m_window_bytes = 0;
    std::uint64_t m_bytes_kept = 0;
    std::optional<error> m_failure;
    net::time_point m_progress{};  // when entries were acknowledged last
    bool m_asking_ledger = false;
    net::time_point m_asked_ledger{};
    bool m_patient = false;
    bool m_silent = false;
    bool m_stopped = false;
    signal m_changed;
    net::task_group m_tasks;
};

}  // namespace cess::layer
