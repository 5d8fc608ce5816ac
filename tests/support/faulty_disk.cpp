#include "faulty_disk.hpp"

#include <algorithm>
#include <optional>
#include <set>

namespace cess::test {
namespace {

struct inode;
using inode_ptr = std::shared_ptr<inode>;

struct data_change {
    std::uint64_t offset = 0;
    bytes data;                              // a write
    std::optional<std::uint64_t> truncated;  // or a truncate
};
using name_change = std::vector<std::pair<std::string, inode_ptr>>;  // atomic: names set, or removed (null)

struct inode {
    bool directory = false;
    bytes seen;
    bytes durable;
    std::vector<data_change> unsynced;
    std::map<std::string, inode_ptr> names;
    std::map<std::string, inode_ptr> durable_names;
    std::vector<name_change> unsynced_names;
};

constexpr std::uint64_t file_size_max = 1 * GiB;

void keep_change(bytes& to, const data_change& change) {
    if (change.truncated) return to.resize(static_cast<std::size_t>(*change.truncated), std::byte{0});
    const auto end = static_cast<std::size_t>(change.offset) + change.data.size();
    if (to.size() < end) to.resize(end, std::byte{0});
    std::copy(change.data.begin(), change.data.end(), to.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

void keep_change(std::map<std::string, inode_ptr>& to, const name_change& change) {
    for (const auto& [name, what] : change) {
        if (what) to[name] = what;
        else to.erase(name);
    }
}

std::vector<std::string> parts_of(const std::string& path) {
    std::vector<std::string> parts;
    std::string part;
    for (const char c : path + "/") {
        if (c != '/') part += c;
        else if (!part.empty()) parts.push_back(std::exchange(part, {}));
    }
    return parts;
}

std::pair<std::string, std::string> split(const std::string& path) {
    const auto parts = parts_of(path);
    std::string directory;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) directory += "/" + parts[i];
    return {directory.empty() ? "/" : directory, parts.empty() ? "" : parts.back()};
}

// Hexadecimal names and counters are one place.
std::string place_of(const std::string& path) {
    std::string out;
    for (const auto& part : parts_of(path)) {
        const auto hex = part.find_first_not_of("0123456789abcdef.") == std::string::npos && part.size() > 1;
        const auto end = part.find_first_of("-.");
        out += "/" + (hex ? std::string("*") : end == std::string::npos ? part : part.substr(0, end));
    }
    return out;
}

}  // namespace

struct faulty_disk::state {
    std::mutex mutex;
    inode_ptr root = std::make_shared<inode>();
    std::uint64_t capacity = 0;
    std::uint64_t process = 0;
    std::uint64_t operations = 0;
    std::optional<std::uint64_t> fails_at;
    errc fails_with = errc::io;
    std::optional<std::uint64_t> dies_at;
    bool met = false;
    lie lies;
    std::vector<sync_point> points;

    state() { root->directory = true; }

    // Whether the operation that begins now goes on.
    enum class fate { fine, fails, dead };
    fate next() {
        const auto n = operations++;
        if (dies_at && n >= *dies_at) {
            met = true;
            return fate::dead;
        }
        if (fails_at && n == *fails_at) {
            met = true;
            return fate::fails;
        }
        return fate::fine;
    }
    [[nodiscard]] error failure(fate how, const std::string& what) const {
        return error(how == fate::dead ? errc::io : fails_with, what + (how == fate::dead ? ": the process is dead" : ": injected"));
    }
    inode_ptr find(const std::string& path) const {
        auto at = root;
        for (const auto& part : parts_of(path)) {
            if (!at->directory) return nullptr;
            const auto next = at->names.find(part);
            if (next == at->names.end()) return nullptr;
            at = next->second;
        }
        return at;
    }
    static void change(inode& directory, name_change what) {
        keep_change(directory.names, what);
        directory.unsynced_names.push_back(std::move(what));
    }
    // True if the sync is to be honest.
    bool honest(bool directory, const std::string& path, const inode& node) {
        const auto n = points.size();
        const bool removal = !node.unsynced_names.empty() && node.unsynced_names.back().size() == 1 && !node.unsynced_names.back().front().second;
        points.push_back({directory, place_of(path) + (removal ? " after a removal" : "")});
        return !lies || !lies(n, points.back());
    }
    static void sync_names(inode& node) {
        node.durable_names = node.names;
        node.unsynced_names.clear();
    }
    std::uint64_t used(const inode& node) const {
        std::uint64_t sum = node.seen.size();
        for (const auto& [name, child] : node.names) sum += used(*child);
        return sum;
    }
};

namespace {

class faulty_file final : public os::file {
public:
    faulty_file(std::shared_ptr<faulty_disk::state> disk, inode_ptr node, std::string path, bool writable)
        : m_disk(std::move(disk)), m_node(std::move(node)), m_path(std::move(path)), m_process(m_disk->process), m_writable(writable) {}

