#include "write_behind.hpp"

#include <core/base/log.hpp>

namespace cess::volume {
namespace {

// Below the session's own bounds, so that an append never waits there.
constexpr std::uint64_t under_way_bytes_max = 32 * MiB;
constexpr std::uint64_t under_way_max = 192;
constexpr auto linger = std::chrono::milliseconds(25);  // of an entry, for others to come along
constexpr std::uint64_t linger_bytes = 1 * MiB;
constexpr auto look_period = std::chrono::milliseconds(500);

}  // namespace

write_behind::write_behind(layer::session& to, local::log& log, limits with, gauge& lag)
    : m_to(to), m_log(log), m_limits(with), m_shared(std::make_shared<shared>()) {
    m_shared->lag = &lag;
    m_thread = std::thread([this] { run(); });
}

write_behind::~write_behind() { stop(); }

void write_behind::stop() {
    {
        const std::lock_guard lock(m_shared->mutex);
        m_shared->stop = true;
    }
    m_shared->changed.notify_all();
    if (m_thread.joinable()) m_thread.join();
}

void write_behind::send(bytes entry, completion done) {
    auto& s = *m_shared;
    bool wake = false;
    {
        const std::lock_guard lock(s.mutex);
        ++s.taken;
        s.bytes += entry.size();
        s.unstored.emplace_back(clock::now(), entry.size());
        s.queued += entry.size();
        s.queue.push_back({std::move(entry), std::move(done), clock::now()});
        s.lag->set(static_cast<std::int64_t>(s.bytes));
        wake = s.queue.size() == 1 || s.queued >= linger_bytes;
    }
    if (wake) s.changed.notify_all();
}

bool write_behind::full() const {
    const auto& s = *m_shared;
    const std::lock_guard lock(s.mutex);
    return s.bytes > m_limits.bytes_max || (!s.unstored.empty() && clock::now() - s.unstored.front().first > m_limits.age_max);
}

std::uint64_t write_behind::count() const {
    const std::lock_guard lock(m_shared->mutex);
    return m_shared->taken;
}

void write_behind::note(std::uint64_t count) {
    const std::lock_guard lock(m_shared->mutex);
    m_shared->noted[count];
}

result<entry_index> write_behind::index_after(std::uint64_t count, net::duration patience) {
    auto& s = *m_shared;
    std::unique_lock lock(s.mutex);
    const bool sent = s.changed.wait_for(lock, patience, [&] { return s.stop || s.failed || (s.sent >= count && !s.sending); });
    if (s.stop || s.failed) return error(errc::canceled, "volume is closed");
    if (!sent) return error(errc::timeout, "the journal does not answer");
    const auto it = s.noted.find(count);
    if (it == s.noted.end()) return error(errc::invalid, "journal has no division there");
    const auto at = it->second ? *it->second : m_to.next_entry();
    s.noted.erase(s.noted.begin(), it);  // nobody asks for earlier ones any more
    return at;
}

// What is in the local journal and at the miners is not needed here any more; if nobody writes, nothing stays.
void write_behind::tell_log(std::unique_lock<std::mutex>& lock, bool idle) {
    auto& s = *m_shared;
    const auto stored = s.stored;
    const bool all = stored == s.taken;
    if (stored > m_told) {
        lock.unlock();
        m_log.stored(stored);
        lock.lock();
        m_told = stored;
    } else if (idle && all && stored > 0) {
        lock.unlock();
        if (auto cleared = m_log.clear_stored(); !cleared && !std::exchange(m_warned, true)) log::warn("volume", "local journal's files stay error={}", cleared.error().message());
        lock.lock();
    }
}

void write_behind::send_next(std::unique_lock<std::mutex>& lock) {
    auto& s = *m_shared;
    auto next = std::move(s.queue.front());
    s.queue.pop_front();
    const auto size = next.entry.size();
    const auto number = s.sent;
    s.under_way_bytes += size;
    s.queued -= size;
    --m_burst;
    s.sending = true;
    lock.unlock();
    const auto index = m_to.append(std::move(next.entry), [state = m_shared, size, done = std::move(next.done)](result<void> how) {
        {
            const std::lock_guard here(state->mutex);
            state->under_way_bytes -= size;
            if (how) {
                ++state->stored;
                state->bytes -= size;
                state->unstored.pop_front();
                state->lag->set(static_cast<std::int64_t>(state->bytes));
            } else {
                state->failed = true;
            }
        }
        state->changed.notify_all();
        done(std::move(how));
    });
    lock.lock();
    s.sending = false;
    ++s.sent;
    if (const auto it = s.noted.find(number); it != s.noted.end()) it->second = index;
    s.changed.notify_all();
}

bool write_behind::room() const {
    const auto& s = *m_shared;
    const auto under_way = s.sent - s.stored;
    return under_way == 0 || (under_way < under_way_max && s.under_way_bytes + s.queue.front().entry.size() <= under_way_bytes_max);
}

void write_behind::run() {
    auto& s = *m_shared;
    std::unique_lock lock(s.mutex);
    while (!s.stop) {
        auto until = clock::now() + look_period;
        if (!s.failed && !s.queue.empty()) {
            const auto due = s.queue.front().came + linger;
            if (m_burst == 0 && (s.queued >= linger_bytes || clock::now() >= due)) m_burst = s.queue.size();
            if (m_burst > 0 && room()) {
                send_next(lock);
                continue;
            }
            if (m_burst == 0) until = due;
        }
        if (s.stored > m_told) {
            tell_log(lock, false);
            continue;
        }
        if (s.changed.wait_until(lock, until) == std::cv_status::timeout && !s.failed) tell_log(lock, true);
    }
}

}  // namespace cess::volume
