#include "backing.hpp"

#include <core/base/log.hpp>

#include <unistd.h>

#include <chrono>
#include <filesystem>

namespace cess::fs::program {
namespace {

constexpr unsigned fuse_threads = 16;
constexpr std::uint64_t fuse_buffers = fuse_threads * 2 * MiB;  // one request and one answer a thread
constexpr std::uint64_t snapshot_buffers = snapshot_threads * 1 * MiB;  // one answer a thread
constexpr std::size_t inode_cost = 600;
constexpr std::uint64_t snapshot_part = 4 * snapshots_open_max;  // each that is open has this part of what the head has: a quarter in all
constexpr int checkpoints_max = 4;
constexpr auto short_checkpoint = std::chrono::milliseconds(100);

// The process' memory in parts: the face's own, the rest for the engine and its caches.
struct budget {
    std::uint64_t engine, names;
    std::size_t inodes;
};
budget divide(std::uint64_t memory) {
    const auto names = memory / 32, inodes = memory / 16;
    const auto own = fuse_buffers + snapshot_buffers + (names + inodes) * 5 / 4;
    return {memory - std::min(memory / 2, own), names, static_cast<std::size_t>(inodes / inode_cost)};
}
budget budget_of(const plan& of) { return divide(of.how.cache_size > 0 ? of.how.cache_size : of.config.memory); }

result<void> start_log(const options& how, const client::config& config, const volume::target& what) {
    log::settings to;
    to.threshold = how.debug ? log::level::debug : log::level::info;
    if (!how.log_file.empty()) to.file = how.log_file;
    else if (!how.foreground) to.file = config.directory + "/cessfs-" + what.name + (what.snapshot.empty() ? "" : "@" + what.snapshot) + ".log";
    return log::configure(to);
}

settings to_settings(const options& how, const budget& memory, bool read_only) {
    settings s;
    s.inode_cache = memory.inodes;
    s.name_cache = memory.names;
    s.atime = read_only ? access_times::never : how.access_times;
    s.root_owner = {::geteuid(), ::getegid()};
    s.expire_trash = !read_only;
    return s;
}

}  // namespace

result<plan> make_plan(const options& how) {
    plan out;
    out.how = how;
    TRY(out.what, volume::parse_target(how.volume));
    TRY(const auto path, client::find_config(how.conf));
    TRY(out.config, client::load_config(path));
    out.how.conf = std::filesystem::absolute(path);  // for who replaces us
    CHECK_OK(start_log(how, out.config, out.what));
    return out;
}

result<std::unique_ptr<backing>> backing::connect(const plan& of) {
    std::unique_ptr<backing> out(new backing(of));
    TRY(out->m_network, client::runtime::start(of.config, budget_of(of).engine));
    return out;
}

result<void> backing::check() {
    CHECK_OK(m_network->volume(m_plan.what.name));
    return {};
}

result<void> backing::open_with(const kernel_state& held, bool is_mounted) {
    client::attach_options as;
    as.expected = ledger::volume_type::filesystem;
    as.read_only = !m_plan.what.snapshot.empty();
    as.force = m_plan.how.force;
    as.durability = m_plan.how.durability;
    TRY(m_attached, m_network->attach(m_plan.what, as));
    auto done = begin(held, is_mounted);
    if (done) return {};
    if (const auto closed = close(); !closed) log::warn("fs", "{}", closed.error().message());
    return done;
}

result<void> backing::serve_metrics() {
    const auto healthy = [head = m_attached->head()] { return !head || head->confirmed(); };
    TRY(m_scraped, net::serve_metrics(m_network->world(), m_network->count(), m_plan.how.metrics, healthy));
    if (m_scraped) log::info("fs", "metrics at http://{}/metrics", m_scraped->address());
    return {};
}

result<void> backing::begin(const kernel_state& held, bool is_mounted) {
    auto* const head = m_attached->head();
    if (auto served = serve_metrics(); !served) {
        if (!is_mounted) return served;
        log::warn("fs", "no metrics until the next replacement: {}", served.error().message());
    }
    auto how = to_settings(m_plan.how, budget_of(m_plan), read_only());
    how.count = &m_network->count();
    TRY(m_files, filesystem::open(m_attached->data(), head, std::move(how), held));
    if (m_plan.how.snapshots && head) m_snapshots.emplace(*m_network, *m_attached);
    return {};
}

bool backing::read_only() const { return m_plan.how.read_only || !m_attached->head(); }

mount_options backing::mounting() {
    const auto& how = m_plan.how;
    mount_options m;
    m.directory = how.directory;
    m.source = how.volume;
    m.read_only = read_only();
    m.allow_other = how.allow_other;
    m.acls = how.acls;
    m.debug = how.debug;
    m.entry_timeout = how.entry_timeout;
    m.attr_timeout = how.attr_timeout;
    m.threads = fuse_threads;
    m.count = &m_network->count();
    m.stats = how.stats;
    if (m_snapshots) {
        const auto memory = budget_of(m_plan);
        m.snapshots = &*m_snapshots;
        m.snapshot_settings = to_settings(how, {memory.engine, memory.names / snapshot_part, memory.inodes / snapshot_part}, true);
    }
    if (::geteuid() == 0) m.words = {"suid", "dev"};  // libfuse denies both unless told; mount(8) allows both to root
    m.words.insert(m.words.end(), how.words.begin(), how.words.end());
    return m;
}

// Writers go on meanwhile: each checkpoint leaves less for the next, if the network keeps up with them.
result<void> backing::checkpoint() {
    auto* head = m_attached->head();
    if (!head) return {};
    for (int left = checkpoints_max; left > 0; --left) {
        const auto begun = std::chrono::steady_clock::now();
        CHECK_OK(head->checkpoint());
        if (std::chrono::steady_clock::now() - begun < short_checkpoint) break;
    }
    return {};
}

result<void> backing::close() {
    result<void> synced;
    if (m_files && !m_files->sync_all()) synced = error(errc::io, "what was written last is not durable");
    m_files.reset();
    m_snapshots.reset();
    m_scraped.reset();  // it asks the volume; and who replaces us listens there
    result<void> detached;
    if (m_attached) detached = m_attached->detach();
    m_attached.reset();
    m_network.reset();
    return synced ? detached : synced;
}

}  // namespace cess::fs::program