    result<std::size_t> read_at(std::uint64_t offset, byte_span out) override {
        const std::lock_guard lock(m_disk->mutex);
        CHECK_OK(go("read"));
        if (offset >= m_node->seen.size()) return std::size_t{0};
        const auto n = std::min<std::size_t>(out.size(), m_node->seen.size() - static_cast<std::size_t>(offset));
        std::copy_n(m_node->seen.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
        return n;
    }
    result<void> write_at(std::uint64_t offset, byte_view data) override {
        const std::lock_guard lock(m_disk->mutex);
        if (m_process != m_disk->process) return error(errc::io, "file of a dead process " + m_path);
        if (!m_writable) return error(errc::permission, "write " + m_path);
        if (offset > file_size_max || data.size() > file_size_max - offset) return error(errc::out_of_range, "write " + m_path);
        const auto fate = m_disk->next();
        if (fate == faulty_disk::state::fate::dead) return m_disk->failure(fate, "write " + m_path);
        if (fate != faulty_disk::state::fate::fine) data = data.first(data.size() / 2);
        data_change change{offset, to_bytes(data), std::nullopt};
        keep_change(m_node->seen, change);
        m_node->unsynced.push_back(std::move(change));
        if (fate != faulty_disk::state::fate::fine) return m_disk->failure(fate, "write " + m_path);
        return {};
    }
    result<void> truncate(std::uint64_t size) override {
        const std::lock_guard lock(m_disk->mutex);
        CHECK_OK(go("truncate"));
        data_change change{0, {}, size};
        keep_change(m_node->seen, change);
        m_node->unsynced.push_back(std::move(change));
        return {};
    }
    result<void> sync() override {
        const std::lock_guard lock(m_disk->mutex);
        if (m_process != m_disk->process) return error(errc::io, "file of a dead process " + m_path);
        const auto fate = m_disk->next();
        if (fate == faulty_disk::state::fate::fails) m_node->unsynced.clear();  // seen, never durable
        if (fate != faulty_disk::state::fate::fine) return m_disk->failure(fate, "sync " + m_path);
        if (m_disk->honest(false, m_path, *m_node)) harden();
        return {};
    }
    result<std::uint64_t> size() override {
        const std::lock_guard lock(m_disk->mutex);
        CHECK_OK(go("stat"));
        return static_cast<std::uint64_t>(m_node->seen.size());
    }

private:
    result<void> go(const char* what) {
        if (m_process != m_disk->process) return error(errc::io, "file of a dead process " + m_path);
        const auto fate = m_disk->next();
        if (fate != faulty_disk::state::fate::fine) return m_disk->failure(fate, std::string(what) + " " + m_path);
        return {};
    }
    // What a failed sync dropped is not brought back: only the changes since then are kept.
    void harden() {
        for (const auto& change : m_node->unsynced) keep_change(m_node->durable, change);
        m_node->unsynced.clear();
    }

    const std::shared_ptr<faulty_disk::state> m_disk;
    const inode_ptr m_node;
    const std::string m_path;
    const std::uint64_t m_process;
    const bool m_writable;
};

// How one crash treats what was not synced.
struct verdict {
    seeded_random& random;
    std::size_t piece;   // bytes that are kept or lost together
    unsigned keep;       // of 4
    explicit verdict(seeded_random& r) : random(r), piece(r.below(2) == 0 ? 512 : 4096), keep(static_cast<unsigned>(r.below(5))) {}
    bool kept() { return random.below(4) < keep; }
};

void tear(inode& node, verdict& by, std::set<const inode*>& done) {
    if (!done.insert(&node).second) return;
    for (const auto& change : node.unsynced) {
        if (change.truncated) {
            if (by.kept()) keep_change(node.durable, change);
            continue;
        }
        for (std::size_t at = 0; at < change.data.size();) {
            // Pieces are aligned in the file, as sectors are.
            const auto place = static_cast<std::size_t>(change.offset) + at;
            const auto n = std::min(by.piece - place % by.piece, change.data.size() - at);
            const auto part = byte_view(change.data).subspan(at, n);
            if (by.kept()) keep_change(node.durable, data_change{place, to_bytes(part), std::nullopt});
            at += n;
        }
    }
    node.unsynced.clear();
    node.seen = node.durable;
    for (const auto& change : node.unsynced_names)
        if (by.kept()) keep_change(node.durable_names, change);
    node.unsynced_names.clear();
    node.names = node.durable_names;
    for (const auto& [name, child] : node.names) tear(*child, by, done);
}

void collect(const inode& node, const std::string& path, std::vector<std::string>& out) {
    if (!node.directory) out.push_back(path);
    for (const auto& [name, child] : node.names) collect(*child, path + "/" + name, out);
}

}  // namespace

faulty_disk::faulty_disk(std::uint64_t capacity) : m_state(std::make_shared<state>()) { m_state->capacity = capacity; }
faulty_disk::~faulty_disk() = default;

void faulty_disk::crash(std::uint64_t seed) {
    const std::lock_guard lock(m_state->mutex);
    seeded_random random(seed);
    verdict by(random);
    std::set<const inode*> done;
    tear(*m_state->root, by, done);
    ++m_state->process;
    m_state->fails_at.reset();
    m_state->dies_at.reset();
}

void faulty_disk::new_process() {
    const std::lock_guard lock(m_state->mutex);
    ++m_state->process;
    m_state->fails_at.reset();
    m_state->dies_at.reset();
}

void faulty_disk::fail_at(std::uint64_t operation, errc with) {
    const std::lock_guard lock(m_state->mutex);
    m_state->operations = 0;
    m_state->met = false;
    m_state->fails_at = operation;
    m_state->fails_with = with;
}

void faulty_disk::die_at(std::uint64_t operation) {
    const std::lock_guard lock(m_state->mutex);
    m_state->operations = 0;
    m_state->met = false;
    m_state->dies_at = operation;
}

void faulty_disk::no_faults() {
    const std::lock_guard lock(m_state->mutex);
    m_state->fails_at.reset();
    m_state->dies_at.reset();
    m_state->operations = 0;
}

std::uint64_t faulty_disk::operations() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->operations;
}
bool faulty_disk::fault_met() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->met;
}

void faulty_disk::watch(lie which) {
    const std::lock_guard lock(m_state->mutex);
    m_state->lies = std::move(which);
    m_state->points.clear();
}
std::vector<faulty_disk::sync_point> faulty_disk::watched() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->points;
}

