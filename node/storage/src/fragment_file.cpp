#include "fragment_file.hpp"

#include <core/crypto/crypto.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

constexpr std::uint64_t verify_step = 16 * leaf_size;

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

result<void> check_identity(const segment_identity& identity, unsigned index, std::uint64_t fragment_size_max) {
    const auto [k, m] = identity.geometry;
    if (k < 1 || k > 32 || m > 16) return error(errc::invalid, "segment geometry out of bounds");
    if (identity.roots.size() != std::size_t{k} + m) return error(errc::invalid, "segment identity has the wrong number of roots");
    if (index >= identity.roots.size()) return error(errc::invalid, "fragment index outside the geometry");
    if (identity.stored_length == 0) return error(errc::invalid, "segment is empty");
    if (fragment_length(identity) > fragment_size_max) return error(errc::too_large, "fragment is larger than " + format_size(fragment_size_max));
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

result<std::shared_ptr<const fragment_file>> fragment_file::open(os::file_system& disk, const std::string& path, const fragment_ref& expected) {
    const auto fragment = std::make_shared<fragment_file>();
    fragment->m_path = path;
    TRY(fragment->m_file, disk.open(path, os::open_mode::read));
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
    return std::shared_ptr<const fragment_file>(fragment);
}

result<bytes> fragment_file::read(std::uint64_t offset, std::uint32_t length) const {
    if (offset > m_length || length > m_length - offset) return error(errc::out_of_range, "the fragment has " + std::to_string(m_length) + " bytes");
    return read_exactly(*m_file, fragment_data_at + offset, length);
}

result<bool> fragment_file::verify() const {
    std::size_t leaf = 0;
    for (std::uint64_t at = 0; at < m_length; at += verify_step) {
        TRY(const auto data, read_exactly(*m_file, fragment_data_at + at, std::min(verify_step, m_length - at)));
        for (const auto& hash : leaf_hashes(data))
            if (hash != m_proof.leaves[leaf++]) return false;
    }
    return true;
}

}  // namespace cess::storage
