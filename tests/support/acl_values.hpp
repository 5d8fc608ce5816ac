// Access control lists for tests, written entry by entry; also those that are none.
#pragma once

#include "acl.hpp"

#include <core/wire/codec.hpp>

#include <linux/xattr.h>

#include <string>

namespace cess::testing {

using fs::acl_entry, fs::acl_tag, fs::acl_no_id;

inline const std::string access_name = XATTR_NAME_POSIX_ACL_ACCESS, default_name = XATTR_NAME_POSIX_ACL_DEFAULT;

inline acl_entry owner(unsigned p) { return {acl_tag::owner, static_cast<std::uint16_t>(p), acl_no_id}; }
inline acl_entry user(std::uint32_t id, unsigned p) { return {acl_tag::user, static_cast<std::uint16_t>(p), id}; }
inline acl_entry owning_group(unsigned p) { return {acl_tag::owning_group, static_cast<std::uint16_t>(p), acl_no_id}; }
inline acl_entry group(std::uint32_t id, unsigned p) { return {acl_tag::group, static_cast<std::uint16_t>(p), id}; }
inline acl_entry mask(unsigned p) { return {acl_tag::mask, static_cast<std::uint16_t>(p), acl_no_id}; }
inline acl_entry other(unsigned p) { return {acl_tag::other, static_cast<std::uint16_t>(p), acl_no_id}; }

using entries = std::vector<acl_entry>;

inline bytes value_of(const entries& list, std::uint32_t version = 2) {
    wire::encoder out;
    out(version);
    for (const auto& e : list) out(e);
    return std::move(out).take();
}

inline const entries usual{owner(6), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(5), other(4)};

template <class T>
int number_of(const fs::answer<T>& a) {
    return a ? 0 : a.error().number;
}

}  // namespace cess::testing
