// Access control lists as setxattr(2) brings them, behind two bytes of a mode. What is taken comes back as it is, and list and
// mode agree whatever becomes of them.
#include "acl.hpp"

#include <cstdlib>

using namespace cess;
using namespace cess::fs;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

acl parsed(byte_view value) {
    auto list = acl::parse(value);
    require(list && *list);
    return **list;
}

void try_list(const acl& list, std::uint32_t mode) {
    const auto value = list.encode();
    require(value.size() <= acl_size_max && parsed(value).encode() == value);
    require(list.applied_to(mode) >> 9 == mode >> 9);

    auto taken = list;
    taken.take(mode);
    require(taken.applied_to(mode) == mode && parsed(taken.encode()).applied_to(mode) == mode);

    auto narrow = list;
    const auto left = narrow.narrow(mode);
    require(left == (mode & list.applied_to(mode)) && narrow.applied_to(left) == left);
    require(narrow.equals_mode() == list.equals_mode() && parsed(narrow.encode()).encode().size() == value.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::uint32_t mode = data[0] | static_cast<std::uint32_t>(data[1]) << 8;
    const auto list = acl::parse(std::as_bytes(std::span(data + 2, size - 2)));
    if (list && *list) try_list(**list, mode);
    return 0;
}
