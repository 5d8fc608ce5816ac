#include "block_log.hpp"

namespace cess::chain {

constexpr std::uint32_t magic = 0x4b4c4243;  // "CBLK"

result<std::unique_ptr<block_log>> block_log::open(os::file_system& disk, std::string directory, std::uint64_t file_size, block_height from, const visitor& visit) {
    std::unique_ptr<block_log> log(new block_log(disk, directory, {"block", magic, ".blocks", false, file_size}));
    const auto each = [&](const record_log::place& at, byte_view block) { return visit({at.number}, block); };
    auto done = log->m_records.list_files();
    if (done) done = log->m_records.recover(from.value, 0, each);
    if (!done) return std::move(done).error().with_context("block log " + directory);
    return log;
}

result<void> block_log::append(block_height height, byte_view block) {
    if (height != last().next()) return error(errc::invalid, "block log: block " + std::to_string(height.value) + " out of order");
    CHECK_OK(m_records.append(block));
    return m_records.sync();
}

result<bytes> block_log::read(block_height height) {
    TRY(const auto at, m_records.find(height.value));
    return m_records.read(at);
}

block_height block_log::last() const { return {m_records.durable()}; }

}  // namespace cess::chain
