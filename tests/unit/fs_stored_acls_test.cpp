// Access control lists in the filesystem's operations.
#include "format.hpp"
#include "support/acl_values.hpp"
#include "support/memory_volume.hpp"

#include <fs/filesystem.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::fs;
using namespace cess::testing;

namespace {

struct mounted {
    memory_volume volume;
    std::unique_ptr<filesystem> files;

    mounted() { reopen(); }
    void reopen(settings how = {}) {
        files.reset();
        auto opened = filesystem::open(volume, &volume, how);
        REQUIRE(opened.has_value());
        files = std::move(*opened);
    }
    attributes make(const std::string& name, std::uint32_t mode, inode_number in = root_inode, std::uint32_t umask = 0) {
        new_inode what;
        what.mode = mode;
        what.umask = umask;
        if (S_ISLNK(mode)) what.target = "target";
        const auto made = files->creation.make(in, name, what);
        REQUIRE(made.has_value());
        return *made;
    }
    int set(inode_number ino, const std::string& name, const entries& list, bool clear_setgid = false) {
        return number_of(files->xattrs.set(ino, name, value_of(list), xattr_mode::any, clear_setgid));
    }
    bytes get(inode_number ino, const std::string& name) {
        auto value = files->xattrs.get(ino, name);
        if (value) return *value;
        CHECK(number_of(value) == ENODATA);
        return {};
    }
    std::uint32_t mode(inode_number ino) { return files->lookups.get_attributes(ino)->mode & 07777; }
    void chmod(inode_number ino, std::uint32_t mode) {
        attribute_change to;
        to.mode = mode;
        REQUIRE(files->attributes.set(ino, to).has_value());
    }
};

}  // namespace

TEST_CASE("an access ACL sets the mode, and is stored only if the mode cannot say it") {
    mounted m;
    const auto ino = m.make("f", S_IFREG | 0600).ino;
    CHECK(m.get(ino, access_name).empty());
    CHECK(m.set(ino, access_name, usual) == 0);
    CHECK(m.mode(ino) == 0654);
    CHECK(m.get(ino, access_name) == value_of(usual));
    CHECK(*m.files->xattrs.list(ino) == access_name + '\0');
    CHECK(m.set(ino, access_name, {owner(7), owning_group(1), other(0)}) == 0);
    CHECK(m.mode(ino) == 0710);
    CHECK(m.get(ino, access_name).empty());
    CHECK(m.files->xattrs.list(ino)->empty());
    CHECK(m.volume.scan(as_view("x"), {}, 10)->empty());
}

TEST_CASE("removing an ACL leaves the mode") {
    mounted m;
    const auto ino = m.make("f", S_IFREG | 0600).ino;
    CHECK(number_of(m.files->xattrs.remove(ino, access_name)) == 0);  // as the kernel's own filesystems do
    for (const bool by_setting_none : {false, true}) {
        REQUIRE(m.set(ino, access_name, usual) == 0);
        CHECK((by_setting_none ? m.set(ino, access_name, {}) : number_of(m.files->xattrs.remove(ino, access_name))) == 0);
        CHECK(m.get(ino, access_name).empty());
        CHECK(m.mode(ino) == 0654);
    }
    CHECK(m.set(ino, access_name, {}) == 0);
}

TEST_CASE("chmod changes owner, mask and others of the stored ACL, in memory and in the volume") {
    mounted m;
    const auto ino = m.make("f", S_IFREG | 0600).ino;
    REQUIRE(m.set(ino, access_name, usual) == 0);
    m.chmod(ino, 06712);
    const auto wanted = value_of({owner(7), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(1), other(2)});
    CHECK(m.get(ino, access_name) == wanted);
    CHECK(m.mode(ino) == 06712);
    m.reopen();
    CHECK(m.get(ino, access_name) == wanted);
}

TEST_CASE("setgid goes when whoever sets an access ACL may not keep it") {
    mounted m;
    const auto ino = m.make("f", S_IFREG | 0600).ino;
    for (const auto& list : {usual, entries{owner(7), owning_group(7), other(0)}}) {
        m.chmod(ino, 06755);
        CHECK(m.set(ino, access_name, list) == 0);
        CHECK((m.mode(ino) & 07000) == 06000);
        CHECK(m.set(ino, access_name, list, true) == 0);
        CHECK((m.mode(ino) & 07000) == 04000);
    }
    const auto d = m.make("d", S_IFDIR | 02755).ino;
    CHECK(m.set(d, default_name, usual, true) == 0);
    CHECK(m.mode(d) == 02755);
}

TEST_CASE("directories have default ACLs, other files have none, and symbolic links neither kind") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino, f = m.make("f", S_IFREG | 0644).ino, l = m.make("l", S_IFLNK | 0777).ino;
    CHECK(m.set(d, default_name, {owner(7), owning_group(5), other(0)}) == 0);
    CHECK(m.get(d, default_name) == value_of({owner(7), owning_group(5), other(0)}));
    CHECK(m.mode(d) == 0755);
    CHECK(m.set(f, default_name, usual) == EACCES);
    CHECK(m.set(f, default_name, {}) == 0);
    CHECK(m.set(l, access_name, usual) == EOPNOTSUPP);
    CHECK(number_of(m.files->xattrs.get(l, access_name)) == EOPNOTSUPP);
    CHECK(m.set(d, "system.posix_acl_nonsense", usual) == EOPNOTSUPP);
}

