// A test tool: threads that work on one mounted filesystem at once.
//     fs_threads DIR SEED OPERATIONS THREADS
// Each thread has a folder of its own, in which every operation must answer, and leave, what the model says; and all work in
// a shared folder, whose invariants are checked: an inode has as many links as names, a directory two and one for each
// directory in it, and every listing shows what stays exactly once. Seeds replay who does what, not who is first.
#include "fs_model.hpp"

#include <core/base/random.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

namespace {

using namespace cess;
using testing::fs_model;
using testing::model_node;

constexpr int stable_names = 1200;  // more than the daemon reads of a listing at once
std::atomic<bool> stopping{false};

int number_of(long returned) { return returned < 0 ? errno : 0; }
std::string text_of(int number) { return number == 0 ? "success" : std::strerror(number); }
void expect(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

class descriptor {
public:
    descriptor(const std::string& path, int flags, mode_t mode = 0) : m_fd(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
        if (m_fd < 0) throw std::runtime_error("open " + path + ": " + std::strerror(errno));
    }
    descriptor(descriptor&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}
    ~descriptor() {
        if (m_fd >= 0) ::close(m_fd);
    }
    descriptor& operator=(descriptor&&) = delete;
    [[nodiscard]] int get() const { return m_fd; }

private:
    int m_fd;
};

// Names that others make and unlink meanwhile, as these do, may be listed where they were and where they are.
constexpr std::string_view passing_name = "passes";

std::set<std::string> list(const std::string& path) {
    std::set<std::string> names;
    auto* directory = ::opendir(path.c_str());
    expect(directory != nullptr, "list " + path + ": " + std::strerror(errno));
    std::string twice;
    while (const auto* entry = ::readdir(directory))
        if (!names.insert(entry->d_name).second && !std::string_view(entry->d_name).starts_with(passing_name)) twice = entry->d_name;
    ::closedir(directory);
    expect(twice.empty(), path + " lists " + twice + " twice");
    expect(names.erase(".") == 1 && names.erase("..") == 1, path + " does not list itself");
    return names;
}

struct stat look_at(const std::string& path) {
    struct stat found {};
    expect(::lstat(path.c_str(), &found) == 0, "stat " + path + ": " + std::strerror(errno));
    return found;
}

std::string read_all(int fd) {
    std::string content(100'000, '\0');
    const auto n = ::pread(fd, content.data(), content.size(), 0);
    expect(n >= 0, std::string("read: ") + std::strerror(errno));
    content.resize(static_cast<std::size_t>(n));
    return content;
}

// Operations in a folder that nobody else touches.
class private_work {
public:
    private_work(std::string top, std::uint64_t seed) : m_top(std::move(top)), m_random(seed) {
        expect(::mkdir(m_top.c_str(), 0755) == 0, "mkdir " + m_top + ": " + std::strerror(errno));
        m_model.at(0).gid = ::getegid();
    }
    void step();
    void replace_often();
    void compare() { compare_node(0, m_top); }
    [[nodiscard]] const std::string& doing() const { return m_doing; }

private:
    std::uint64_t below(std::uint64_t n) { return m_random.below(n); }
    std::string name() { return std::string(1, static_cast<char>('a' + below(6))); }
    std::string data() { return std::string(1 + below(below(4) == 0 ? 40'000 : 3000), static_cast<char>('A' + below(26))); }
    int any(bool (*wanted)(const model_node&));
    [[nodiscard]] std::string path_of(int node) const;
    void same(long returned, int wanted);
    void make();
    void lose_name();
    void link();
    void rename();
    void replace_open(int directory, const std::string& entry);
    void change_bytes();
    void change_attributes();
    void change_xattr();
    void keep_unlinked();
    void compare_node(int node, const std::string& path);
    void compare_directory(int node, const std::string& path);

    std::string m_top, m_doing;
    seeded_random m_random;
    fs_model m_model;
    std::map<int, ino_t> m_seen;
};

int private_work::any(bool (*wanted)(const model_node&)) {
    std::vector<int> found;
    for (const auto& [number, node] : m_model.nodes())
        if (wanted(node)) found.push_back(number);
    return found.empty() ? -1 : found[below(found.size())];
}

std::string private_work::path_of(int node) const {
    if (node == 0) return m_top;
    for (const auto& [number, directory] : m_model.nodes())
        for (const auto& [entry, child] : directory.entries)
            if (child == node) return path_of(number) + "/" + entry;
    throw std::runtime_error("a node without a place");
}

void private_work::same(long returned, int wanted) {
    const int number = number_of(returned);
    expect(number == wanted, text_of(number) + " instead of " + text_of(wanted));
}

void private_work::make() {
    const int directory = any([](const model_node& n) { return n.is_directory(); });
    const auto entry = name(), path = path_of(directory) + "/" + entry;
    const mode_t modes[] = {S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600};
    const auto mode = modes[below(5)];
    const auto target = S_ISLNK(mode) ? data().substr(0, 200) : "";
    m_doing = "make " + path;
    const int wanted = m_model.make(directory, entry, mode, 0, target);
    if (wanted == 0) m_model.at(m_model.last_made()).gid = ::getegid();
    if (S_ISDIR(mode)) same(::mkdir(path.c_str(), mode & 0777), wanted);
    else if (S_ISLNK(mode)) same(::symlink(target.c_str(), path.c_str()), wanted);
    else same(::mknod(path.c_str(), mode, 0), wanted);
}

void private_work::lose_name() {
    const int directory = any([](const model_node& n) { return n.is_directory(); });
    const auto entry = name(), path = path_of(directory) + "/" + entry;
    m_doing = "remove " + path;
    if (below(2) == 0) same(::unlink(path.c_str()), m_model.unlink(directory, entry));
    else same(::rmdir(path.c_str()), m_model.remove_directory(directory, entry));
}

void private_work::link() {
    const int file = any([](const model_node& n) { return n.is_file(); });
    if (file < 0) return;
    const int directory = any([](const model_node& n) { return n.is_directory(); });
    const auto entry = name(), old = path_of(file), path = path_of(directory) + "/" + entry;
    m_doing = "link " + old + " " + path;
    same(::link(old.c_str(), path.c_str()), m_model.link(file, directory, entry));
}

void private_work::rename() {
    const int from = any([](const model_node& n) { return n.is_directory(); });
    const int to = any([](const model_node& n) { return n.is_directory(); });
    const auto a = name(), b = name(), old = path_of(from) + "/" + a, path = path_of(to) + "/" + b;
    const auto how = static_cast<fs::rename_mode>(below(3));
    const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    m_doing = "rename " + old + " " + path + " " + std::to_string(static_cast<int>(how));
    const int wanted = m_model.rename(from, a, to, b, how);
    same(::renameat2(AT_FDCWD, old.c_str(), AT_FDCWD, path.c_str(), flags[static_cast<int>(how)]), wanted);
}

// A file that is still open, and dirty, takes the place of another.
void private_work::replace_open(int directory, const std::string& entry) {
    const auto content = data(), path = path_of(directory) + "/" + entry, fresh = path_of(directory) + "/.new";
    const int target = m_model.find(directory, entry);
    if (target < 0 || m_model.at(target).is_directory()) return;
    m_doing = "replace " + path;
    const descriptor out(fresh, O_CREAT | O_EXCL | O_RDWR, 0640);
    same(m_model.make(directory, ".new", S_IFREG | 0640, 0, ""), 0);
    const int made = m_model.last_made();
    m_model.at(made).gid = ::getegid();
    m_model.write(made, 0, content);
    expect(::write(out.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()), "a short write");
    same(::rename(fresh.c_str(), path.c_str()), m_model.rename(directory, ".new", directory, entry, fs::rename_mode::replace));
    expect(read_all(out.get()) == content, "another content");
}

// All threads at once: more wait for the kernel's pages than the daemon has threads to spare.
void private_work::replace_often() {
    same(::mknod((m_top + "/a").c_str(), S_IFREG | 0644, 0), m_model.make(0, "a", S_IFREG | 0644, 0, ""));
    m_model.at(m_model.last_made()).gid = ::getegid();
    for (int i = 0; i < 30; ++i) replace_open(0, "a");
}

void private_work::change_bytes() {
    const int file = any([](const model_node& n) { return n.is_file(); });
    if (file < 0) return;
    const auto path = path_of(file), content = data();
    const auto kind = below(4), offset = below(20'000), length = 1 + below(6000);
    m_doing = "bytes of " + path + ": " + std::to_string(kind) + " " + std::to_string(offset) + "+" + std::to_string(content.size());
    const descriptor at(path, O_RDWR);
    if (kind < 2) {
        expect(::pwrite(at.get(), content.data(), content.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(content.size()), "a short write");
        m_model.write(file, offset, content);
    } else if (kind == 2) {
        same(::ftruncate(at.get(), static_cast<off_t>(offset)), m_model.resize(file, offset));
    } else {
        constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        same(::fallocate(at.get(), punch, static_cast<off_t>(offset), static_cast<off_t>(length)), m_model.zero(file, offset, length, true));
    }
}

void private_work::change_attributes() {
    const int node = any([](const model_node& n) { return !S_ISLNK(n.mode); });
    const auto path = path_of(node);
    auto& wanted = m_model.at(node);
    m_doing = "attributes of " + path;
    const auto mode = static_cast<mode_t>(0700 | below(0100));
    same(::chmod(path.c_str(), mode), 0);
    wanted.mode = (wanted.mode & S_IFMT) | mode;
    if (::geteuid() == 0) {
        wanted.gid = static_cast<std::uint32_t>(below(5));
        same(::chown(path.c_str(), static_cast<uid_t>(-1), wanted.gid), 0);
    }
    const timespec times[2] = {{static_cast<time_t>(below(1u << 31)), 1}, {static_cast<time_t>(below(1u << 31)), 123'456'789}};
    same(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    const auto found = look_at(path);
    expect(found.st_mtim.tv_sec == times[1].tv_sec && found.st_mtim.tv_nsec == times[1].tv_nsec && found.st_atim.tv_sec == times[0].tv_sec, "other times");
}

void private_work::change_xattr() {
    const int node = any([](const model_node& n) { return n.is_file() || n.is_directory(); });
    const auto path = path_of(node), key = "user." + name(), value = data();
    auto& wanted = m_model.at(node).xattrs;
    const bool present = wanted.contains(key);
    m_doing = key + " of " + path;
    const auto kind = below(4);
    if (kind == 0) {
        same(::removexattr(path.c_str(), key.c_str()), wanted.erase(key) > 0 ? 0 : ENODATA);
        return;
    }
    const int flags[] = {0, XATTR_CREATE, XATTR_REPLACE};
    int number = 0;
    if (kind == 2 && present) number = EEXIST;
    if (kind == 3 && !present) number = ENODATA;
    if (number == 0) wanted[key] = value;
    same(::setxattr(path.c_str(), key.c_str(), value.data(), value.size(), flags[kind - 1]), number);
}

// A file without a name is a file as long as it is open.
void private_work::keep_unlinked() {
    const auto path = m_top + "/.unlinked", content = data();
    m_doing = "an unlinked file";
    const descriptor at(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    expect(::write(at.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()), "a short write");
    same(::unlink(path.c_str()), 0);
    struct stat found {};
    same(::fstat(at.get(), &found), 0);
    expect(found.st_nlink == 0, "it has links");
    same(::posix_fadvise(at.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    expect(read_all(at.get()) == content, "another content");
}

void private_work::step() {
    const auto kind = below(40);
    if (kind < 8) make();
    else if (kind < 13) lose_name();
    else if (kind < 16) link();
    else if (kind < 23) rename();
    else if (kind < 26) replace_open(any([](const model_node& n) { return n.is_directory(); }), name());
    else if (kind < 33) change_bytes();
    else if (kind < 36) change_attributes();
    else if (kind < 39) change_xattr();
    else keep_unlinked();
}

void private_work::compare_directory(int node, const std::string& path) {
    std::set<std::string> wanted;
    for (const auto& [entry, child] : m_model.at(node).entries) wanted.insert(entry);
    expect(list(path) == wanted, "another listing of " + path);
    for (const auto& [entry, child] : m_model.at(node).entries) compare_node(child, path + "/" + entry);
}

void private_work::compare_node(int node, const std::string& path) {
    if (node == 0) m_seen.clear();
    const auto found = look_at(path);
    const auto& wanted = m_model.at(node);
    expect(m_seen.emplace(node, found.st_ino).first->second == found.st_ino, path + " is no link of its others");
    expect(found.st_mode == wanted.mode && found.st_gid == wanted.gid, "mode or group of " + path);
    expect(found.st_nlink == m_model.links_of(node), path + " has " + std::to_string(found.st_nlink) + " links");
    for (const auto& [key, value] : wanted.xattrs) {
        std::string got(70'000, '\0');
        const auto n = ::getxattr(path.c_str(), key.c_str(), got.data(), got.size());
        expect(n >= 0 && got.substr(0, static_cast<std::size_t>(n)) == value, key + " of " + path);
    }
    if (wanted.is_directory()) compare_directory(node, path);
    if (wanted.is_file()) expect(read_all(descriptor(path, O_RDONLY).get()) == wanted.content, "content of " + path);
    if (S_ISLNK(wanted.mode)) {
        std::string got(wanted.content.size() + 1, '\0');
        const auto n = ::readlink(path.c_str(), got.data(), got.size());
        expect(n >= 0 && got.substr(0, static_cast<std::size_t>(n)) == wanted.content, "target of " + path);
    }
}

// Operations that others disturb: they may fail, but only as POSIX lets them.
class shared_work {
public:
    shared_work(std::string top, std::uint64_t seed) : m_top(std::move(top)), m_random(seed) {}
    static void prepare(const std::string& top);
    void step();
    [[nodiscard]] const std::string& doing() const { return m_doing; }

private:
    std::string path() { return m_top + "/d" + std::to_string(m_random.below(3)) + "/" + std::string(1, static_cast<char>('a' + m_random.below(8))); }
    void may(long returned, std::initializer_list<int> allowed);
    void list_stable();
    void write(const std::string& path);
    std::string m_top, m_doing;
    seeded_random m_random;
};

void shared_work::prepare(const std::string& top) {
    for (const auto* folder : {"", "/d0", "/d1", "/d2", "/listed"}) expect(::mkdir((top + folder).c_str(), 0755) == 0, std::string("mkdir: ") + std::strerror(errno));
    for (int i = 0; i < stable_names; ++i) const descriptor made(top + "/listed/stays" + std::to_string(i), O_CREAT | O_WRONLY, 0644);
}

void shared_work::may(long returned, std::initializer_list<int> allowed) {
    const int number = number_of(returned);
    expect(number == 0 || std::find(allowed.begin(), allowed.end(), number) != allowed.end(), text_of(number));
}

void shared_work::list_stable() {
    const auto passing = m_top + "/listed/" + std::string(passing_name) + std::to_string(m_random.below(50));
    m_doing = "list " + m_top + "/listed";
    if (m_random.below(2) == 0) may(::mknod(passing.c_str(), S_IFREG | 0644, 0), {EEXIST});
    else may(::unlink(passing.c_str()), {ENOENT});
    if (m_random.below(4) != 0) return;
    const auto names = list(m_top + "/listed");
    for (int i = 0; i < stable_names; ++i) expect(names.contains("stays" + std::to_string(i)), "stays" + std::to_string(i) + " is not listed");
}

// Written back while others give the file names and take them.
void shared_work::write(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    may(fd, {ENOENT, EISDIR});
    if (fd < 0) return;
    const std::string content(1 + m_random.below(9000), 'w');
    const auto written = ::pwrite(fd, content.data(), content.size(), static_cast<off_t>(m_random.below(50'000)));
    ::close(fd);
    may(written, {});
}

void shared_work::step() {
    const auto a = path(), b = path();
    const auto kind = m_random.below(14);
    m_doing = "shared " + std::to_string(kind) + " " + a + " " + b;
    if (kind < 2) may(::mknod(a.c_str(), S_IFREG | 0644, 0), {EEXIST, ENOENT, ENOTDIR});
    else if (kind == 2) may(::mkdir(a.c_str(), 0755), {EEXIST});
    else if (kind == 3) may(::unlink(a.c_str()), {ENOENT, EISDIR});
    else if (kind == 4) may(::rmdir(a.c_str()), {ENOENT, ENOTDIR, ENOTEMPTY});
    else if (kind < 7) may(::link(a.c_str(), b.c_str()), {ENOENT, EEXIST, EPERM});
    else if (kind < 9) may(::rename(a.c_str(), b.c_str()), {ENOENT, EISDIR, ENOTDIR, ENOTEMPTY});
    else if (kind == 9) may(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE), {ENOENT});
    else if (kind == 10) may(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_NOREPLACE), {ENOENT, EEXIST});
    else if (kind < 13) write(a);
    else list_stable();
}

// When all are still.
void check_links(const std::string& top, std::map<ino_t, nlink_t>& names, std::map<ino_t, nlink_t>& links) {
    nlink_t directories = 0;
    for (const auto& name : list(top)) {
        const auto found = look_at(top + "/" + name);
        if (S_ISDIR(found.st_mode)) {
            ++directories;
            check_links(top + "/" + name, names, links);
        } else {
            ++names[found.st_ino];
            links[found.st_ino] = found.st_nlink;
        }
    }
    expect(look_at(top).st_nlink == directories + 2, top + " has " + std::to_string(look_at(top).st_nlink) + " links");
}

void work(const std::string& directory, std::uint64_t seed, int operations, int number) {
    private_work own(directory + "/own" + std::to_string(number), seed * 1000 + static_cast<std::uint64_t>(number));
    shared_work shared(directory + "/shared", seed * 2000 + static_cast<std::uint64_t>(number));
    for (int i = 0; i <= operations && !stopping; ++i) {
        try {
            if (i == 0) own.replace_often();
            own.step();
            if (i % 100 == 0 || i == operations) own.compare();
        } catch (const std::runtime_error& e) {
            throw std::runtime_error("operation " + std::to_string(i) + " of thread " + std::to_string(number) + ", " + own.doing() + ": " + e.what());
        }
        try {
            shared.step();
        } catch (const std::runtime_error& e) {
            throw std::runtime_error("operation " + std::to_string(i) + " of thread " + std::to_string(number) + ", " + shared.doing() + ": " + e.what());
        }
    }
}

int run(const std::string& directory, std::uint64_t seed, int operations, int count) {
    ::umask(0);
    shared_work::prepare(directory + "/shared");
    std::mutex mutex;
    std::string failure;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            try {
                work(directory, seed, operations, i);
            } catch (const std::exception& e) {
                stopping = true;
                const std::lock_guard lock(mutex);
                failure += std::string(e.what()) + "\n";
            }
        });
    for (auto& thread : threads) thread.join();
    if (!failure.empty()) throw std::runtime_error(failure);
    std::map<ino_t, nlink_t> names, links;
    check_links(directory + "/shared", names, links);
    for (const auto& [ino, n] : names) expect(links[ino] == n, "inode " + std::to_string(ino) + " has " + std::to_string(links[ino]) + " links, and " + std::to_string(n) + " names");
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 5) {
        std::fprintf(stderr, "usage: fs_threads DIR SEED OPERATIONS THREADS\n");
        return 2;
    }
    return run(argv[1], std::stoull(argv[2]), std::stoi(argv[3]), std::stoi(argv[4]));
} catch (const std::exception& e) {
    std::fprintf(stderr, "fs_threads, seed %s: %s\n", argv[2], e.what());
    return 1;
}
