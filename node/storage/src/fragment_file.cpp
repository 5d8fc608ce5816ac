#include "fragment_file.hpp"

#include <core/crypto/crypto.hpp>
#include <core/os/medium.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

std::uint64_t leaves_of(std::uint64_t length) noexcept { return length / leaf_size + (length % leaf_size != 0 ? 1 : 0); }

result<fragment_header> decode_header(byte_view raw) {
    wire::decoder front(raw);
    std::uint32_t size = 0;
    hash256 sum;
    front(size, sum);
    if (front.failed() || size > front.rest().size()) return error(errc::corrupt, "fragment header is cut short");
    const auto content = front.rest().first(size);
    if (crypto::sha256(content) != sum) return error(errc::corrupt, "fragment header does not match its checksum");
    auto header = wire::decode<fragment_header>(content);
    if (!header || header->magic != fragment_header{}.magic) return error(errc::corrupt, "not a fragment");
    return header;
}

result<bytes> read_exactly(os::file& from, std::uint64_t offset, std::uint64_t size) {
    bytes out(static_cast<std::size_t>(size));
    TRY(const auto got, from.read_at(offset, out));
    if (got != size) return error(errc::corrupt, "fragment file is cut short");
    return out;
}

}  // namespace

result<void> check_shape(const ledger::shape& geometry, std::uint64_t stored_length, unsigned index, std::uint64_t fragment_size_max) {
    const auto [k, m] = geometry;
    if (k < 1 || k > 32 || m > 16) return error(errc::invalid, "segment geometry out of bounds");
    if (index >= unsigned{k} + m) return error(errc::invalid, "fragment index outside the geometry");
    if (stored_length == 0) return error(errc::invalid, "segment is empty");
    if (fragment_length(geometry, stored_length) > fragment_size_max) return error(errc::too_large, "fragment is larger than " + format_size(fragment_size_max));
    return {};
}

result<void> check_identity(const segment_identity& identity, unsigned index, std::uint64_t fragment_size_max) {
    CHECK_OK(check_shape(identity.geometry, identity.stored_length, index, fragment_size_max));
    if (identity.roots.size() != std::size_t{identity.geometry.k} + identity.geometry.m) return error(errc::invalid, "segment identity has the wrong number of roots");
    return {};
}

std::uint64_t fragment_file_size(std::uint64_t length) noexcept { return fragment_data_at + length + leaves_of(length) * hash256::size; }

std::optional<std::uint64_t> fragment_length_of_file(std::uint64_t size) noexcept {
    if (size <= fragment_data_at) return std::nullopt;
    const auto rest = size - fragment_data_at;
    const auto leaves = rest / (leaf_size + hash256::size) + (rest % (leaf_size + hash256::size) != 0 ? 1 : 0);
    if (rest <= leaves * hash256::size) return std::nullopt;
    const auto length = rest - leaves * hash256::size;
    if (fragment_file_size(length) != size) return std::nullopt;
    return length;
}

result<bytes> encode_header(const fragment_header& header) {
    const auto content = wire::encode(header);
    wire::encoder front;
    front(static_cast<std::uint32_t>(content.size()), crypto::sha256(content));
    front.raw(content);
    auto out = std::move(front).take();
    if (out.size() > fragment_data_at) return error(errc::too_large, "fragment header");
    out.resize(fragment_data_at, std::byte{0});
    return out;
}

result<std::shared_ptr<fragment_file>> fragment_file::open(os::file_system& disk, const std::string& path, const fragment_ref& expected) {
    TRY(auto file, disk.open(path, os::open_mode::read));
    return parse(std::move(file), path, expected);
}

result<std::shared_ptr<fragment_file>> fragment_file::open_medium(os::file_system& disk, const std::string& path, const fragment_ref& expected) {
    TRY(auto file, os::open_medium(disk, path));
    return parse(std::move(file), path, expected);
}

result<std::shared_ptr<fragment_file>> fragment_file::parse(std::unique_ptr<os::file> from, const std::string& path, const fragment_ref& expected) {
    const auto fragment = std::make_shared<fragment_file>();
    fragment->m_path = path;
    fragment->m_file = std::move(from);
    TRY(const auto raw, read_exactly(*fragment->m_file, 0, fragment_data_at));
    auto header = decode_header(raw);
    if (!header) return std::move(header).error().with_context(path);
    auto& proof = fragment->m_proof;
    proof.identity = std::move(header->identity);
    if (id_of(proof.identity) != expected.segment || header->index != expected.index || expected.index >= proof.identity.roots.size())
        return error(errc::corrupt, path + " is another fragment");
    fragment->m_length = fragment_length(proof.identity);
    TRY(const auto hashes, read_exactly(*fragment->m_file, fragment_data_at + fragment->m_length, leaves_of(fragment->m_length) * hash256::size));
    for (std::size_t at = 0; at < hashes.size(); at += hash256::size) proof.leaves.push_back(hash256::from(byte_view(hashes).subspan(at)));
    if (merkle_root(proof.leaves) != proof.identity.roots[expected.index]) return error(errc::corrupt, path + ": leaf hashes do not match the segment");
    return fragment;
}

result<bytes> fragment_file::read(std::uint64_t offset, std::uint32_t length) const {
    if (offset > m_length || length > m_length - offset) return error(errc::out_of_range, "the fragment has " + std::to_string(m_length) + " bytes");
    if (const auto bad = known_bad(offset, length)) return error(errc::corrupt, m_path + ": leaf " + std::to_string(*bad) + " was found damaged");
    return read_exactly(*m_file, fragment_data_at + offset, length);
}

bool fragment_file::read_at_once(std::uint64_t offset, byte_span out) const {
    if (offset > m_length || out.size() > m_length - offset || known_bad(offset, out.size())) return false;
    const auto got = m_file->read_at_once(fragment_data_at + offset, out);
    return got && *got == out.size();
}

std::optional<std::uint32_t> fragment_file::known_bad(std::uint64_t offset, std::uint64_t length) const {
    if (m_bad.empty() || length == 0) return std::nullopt;
    const auto bad = std::lower_bound(m_bad.begin(), m_bad.end(), offset / leaf_size);
    if (bad == m_bad.end() || *bad > (offset + length - 1) / leaf_size) return std::nullopt;
    return *bad;
}

result<std::uint64_t> fragment_file::check(std::uint32_t first, std::uint32_t count, std::vector<std::uint32_t>& bad) const {
    const auto end = std::min(leaves(), first + count);
    std::uint64_t done = 0;
    for (auto leaf = first; leaf < end; ++leaf) {
        const auto at = std::uint64_t{leaf} * leaf_size;
        const auto data = read_exactly(*m_file, fragment_data_at + at, std::min<std::uint64_t>(leaf_size, m_length - at));
        if (!data && data.error() != errc::io) return data.error();
        if (!data || leaf_hash(*data) != m_proof.leaves[leaf]) bad.push_back(leaf);
        if (data) done += data->size();
    }
    return done;
}

}  // namespace cess::storage
