#include <objectstore/volume/comparison.hpp>

#include <algorithm>

namespace cess::volume {
namespace {

constexpr std::size_t batch_max = 1024;  // extents

}  // namespace

comparison::comparison(reader* from, reader& to, blob_id blob, std::uint64_t offset, std::uint64_t end)
    : m_from(from, blob, end), m_to(&to, blob, end), m_at(offset), m_end(end) {}

result<comparison::side::here> comparison::side::at(std::uint64_t position) {
    if (!m_of) return here{nullptr, m_end};
    for (;;) {
        while (m_next < m_batch.size() && m_batch[m_next].end() <= position) ++m_next;
        if (m_next < m_batch.size()) {
            const auto& next = m_batch[m_next];
            if (next.offset > position) return here{nullptr, next.offset};
            return here{&next, next.end()};
        }
        if (m_started && position < m_known) return here{nullptr, m_known};
        TRY(m_batch, m_of->places(m_blob, position, m_end, batch_max));
        m_next = 0;
        m_started = true;
        m_known = m_batch.size() < batch_max ? m_end : m_batch.back().end();
    }
}

result<std::optional<range>> comparison::next() {
    const auto same = [this](const side::here& a, const side::here& b) {
        if (!a.place || !b.place) return a.place == b.place;
        return a.place->segment == b.place->segment && a.place->lineage == b.place->lineage &&
               a.place->at + (m_at - a.place->offset) == b.place->at + (m_at - b.place->offset);
    };
    std::optional<range> out;
    while (m_at < m_end) {
        TRY(const auto a, m_from.at(m_at));
        TRY(const auto b, m_to.at(m_at));
        const auto until = std::min({a.until, b.until, m_end});
        if (same(a, b)) {
            if (out) return out;
        } else {
            const bool data = b.place != nullptr;
            if (out && out->data != data) return out;
            if (!out) out = range{m_at, 0, data};
            out->length += until - m_at;
        }
        m_at = until;
    }
    return out;
}

}  // namespace cess::volume
