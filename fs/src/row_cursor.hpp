// Rows of one kind in the order of their keys, a batch in memory at a time.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <optional>

namespace cess::fs {

// The number after a key's letter: whose row it is. Empty: the key is too short.
[[nodiscard]] std::optional<std::uint64_t> owner_of(byte_view key);

class row_cursor {
public:
    // `from` as in reader::scan().
    row_cursor(volume::reader& of, bytes prefix, bytes from = {}, std::size_t batch = 512)
        : m_of(of), m_prefix(std::move(prefix)), m_from(std::move(from)), m_batch_max(batch) {}

    // Null after the last one. Valid until the next call.
    [[nodiscard]] result<const volume::key_value*> peek();
    void pass() noexcept { ++m_at; }

private:
    volume::reader& m_of;
    const bytes m_prefix;
    bytes m_from;
    const std::size_t m_batch_max;
    std::vector<volume::key_value> m_batch;
    std::size_t m_at = 0;
    bool m_complete = false;
};

// The numbers of blobs that have data, in order.
class blob_cursor {
public:
    explicit blob_cursor(volume::reader& of) : m_of(of) {}
    [[nodiscard]] result<std::optional<volume::blob_id>> peek();
    void pass() noexcept { ++m_at; }

private:
    volume::reader& m_of;
    volume::blob_id m_from = 0;
    std::vector<volume::blob_id> m_batch;
    std::size_t m_at = 0;
    bool m_complete = false;
};

}  // namespace cess::fs
