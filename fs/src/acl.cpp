#include "acl.hpp"

#include <core/wire/codec.hpp>

#include <sys/stat.h>

#include <algorithm>

namespace cess::fs {
namespace {

constexpr std::uint32_t version = 2;
constexpr std::uint32_t permission_bits = S_IRWXU | S_IRWXG | S_IRWXO;

// Where the digit of a mode stands that an entry shows, if it shows one.
std::optional<unsigned> digit_of(const acl_entry& e, bool masked) {
    switch (e.tag) {
        case acl_tag::owner: return 6;
        case acl_tag::owning_group: return masked ? std::nullopt : std::optional<unsigned>(3);
        case acl_tag::mask: return 3;
        case acl_tag::other: return 0;
        default: return std::nullopt;
    }
}

bool is_masked(const std::vector<acl_entry>& entries) {
    return std::any_of(entries.begin(), entries.end(), [](const acl_entry& e) { return e.tag == acl_tag::mask; });
}

char letter_of(acl_tag tag) {
    switch (tag) {
        case acl_tag::owner:
        case acl_tag::user: return 'u';
        case acl_tag::owning_group:
        case acl_tag::group: return 'g';
        case acl_tag::mask: return 'm';
        case acl_tag::other: return 'o';
    }
    return '?';
}

// Calls `with` for each entry that the mode shows, and the place of its digit.
template <class Entries, class Function>
void for_digits(Entries& entries, Function with) {
    const bool masked = is_masked(entries);
    for (auto& e : entries)
        if (const auto digit = digit_of(e, masked)) with(e, *digit);
}

}  // namespace

answer<std::optional<acl>> acl::parse(byte_view value) {
    if (value.empty()) return std::optional<acl>();
    if (value.size() > acl_size_max) return refuse(E2BIG);
    wire::decoder in(value);
    std::uint32_t found = 0;
    in(found);
    if (in.failed()) return refuse(EINVAL);
    if (found != version) return refuse(EOPNOTSUPP);
    acl out;
    while (!in.rest().empty()) {
        in(out.m_entries.emplace_back());
        if (in.failed()) return refuse(EINVAL);
    }
    if (out.m_entries.empty()) return std::optional<acl>();
    if (!out.is_valid()) return refuse(EINVAL);
    for (auto& e : out.m_entries)
        if (!e.names_somebody()) e.id = acl_no_id;
    return std::optional<acl>(std::move(out));
}

bool acl::is_valid() const noexcept {
    for (const auto& e : m_entries)
        if (e.permissions > 7 || (e.names_somebody() && e.id == acl_no_id)) return false;
    auto at = m_entries.begin();
    const auto pass = [&](acl_tag tag, std::ptrdiff_t most) {
        const auto from = at;
        while (at != m_entries.end() && at->tag == tag && at - from < most) ++at;
        return at - from;
    };
    const auto all = m_entries.end() - m_entries.begin();
    if (pass(acl_tag::owner, 1) == 0) return false;
    auto named = pass(acl_tag::user, all);
    if (pass(acl_tag::owning_group, 1) == 0) return false;
    named += pass(acl_tag::group, all);
    if (pass(acl_tag::mask, 1) == 0 && named > 0) return false;
    return pass(acl_tag::other, 1) == 1 && at == m_entries.end();
}

bytes acl::encode() const {
    wire::encoder out;
    out(version);
    for (const auto& e : m_entries) out(e);
    return std::move(out).take();
}

std::string acl::text() const {
    std::string out;
    for (const auto& e : m_entries) {
        if (!out.empty()) out += ',';
        out += letter_of(e.tag);
        out += ':' + (e.names_somebody() ? std::to_string(e.id) : std::string()) + ':';
        for (const auto& [bit, letter] : {std::pair(4, 'r'), std::pair(2, 'w'), std::pair(1, 'x')}) out += e.permissions & bit ? letter : '-';
    }
    return out;
}

std::uint32_t acl::applied_to(std::uint32_t mode) const noexcept {
    mode &= ~permission_bits;
    for_digits(m_entries, [&](const acl_entry& e, unsigned digit) { mode |= static_cast<std::uint32_t>(e.permissions) << digit; });
    return mode;
}

void acl::take(std::uint32_t mode) noexcept {
    for_digits(m_entries, [&](acl_entry& e, unsigned digit) { e.permissions = static_cast<std::uint16_t>(mode >> digit & 7); });
}

std::uint32_t acl::narrow(std::uint32_t mode) noexcept {
    take(mode & applied_to(permission_bits));
    return applied_to(mode);
}

}  // namespace cess::fs
