// The durable sequence of blocks: the only write-ahead log of a consensus node, kept for ever.
//
// Files <first height, 16 hex digits>.blocks of records: magic u32 "CBLK", length u32, height u64, sha256 of those 16
// bytes and the block, then the encoded block; integers little-endian. A record is durable when append() returns. After
// a crash the last file may end in a torn record, which was never acknowledged and is cut off; anything else that does
// not check is corruption, and the log does not open.
// append() by one thread at a time; read() by any, beside it.
#pragma once

#include <core/base/ids.hpp>
#include <core/os/file_system.hpp>

#include <functional>
#include <map>
#include <mutex>

namespace cess::chain {

class block_log {
public:
    using visitor = std::function<result<void>(block_height, byte_view)>;
    // Visits every block from `from` on, in order, and leaves the log ready to append.
    static result<std::unique_ptr<block_log>> open(os::file_system& disk, std::string directory, std::uint64_t file_size, block_height from, const visitor& visit);

    result<void> append(block_height height, byte_view block);
    result<bytes> read(block_height height);
    [[nodiscard]] block_height last() const;  // 0 = empty

private:
    struct file_index {
        std::unique_ptr<os::file> file;
        std::vector<std::uint64_t> offsets;  // of the records, from the file's first height on
        std::uint64_t end = 0;
    };
    block_log(os::file_system& disk, std::string directory, std::uint64_t file_size) : m_disk(disk), m_directory(std::move(directory)), m_file_size(file_size) {}
    result<void> recover(block_height from, const visitor& visit);
    result<file_index> scan(block_height first, bool last_file);
    result<void> settle_tail();
    result<void> cut_torn_tail(file_index& in, const std::string& path, std::uint64_t size, block_height height);
    result<void> start_file(block_height first);
    result<file_index*> index_of(block_height first);
    [[nodiscard]] std::string path_of(block_height first) const;

    os::file_system& m_disk;
    const std::string m_directory;
    const std::uint64_t m_file_size;
    mutable std::mutex m_mutex;
    std::vector<block_height> m_firsts;            // of all files, ascending
    block_height m_last;
    file_index m_tail;                             // of the last file
    block_height m_read_first;                     // which file m_read is of
    file_index m_read;
    bool m_failed = false;                         // a write or sync failed: what is on disk is unknown
};

}  // namespace cess::chain
