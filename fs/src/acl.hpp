// POSIX access control lists as values, with the rules of Linux' fs/posix_acl.c, which enforces them. Bytes are in the form of
// the kernel's extended attributes, version 2 (linux/posix_acl_xattr.h). Pure.
#pragma once

#include <core/base/bytes.hpp>
#include <fs/posix_error.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cess::fs {

enum class acl_tag : std::uint16_t { owner = 0x01, user = 0x02, owning_group = 0x04, group = 0x08, mask = 0x10, other = 0x20 };

struct acl_entry {
    acl_tag tag{};
    std::uint16_t permissions = 0;  // as one digit of a mode
    std::uint32_t id = 0;           // of a user or group; acl_no_id for the others

    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.tag, self.permissions, self.id); }
    [[nodiscard]] bool names_somebody() const noexcept { return tag == acl_tag::user || tag == acl_tag::group; }
};

inline constexpr std::uint32_t acl_no_id = 0xffffffff;
// What every kernel can ask for: it takes a page at most, and pages are no smaller.
inline constexpr std::size_t acl_size_max = 4096;

// A valid list: owner, users, owning group, groups, mask, other, in this order; the mask is there if anybody is named.
class acl {
public:
    // Empty: no entries, which asks for no list. EINVAL, E2BIG, EOPNOTSUPP for another version.
    [[nodiscard]] static answer<std::optional<acl>> parse(byte_view value);
    [[nodiscard]] bytes encode() const;
    [[nodiscard]] std::string text() const;  // acl(5)'s short form, with numbers for names: u::rw-,u:1000:r--,g::r--,m::r--,o::---

    // A mode alone says the same.
    [[nodiscard]] bool equals_mode() const noexcept { return m_entries.size() == 3; }
    // The mode with the permissions of this list: the group's are the mask's, or the owning group's without a mask.
    [[nodiscard]] std::uint32_t applied_to(std::uint32_t mode) const noexcept;
    // The same the other way round, as chmod(2) does.
    void take(std::uint32_t mode) noexcept;
    // What a new inode gets of a default list: list and mode keep what both allow. The mode is returned.
    [[nodiscard]] std::uint32_t narrow(std::uint32_t mode) noexcept;

private:
    acl() = default;
    [[nodiscard]] bool is_valid() const noexcept;

    std::vector<acl_entry> m_entries;
};

}  // namespace cess::fs
