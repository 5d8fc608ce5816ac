#include "remote_files.hpp"

#include "root_files.hpp"

#include <core/base/log.hpp>

#include <filesystem>

namespace cess::volume {
namespace {

constexpr auto rest_after_failure = std::chrono::seconds(1);

// One that RocksDB may meet again with success: a compaction that met it is tried again.
rocksdb::IOStatus to_rocks(const error& why, const std::string& path) {
    auto out = rocksdb::IOStatus::IOError("table " + path, why.message());
    out.SetRetryable(true);
    return out;
}

}  // namespace

remote_files::remote_files(std::string directory, const std::vector<stored_file>& tables, fetch bring)
    : FileSystemWrapper(FileSystem::Default()), m_directory(std::move(directory)), m_fetch(std::move(bring)), m_count(tables.size()) {
    for (const auto& each : tables) m_missing.emplace(m_directory + "/" + each.name, table{each});
}

remote_files::~remote_files() { stop(); }

void remote_files::bring_rest() {
    if (any_missing()) m_thread = std::thread([this] { work(); });
}

void remote_files::stop() {
    {
        const std::lock_guard lock(m_mutex);
        m_stop = true;
    }
    m_changed.notify_all();
    if (m_thread.joinable()) m_thread.join();
}

void remote_files::work() {
    std::unique_lock lock(m_mutex);
    std::string path;
    while (!m_stop && !m_missing.empty()) {
        const auto next = m_missing.upper_bound(path);  // one that cannot come does not keep the others back
        path = (next == m_missing.end() ? m_missing.begin() : next)->first;
        lock.unlock();
        const auto done = bring(path);
        lock.lock();
        if (!done.ok()) m_changed.wait_for(lock, rest_after_failure, [this] { return m_stop; });
    }
}

std::optional<std::uint64_t> remote_files::size_of_missing(const std::string& path) const {
    if (!any_missing()) return std::nullopt;
    const std::lock_guard lock(m_mutex);
    const auto it = m_missing.find(path);
    return it == m_missing.end() ? std::nullopt : std::optional(it->second.what.size);
}

result<void> remote_files::bring_one(const std::string& path, const stored_file& what) const {
    TRY(const auto content, m_fetch(what));
    auto written = write_whole(path, content);
    std::error_code ignored;
    if (!written) std::filesystem::remove(path, ignored);
    return written;
}

rocksdb::IOStatus remote_files::bring(const std::string& path) {
    if (!any_missing()) return rocksdb::IOStatus::OK();
    std::unique_lock lock(m_mutex);
    auto it = m_missing.find(path);
    const auto failures = it == m_missing.end() ? 0 : it->second.failures;
    while (it != m_missing.end() && it->second.coming) {  // whoever brings it has a deadline
        m_changed.wait(lock);
        it = m_missing.find(path);
    }
    if (it == m_missing.end()) return rocksdb::IOStatus::OK();
    auto& one = it->second;  // stays: only who brings it, or deletes it when nobody does, takes it out
    // Who waited for a try has its outcome: one after another they would wait for many.
    if (one.failures != failures) return to_rocks(one.failure, path);
    if (m_stop) return to_rocks(error(errc::canceled, "volume is closed"), path);
    one.coming = true;
    lock.unlock();
    const auto done = bring_one(path, one.what);
    lock.lock();
    one.coming = false;
    if (done) {
        m_missing.erase(it);
        m_count.store(m_missing.size(), std::memory_order_release);
    }
    if (!done) {
        ++one.failures;
        one.failure = done.error();
    }
    m_changed.notify_all();
    if (done) return rocksdb::IOStatus::OK();
    log::warn("volume", "metadata cannot be fetched now table={} error={}", path, done.error().message());
    return to_rocks(done.error(), path);
}

rocksdb::IOStatus remote_files::NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& how,
                                                    std::unique_ptr<rocksdb::FSRandomAccessFile>* out, rocksdb::IODebugContext* context) {
    if (auto here = bring(path); !here.ok()) return here;
    return target()->NewRandomAccessFile(path, how, out, context);
}

rocksdb::IOStatus remote_files::FileExists(const std::string& path, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) {
    if (size_of_missing(path)) return rocksdb::IOStatus::OK();
    return target()->FileExists(path, how, context);
}

rocksdb::IOStatus remote_files::GetFileSize(const std::string& path, const rocksdb::IOOptions& how, std::uint64_t* size, rocksdb::IODebugContext* context) {
    if (const auto known = size_of_missing(path)) {
        *size = *known;
        return rocksdb::IOStatus::OK();
    }
    return target()->GetFileSize(path, how, size, context);
}

rocksdb::IOStatus remote_files::DeleteFile(const std::string& path, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) {
    if (any_missing()) {
        std::unique_lock lock(m_mutex);
        auto it = m_missing.find(path);
        while (it != m_missing.end() && it->second.coming) {
            m_changed.wait(lock);
            it = m_missing.find(path);
        }
        if (it != m_missing.end()) {
            m_missing.erase(it);
            m_count.store(m_missing.size(), std::memory_order_release);
            return rocksdb::IOStatus::OK();
        }
    }
    return target()->DeleteFile(path, how, context);
}

rocksdb::IOStatus remote_files::LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) {
    if (!size_of_missing(from)) return target()->LinkFile(from, to, how, context);
    std::error_code failed;
    std::filesystem::create_symlink("not-fetched", to, failed);
    return failed ? rocksdb::IOStatus::IOError("link " + to, failed.message()) : rocksdb::IOStatus::OK();
}

}  // namespace cess::volume
