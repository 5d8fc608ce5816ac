// The nbdkit plugin: C calls in, C++ calls out, and no exception between them. See nbdkit-cess-plugin(1).
#include <blockdev/exports.hpp>
#include <core/base/log.hpp>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace {

using namespace cess;
using blockdev::exports;

// nbdkit loads a plugin once a process and hands its callbacks nothing to hold their state by.
blockdev::export_options g_options;
exports* g_exports = nullptr;

int fail(const error& e) noexcept {
    nbdkit_error("%s", e.message().c_str());
    nbdkit_set_error(blockdev::to_nbd_errno(e));
    return -1;
}

template <class Function>
int guard(Function&& what) noexcept {
    try {
        const result<void> done = what();
        return done ? 0 : fail(done.error());
    } catch (const std::bad_alloc&) {
        nbdkit_set_error(ENOMEM);
    } catch (const std::exception& e) {
        nbdkit_error("%s", e.what());
        nbdkit_set_error(EIO);
    }
    return -1;
}

// What a connection's handle points to.
//
// Before 1.34 nbdkit aborts if two replies at once meet a client that is gone: the first closes the socket, the second
// asserts that it is open. A client's end breaks off all its waits in one moment, so their requests leave in turn: one
// alone, and the others when nbdkit has long seen what became of its reply and sends no more.
class attached {
public:
    explicit attached(std::unique_ptr<exports::connection> to) : m_to(std::move(to)) {}
    [[nodiscard]] exports::connection& to() noexcept { return *m_to; }

    void leave_in_turn() {
        const auto now = clock::now();
        const auto turn = [&] {
            const std::lock_guard hold(m_mutex);
            if (m_others) return *m_others;
            m_others = now + std::chrono::seconds(1);
            return now + std::chrono::milliseconds(50);  // nbdkit itself may be about to find the client gone
        }();
        std::this_thread::sleep_until(turn);
    }

private:
    using clock = std::chrono::steady_clock;
    std::unique_ptr<exports::connection> m_to;
    std::mutex m_mutex;
    std::optional<clock::time_point> m_others;  // when all but the first may leave
};

attached& at(void* handle) noexcept { return *static_cast<attached*>(handle); }
exports::connection& on(void* handle) noexcept { return at(handle).to(); }
blockdev::device& disk(void* handle) noexcept { return on(handle).disk(); }

template <class Function>
int request(void* handle, Function&& what) noexcept {
    return guard([&]() -> result<void> {
        result<void> done = what(disk(handle));
        if (!done && done.error().code == errc::canceled) at(handle).leave_in_turn();
        return done;
    });
}

bool fua(std::uint32_t flags) noexcept { return (flags & NBDKIT_FLAG_FUA) != 0; }

// ---- start and end ---------------------------------------------------------------------------------------

void load() {
    log::settings quiet;
    quiet.threshold = log::level::warn;
    (void)log::configure(quiet);
}

int config(const char* key, const char* value) {
    return guard([&]() -> result<void> {
        const std::string_view name(key);
        if (name == "volume") {
            CHECK_OK(blockdev::parse_export(value));
            g_options.volume = value;
        } else if (name == "conf") {
            g_options.conf = value;
        } else if (name == "force") {
            const int on = nbdkit_parse_bool(value);
            if (on < 0) return error(errc::invalid, "force=" + std::string(value) + ": expected true or false");
            g_options.force = on != 0;
        } else if (name == "durability") {
            TRY(g_options.durability, client::parse_durability(value));
        } else {
            return error(errc::invalid, "unknown parameter \"" + std::string(name) + "\"; see nbdkit cess --help");
        }
        return {};
    });
}

int get_ready() {
    return guard([]() -> result<void> {
        TRY(const auto found, client::find_config(g_options.conf));
        g_options.conf = std::filesystem::absolute(found).string();  // nbdkit changes to / when it goes into the background
        return exports::rehearse(g_options);
    });
}

// Wakes when the client or nbdkit goes.
bool sleep(blockdev::limiter::duration t) {
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(t);
    return nbdkit_nanosleep(static_cast<unsigned>(whole.count()), static_cast<unsigned>((t - whole).count())) == 0;
}

int after_fork() {
    return guard([]() -> result<void> {
        g_options.time.sleep = sleep;
        TRY(auto started, exports::start(g_options));
        g_exports = started.release();
        return {};
    });
}

void cleanup() {
    if (!g_exports) return;
    (void)guard([] { return g_exports->stop(); });
    delete std::exchange(g_exports, nullptr);
}

void dump_plugin() { std::printf("cess_volume_types=block\ncess_snapshots=yes\n"); }

// ---- connections -----------------------------------------------------------------------------------------

int list_exports(int, int, struct nbdkit_exports* to) {
    return guard([&]() -> result<void> {
        TRY(const auto all, g_exports->list());
        for (const auto& e : all)
            if (nbdkit_add_export(to, e.name.c_str(), e.description.c_str()) == -1) return error(errc::exhausted, "too many exports");
        return {};
    });
}

const char* default_export(int, int) { return g_exports->default_name().c_str(); }

