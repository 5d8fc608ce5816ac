#include "local_format.hpp"

#include <core/wire/codec.hpp>

#include <algorithm>
#include <cstdio>

namespace cess::volume::local {
namespace {

constexpr std::string_view magic = "CESSLOC1";
constexpr std::uint32_t record_magic = 0x4c525343;  // "CSRL"
constexpr std::size_t head_size = 32, check_size = 16;
constexpr std::size_t alignment = 16;
constexpr std::size_t scan_step = 256 * KiB;  // read at once in search of records; steps overlap by a head
static_assert((scan_step - head_size) % alignment == 0);
constexpr std::size_t sealed_max = entry_max + crypto::aead_tag_size;

struct record_head {
    std::uint32_t length = 0;  // of the sealed entry
    std::uint64_t number = 0;
};

hash256 check_of(const salt256& salt, byte_view fields) { return crypto::sha256({as_view("cess local record v1"), salt.view(), fields}); }

bytes encode_head(const salt256& salt, const record_head& of) {
    wire::encoder out;
    out(record_magic, of.length, of.number);
    const auto check = check_of(salt, out.view());
    out.raw(check.view().first(check_size));
    return std::move(out).take();
}

std::optional<record_head> parse_head(const salt256& salt, byte_view at) {
    if (at.size() < head_size) return std::nullopt;
    std::uint32_t kind = 0;
    record_head out;
    wire::decoder in(at.first(head_size - check_size));
    in(kind, out.length, out.number);
    if (kind != record_magic || out.length < crypto::aead_tag_size || out.length > sealed_max) return std::nullopt;
    const auto check = check_of(salt, at.first(head_size - check_size));
    if (!equal(check.view().first(check_size), at.subspan(head_size - check_size, check_size))) return std::nullopt;
    return out;
}

std::size_t padded(std::size_t size) { return (size + alignment - 1) / alignment * alignment; }

bool all_zero(byte_view of) {
    return std::all_of(of.begin(), of.end(), [](std::byte b) { return b == std::byte{0}; });
}

// Whether anything but zeros stands from records_at on.
result<bool> anything_behind(const record_reader::source& from) {
    bytes window(std::min<std::uint64_t>(scan_step, from.size - std::min<std::uint64_t>(from.size, records_at)));
    for (std::uint64_t at = records_at; at < from.size; at += window.size()) {
        TRY(const auto got, from.read(at, window));
        if (!all_zero(byte_view(window).first(got))) return true;
        if (got < window.size()) break;
    }
    return false;
}

result<file_header> parse_header(byte_view head) {
    if (head.size() < records_at || !equal(head.first(magic.size()), as_view(magic))) return error(errc::corrupt, "no local journal's header");
    bytes body;
    wire::decoder in(head.subspan(magic.size()));
    in(body);
    const auto size = magic.size() + sizeof(std::uint32_t) + body.size();
    if (in.failed() || size + hash256::size > records_at) return error(errc::corrupt, "header of a local journal is cut short");
    const auto check = crypto::sha256(head.first(size));
    if (!equal(check.view(), head.subspan(size, hash256::size))) return error(errc::corrupt, "header of a local journal does not match its checksum");
    auto out = wire::decode<file_header>(body);
    if (!out) return error(errc::corrupt, "header of a local journal is of another version");
    return out;
}

}  // namespace

crypto::secret_key file_key(const crypto::secret_key& account_wrapping, const salt256& salt) {
    return crypto::hkdf(account_wrapping, salt.view(), "cess local journal v1");
}

bytes encode_header(const file_header& of) {
    const auto body = wire::encode(of);
    wire::encoder out;
    out.raw(as_view(magic));
    out(body);
    const auto check = crypto::sha256(out.view());
    out.raw(check.view());
    auto file = std::move(out).take();
    file.resize(records_at);
    return file;
}

bytes record_sealer::seal(std::uint64_t number, byte_view entry) {
    record_head head;
    head.length = static_cast<std::uint32_t>(entry.size() + crypto::aead_tag_size);
    head.number = number;
    auto out = encode_head(m_salt, head);
    out.resize(padded(head_size + head.length));
    m_aead.seal(crypto::aead_nonce::from_index(number), as_view("cess local record v1"), entry, byte_span(out).subspan(head_size, head.length));
    return out;
}

record_reader::record_reader(source from, file_header header, const crypto::secret_key& key)
    : m_from(std::move(from)), m_header(std::move(header)), m_aead(key), m_next(m_header.first) {}

result<record_reader> record_reader::open(const crypto::secret_key& account_wrapping, source from) {
    bytes head(records_at);
    TRY(const auto got, from.read(0, head));
    head.resize(got);
    auto header = parse_header(head);
    if (!header) {
        TRY(const bool written, anything_behind(from));
        if (!written) return error(errc::not_found, "a local journal that was never begun");
        return std::move(header).error();
    }
    const auto key = file_key(account_wrapping, header->salt);
    return record_reader(std::move(from), std::move(*header), key);
}

// None: there is no such record, whole and right.
result<std::optional<bytes>> record_reader::open_record(std::uint64_t at, std::uint64_t number) {
    std::optional<bytes> out;
    bytes raw(head_size);
    TRY(const auto got, m_from.read(at, raw));
    const auto head = parse_head(m_header.salt, byte_view(raw).first(got));
    if (!head || head->number != number || head->length > m_from.size - std::min(m_from.size, at + head_size)) return out;
    bytes sealed(head->length);
    TRY(const auto filled, m_from.read(at + head_size, sealed));
    if (filled != sealed.size()) return out;
    bytes entry(sealed.size() - crypto::aead_tag_size);
    if (m_aead.open(crypto::aead_nonce::from_index(number), as_view("cess local record v1"), sealed, entry)) out = std::move(entry);
    return out;
}

result<std::optional<record_reader::record>> record_reader::next() {
    std::optional<record> out;
    TRY(auto entry, open_record(m_at, m_next));
    if (!entry) {
        TRY(m_damaged, anything_after(m_next));
        return out;
    }
    out.emplace(record{m_next, m_at, std::move(*entry)});
    m_at += padded(head_size + out->entry.size() + crypto::aead_tag_size);
    ++m_next;
    return out;
}

result<bytes> record_reader::read(std::uint64_t at, std::uint64_t number) {
    TRY(auto entry, open_record(at, number));
    if (!entry) return error(errc::corrupt, "entry " + std::to_string(number) + " of a local journal does not open any more");
    return std::move(*entry);
}

// A head that says a later number than the one that is missing.
result<bool> record_reader::anything_after(std::uint64_t missing) {
    bytes window(scan_step);
    for (auto at = m_at; at < m_from.size; at += scan_step - head_size) {
        TRY(const auto got, m_from.read(at, window));
        auto rest = byte_view(window).first(got);
        for (; rest.size() >= head_size; rest = rest.subspan(alignment)) {
            const auto head = parse_head(m_header.salt, rest);
            if (head && head->number > missing) return true;
        }
        if (got < window.size()) break;
    }
    return false;
}

result<parsed_file> parse_file(const crypto::secret_key& account_wrapping, byte_view file) {
    record_reader::source from;
    from.size = file.size();
    from.read = [file](std::uint64_t offset, byte_span out) -> result<std::size_t> {
        const auto length = std::min<std::uint64_t>(out.size(), file.size() - std::min<std::uint64_t>(file.size(), offset));
        if (length != 0) std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), length, out.begin());
        return static_cast<std::size_t>(length);
    };
    TRY(auto in, record_reader::open(account_wrapping, std::move(from)));
    parsed_file out;
    out.header = in.header();
    for (;;) {
        TRY(auto next, in.next());
        if (!next) break;
        out.entries.push_back(std::move(next->entry));
    }
    out.damaged = in.damaged();
    return out;
}

std::string file_name(term_number term, std::uint64_t first) {
    char text[48];
    std::snprintf(text, sizeof text, "%016llx-%016llx.journal", static_cast<unsigned long long>(term.value), static_cast<unsigned long long>(first));
    return text;
}

std::optional<file_place> parse_file_name(std::string_view name) noexcept {
    constexpr std::string_view tail = ".journal";
    constexpr std::size_t digits = 16;
    if (name.size() != 2 * digits + 1 + tail.size() || !name.ends_with(tail) || name[digits] != '-') return std::nullopt;
    const auto number = [](std::string_view text) -> std::optional<std::uint64_t> {
        std::uint64_t out = 0;
        for (const char c : text) {
            const bool decimal = c >= '0' && c <= '9';
            if (!decimal && !(c >= 'a' && c <= 'f')) return std::nullopt;
            out = out << 4 | static_cast<std::uint64_t>(decimal ? c - '0' : c - 'a' + 10);
        }
        return out;
    };
    const auto term = number(name.substr(0, digits)), first = number(name.substr(digits + 1, digits));
    if (!term || !first) return std::nullopt;
    return file_place{{*term}, *first};
}

}  // namespace cess::volume::local
