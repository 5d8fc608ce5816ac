// Where written bytes go first: one open segment buffer, sealed when full or when a cut wants it, and a few workers
// that store sealed ones. Bounded in bytes: writers wait. Thread-safe.
//
// Lock order: the pool's mutex before the segment table's. Nothing is locked while bytes are copied or stored.
#pragma once

#include "squeezing.hpp"

#include <condition_variable>
#include <deque>
#include <thread>

namespace cess::volume {

class buffer_pool {
public:
    struct hooks {
        std::function<result<ledger::segment_record>(segment_number, byte_view)> put;  // session::put_segment
        std::function<void(const std::shared_ptr<segment_buffer>&, const ledger::segment_record&, const squeezed_buffer*)> stored;  // null: whole
        std::function<sequence_number()> durable;
        std::function<void(const error&)> deposed;  // a put was fenced
    };
    struct limits {
        std::uint64_t segment_size, buffers_max;
        net::duration patience;
        unsigned workers = 3;
        mutations broken;
    };
    buffer_pool(segment_table& table, hooks on, limits with, segment_number first);
    ~buffer_pool();  // stops

    // A range of a buffer that holds written bytes; pinned in the table until unpin().
    struct hold {
        std::shared_ptr<segment_buffer> buffer;
        std::uint32_t offset = 0;
        std::uint32_t length = 0;
    };
    // Gives `data` its place and copies it there. Appends to `out`, also when it fails (unpin what is there).
    // Waits while buffers are full: errc::no_space or errc::timeout with the reason that storing gave.
    [[nodiscard]] result<void> place(byte_view data, std::vector<hold>& out);
    void unpin(const std::vector<hold>& holds);

    [[nodiscard]] segment_number next_number();  // for segments that are not buffered: metadata
    void seal_open();                            // what is in it becomes complete as soon as running copies end
    void adopt(const std::shared_ptr<segment_buffer>& replayed, std::uint64_t length);  // sealed, from recovery
    // Until the segment is stored (or forgotten); errc::canceled on stop, errc::timeout with the last failure.
    [[nodiscard]] result<void> wait_stored(segment_number number, net::duration patience);
    [[nodiscard]] std::uint64_t placed() const;  // bytes, since the start
    [[nodiscard]] segment_number open_number() const;  // of the buffer that is being filled; 0: none
    // Until of the first `upto` bytes that were placed all but about `but` are stored. Ends early when storing fails or the
    // pool stops, and after `patience`.
    void settle(std::uint64_t upto, std::uint64_t but, net::duration patience);
    [[nodiscard]] bool storing_fails() const;
    void await_stored(net::duration patience);  // until one more is stored, or fails
    // While it lives, and at most for `at_most`, writers begin no new buffer: what is there is stored sooner. Writers have half
    // of the time for themselves: one that comes sooner after another than that took does nothing.
    class pause {
    public:
        pause(buffer_pool& of, net::duration at_most);
        pause(const pause&) = delete;
        pause& operator=(const pause&) = delete;
        ~pause();

    private:
        buffer_pool& m_of;
        std::chrono::steady_clock::time_point m_began{}, m_until{};  // not: it does nothing
    };
    void wake();  // something changed that waiters look at
    void abandon();  // waiters get errc::canceled, no put is started any more
    void stop();     // abandons, and waits for running puts
    // Memory of the buffers' bound for something else, given back with the loan. Waits as place() does.
    class loan {
    public:
        loan(buffer_pool& of, std::uint64_t bytes) : m_of(&of), m_bytes(bytes) {}
        loan(loan&& other) noexcept : m_of(std::exchange(other.m_of, nullptr)), m_bytes(other.m_bytes) {}
        loan& operator=(loan&&) = delete;
        ~loan() {
            if (m_of) m_of->repay(m_bytes);
        }

    private:
        buffer_pool* m_of;
        std::uint64_t m_bytes;
    };
    [[nodiscard]] result<loan> lend(std::uint64_t bytes);
    // The same without waiting, past the bound if need be: for what writers would never leave room for.
    [[nodiscard]] loan take_now(std::uint64_t bytes);
    [[nodiscard]] std::uint64_t unstored_bytes() const;  // accepted, not yet at the miners
    [[nodiscard]] std::uint64_t bytes_held() const;

private:
    struct slot {
        std::shared_ptr<segment_buffer> buffer;
        std::uint64_t used = 0;
        std::uint32_t copies = 0;  // under way
        bool sealed = false;
        bool tried = false;  // to be stored
        std::vector<overwritten_range> overwritten;  // that it is stored without
    };
    using clock = std::chrono::steady_clock;

    [[nodiscard]] result<std::shared_ptr<slot>> reserve(std::uint64_t wanted, hold& out);
    void copied(const std::shared_ptr<slot>& into);
    void seal(const std::shared_ptr<slot>& which);  // REQUIRES: m_mutex
    [[nodiscard]] error full() const;               // REQUIRES: m_mutex
    void repay(std::uint64_t bytes);
    void work();
    void finish(const std::shared_ptr<slot>& which);
    [[nodiscard]] std::optional<squeezed_buffer> squeeze_now(slot& which, sequence_number durable);
    void store(const std::shared_ptr<slot>& which);

    segment_table& m_table;
    const hooks m_on;
    const limits m_limits;
    const std::shared_ptr<buffer_recycler> m_memory = std::make_shared<buffer_recycler>(1);
    mutable std::mutex m_mutex;
    std::condition_variable m_changed;  // space, stored, stop
    std::condition_variable m_ready;    // work for workers
    std::uint64_t m_next;
    std::shared_ptr<slot> m_open;
    std::deque<std::shared_ptr<slot>> m_sealed;
    std::uint64_t m_bytes = 0;           // held by buffers
    std::uint64_t m_placed = 0, m_finished = 0;  // bytes, since the start
    clock::time_point m_paused_until{}, m_no_pause_until{};
    error m_failure;                     // of the last put, until one succeeds
    clock::time_point m_retry_at{};
    std::chrono::milliseconds m_backoff{0};
    bool m_stop = false;
    std::vector<std::thread> m_workers;
};

}  // namespace cess::volume
