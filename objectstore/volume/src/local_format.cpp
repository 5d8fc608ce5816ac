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

// A head that says a later number than the one that is missing.
bool anything_after(const salt256& salt, byte_view rest, std::uint64_t missing) {
    for (; rest.size() >= head_size; rest = rest.subspan(alignment)) {
        const auto head = parse_head(salt, rest);
        if (head && head->number > missing) return true;
    }
    return false;
}

bool all_zero(byte_view of) {
    return std::all_of(of.begin(), of.end(), [](std::byte b) { return b == std::byte{0}; });
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

result<file_header> parse_header(byte_view file) {
    const auto wrong = [&](const char* what) -> error {
        if (file.size() <= records_at || all_zero(file.subspan(records_at))) return error(errc::not_found, "a local journal that was never begun");
        return error(errc::corrupt, what);
    };
    if (file.size() < records_at || !equal(file.first(magic.size()), as_view(magic))) return wrong("no local journal's header");
    bytes body;
    wire::decoder in(file.subspan(magic.size(), records_at - magic.size()));
    in(body);
    const auto size = magic.size() + sizeof(std::uint32_t) + body.size();
    if (in.failed() || size + hash256::size > records_at) return wrong("header of a local journal is cut short");
    const auto check = crypto::sha256(file.first(size));
    if (!equal(check.view(), file.subspan(size, hash256::size))) return wrong("header of a local journal does not match its checksum");
    auto out = wire::decode<file_header>(body);
    if (!out) return wrong("header of a local journal is of another version");
    return out;
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

result<parsed_file> parse_file(const crypto::secret_key& account_wrapping, byte_view file) {
    parsed_file out;
    TRY(out.header, parse_header(file));
    crypto::aead aead(file_key(account_wrapping, out.header.salt));
    auto rest = file.subspan(records_at);
    for (auto number = out.header.first;; ++number) {
        const auto head = parse_head(out.header.salt, rest);
        bytes entry;
        bool good = head && head->number == number && head->length <= rest.size() - head_size;
        if (good) {
            entry.resize(head->length - crypto::aead_tag_size);
            good = aead.open(crypto::aead_nonce::from_index(number), as_view("cess local record v1"), rest.subspan(head_size, head->length), entry).has_value();
        }
        if (!good) {
            out.damaged = anything_after(out.header.salt, rest, number);
            return out;
        }
        out.entries.push_back(std::move(entry));
        rest = rest.subspan(std::min(rest.size(), padded(head_size + head->length)));
    }
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