void* open(int read_only) {
    void* made = nullptr;
    (void)guard([&]() -> result<void> {
        const char* name = nbdkit_export_name();
        if (!name) return error(errc::io, "export name");
        TRY(auto connected, g_exports->connect(name, read_only != 0));
        made = new attached(std::move(connected));
        return {};
    });
    return made;
}

void close(void* handle) {
    (void)guard([&]() -> result<void> {
        delete &at(handle);
        return {};
    });
}

const char* export_description(void* handle) {
    return nbdkit_strdup_intern(on(handle).disk().writable() ? "CESS block volume" : "CESS snapshot, read-only");
}

int64_t get_size(void* handle) { return static_cast<int64_t>(disk(handle).size()); }

int block_size(void*, uint32_t* minimum, uint32_t* preferred, uint32_t* maximum) {
    *minimum = blockdev::block_size_min;
    *preferred = blockdev::block_size_preferred;
    *maximum = blockdev::block_size_max;
    return 0;
}

int can_write(void* handle) { return on(handle).writable(); }
int yes(void*) { return 1; }
int no(void*) { return 0; }
int can_fua(void*) { return NBDKIT_FUA_NATIVE; }
int can_cache(void*) { return NBDKIT_CACHE_NATIVE; }

// ---- requests --------------------------------------------------------------------------------------------

int pread(void* handle, void* buf, uint32_t count, uint64_t offset, uint32_t) {
    return request(handle, [&](blockdev::device& d) { return d.read(offset, byte_span(static_cast<std::byte*>(buf), count)); });
}

int pwrite(void* handle, const void* buf, uint32_t count, uint64_t offset, uint32_t flags) {
    return request(handle, [&](blockdev::device& d) { return d.write(offset, byte_view(static_cast<const std::byte*>(buf), count), fua(flags)); });
}

int flush(void* handle, uint32_t) {
    return request(handle, [&](blockdev::device& d) { return d.flush(); });
}

int trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
    return request(handle, [&](blockdev::device& d) { return d.trim(offset, count, fua(flags)); });
}

int zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
    return request(handle, [&](blockdev::device& d) { return d.zero(offset, count, fua(flags)); });
}

// Of a change map, what did not change is a hole of unknown content: a client that copies what is allocated leaves it
// out, and one that asks for zeros is not told lies.
std::uint32_t extent_type(blockdev::device::kind is) noexcept {
    using kind = blockdev::device::kind;
    switch (is) {
        case kind::data: return 0;
        case kind::zero: return NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
        case kind::zeroed: return NBDKIT_EXTENT_ZERO;
        case kind::unchanged: return NBDKIT_EXTENT_HOLE;
    }
    return 0;
}

int extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents* to) {
    return request(handle, [&](blockdev::device& d) -> result<void> {
        TRY(const auto found, d.extents(offset, count));
        for (const auto& e : found) {
            if (nbdkit_add_extent(to, e.offset, e.length, extent_type(e.is)) == -1) return error(errc::io, "extents");
            if (flags & NBDKIT_FLAG_REQ_ONE) break;
        }
        return {};
    });
}

int cache(void* handle, uint32_t count, uint64_t offset, uint32_t) {
    return request(handle, [&](blockdev::device& d) { return d.prefetch(offset, count); });
}

constexpr char help[] =
    "volume=VOLUME[@SNAPSHOT]  The block volume to serve; without it the client's export name chooses.\n"
    "                          VOLUME@OLD..NEW: the snapshot NEW, with what changed since OLD as its data.\n"
    "conf=FILE                 Configuration ($CESS_CONF, ~/.config/cess/client.toml, /etc/cess/client.toml).\n"
    "durability=HOW            What a flush waits for: remote (default), enough miners to lose this machine; local, its disk.\n"
    "force=BOOL                Take the volume over without waiting for a silent owner (default false).";

nbdkit_plugin make_plugin() noexcept {
    nbdkit_plugin p{};
    p.name = "cess";
    p.longname = "CESS block volumes";
    p.version = CESS_VERSION;
    p.description = "Block volumes, snapshots and clones on the CESS storage network";
    p.load = load;
    p.config = config;
    p.config_help = help;
    p.magic_config_key = "volume";
    p.dump_plugin = dump_plugin;
    p.get_ready = get_ready;
    p.after_fork = after_fork;
    p.cleanup = cleanup;
    p.list_exports = list_exports;
    p.default_export = default_export;
    p.export_description = export_description;
    p.open = open;
    p.close = close;
    p.get_size = get_size;
    p.block_size = block_size;
    p.can_write = can_write;
    p.can_flush = yes;
    p.is_rotational = no;
    p.can_trim = yes;
    p.can_zero = yes;
    p.can_fast_zero = yes;
    p.can_fua = can_fua;
    p.can_multi_conn = yes;
    p.can_extents = yes;
    p.can_cache = can_cache;
    p.pread = pread;
    p.pwrite = pwrite;
    p.flush = flush;
    p.trim = trim;
    p.zero = zero;
    p.extents = extents;
    p.cache = cache;
    return p;
}

nbdkit_plugin g_plugin = make_plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(g_plugin)
