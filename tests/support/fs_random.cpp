#include "fs_random.hpp"

#include "fs_sound.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace cess::testing {
namespace {

using namespace fs;

struct history_row {
    std::uint64_t applied;
    fs_model model;
};

class runner {
public:
    runner(fs_world& world, const random_run& how) : m_world(world), m_how(how), m_random(how.seed) { open(); }
    void run();

private:
    [[noreturn]] void differ(const std::string& what) const {
        throw std::runtime_error("seed " + std::to_string(m_how.seed) + ", operation " + std::to_string(m_step) + " (" + m_doing + "): " + what);
    }
    void expect(bool holds, const std::string& what) const {
        if (!holds) differ(what);
    }
    template <class T>
    void same(const answer<T>& got, int wanted) {
        const int number = got ? 0 : got.error().number;
        // How many bytes a file takes is not the model's to say.
        m_refused = (m_armed && number == ENOSPC) || (m_how.quotas && number == EDQUOT && wanted == 0 && !m_counts_files);
        if (m_refused) return;
        expect(number == wanted, "errno " + std::to_string(number) + " instead of " + std::to_string(wanted));
    }
    std::uint64_t below(std::uint64_t n) { return m_random.below(n); }
    std::string name() { return std::string(1, static_cast<char>('a' + below(6))); }
    std::string data() { return std::string(1 + below(below(4) == 0 ? 9000 : 300), static_cast<char>('A' + below(26))); }

    void open();
    void step();
    void operate(fs_model& next);
    void operate_on_names(fs_model& next, std::uint64_t kind);
    void operate_on_file(fs_model& next, std::uint64_t kind);
    void operate_on_attributes(fs_model& next, std::uint64_t kind);
    void operate_on_quotas(fs_model& next);
    void count_quotas();
    int any_directory();
    int any_file();
    inode_number number_of(int node);
    std::pair<int, std::string> place_of(int node) const;
    void forget_all();
    void crash();
    // Throws unless the tree is the model's.
    void compare(const fs_model& model);
    void compare_node(const fs_model& model, int node, const attributes& got);
    void compare_content(const model_node& wanted, const attributes& got);
    void compare_directory(const fs_model& model, int node, inode_number ino);
    void compare_keys(std::size_t inodes);

    fs_world& m_world;
    const random_run m_how;
    seeded_random m_random;
    std::unique_ptr<filesystem> m_fs;
    fs_model m_model;
    std::vector<history_row> m_history;  // since the last sync, its state first
    std::map<std::uint64_t, std::uint64_t> m_references;
    std::map<int, std::uint64_t> m_seen;  // of one comparison: node → inode
    int m_step = 0;
    std::string m_doing = "opening";
    bool m_armed = false, m_refused = false, m_counts_files = false;
};

void runner::open() {
    settings how;
    how.inode_cache = 64;  // so that inodes come and go
    how.name_cache = 1;
    how.atime = below(2) == 0 ? access_times::relative : access_times::never;
    how.count_quotas = false;
    auto opened = filesystem::open(m_world.volume(), &m_world.volume(), how);
    if (!opened) differ("open: " + opened.error().message());
    m_fs = std::move(*opened);
    m_references.clear();
    count_quotas();
    if (!m_world.volume().sync()) differ("sync");
    m_history.assign(1, {m_world.volume().applied().value, m_model});
}

int runner::any_directory() {
    std::vector<int> all;
    for (const auto& [number, node] : m_model.nodes())
        if (node.is_directory()) all.push_back(number);
    return all[below(all.size())];
}

int runner::any_file() {
    std::vector<int> all;
    for (const auto& [number, node] : m_model.nodes())
        if (node.is_file()) all.push_back(number);
    return all.empty() ? -1 : all[below(all.size())];
}

std::pair<int, std::string> runner::place_of(int node) const {
    for (const auto& [number, directory] : m_model.nodes())
        for (const auto& [entry, child] : directory.entries)
            if (child == node) return {number, entry};
    differ("a node without a place");
}

// By looking the path up, as the kernel does.
inode_number runner::number_of(int node) {
    if (node == 0) return root_inode;
    const auto [directory, entry] = place_of(node);
    const auto found = m_fs->lookups.lookup(number_of(directory), entry);
    expect(found && *found, "lookup of " + entry);
    ++m_references[(*found)->ino.value];
    return (*found)->ino;
}

void runner::forget_all() {
    for (const auto& [ino, n] : m_references) m_fs->lookups.forget(inode_number{ino}, n);
    m_references.clear();
}

void runner::operate_on_names(fs_model& next, std::uint64_t kind) {
    const int directory = any_directory();
    const auto ino = number_of(directory);
    const auto a = name(), b = name();
    const int other = any_directory();
    const auto other_ino = number_of(other);
    if (kind < 4) {
        const std::uint32_t modes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600};
        new_inode what;
        const std::string target = kind == 2 ? data().substr(0, 100) : "";
        what.mode = modes[kind];
        what.umask = static_cast<std::uint32_t>(below(2) * 0027);
        what.target = target;
        m_doing = "make " + a;
        const auto made = m_fs->creation.make(ino, a, what);
        if (made) ++m_references[made->ino.value];
        same(made, next.make(directory, a, modes[kind], what.umask, target));
    } else if (kind == 4) {
        m_doing = "unlink " + a;
        same(m_fs->removal.unlink(ino, a), next.unlink(directory, a));
    } else if (kind == 5) {
        m_doing = "rmdir " + a;
        same(m_fs->removal.remove_directory(ino, a), next.remove_directory(directory, a));
    } else if (kind == 6) {
        const int file = any_file();
        if (file < 0) return;
        m_doing = "link " + a;
        const auto source = number_of(file);
        const auto linked = m_fs->creation.link(source, ino, a);
        if (linked) ++m_references[linked->ino.value];
        same(linked, next.link(file, directory, a));
    } else {
        const auto how = static_cast<rename_mode>(below(3));
        m_doing = "rename " + a + " to " + b;
        same(m_fs->renaming.rename(ino, a, other_ino, b, how), next.rename(directory, a, other, b, how));
    }
}