bool faulty_disk::flip(const std::string& path, std::uint64_t offset) {
    const std::lock_guard lock(m_state->mutex);
    const auto node = m_state->find(path);
    if (!node || node->directory || offset >= node->seen.size()) return false;
    node->seen[static_cast<std::size_t>(offset)] ^= std::byte{0x10};
    if (offset < node->durable.size()) node->durable[static_cast<std::size_t>(offset)] = node->seen[static_cast<std::size_t>(offset)];
    return true;
}

std::vector<std::string> faulty_disk::files() const {
    const std::lock_guard lock(m_state->mutex);
    std::vector<std::string> out;
    collect(*m_state->root, "", out);
    return out;
}

result<std::unique_ptr<os::file>> faulty_disk::open(const std::string& path, os::open_mode mode) {
    const std::lock_guard lock(m_state->mutex);
    if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "open " + path);
    auto node = m_state->find(path);
    if (mode == os::open_mode::create_new) {
        if (node) return error(errc::exists, "open " + path);
        const auto [directory, name] = split(path);
        const auto in = m_state->find(directory);
        if (!in || !in->directory) return error(errc::not_found, "open " + path);
        node = std::make_shared<inode>();
        state::change(*in, {{name, node}});
    }
    if (!node) return error(errc::not_found, "open " + path);
    if (node->directory) return error(errc::is_directory, "open " + path);
    return std::unique_ptr<os::file>(std::make_unique<faulty_file>(m_state, node, path, mode != os::open_mode::read));
}

