#include "buffer_pool.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::volume {

buffer_pool::buffer_pool(segment_table& table, hooks on, limits with, segment_number first)
    : m_table(table), m_on(std::move(on)), m_limits(with), m_next(first.value) {
    for (unsigned i = 0; i < m_limits.workers; ++i) m_workers.emplace_back([this] { work(); });
}

buffer_pool::~buffer_pool() { stop(); }

void buffer_pool::abandon() {
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
    m_ready.notify_all();
}

void buffer_pool::stop() {
    abandon();
    for (auto& worker : m_workers)
        if (worker.joinable()) worker.join();
}

error buffer_pool::full() const {
    if (m_failure.code == errc::ok) return error(errc::timeout, "write buffers stayed full: segments are stored too slowly");
    return error(m_failure.code, "write buffers are full and cannot be stored: " + m_failure.what);
}

result<std::shared_ptr<buffer_pool::slot>> buffer_pool::reserve(std::uint64_t wanted, hold& out) {
    std::unique_lock lock(m_mutex);
    auto deadline = clock::now() + m_limits.patience;
    for (;;) {
        if (m_stop) return error(errc::canceled, "volume is closed");
        if (m_open) break;
        if (const auto began = clock::now(); began < m_paused_until) {
            m_changed.wait_until(lock, m_paused_until);
            deadline += clock::now() - began;  // that buffers are full is not to blame for it
            continue;
        }
        if (m_bytes == 0 || m_bytes + m_limits.segment_size <= m_limits.buffers_max) {
            m_open = std::make_shared<slot>();
            m_open->buffer = std::make_shared<segment_buffer>(segment_number{m_next++}, m_limits.segment_size, m_memory);
            m_bytes += m_limits.segment_size;
            m_table.add(m_open->buffer);
            break;
        }
        if (m_changed.wait_until(lock, deadline) == std::cv_status::timeout) return full();
    }
    auto into = m_open;
    const auto length = std::min(wanted, into->buffer->capacity() - into->used);
    out.buffer = into->buffer;
    out.offset = static_cast<std::uint32_t>(into->used);
    out.length = static_cast<std::uint32_t>(length);
    into->used += length;
    m_placed += length;
    ++into->copies;
    m_table.pin(into->buffer->number());
    if (into->used == into->buffer->capacity()) seal(into);
    return into;
}

void buffer_pool::seal(const std::shared_ptr<slot>& which) {
    which->sealed = true;
    m_bytes -= which->buffer->capacity() - which->used;  // pages that were never touched
    m_table.seal(which->buffer->number(), which->used);
    if (m_open == which) m_open = nullptr;
    if (which->copies) return;  // the last copy hands it on
    m_sealed.push_back(which);
    m_ready.notify_one();
}

void buffer_pool::copied(const std::shared_ptr<slot>& into) {
    const std::lock_guard lock(m_mutex);
    if (--into->copies || !into->sealed) return;
    m_sealed.push_back(into);
    m_ready.notify_one();
}

result<void> buffer_pool::place(byte_view data, std::vector<hold>& out) {
    while (!data.empty()) {
        hold next;
        TRY(auto into, reserve(data.size(), next));
        std::memcpy(next.buffer->at(next.offset), data.data(), next.length);
        data = data.subspan(next.length);
        out.push_back(std::move(next));
        copied(into);
    }
    return {};
}

void buffer_pool::unpin(const std::vector<hold>& holds) {
    for (const auto& each : holds) m_table.unpin(each.buffer->number());
}

segment_number buffer_pool::next_number() {
    const std::lock_guard lock(m_mutex);
    return {m_next++};
}

void buffer_pool::seal_open() {
    const std::lock_guard lock(m_mutex);
    if (const auto open = m_open; open && open->used) seal(open);
}

void buffer_pool::adopt(const std::shared_ptr<segment_buffer>& replayed, std::uint64_t length) {
    const std::lock_guard lock(m_mutex);
    auto which = std::make_shared<slot>();
    which->buffer = replayed;
    which->used = length;
    m_bytes += replayed->capacity();
    m_placed += length;
    seal(which);
}

result<void> buffer_pool::wait_stored(segment_number number, net::duration patience) {
    std::unique_lock lock(m_mutex);
    const auto deadline = clock::now() + patience;
    while (m_table.waits_for_store(number)) {
        if (m_stop) return error(errc::canceled, "volume is closed");
        if (m_changed.wait_until(lock, deadline) == std::cv_status::timeout) return full();
    }
    return {};
}

result<buffer_pool::loan> buffer_pool::lend(std::uint64_t bytes) {
    std::unique_lock lock(m_mutex);
    const auto deadline = clock::now() + m_limits.patience;
    while (m_bytes != 0 && m_bytes + bytes > m_limits.buffers_max) {
        if (m_stop) return error(errc::canceled, "volume is closed");
        if (m_changed.wait_until(lock, deadline) == std::cv_status::timeout) return error(errc::timeout, "write buffers stayed full: cleaning waits");
    }
    if (m_stop) return error(errc::canceled, "volume is closed");
    m_bytes += bytes;
    return loan(*this, bytes);
}

void buffer_pool::repay(std::uint64_t bytes) {
    {
        const std::lock_guard lock(m_mutex);
        m_bytes -= bytes;
    }
    m_changed.notify_all();
}

