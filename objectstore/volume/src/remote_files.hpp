// The immutable tables of a root, brought from the network when RocksDB first opens them, so that opening a volume costs
// the same however much metadata it has. What nobody asks for comes in the background, one table at a time.
//
// A RocksDB file system over the local one, for one store's directory; files of which it knows nothing are local.
// Thread-safe; a call that needs a table blocks until it is here, or fails within the layer's deadlines and may be
// tried again. A link to a table that is not here yet is a symbolic link to nowhere: it has the name, which is all that
// a checkpoint needs of a table that is stored already, and reading it fails.
#pragma once

#include "records.hpp"

#include <rocksdb/file_system.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace cess::volume {

class remote_files final : public rocksdb::FileSystemWrapper {
public:
    using fetch = std::function<result<bytes>(const stored_file&)>;  // whole and verified; blocks
    remote_files(std::string directory, const std::vector<stored_file>& tables, fetch bring);
    ~remote_files() override;  // REQUIRES: nobody has the store open

    [[nodiscard]] bool any_missing() const noexcept { return m_count.load(std::memory_order_acquire) != 0; }
    [[nodiscard]] std::size_t missing() const noexcept { return m_count.load(std::memory_order_acquire); }
    void bring_rest();  // starts the background's thread
    void stop();        // ends it, and fails what asks for a missing table from now on

    const char* Name() const override { return "cess remote files"; }
    rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& how, std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                          rocksdb::IODebugContext* context) override;
    rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) override;
    rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& how, std::uint64_t* size, rocksdb::IODebugContext* context) override;
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) override;
    rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& how, rocksdb::IODebugContext* context) override;

private:
    struct table {
        stored_file what;
        bool coming = false;
        unsigned failures = 0;
        error failure;  // the last
    };
    [[nodiscard]] std::optional<std::uint64_t> size_of_missing(const std::string& path) const;
    [[nodiscard]] rocksdb::IOStatus bring(const std::string& path);
    [[nodiscard]] result<void> bring_one(const std::string& path, const stored_file& what) const;
    void work();

    const std::string m_directory;
    const fetch m_fetch;
    std::atomic<std::size_t> m_count;
    mutable std::mutex m_mutex;
    std::condition_variable m_changed;
    std::map<std::string, table> m_missing;  // by path
    bool m_stop = false;
    std::thread m_thread;
};

}  // namespace cess::volume
