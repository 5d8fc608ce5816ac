// Access control lists against a table, and against the kernel's own filesystem where it has them.
#include "support/acl_values.hpp"

#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

using namespace cess;
using namespace cess::fs;
using namespace cess::testing;

namespace {

acl parsed(const entries& list) {
    auto found = acl::parse(value_of(list));
    REQUIRE((found && *found));
    return **found;
}

// A folder of the local filesystem; kernel() tells whether ACLs work there.
struct scratch {
    scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "cess-acl-test-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~scratch() { std::filesystem::remove_all(path); }
    [[nodiscard]] bool kernel() const {
        const auto value = value_of({owner(7), user(1, 7), owning_group(7), mask(7), other(7)});
        return ::setxattr(path.c_str(), access_name.c_str(), value.data(), value.size(), 0) == 0;
    }
    std::filesystem::path path;
};

// The kernel's answer to setxattr(2), and to what it leaves.
struct kernel_file {
    explicit kernel_file(std::string at) : path(std::move(at)) {}
    int set(const std::string& name, byte_view value) { return ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0 ? 0 : errno; }
    [[nodiscard]] bytes get(const std::string& name) const {
        bytes out(acl_size_max);
        const auto n = ::getxattr(path.c_str(), name.c_str(), out.data(), out.size());
        out.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return out;
    }
    [[nodiscard]] std::uint32_t mode() const {
        struct stat s {};
        REQUIRE(::lstat(path.c_str(), &s) == 0);
        return s.st_mode & 07777;
    }
    std::string path;
};

}  // namespace

TEST_CASE("an ACL is taken if it is complete and in order") {
    struct row {
        int number;
        entries list;
    };
    const row table[] = {
        {0, {owner(7), owning_group(5), other(0)}},
        {0, {owner(7), owning_group(5), mask(1), other(0)}},
        {0, usual},
        {0, {owner(6), user(9, 7), user(3, 7), user(3, 1), owning_group(5), mask(7), other(0)}},  // neither sorted nor unique
        {EINVAL, {owner(7), owning_group(5)}},
        {EINVAL, {owning_group(5), other(0)}},
        {EINVAL, {owner(7), other(0)}},
        {EINVAL, {owner(7), user(1, 7), owning_group(5), other(0)}},   // a mask is missing
        {EINVAL, {owner(7), owning_group(5), group(1, 7), other(0)}},  // as well
        {EINVAL, {owning_group(5), owner(7), other(0)}},
        {EINVAL, {owner(7), owner(7), owning_group(5), other(0)}},
        {EINVAL, {owner(7), owning_group(5), user(1, 7), mask(7), other(0)}},
        {EINVAL, {owner(7), owning_group(5), mask(7), mask(7), other(0)}},
        {EINVAL, {owner(7), owning_group(5), mask(7), group(1, 7), other(0)}},
        {EINVAL, {owner(7), owning_group(5), other(0), other(0)}},
        {EINVAL, {owner(8), owning_group(5), other(0)}},
        {EINVAL, {owner(7), user(acl_no_id, 7), owning_group(5), mask(7), other(0)}},
        {EINVAL, {owner(7), owning_group(5), group(acl_no_id, 7), mask(7), other(0)}},
        {EINVAL, {owner(7), owning_group(5), {acl_tag{0x40}, 7, 0}, other(0)}},
        {EINVAL, {owner(7), owning_group(5), {acl_tag{0}, 7, 0}, other(0)}},
    };
    for (const auto& [number, list] : table) {
        INFO(to_hex(value_of(list)));
        CHECK(number_of(acl::parse(value_of(list))) == number);
    }
}

TEST_CASE("an ACL's bytes are checked for version and length, and come back as they were") {
    CHECK_FALSE(acl::parse({})->has_value());
    CHECK_FALSE(acl::parse(value_of({}))->has_value());
    CHECK(number_of(acl::parse(value_of(usual, 1))) == EOPNOTSUPP);
    const auto value = value_of(usual);
    for (std::size_t n = 1; n < value.size(); ++n) {
        INFO(n);
        CHECK(number_of(acl::parse(byte_view(value).first(n))) == (n == 4 ? 0 : EINVAL));
    }
    CHECK((*acl::parse(value))->encode() == value);
    // Ids of entries that name nobody say nothing.
    CHECK((*acl::parse(value_of({{acl_tag::owner, 7, 5}, owning_group(5), {acl_tag::other, 0, 0}})))->encode() ==
          value_of({owner(7), owning_group(5), other(0)}));
}

TEST_CASE("an ACL is never longer than every kernel can ask for") {
    entries list{owner(7)};
    for (std::uint32_t id = 0; id < 507; ++id) list.push_back(user(id, 7));
    for (const auto& e : {owning_group(5), mask(7), other(0)}) list.push_back(e);
    CHECK(value_of(list).size() == 4092);
    CHECK(number_of(acl::parse(value_of(list))) == 0);
    list.insert(list.begin() + 1, user(1000, 7));
    CHECK(number_of(acl::parse(value_of(list))) == E2BIG);
}