void runner::operate_on_file(fs_model& next, std::uint64_t kind) {
    const int file = any_file();
    if (file < 0) return;
    const auto ino = number_of(file);
    auto opened = m_fs->files.open(ino, true, false);
    expect(opened.has_value(), "open a file");
    const auto offset = below(below(3) == 0 ? 40000 : 5000), length = 1 + below(6000);
    if (kind < 3) {
        const auto bytes_written = data();
        m_doing = "write " + std::to_string(offset) + "+" + std::to_string(bytes_written.size());
        same(m_fs->files.write(**opened, offset, as_view(bytes_written), false), next.write(file, offset, bytes_written));
    } else if (kind == 3) {
        m_doing = "truncate " + std::to_string(offset);
        attribute_change to;
        to.size = offset;
        same(m_fs->attributes.set(ino, to), next.resize(file, offset));
    } else if (kind == 4) {
        allocation how;
        how.punch_hole = below(2) == 0;
        how.zero_range = !how.punch_hole;
        how.keep_size = how.punch_hole || below(2) == 0;
        m_doing = "zero " + std::to_string(offset) + "+" + std::to_string(length);
        same(m_fs->files.allocate(**opened, offset, length, how), next.zero(file, offset, length, how.keep_size));
    } else {
        const int other = any_file();
        const auto other_ino = number_of(other);
        auto target = m_fs->files.open(other_ino, true, false);
        expect(target.has_value(), "open the target");
        const auto to = below(5000);
        m_doing = "copy " + std::to_string(offset) + "+" + std::to_string(length) + " to " + std::to_string(to);
        const auto& source = next.at(file).content;
        const auto n = offset >= source.size() ? 0 : std::min<std::uint64_t>(length, source.size() - offset);
        const bool overlap = file == other && offset < to + n && to < offset + n && n > 0;
        const auto copied = m_fs->files.copy(**opened, offset, **target, to, length);
        int wanted = overlap ? EINVAL : 0;
        if (!overlap && n > 0) wanted = next.write(other, to, std::string(source.substr(offset, n)));
        same(copied, wanted);
        m_fs->files.release(std::move(*target));
    }
    m_fs->files.release(std::move(*opened));
}

