#include "records.hpp"

namespace cess::volume {

void change::put(bytes key, bytes value) { m_edits.push_back({.kind = edit_kind::put, .key = std::move(key), .value = std::move(value)}); }

void change::erase(bytes key) { m_edits.push_back({.kind = edit_kind::erase, .key = std::move(key), .value = {}}); }

void change::write(blob_id blob, std::uint64_t offset, byte_view data) {
    if (data.empty()) return;
    m_edits.push_back({.kind = edit_kind::write, .blob = blob, .offset = offset, .length = data.size(), .data = data});
}

void change::zero(blob_id blob, std::uint64_t offset, std::uint64_t length) {
    if (length == 0) return;
    m_edits.push_back({.kind = edit_kind::zero, .blob = blob, .offset = offset, .length = length});
}

void change::share(blob_id from, std::uint64_t from_offset, blob_id to, std::uint64_t to_offset, std::uint64_t length) {
    if (length == 0) return;
    m_edits.push_back({.kind = edit_kind::share, .blob = to, .from = from, .offset = to_offset, .from_offset = from_offset, .length = length});
}

void change::drop(blob_id blob) { m_edits.push_back({.kind = edit_kind::drop, .blob = blob}); }

bool change::empty() const noexcept { return m_edits.empty(); }

result<std::vector<blob_id>> reader::blobs(blob_id, std::size_t) { return error(errc::unsupported, "a volume whose blobs cannot be listed"); }

result<std::vector<placed_range>> reader::places(blob_id, std::uint64_t, std::uint64_t, std::size_t) {
    return error(errc::unsupported, "this volume's bytes have no places");
}

result<std::vector<located_range>> reader::locate(blob_id, std::uint64_t, std::uint64_t, std::size_t) {
    return error(errc::unsupported, "this volume's bytes have no places");
}

result<target> parse_target(std::string_view text) {
    const auto at = text.find('@');
    target out{std::string(text.substr(0, at)), {}};
    if (!valid_name(out.name)) return error(errc::invalid, "volume name must be [a-z0-9][a-z0-9.-]{0,62} without '..'");
    if (at == std::string_view::npos) return out;
    out.snapshot = std::string(text.substr(at + 1));
    if (!valid_name(out.snapshot)) return error(errc::invalid, "snapshot name must be [a-z0-9][a-z0-9.-]{0,62} without '..'");
    return out;
}

}  // namespace cess::volume