TEST_CASE("an ACL and a mode show each other, the mask in the place of the group") {
    struct row {
        entries list;
        bool equals_mode;
        std::uint32_t mode;
        entries taken_0421, narrowed_0750;
        std::uint32_t narrow_mode;
    };
    const row table[] = {
        {{owner(6), owning_group(5), other(4)}, true, 0654, {owner(4), owning_group(2), other(1)}, {owner(6), owning_group(5), other(0)}, 0650},
        {{owner(6), owning_group(5), mask(3), other(4)},
         false,
         0634,
         {owner(4), owning_group(5), mask(2), other(1)},
         {owner(6), owning_group(5), mask(1), other(0)},
         0610},
        {usual,
         false,
         0654,
         {owner(4), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(2), other(1)},
         {owner(6), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(5), other(0)},
         0650},
    };
    for (const auto& row : table) {
        auto list = parsed(row.list);
        CHECK(list.equals_mode() == row.equals_mode);
        CHECK(list.applied_to(S_IFREG | 06000) == (S_IFREG | 06000 | row.mode));
        auto taken = list;
        taken.take(S_IFREG | 06421);
        CHECK(taken.encode() == value_of(row.taken_0421));
        CHECK(list.narrow(S_IFDIR | 01750) == (S_IFDIR | 01000 | row.narrow_mode));
        CHECK(list.encode() == value_of(row.narrowed_0750));
    }
}

TEST_CASE("what the kernel takes for an ACL is one, with the same mode") {
    const scratch at;
    if (!at.kernel()) {
        WARN("no ACLs in " << at.path);
        return;
    }
    kernel_file file((at.path / "f").string());
    REQUIRE(::close(::open(file.path.c_str(), O_CREAT | O_WRONLY, 0600)) == 0);
    const std::uint16_t tags[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40};
    seeded_random random(1);
    std::size_t taken = 0;
    const auto compare = [&](const entries& list) {
        const auto value = value_of(list);
        const auto found = acl::parse(value);
        const int number = file.set(access_name, value);
        if (number != number_of(found)) FAIL("the kernel says " << number << ", not " << number_of(found) << ": " << to_hex(value));
        if (number != 0 || !*found) return;
        ++taken;
        if (file.mode() != (*found)->applied_to(0)) FAIL("another mode: " << to_hex(value));
        if (file.get(access_name) != ((*found)->equals_mode() ? bytes() : (*found)->encode())) FAIL("another list: " << to_hex(value));
    };
    const auto extend = [&](auto& self, entries list, int left) -> void {
        compare(list);
        if (left == 0) return;
        for (const auto tag : tags) {
            auto longer = list;
            const bool odd = random.below(40) == 0;
            longer.push_back({acl_tag{tag}, static_cast<std::uint16_t>(random.below(odd ? 20 : 8)),
                              static_cast<std::uint32_t>(random.below(40) == 0 ? acl_no_id : random.below(5))});
            self(self, longer, left - 1);
        }
    };
    extend(extend, {}, 5);
    for (int i = 0; i < 3000; ++i) {
        auto list = usual;
        for (auto changes = random.below(3); changes > 0; --changes) {
            const auto place = static_cast<std::ptrdiff_t>(random.below(list.size() - 1));
            switch (random.below(4)) {
                case 0: list.erase(list.begin() + place); break;
                case 1: std::swap(list[static_cast<std::size_t>(place)], list[static_cast<std::size_t>(place) + 1]); break;
                case 2: list.insert(list.begin() + place, list[static_cast<std::size_t>(place)]); break;
                default: list[static_cast<std::size_t>(place)].permissions = static_cast<std::uint16_t>(random.below(8));
            }
        }
        compare(list);
    }
    CHECK(taken > 1000);
}

TEST_CASE("chmod and creation do to an ACL what the kernel does") {
    const scratch at;
    if (!at.kernel()) {
        WARN("no ACLs in " << at.path);
        return;
    }
    const entries lists[] = {
        usual,
        {owner(7), owning_group(7), other(7)},
        {owner(4), owning_group(2), other(1)},
        {owner(5), owning_group(6), mask(3), other(5)},
        {owner(7), user(0, 6), owning_group(7), mask(7), other(0)},
    };
    const auto old_umask = ::umask(077);
    int n = 0;
    for (const auto& list : lists) {
        const auto directory = (at.path / ("d" + std::to_string(n++))).string();
        REQUIRE(::mkdir(directory.c_str(), 0777) == 0);
        REQUIRE(kernel_file(directory).set(default_name, value_of(list)) == 0);
        for (std::uint32_t mode = 0; mode < 01000; mode += mode % 8 == 7 ? 9 : 1) {
            kernel_file file(directory + "/" + std::to_string(mode));
            REQUIRE(::close(::open(file.path.c_str(), O_CREAT | O_WRONLY, mode)) == 0);
            auto made = parsed(list);
            CHECK(file.mode() == made.narrow(mode));
            CHECK(file.get(access_name) == (made.equals_mode() ? bytes() : made.encode()));

            REQUIRE(file.set(access_name, value_of(list)) == 0);
            REQUIRE(::chmod(file.path.c_str(), mode) == 0);
            auto changed = parsed(list);
            changed.take(mode);
            CHECK(file.get(access_name) == (changed.equals_mode() ? bytes() : changed.encode()));
        }
    }
    ::umask(old_umask);
}
