#include "tree_copy.hpp"

#include "attribute_copy.hpp"

#include <cstring>
#include <memory>
#include <random>
#include <unordered_map>

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/resource.h>

namespace cess::cli {
namespace {

constexpr int levels_max = 1000;  // each keeps three descriptors open, of which a process may usually have 4096
constexpr int no_follow = O_NOFOLLOW | O_CLOEXEC;

error failure(const std::string& path, int number) {
    if (number == EDQUOT) return error(errc::quota, path);
    return errno_error(path, number);
}

struct item {
    descriptor fd;  // O_PATH
    struct stat is {};
    std::string below;  // its path from the top of the tree, which has none
};

// Without a descriptor if it cannot be looked at: errno says why.
item open_item(int directory, const char* name, std::string below) {
    item found{descriptor(::openat(directory, name, O_PATH | no_follow)), {}, std::move(below)};
    if (!found.fd || ::fstat(found.fd.get(), &found.is) == 0) return found;
    const int failed = errno;
    found.fd = descriptor();
    errno = failed;
    return found;
}

struct stream_closer {
    void operator()(DIR* stream) const noexcept { (void)::closedir(stream); }
};
using directory_stream = std::unique_ptr<DIR, stream_closer>;

// `name` may be ".", of a descriptor with O_PATH.
directory_stream open_stream(int directory, const char* name) {
    descriptor fd(::openat(directory, name, O_RDONLY | O_DIRECTORY | no_follow));
    directory_stream stream(fd ? ::fdopendir(fd.get()) : nullptr);
    if (stream) fd.release();
    return stream;
}

// The next name but "." and ".."; null: errno is 0 at the end.
const char* next_name(DIR* of) {
    for (;;) {
        errno = 0;
        const auto* const entry = ::readdir(of);
        if (!entry) return nullptr;
        if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) return entry->d_name;
    }
}

// ---- where the copy goes -------------------------------------------------------------------------------------------

struct place {
    descriptor directory;  // O_PATH
    std::string name;
    std::string path;  // for messages
};

std::string without_slashes(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
}

// Both of a path without slashes at the end.
std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

result<place> find_place(const std::string& source, const std::string& target) {
    struct stat s {};
    const bool into = ::stat(target.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
    place to;
    to.name = last_name(without_slashes(into ? source : target));
    if (to.name.empty() || to.name == "." || to.name == "..")
        return error(errc::invalid, "the copy needs a name: \"" + (into ? source : target) + "\" does not end in one");
    const auto parent = into ? target : parent_of(without_slashes(target));
    to.path = without_slashes(parent) + (parent == "/" ? "" : "/") + to.name;
    to.directory = descriptor(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!to.directory) return errno_error(parent, errno);
    if (::fstatat(to.directory.get(), to.name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0) return error(errc::exists, to.path);
    return to;
}

bool same_inode(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

// As far up as one may look; whatever that misses, copying meets.
bool is_within(const descriptor& directory, const struct stat& tree) {
    descriptor at(::openat(directory.get(), ".", O_PATH | O_CLOEXEC));
    struct stat below {};
    for (struct stat is {}; at && ::fstat(at.get(), &is) == 0; below = is) {
        if (same_inode(is, tree)) return true;
        if (is.st_dev != tree.st_dev || same_inode(is, below)) return false;
        at = descriptor(::openat(at.get(), "..", O_PATH | O_CLOEXEC));
    }
    return false;
}

result<place> choose_place(const item& from, const std::string& source, const std::string& target) {
    TRY(auto to, find_place(source, target));
    struct stat parent {};
    if (::fstat(to.directory.get(), &parent) != 0) return errno_error(to.path, errno);
    if (parent.st_dev != from.is.st_dev)
        return error(errc::unsupported, source + " and " + to.path + " are in two filesystems, which share no bytes");
    if (S_ISDIR(from.is.st_mode) && is_within(to.directory, from.is)) return error(errc::invalid, to.path + " lies within " + source);
    return to;
}

// ---- bytes ---------------------------------------------------------------------------------------------------------

// 0, or an errno. As long as the original was when it was opened, or got shorter meanwhile. Holes are shared with the bytes; only
// that a huge one takes no time they are skipped.
int share_bytes(const descriptor& from, const struct stat& was, const descriptor& to) {
    const bool has_holes = was.st_blocks * 512 < was.st_size;
    off_t at = 0;
    while (at < was.st_size) {
        const auto data = has_holes ? ::lseek(from.get(), at, SEEK_DATA) : at;
        if (data < 0 && errno == ENXIO) break;
        if (data < 0) return errno;
        if (data >= was.st_size) break;
        off_t read_at = data, write_at = data;
        const auto n = ::copy_file_range(from.get(), &read_at, to.get(), &write_at, static_cast<std::size_t>(was.st_size - data), 0);
        if (n < 0) return errno;
        if (n == 0) break;
        at = data + n;
    }
    if (at >= was.st_size) return 0;
    struct stat now {};
    if (::fstat(from.get(), &now) != 0) return errno;
    return ::ftruncate(to.get(), std::min(was.st_size, now.st_size)) == 0 ? 0 : errno;
}

// ---- the tree ------------------------------------------------------------------------------------------------------

class tree_copier {
public:
    tree_copier(std::string source, const place& to, const std::function<bool(const copied&)>& go_on)
        : m_source(std::move(source)), m_to(to), m_go_on(go_on) {}

    [[nodiscard]] result<void> copy_top(const item& top, const std::string& name) {
        m_device = top.is.st_dev;
        return copy(top, m_to.directory.get(), name.c_str(), 0);
    }
    [[nodiscard]] bool remove(const char* name) const;  // whether nothing is left
    [[nodiscard]] const copied& done() const noexcept { return m_done; }

private:
    struct several_names {
        std::string below;      // of the first
        nlink_t left = 0;       // names not met yet
    };

    [[nodiscard]] std::string original(const item& of) const { return of.below.empty() ? m_source : m_source + "/" + of.below; }
    [[nodiscard]] std::string copy_of(const item& of) const { return of.below.empty() ? m_to.path : m_to.path + "/" + of.below; }

    [[nodiscard]] result<void> copy(const item& from, int in, const char* name, int level);
    [[nodiscard]] result<void> copy_directory(const item& from, int in, const char* name, int level);
    [[nodiscard]] result<void> copy_entries(const item& from, int in, int level);
    [[nodiscard]] result<void> copy_file(const item& from, int in, const char* name);
    [[nodiscard]] result<void> copy_other(const item& from, int in, const char* name);
    [[nodiscard]] int make_other(const item& from, int in, const char* name) const;
    [[nodiscard]] result<bool> link_again(const item& from, int in, const char* name);
    [[nodiscard]] descriptor open_made(const std::string& below) const;
    [[nodiscard]] result<void> finish(const item& from, const descriptor& made) const;

    const std::string m_source;
    const place& m_to;
    const std::function<bool(const copied&)>& m_go_on;
    dev_t m_device = 0;
    struct stat m_top_is {};
    descriptor m_top;  // of the copy, if that is a directory
    std::unordered_map<ino_t, several_names> m_several;
    copied m_done;
};

result<void> tree_copier::copy(const item& from, int in, const char* name, int level) {
    if (!m_go_on(m_done)) return error(errc::canceled, "interrupted");
    if (from.is.st_dev != m_device)
        return error(errc::unsupported, original(from) + " is in another filesystem than " + m_source + ", and shares no bytes with it");
    ++m_done.entries;
    if (S_ISDIR(from.is.st_mode)) return copy_directory(from, in, name, level);
    const bool several = from.is.st_nlink > 1 && level > 0;
    if (several) {
        TRY(const bool linked, link_again(from, in, name));
        if (linked) return {};
    }
    CHECK_OK(S_ISREG(from.is.st_mode) ? copy_file(from, in, name) : copy_other(from, in, name));
    if (several) m_several[from.is.st_ino] = {from.below, from.is.st_nlink - 1};
    return {};
}

result<void> tree_copier::copy_directory(const item& from, int in, const char* name, int level) {
    if (level == levels_max) return error(errc::too_large, original(from) + ": more than " + std::to_string(levels_max) + " directories deep");
    if (level > 0 && same_inode(from.is, m_top_is)) return error(errc::invalid, m_to.path + " came to lie within " + m_source);
    if (::mkdirat(in, name, 0700) != 0) return failure(copy_of(from), errno);
    descriptor made(::openat(in, name, O_RDONLY | O_DIRECTORY | no_follow));
    if (!made) return failure(copy_of(from), errno);
    if (level == 0) {
        m_top = descriptor(::fcntl(made.get(), F_DUPFD_CLOEXEC, 0));
        if (!m_top || ::fstat(made.get(), &m_top_is) != 0) return failure(copy_of(from), errno);
        // Here only: what is made below has this for its parent, which then has no list to pass on.
        if (const int failed = remove_inherited_acls(made); failed != 0) return failure(copy_of(from), failed);
    }
    CHECK_OK(copy_entries(from, made.get(), level));
    return finish(from, made);
}

result<void> tree_copier::copy_entries(const item& from, int in, int level) {
    const auto stream = open_stream(from.fd.get(), ".");
    if (!stream) return failure(original(from), errno);
    while (const auto* const name = next_name(stream.get())) {
        const auto found = open_item(::dirfd(stream.get()), name, from.below.empty() ? name : from.below + "/" + name);
        if (!found.fd && errno == ENOENT) continue;  // removed meanwhile
        if (!found.fd) return failure(original(found), errno);
        auto done = copy(found, in, name, level + 1);
        if (done) continue;
        if (done.error() != errc::exists) return done;
        --m_done.entries;  // a name that went and came again is listed twice
    }
    if (errno != 0) return failure(original(from), errno);
    return {};
}

result<void> tree_copier::copy_file(const item& from, int in, const char* name) {
    const descriptor source(::open(from.fd.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!source) return failure(original(from), errno);
    descriptor made(::openat(in, name, O_WRONLY | O_CREAT | O_EXCL | no_follow, 0600));
    if (!made) return failure(copy_of(from), errno);
    if (const int failed = share_bytes(source, from.is, made); failed != 0) return failure(copy_of(from), failed);
    CHECK_OK(finish(from, made));
    if (const int failed = made.close(); failed != 0) return failure(copy_of(from), failed);
    m_done.bytes += static_cast<std::uint64_t>(from.is.st_blocks) * 512;
    return {};
}

int tree_copier::make_other(const item& from, int in, const char* name) const {
    if (!S_ISLNK(from.is.st_mode)) return ::mknodat(in, name, (from.is.st_mode & S_IFMT) | 0600, from.is.st_rdev) == 0 ? 0 : errno;
    std::string target(PATH_MAX, '\0');  // not on the stack, which levels_max directories share
    const auto n = ::readlinkat(from.fd.get(), "", target.data(), target.size() - 1);
    if (n < 0) return errno;
    return ::symlinkat(target.c_str(), in, name) == 0 ? 0 : errno;
}

result<void> tree_copier::copy_other(const item& from, int in, const char* name) {
    if (const int failed = make_other(from, in, name); failed != 0) return failure(copy_of(from), failed);
    const descriptor made(::openat(in, name, O_PATH | no_follow));
    if (!made) return failure(copy_of(from), errno);
    return finish(from, made);
}

result<void> tree_copier::finish(const item& from, const descriptor& made) const {
    const bool alone = from.below.empty() && !S_ISDIR(from.is.st_mode) && !S_ISLNK(from.is.st_mode);
    int failed = alone ? remove_inherited_acls(made) : 0;
    if (failed == 0) failed = copy_attributes(from.fd, from.is, made);
    if (failed != 0) return failure(copy_of(from), failed);
    return {};
}

// False: it is the first name of this inode.
result<bool> tree_copier::link_again(const item& from, int in, const char* name) {
    const auto first = m_several.find(from.is.st_ino);
    if (first == m_several.end()) return false;
    const auto directory = open_made(parent_of(first->second.below));
    if (!directory || ::linkat(directory.get(), last_name(first->second.below).c_str(), in, name, 0) != 0)
        return failure(copy_of(from), errno);
    if (--first->second.left == 0) m_several.erase(first);
    return true;
}

// A directory of the copy; name by name, since a path from the top may be longer than one may say.
descriptor tree_copier::open_made(const std::string& below) const {
    descriptor at(::openat(m_top.get(), ".", O_PATH | no_follow));
    for (std::size_t begin = 0; at && begin < below.size();) {
        const auto end = std::min(below.find('/', begin), below.size());
        at = descriptor(::openat(at.get(), below.substr(begin, end - begin).c_str(), O_PATH | O_DIRECTORY | no_follow));
        begin = end + 1;
    }
    return at;
}

// ---- all or nothing ------------------------------------------------------------------------------------------------

// Whether nothing is left. Directories may be finished already, and refuse their owner.
bool remove_below(const descriptor& directory) {
    if (::chmod(directory.path().c_str(), 0700) != 0) return false;
    const auto stream = open_stream(directory.get(), ".");
    if (!stream) return false;
    while (const auto* const name = next_name(stream.get())) {
        if (::unlinkat(directory.get(), name, 0) == 0 || errno == ENOENT) continue;
        const descriptor inner(errno == EISDIR ? ::openat(directory.get(), name, O_PATH | O_DIRECTORY | no_follow) : -1);
        if (!inner || !remove_below(inner) || ::unlinkat(directory.get(), name, AT_REMOVEDIR) != 0) return false;
    }
    return errno == 0;
}

bool tree_copier::remove(const char* name) const {
    if (m_top && !remove_below(m_top)) return false;
    return ::unlinkat(m_to.directory.get(), name, m_top ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT;
}

// While it is made, the copy has a name that says what it is.
std::string name_while_made() {
    std::random_device random;
    char text[40];
    std::snprintf(text, sizeof text, ".cess-copy-%08x%08x", random(), random());
    return text;
}

void allow_many_descriptors() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

result<copied> copy_tree(const std::string& source, const std::string& target, const std::function<bool(const copied&)>& go_on) {
    allow_many_descriptors();
    ::umask(0077);
    const auto top = open_item(AT_FDCWD, source.c_str(), {});
    if (!top.fd) return errno_error(source, errno);
    TRY(const auto to, choose_place(top, source, target));
    const auto name = name_while_made();
    tree_copier copier(without_slashes(source), to, go_on);
    auto made = copier.copy_top(top, name);
    if (made && ::renameat2(to.directory.get(), name.c_str(), to.directory.get(), to.name.c_str(), RENAME_NOREPLACE) != 0)
        made = failure(to.path, errno);
    if (made) return copier.done();
    if (copier.remove(name.c_str())) return std::move(made).error().with_context("nothing is copied");
    return std::move(made).error().with_context("a part is left in " + parent_of(to.path) + "/" + name);
}

}  // namespace cess::cli
