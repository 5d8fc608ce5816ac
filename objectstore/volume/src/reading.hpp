// Reading blobs through an extent map, for heads and snapshots alike.
#pragma once

#include "container.hpp"
#include "store.hpp"

namespace cess::volume {

// The volume's keys as they are now; a snapshot rotates them. Thread-safe.
class key_holder {
public:
    key_holder(layer::keyring keys, std::vector<ledger::wrapped_key> wrapped)
        : m_keys(std::make_shared<const layer::keyring>(std::move(keys))), m_wrapped(std::move(wrapped)) {}
    [[nodiscard]] std::shared_ptr<const layer::keyring> ring() const {
        const std::lock_guard lock(m_mutex);
        return m_keys;
    }
    [[nodiscard]] std::vector<ledger::wrapped_key> wrapped() const {
        const std::lock_guard lock(m_mutex);
        return m_wrapped;
    }
    [[nodiscard]] std::uint32_t generation() const {  // that seals new data
        const std::lock_guard lock(m_mutex);
        return m_wrapped.empty() ? 0 : m_wrapped.back().generation;
    }
    void replace(layer::keyring keys, std::vector<ledger::wrapped_key> wrapped) {
        const std::lock_guard lock(m_mutex);
        m_keys = std::make_shared<const layer::keyring>(std::move(keys));
        m_wrapped = std::move(wrapped);
    }

private:
    mutable std::mutex m_mutex;
    std::shared_ptr<const layer::keyring> m_keys;
    std::vector<ledger::wrapped_key> m_wrapped;
};

// `keys` are asked once it is known where the bytes are, which may have been sealed with a key of a moment ago.
[[nodiscard]] result<void> read_blob(const store& from, const segment_table& segments, locator& where, layer::layer& on, const key_holder& keys,
                                     blob_id blob, std::uint64_t offset, byte_span out);
[[nodiscard]] result<std::vector<range>> map_blob(const store& from, blob_id blob, std::uint64_t offset, std::uint64_t length);
[[nodiscard]] result<std::vector<placed_range>> place_blob(const store& from, blob_id blob, std::uint64_t offset, std::uint64_t end, std::size_t limit);
[[nodiscard]] result<std::vector<located_range>> locate_blob(const store& from, const segment_table& segments, blob_id blob, std::uint64_t offset,
                                                             std::uint64_t end, std::size_t limit);
[[nodiscard]] result<std::vector<blob_id>> list_blobs(const store& from, blob_id first, std::size_t limit);
[[nodiscard]] result<std::vector<volume_id>> lineages_of(const store& from);  // by their index in extents
[[nodiscard]] result<std::vector<key_value>> scan_keys(const store& from, byte_view prefix, byte_view begin, std::size_t limit);

}  // namespace cess::volume