TEST_CASE("what is made in a directory inherits its default ACL instead of the umask") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, default_name, usual) == 0);
    const auto inherited = value_of({owner(6), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(4), other(0)});
    for (const auto type : {S_IFREG, S_IFIFO, S_IFCHR, S_IFSOCK}) {
        const auto made = m.make(std::to_string(type), type | 0640, d, 077);
        CHECK((made.mode & 07777) == 0640);
        CHECK(m.get(made.ino, access_name) == inherited);
        CHECK(*m.files->xattrs.list(made.ino) == access_name + '\0');
    }
    const auto sub = m.make("s", S_IFDIR | 01640, d, 077);
    CHECK((sub.mode & 07777) == 01640);
    m.reopen();
    CHECK(m.get(sub.ino, access_name) == inherited);
    CHECK(m.get(sub.ino, default_name) == value_of(usual));
    const auto link = m.make("l", S_IFLNK | 0777, d, 077);
    CHECK((link.mode & 07777) == 0777);
    CHECK(m.files->xattrs.list(link.ino)->empty());
}

TEST_CASE("a default ACL that a mode can say leaves a mode") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, default_name, {owner(7), owning_group(5), other(1)}) == 0);
    const auto made = m.make("f", S_IFREG | 0666, d, 077);
    CHECK((made.mode & 07777) == 0640);
    CHECK(m.files->xattrs.list(made.ino)->empty());
}

TEST_CASE("without a default ACL the umask counts, but not for symbolic links") {
    mounted m;
    CHECK((m.make("f", S_IFREG | 06777, root_inode, 022).mode & 07777) == 06755);
    CHECK((m.make("d", S_IFDIR | 01777, root_inode, 0777).mode & 07777) == 01000);
    CHECK((m.make("l", S_IFLNK | 0777, root_inode, 077).mode & 07777) == 0777);
}

TEST_CASE("nothing is read to learn that there is no ACL") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(number_of(m.files->xattrs.set(d, "user.a", as_view("1"), xattr_mode::any)) == 0);
    // Planted behind the filesystem's back: whoever reads one finds it.
    volume::change planted;
    for (const auto& name : {access_name, default_name}) planted.put(format::xattr_key(d, name), value_of(usual));
    REQUIRE(m.volume.apply(planted).has_value());
    CHECK(m.get(d, access_name).empty());
    CHECK(m.get(d, default_name).empty());
    CHECK((m.make("f", S_IFREG | 0666, d, 022).mode & 07777) == 0644);
    m.chmod(d, 0700);
    CHECK(*m.volume.get(format::xattr_key(d, access_name)) == value_of(usual));
}

TEST_CASE("noacl refuses the names, hides them, and lets the umask count; chmod still keeps a stored ACL right") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, default_name, usual) == 0);
    REQUIRE(m.set(d, access_name, usual) == 0);
    REQUIRE(number_of(m.files->xattrs.set(d, "user.a", as_view("1"), xattr_mode::any)) == 0);
    settings without;
    without.acls = false;
    m.reopen(without);
    CHECK(number_of(m.files->xattrs.get(d, access_name)) == EOPNOTSUPP);
    CHECK(m.set(d, default_name, usual) == EOPNOTSUPP);
    CHECK(number_of(m.files->xattrs.remove(d, default_name)) == EOPNOTSUPP);
    CHECK(*m.files->xattrs.list(d) == std::string("user.a\0", 7));
    const auto made = m.make("f", S_IFREG | 0666, d, 022);
    CHECK((made.mode & 07777) == 0644);
    m.chmod(d, 0700);
    m.reopen();
    CHECK(m.get(made.ino, access_name).empty());
    CHECK(m.get(d, access_name) == value_of({owner(7), user(1000, 7), user(1001, 5), owning_group(5), group(50, 7), mask(0), other(0)}));
}

TEST_CASE("a refused change of ACLs or of what follows them leaves both as they were") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, access_name, usual) == 0);
    REQUIRE(m.set(d, default_name, usual) == 0);
    const auto refuse_next = [&] { m.volume.fail_at(1, errc::no_space); };
    refuse_next();
    CHECK(m.set(d, access_name, {owner(7), owning_group(0), other(0)}) == ENOSPC);
    refuse_next();
    CHECK(number_of(m.files->xattrs.remove(d, access_name)) == ENOSPC);
    refuse_next();
    attribute_change to;
    to.mode = 0;
    CHECK(number_of(m.files->attributes.set(d, to)) == ENOSPC);
    refuse_next();
    new_inode what;
    what.mode = S_IFREG | 0644;
    CHECK(number_of(m.files->creation.make(d, "f", what)) == ENOSPC);
    CHECK(m.mode(d) == 0654);
    CHECK(m.get(d, access_name) == value_of(usual));
    CHECK_FALSE(m.files->lookups.lookup(d, "f")->has_value());
}

TEST_CASE("ACLs go with their inode") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, default_name, usual) == 0);
    const auto sub = m.make("s", S_IFDIR | 0755, d).ino;
    REQUIRE(m.files->removal.remove_directory(d, "s").has_value());
    m.files->lookups.forget(sub, 1);
    CHECK(m.volume.scan(format::xattr_prefix(sub), {}, 10)->empty());
    CHECK(m.volume.scan(format::xattr_prefix(d), {}, 10)->size() == 1);
}

TEST_CASE("an ACL that does not parse in the volume is an I/O error, not permissions") {
    mounted m;
    const auto d = m.make("d", S_IFDIR | 0755).ino;
    REQUIRE(m.set(d, default_name, usual) == 0);
    volume::change damage;
    damage.put(format::xattr_key(d, default_name), value_of({owner(7)}));
    REQUIRE(m.volume.apply(damage).has_value());
    new_inode what;
    what.mode = S_IFREG | 0644;
    CHECK(number_of(m.files->creation.make(d, "f", what)) == EIO);
}
