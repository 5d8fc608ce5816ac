// The durable sequence of blocks: the only write-ahead log of a consensus node, kept for ever.
//
// A record log (record_log.hpp) of the plain form: files <first height, 16 hex digits>.blocks, magic "CBLK", numbers are
// heights, bodies encoded blocks. A record is durable when append() returns. After a crash the last file may end in a torn
// record, which was never acknowledged and is cut off; anything else that does not check is corruption, and the log does not open.
// append() by one thread at a time; read() by any, beside it.
#pragma once

#include "record_log.hpp"

#include <memory>

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
    block_log(os::file_system& disk, std::string directory, record_log::form of) : m_records(disk, std::move(directory), std::move(of)) {}

    record_log m_records;
};

}  // namespace cess::chain