void runner::operate_on_attributes(fs_model& next, std::uint64_t kind) {
    const auto place = m_model.nodes().begin();
    const int node = std::next(place, static_cast<std::ptrdiff_t>(below(m_model.nodes().size())))->first;
    const auto ino = number_of(node);
    auto& wanted = next.at(node);
    if (kind == 0) {
        attribute_change to;
        to.mode = static_cast<std::uint32_t>(below(010000));
        m_doing = "chmod";
        next.chmod(node, *to.mode);
        same(m_fs->attributes.set(ino, to), 0);
    } else if (kind == 1) {
        attribute_change to;
        to.gid = static_cast<std::uint32_t>(below(5));
        m_doing = "chown";
        wanted.gid = *to.gid;
        if (!wanted.is_directory()) {
            wanted.mode &= ~static_cast<std::uint32_t>(S_ISUID);
            if (wanted.mode & S_IXGRP) wanted.mode &= ~static_cast<std::uint32_t>(S_ISGID);
        }
        same(m_fs->attributes.set(ino, to), 0);
    } else if (kind == 2) {
        const auto key = "user." + name(), value = data();
        const auto how = static_cast<xattr_mode>(below(3));
        const bool present = wanted.xattrs.contains(key);
        int number = 0;
        if (how == xattr_mode::create && present) number = EEXIST;
        if (how == xattr_mode::replace && !present) number = ENODATA;
        if (number == 0) wanted.xattrs[key] = value;
        m_doing = "set " + key;
        same(m_fs->xattrs.set(ino, key, as_view(value), how), number);
    } else if (kind == 3) {
        const auto& key = below(2) == 0 ? model_acl : model_default_acl;
        const auto digit = [this] { return static_cast<unsigned>(below(8)); };
        const auto value = model_acl_value({digit(), digit(), digit(), digit(), digit()});
        m_doing = "set " + key;
        same(m_fs->xattrs.set(ino, key, as_view(value), xattr_mode::any), next.set_acl(node, key, value));
    } else if (kind == 4) {
        const auto& key = below(2) == 0 ? model_acl : model_default_acl;
        m_doing = "remove " + key;
        same(m_fs->xattrs.remove(ino, key), next.remove_acl(node, key));
    } else {
        const auto key = "user." + name();
        m_doing = "remove " + key;
        const int number = wanted.xattrs.erase(key) > 0 ? 0 : ENODATA;
        same(m_fs->xattrs.remove(ino, key), number);
    }
}

void runner::count_quotas() {
    for (int steps = 0;; ++steps) {
        const auto more = m_fs->quotas.count();
        expect(more.has_value() && steps < 10000, "counting for a quota");
        if (!*more) return;
    }
}

void runner::operate_on_quotas(fs_model& next) {
    const int directory = any_directory();
    const auto ino = number_of(directory);
    quota_limits to;
    if (below(4) != 0) to.bytes = 1 + below(60000);
    if (below(2) == 0) to.files = 1 + below(20);
    m_doing = "set a quota";
    same(m_fs->quotas.set(ino, to), next.set_quota(directory, to.bytes, to.files));
    m_world.allow_changes();
    count_quotas();
}

void runner::operate(fs_model& next) {
    const auto kind = below(m_how.quotas ? 21 : 20);
    m_counts_files = kind < 10;
    if (kind == 20) operate_on_quotas(next);
    else if (kind < 10) operate_on_names(next, below(9));
    else if (kind < 16) operate_on_file(next, below(6));
    else operate_on_attributes(next, below(6));
}

void runner::step() {
    m_armed = m_how.refuse && below(20) == 0 && m_world.refuse_next_change();
    m_refused = false;
    auto next = m_model;
    operate(next);
    if (!m_refused) m_model = std::move(next);
    m_world.allow_changes();
    m_armed = false;
    // What is unlinked and open still counts: the model knows nothing of it.
    if (m_how.quotas || below(3) == 0) forget_all();
    m_history.push_back({m_world.volume().applied().value, m_model});
    if (below(40) == 0) {
        m_doing = "sync";
        same(m_fs->sync_all(), 0);
        m_history.assign(1, {m_world.volume().applied().value, m_model});
    }
}

// What survives is the tree after some operation since the last sync; the filesystem says which by being it.
void runner::crash() {
    m_doing = "crash";
    m_fs.reset();
    m_world.crash(m_random);
    const auto candidates = m_history;
    open();
    std::string last;
    for (auto it = candidates.rbegin(); it != candidates.rend(); ++it) {
        try {
            compare(it->model);
            m_model = it->model;
            m_history.assign(1, {m_world.volume().applied().value, m_model});
            forget_all();
            return;
        } catch (const std::runtime_error& e) {
            last = e.what();
        }
    }
    differ("after a crash the tree is none of the " + std::to_string(candidates.size()) + " it was: " + last);
}

void runner::compare_content(const model_node& wanted, const attributes& got) {
    expect(got.size == wanted.content.size(), "size " + std::to_string(got.size) + " instead of " + std::to_string(wanted.content.size()));
    auto opened = m_fs->files.open(got.ino, false, false);
    expect(opened.has_value(), "open to compare");
    bytes content(wanted.content.size() + 10);
    const auto n = m_fs->files.read(**opened, 0, content);
    expect(n && *n == wanted.content.size() && equal(byte_view(content).first(*n), as_view(wanted.content)), "content");
    m_fs->files.release(std::move(*opened));
    const auto ranges = m_world.volume().map(got.ino.value, 0, std::uint64_t{1} << 20);
    expect(ranges.has_value(), "map");
    std::uint64_t mapped = 0;
    for (const auto& range : *ranges) mapped += range.data ? range.length : 0;
    expect(mapped == got.allocated, "allocated " + std::to_string(got.allocated) + " instead of " + std::to_string(mapped));
}

