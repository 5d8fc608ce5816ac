// Edits gathered into changes that are not too large. Not thread-safe.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::fs::importing {

class changes {
public:
    explicit changes(volume::volume& to) : m_to(to) {}

    // The change that goes on; after what belongs together was added, say so with added().
    [[nodiscard]] volume::change& next() noexcept { return m_next; }
    [[nodiscard]] result<void> added(std::size_t bytes = 0) {
        m_bytes += bytes;
        return m_bytes >= bytes_max || m_next.edits().size() >= edits_max ? flush() : result<void>();
    }
    [[nodiscard]] result<void> flush() {
        if (m_next.empty()) return {};
        CHECK_OK(m_to.apply(m_next));
        m_next = volume::change();
        m_bytes = 0;
        ++m_flushed;
        return {};
    }
    [[nodiscard]] std::uint64_t flushed() const noexcept { return m_flushed; }

private:
    static constexpr std::size_t edits_max = 256;
    static constexpr std::size_t bytes_max = 512 * KiB;

    volume::volume& m_to;
    volume::change m_next;
    std::size_t m_bytes = 0;
    std::uint64_t m_flushed = 0;
};

}  // namespace cess::fs::importing