result<void> faulty_disk::rename(const std::string& from, const std::string& to) {
    const std::lock_guard lock(m_state->mutex);
    if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "rename " + from);
    const auto node = m_state->find(from);
    const auto [from_directory, from_name] = split(from);
    const auto [to_directory, to_name] = split(to);
    const auto source = m_state->find(from_directory);
    const auto target = m_state->find(to_directory);
    if (!node || !source || !target) return error(errc::not_found, "rename " + from);
    if (source == target) {
        state::change(*source, {{from_name, nullptr}, {to_name, node}});
    } else {
        state::change(*target, {{to_name, node}});
        state::change(*source, {{from_name, nullptr}});
    }
    return {};
}

result<void> faulty_disk::remove(const std::string& path) {
    const std::lock_guard lock(m_state->mutex);
    if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "remove " + path);
    const auto node = m_state->find(path);
    if (!node) return error(errc::not_found, "remove " + path);
    if (!node->names.empty()) return error(errc::not_empty, "remove " + path);
    const auto [directory, name] = split(path);
    state::change(*m_state->find(directory), {{name, nullptr}});
    return {};
}

result<void> faulty_disk::make_directories(const std::string& path) {
    std::string at;
    for (const auto& part : parts_of(path)) {
        const auto parent = at.empty() ? std::string("/") : at;
        at += "/" + part;
        const std::lock_guard lock(m_state->mutex);
        if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "make directory " + at);
        const auto in = m_state->find(parent);
        const auto known = m_state->find(at);
        if (known && !known->directory) return error(errc::not_directory, at);
        if (!known) {
            auto made = std::make_shared<inode>();
            made->directory = true;
            state::change(*in, {{part, made}});
        }
        if (known && at != "/" + path.substr(path.find_first_not_of('/'))) continue;
        if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "sync directory " + parent);
        if (m_state->honest(true, parent, *in)) state::sync_names(*in);
    }
    return {};
}

result<void> faulty_disk::sync_directory(const std::string& path) {
    const std::lock_guard lock(m_state->mutex);
    if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "sync directory " + path);
    const auto node = m_state->find(path);
    if (!node || !node->directory) return error(errc::not_found, "sync directory " + path);
    if (m_state->honest(true, path, *node)) state::sync_names(*node);
    return {};
}

result<std::vector<os::directory_entry>> faulty_disk::list(const std::string& path) {
    const std::lock_guard lock(m_state->mutex);
    if (const auto fate = m_state->next(); fate != state::fate::fine) return m_state->failure(fate, "list " + path);
    const auto node = m_state->find(path);
    if (!node) return error(errc::not_found, "list " + path);
    if (!node->directory) return error(errc::not_directory, "list " + path);
    std::vector<os::directory_entry> out;
    for (const auto& [name, child] : node->names) out.push_back({name, child->directory});
    return out;
}

result<os::space> faulty_disk::statistics(const std::string&) {
    const std::lock_guard lock(m_state->mutex);
    const auto used = m_state->used(*m_state->root);
    return os::space{m_state->capacity, m_state->capacity - std::min(used, m_state->capacity)};
}

bool faulty_disk::exists(const std::string& path) {
    const std::lock_guard lock(m_state->mutex);
    return m_state->find(path) != nullptr;
}

}  // namespace cess::test