void runner::compare_directory(const fs_model& model, int node, inode_number ino) {
    std::set<std::string> names;
    for (entry_cookie after{0};;) {
        const auto part = m_fs->listings.list(ino, after, 1 + below(5), false);
        expect(part.has_value(), "list");
        if (part->empty()) break;
        for (const auto& e : *part) expect(names.insert(e.name).second && e.cookie > after, "listed twice: " + e.name), after = e.cookie;
    }
    std::set<std::string> wanted{".", ".."};
    for (const auto& [entry, child] : model.at(node).entries) wanted.insert(entry);
    expect(names == wanted, "the listing");
    for (const auto& [entry, child] : model.at(node).entries) {
        const auto found = m_fs->lookups.lookup(ino, entry);
        expect(found && *found, "lookup of " + entry);
        const auto got = **found;
        ++m_references[got.ino.value];
        const auto [seen, fresh] = m_seen.emplace(child, got.ino.value);
        expect(seen->second == got.ino.value, "hard links of " + entry);
        if (fresh) compare_node(model, child, got);
    }
}

void runner::compare_node(const fs_model& model, int node, const attributes& got) {
    const auto& wanted = model.at(node);
    expect(got.mode == wanted.mode && got.gid == wanted.gid, "mode or owner");
    expect(got.nlink == model.links_of(node), "nlink " + std::to_string(got.nlink) + " instead of " + std::to_string(model.links_of(node)));
    std::string names;
    for (const auto& [key, value] : wanted.xattrs) {
        names += key + '\0';
        const auto found = m_fs->xattrs.get(got.ino, key);
        expect(found && as_text(*found) == value, "value of " + key);
    }
    const auto listed = m_fs->xattrs.list(got.ino);
    expect(listed && *listed == names, "list of xattrs");
    if (wanted.is_file()) compare_content(wanted, got);
    if (S_ISLNK(wanted.mode)) {
        const auto target = m_fs->lookups.read_link(got.ino);
        expect(target && *target == wanted.content, "target");
    }
    if (!wanted.is_directory()) return;
    compare_directory(model, node, got.ino);
    const auto* quota = model.quota_of(node);
    const auto found = m_fs->quotas.get(got.ino);
    expect(found && found->has_value() == (quota != nullptr), "which directories have a quota");
    if (!quota) return;
    expect((*found)->limits.bytes == quota->bytes_max && (*found)->limits.files == quota->files_max && !(*found)->counting, "a quota");
    const auto files = model.files_of(wanted.project);
    expect((*found)->files == files, "files " + std::to_string((*found)->files) + " instead of " + std::to_string(files));
}

// Nothing is left of what is gone. (Orphans that the kernel has not forgotten are.)
void runner::compare_keys(std::size_t inodes) {
    forget_all();
    const auto rows = m_world.volume().scan(as_view("i"), {}, 100000);
    const auto orphans = m_world.volume().scan(as_view("o"), {}, 100000);
    expect(rows && orphans && rows->size() == inodes && orphans->empty(), "inodes left: " + std::to_string(rows ? rows->size() : 0) + " instead of " + std::to_string(inodes));
}

void runner::compare(const fs_model& model) {
    m_seen.clear();
    m_seen.emplace(0, root_inode.value);
    const auto root = m_fs->lookups.get_attributes(root_inode);
    expect(root.has_value(), "the root");
    compare_node(model, 0, *root);
    compare_keys(model.nodes().size());
    require_sound(m_world.volume());
}

void runner::run() {
    const int crash_every = m_how.crashes > 0 ? std::max(1, m_how.operations / m_how.crashes) : m_how.operations + 1;
    for (m_step = 1; m_step <= m_how.operations; ++m_step) {
        step();
        if (m_step % 50 == 0) compare(m_model);
        if (m_step % crash_every == 0) crash();
        if (m_step % (crash_every * 3 + 1) == 0) {
            m_doing = "reopen";
            forget_all();
            m_fs.reset();
            m_world.reopen();
            open();
            compare(m_model);
        }
    }
    compare(m_model);
}

}  // namespace

void run_randomly(fs_world& world, const random_run& how) { runner(world, how).run(); }

}  // namespace cess::testing