void buffer_pool::wake() {
    { const std::lock_guard lock(m_mutex); }
    m_changed.notify_all();
    m_ready.notify_all();
}

std::uint64_t buffer_pool::unstored_bytes() const {
    const std::lock_guard lock(m_mutex);
    return m_placed - m_finished;
}

std::uint64_t buffer_pool::placed() const {
    const std::lock_guard lock(m_mutex);
    return m_placed;
}

segment_number buffer_pool::open_number() const {
    const std::lock_guard lock(m_mutex);
    return m_open ? m_open->buffer->number() : segment_number{};
}

bool buffer_pool::storing_fails() const {
    const std::lock_guard lock(m_mutex);
    return m_failure.code != errc::ok;
}

void buffer_pool::await_stored(net::duration patience) {
    std::unique_lock lock(m_mutex);
    const auto before = m_finished;
    m_changed.wait_for(lock, patience, [&] { return m_stop || m_failure.code != errc::ok || m_finished != before; });
}

// Segments are stored in about the order in which they were placed.
void buffer_pool::settle(std::uint64_t upto, std::uint64_t but, net::duration patience) {
    std::unique_lock lock(m_mutex);
    const auto deadline = clock::now() + patience;
    while (!m_stop && m_failure.code == errc::ok && m_finished + but < upto)
        if (m_changed.wait_until(lock, deadline) == std::cv_status::timeout) return;
}

buffer_pool::pause::pause(buffer_pool& of, net::duration at_most) : m_of(of) {
    const std::lock_guard lock(m_of.m_mutex);
    const auto now = clock::now();
    if (now < m_of.m_no_pause_until) return;
    m_began = now;
    m_of.m_paused_until = m_until = now + at_most;
    m_of.m_no_pause_until = now + 2 * at_most;
}

buffer_pool::pause::~pause() {
    if (m_began == clock::time_point{}) return;
    {
        const std::lock_guard lock(m_of.m_mutex);
        if (m_of.m_paused_until != m_until) return;  // it took so long that another one has begun
        const auto now = std::min<clock::time_point>(clock::now(), m_until);
        m_of.m_paused_until = now;
        m_of.m_no_pause_until = now + (now - m_began);
    }
    m_of.m_changed.notify_all();
}

std::uint64_t buffer_pool::bytes_held() const {
    const std::lock_guard lock(m_mutex);
    return m_bytes;
}

void buffer_pool::work() {
    std::unique_lock lock(m_mutex);
    while (!m_stop) {
        if (m_sealed.empty()) {
            m_ready.wait(lock);
        } else if (const auto now = clock::now(); m_retry_at > now) {
            m_ready.wait_until(lock, m_retry_at);
        } else {
            const auto which = m_sealed.front();
            m_sealed.pop_front();
            lock.unlock();
            store(which);
            lock.lock();
        }
    }
}

void buffer_pool::finish(const std::shared_ptr<slot>& which) {
    {
        const std::lock_guard lock(m_mutex);
        m_bytes -= which->used;
        m_finished += which->used;
    }
    m_changed.notify_all();
}

// Decided by the first try; the next ones store the same.
std::optional<squeezed_buffer> buffer_pool::squeeze_now(slot& which, sequence_number durable) {
    if (m_limits.broken.squeeze_early) durable = {~std::uint64_t{0}};
    if (!std::exchange(which.tried, true)) which.overwritten = m_table.take_overwritten(which.buffer->number(), durable);
    auto made = squeeze(*which.buffer, which.used, which.overwritten);
    if (!made) log::error("volume", "segment is stored whole segment={} error={}", which.buffer->number().value, made.error().message());
    if (!made || !*made) return std::nullopt;
    if (!m_limits.broken.squeeze_early) which.buffer->complete_from = (*made)->complete_from;
    return std::move(*made);
}

buffer_pool::loan buffer_pool::take_now(std::uint64_t bytes) {
    const std::lock_guard lock(m_mutex);
    m_bytes += bytes;
    return loan(*this, bytes);
}

void buffer_pool::store(const std::shared_ptr<slot>& which) {
    const auto number = which->buffer->number();
    const auto durable = m_on.durable();
    if (m_table.drop_if_unneeded(number, durable)) return finish(which);
    const auto squeezed = squeeze_now(*which, durable);
    std::optional<loan> memory;
    if (squeezed) memory.emplace(take_now(squeezed->content.size()));  // not waited for: room comes from storing alone
    auto done = m_on.put(number, squeezed ? byte_view(squeezed->content) : which->buffer->view(0, which->used));
    if (done) {
        {
            const std::lock_guard lock(m_mutex);
            m_failure = {};
            m_backoff = {};
        }
        m_on.stored(which->buffer, *done, squeezed ? &*squeezed : nullptr);
        return finish(which);
    }
    if (done.error().code == errc::fenced) m_on.deposed(done.error());
    const std::lock_guard lock(m_mutex);
    m_failure = done.error();
    m_backoff = std::clamp(m_backoff * 2, std::chrono::milliseconds(50), std::chrono::milliseconds(5000));
    m_retry_at = clock::now() + m_backoff;
    m_sealed.push_back(which);
    log::warn("volume", "segment not stored, tried again segment={} in={}ms error={}", number.value, m_backoff.count(), done.error().message());
    m_ready.notify_all();
    m_changed.notify_all();
}

}  // namespace cess::volume
