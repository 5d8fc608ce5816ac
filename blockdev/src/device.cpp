#include <blockdev/device.hpp>

#include <objectstore/volume/comparison.hpp>

#include <algorithm>

namespace cess::blockdev {
namespace {

constexpr std::uint64_t prefetch_max = 32 * MiB;
constexpr std::uint64_t prefetch_step = 1 * MiB;
constexpr std::size_t changes_max = 4096;  // told in one answer

}  // namespace

device::device(volume::reader& data, volume::volume* head, limiter* limits)
    : m_data(data), m_head(head), m_limits(limits), m_size(data.record().size) {}

device::device(volume::reader& data, volume::reader& base)
    : m_data(data), m_head(nullptr), m_limits(nullptr), m_base(&base), m_size(data.record().size) {}

result<void> device::check(std::uint64_t offset, std::uint64_t length) const {
    const auto limit = size();
    if (offset <= limit && length <= limit - offset) return {};
    return error(errc::invalid, "bytes " + std::to_string(offset) + "+" + std::to_string(length) + " of a device of " + std::to_string(limit));
}

result<void> device::check_writable(std::uint64_t offset, std::uint64_t length) const {
    if (!m_head) return error(errc::read_only, "snapshots cannot be written");
    return check(offset, length);
}

result<void> device::admit(direction which, std::uint64_t size) { return m_limits ? m_limits->admit(which, size) : result<void>(); }

result<void> device::commit(const volume::change& what, bool fua) {
    TRY(const auto at, m_head->apply(what));
    return fua ? m_head->sync(at) : result<void>();
}

result<void> device::read(std::uint64_t offset, byte_span out) {
    CHECK_OK(check(offset, out.size()));
    if (out.empty()) return {};
    CHECK_OK(admit(direction::read, out.size()));
    return m_data.read(device_blob, offset, out);
}

result<void> device::write(std::uint64_t offset, byte_view data, bool fua) {
    CHECK_OK(check_writable(offset, data.size()));
    if (data.empty()) return {};
    CHECK_OK(admit(direction::write, data.size()));
    volume::change what;
    what.write(device_blob, offset, data);
    return commit(what, fua);
}

result<void> device::zero(std::uint64_t offset, std::uint64_t length, bool fua) {
    CHECK_OK(check_writable(offset, length));
    if (length == 0) return {};
    CHECK_OK(admit(direction::write, 0));
    volume::change what;
    what.zero(device_blob, offset, length);
    return commit(what, fua);
}

result<void> device::flush() {
    if (!m_head) return {};
    return m_head->sync();
}

result<std::vector<device::extent>> device::extents(std::uint64_t offset, std::uint64_t length) {
    CHECK_OK(check(offset, length));
    std::vector<extent> out;
    if (length == 0) return out;
    if (m_base) return changes(offset, length);
    TRY(const auto found, m_data.map(device_blob, offset, length));
    for (const auto& each : found) out.push_back({each.offset, each.length, each.data ? kind::data : kind::zero});
    return out;
}

result<std::vector<device::extent>> device::changes(std::uint64_t offset, std::uint64_t length) {
    std::vector<extent> out;
    volume::comparison walk(m_base, m_data, device_blob, offset, offset + length);
    auto at = offset;
    while (out.size() < changes_max) {
        TRY(const auto next, walk.next());
        const auto begin = next ? next->offset : offset + length;
        if (begin > at) out.push_back({at, begin - at, kind::unchanged});
        if (!next) break;
        out.push_back({next->offset, next->length, next->data ? kind::data : kind::zeroed});
        at = next->offset + next->length;
    }
    return out;
}

result<void> device::prefetch(std::uint64_t offset, std::uint64_t length) {
    CHECK_OK(check(offset, length));
    const auto end = offset + std::min(length, prefetch_max);
    CHECK_OK(admit(direction::read, end - offset));
    bytes scratch(std::min(prefetch_step, end - offset));
    while (offset < end) {
        const auto step = std::min<std::uint64_t>(scratch.size(), end - offset);
        CHECK_OK(m_data.read(device_blob, offset, byte_span(scratch).first(step)));
        offset += step;
    }
    return {};
}

}  // namespace cess::blockdev
