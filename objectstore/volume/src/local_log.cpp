#include "local_log.hpp"

#include <core/base/log.hpp>
#include <core/base/random.hpp>

namespace cess::volume::local {
namespace {

using clock = std::chrono::steady_clock;
// So that most syncs change no file's size, which would cost the file system a record of its own.
constexpr std::uint64_t zeros_ahead = 1 * MiB;

}  // namespace

log::log(place where, file_header what, std::uint64_t file_max) : m_where(std::move(where)), m_header(std::move(what)), m_file_max(file_max) {}

result<void> log::begin_file(std::uint64_t number) {
    system_random random;
    m_header.first = number;
    m_header.salt = random.id<salt256>();
    const auto path = m_where.directory + "/" + file_name(m_header.term, number);
    TRY(auto file, m_where.disk->open(path, os::open_mode::create_new));
    m_files.push_back({path, number, 0});
    CHECK_OK(file->write_at(0, encode_header(m_header)));
    CHECK_OK(file->sync());
    CHECK_OK(m_where.disk->sync_directory(m_where.directory));
    m_open = std::move(file);
    m_sealer = std::make_unique<record_sealer>(file_key(m_where.key, m_header.salt), m_header.salt);
    m_size = m_zeroed = records_at;
    return {};
}

result<void> log::write(std::uint64_t number, byte_view entry) {
    if (entry.size() > entry_max) return error(errc::too_large, "entry of " + format_size(entry.size()));
    if (!m_open || m_size >= m_file_max) CHECK_OK(begin_file(number));
    const auto record = m_sealer->seal(number, entry);
    if (m_size + record.size() > m_zeroed) {
        const auto from = std::max(m_zeroed, m_size + record.size());
        CHECK_OK(m_open->write_at(from, bytes(zeros_ahead)));
        m_zeroed = from + zeros_ahead;
    }
    CHECK_OK(m_open->write_at(m_size, record));
    CHECK_OK(m_open->sync());
    m_size += record.size();
    m_files.back().last = number;
    return {};
}

result<void> log::append(std::uint64_t number, byte_view entry) {
    const std::lock_guard lock(m_mutex);
    m_appended = number;
    if (m_broken) CHECK_OK(recover(number));
    auto done = write(number, entry);
    if (done) return done;
    m_broken = done.error();
    m_retry_at = clock::now() + retry_after;
    m_open = nullptr;  // what a failed sync dropped, a later one does not bring back
    cess::log::error("volume", "local journal failed, flushes wait for the miners until it works again directory={} error={}", m_where.directory, m_broken->message());
    return done;
}

// What the failure left behind goes first: it may be torn anywhere.
result<void> log::recover(std::uint64_t number) {
    if (m_stored + 1 < number || clock::now() < m_retry_at) return *m_broken;
    m_retry_at = clock::now() + retry_after;
    while (!m_files.empty()) {
        auto removed = m_where.disk->remove(m_files.back().path);
        if (!removed && removed.error().code != errc::not_found) return removed;
        m_files.pop_back();
    }
    m_broken.reset();
    return {};
}

void log::stored(std::uint64_t upto) {
    const std::lock_guard lock(m_mutex);
    m_stored = std::max(m_stored, upto);
    while (m_files.size() > 1 && m_files.front().last <= m_stored && !m_broken) {
        if (auto removed = m_where.disk->remove(m_files.front().path); !removed) {
            cess::log::warn("volume", "local journal's old file stays error={}", removed.error().message());
            return;
        }
        m_files.pop_front();
    }
}

result<void> log::clear_stored() {
    const std::lock_guard lock(m_mutex);
    return m_appended > m_stored ? result<void>() : remove_files();
}

result<void> log::clear() {
    const std::lock_guard lock(m_mutex);
    return remove_files();
}

result<void> log::remove_files() {
    if (m_files.empty()) return {};
    m_open = nullptr;
    while (!m_files.empty()) {
        auto removed = m_where.disk->remove(m_files.front().path);
        if (!removed && removed.error().code != errc::not_found) return removed;
        m_files.pop_front();
    }
    return m_where.disk->sync_directory(m_where.directory);
}

bool log::empty() const {
    const std::lock_guard lock(m_mutex);
    return m_files.empty();
}

}  // namespace cess::volume::local
