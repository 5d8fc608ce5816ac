#include "replacing.hpp"

#include "mount/mountinfo.hpp"
#include "mount/run_file.hpp"

#include <core/base/log.hpp>
#include <core/wire/codec.hpp>

#include <cmath>
#include <new>

namespace cess::fs::program {
namespace {

using namespace std::chrono_literals;
using namespace replacement;

constexpr auto answer_within = 10s;   // what is at hand
constexpr auto start_within = 60s;    // a new process until it wants to take over
constexpr auto drain_within = 150s;   // more than the engine takes to make everything durable, or to give up
constexpr auto attach_within = 30s;
constexpr auto decide_within = 60s;
constexpr auto look_again = 200ms;
constexpr std::size_t message_max = 64 * KiB;
constexpr std::size_t handed_max = 512 * MiB;  // some 30 million inodes
constexpr double microseconds = 1e6;

result<void> say(local_peer& to, const message& what, const std::vector<int>& files = {}) {
    return to.send(wire::encode(what), files, answer_within);
}

// The message that has to come now, or why it does not.
template <class Message>
result<Message> hear(local_peer& from, std::chrono::milliseconds within, std::size_t size_max = message_max,
                     std::vector<descriptor>* files = nullptr) {
    TRY(auto letter, from.receive(size_max, within));
    TRY(auto said, wire::decode<message>(letter.text));
    if (const auto* no = std::get_if<refused>(&said)) return error(errc::busy, no->why);
    auto* wanted = std::get_if<Message>(&said);
    if (!wanted) return error(errc::protocol, "the other process says what does not belong here");
    if (files) *files = std::move(letter.files);
    return std::move(*wanted);
}

result<double> to_seconds(std::uint64_t value) {
    const auto seconds = static_cast<double>(value) / microseconds;
    if (seconds > 1e9) return error(errc::protocol, "a timeout that no option can be");
    return seconds;
}

std::uint64_t from_seconds(double value) { return static_cast<std::uint64_t>(std::llround(value * microseconds)); }

}  // namespace

namespace replacement {

offer to_offer(const options& running) {
    offer out;
    out.program = CESS_VERSION;
    out.volume = running.volume;
    out.conf = running.conf;
    out.log_file = running.log_file;
    out.read_only = running.read_only;
    out.allow_other = running.allow_other;
    out.acls = running.acls;
    out.snapshots = running.snapshots;
    out.stats = running.stats;
    out.metrics = running.metrics;
    out.access_times = static_cast<std::uint8_t>(running.access_times);
    out.local_durability = running.durability == volume::durability::local;
    out.cache_size = running.cache_size;
    out.entry_timeout_us = from_seconds(running.entry_timeout);
    out.attr_timeout_us = from_seconds(running.attr_timeout);
    out.words = running.words;
    return out;
}

result<options> from_offer(const offer& what, const std::string& directory) {
    options out;
    out.volume = what.volume;
    out.directory = directory;
    out.conf = what.conf;
    out.log_file = what.log_file;
    out.read_only = what.read_only;
    out.allow_other = what.allow_other;
    out.acls = what.acls;
    out.snapshots = what.snapshots;
    out.stats = what.stats;
    out.metrics = what.metrics;
    if (what.access_times > static_cast<std::uint8_t>(access_times::strict)) return error(errc::protocol, "access times that no option can be");
    out.access_times = static_cast<access_times>(what.access_times);
    out.durability = what.local_durability ? volume::durability::local : volume::durability::remote;
    out.cache_size = what.cache_size;
    TRY(out.entry_timeout, to_seconds(what.entry_timeout_us));
    TRY(out.attr_timeout, to_seconds(what.attr_timeout_us));
    out.words = what.words;
    return out;
}

}  // namespace replacement

result<takeover> takeover::begin(const std::string& directory) {
    TRY(const auto rows, read_mountinfo());
    const auto row = find_mount(rows, directory);
    if (!row) return error(errc::not_found, directory + " is not a mount point");
    if (row->type != mount_type) return error(errc::invalid, directory + " is a mount of type " + row->type + ", not " + std::string(mount_type));
    auto peer = local_peer::connect(replacement_socket(row->minor));
    if (!peer) return std::move(peer).error().with_context("the cessfs of " + directory);
    CHECK_OK(say(*peer, hello{version, CESS_VERSION}));
    TRY(const auto offered, hear<offer>(*peer, answer_within));
    TRY(auto running, from_offer(offered, directory));
    return takeover(std::move(*peer), row->minor, std::move(running));
}

result<takeover::gift> takeover::take() {
    CHECK_OK(say(m_peer, replacement::take{}));
    std::vector<descriptor> files;
    TRY(auto got, hear<handed>(m_peer, drain_within, handed_max, &files));
    if (files.size() != 2) return error(errc::protocol, "the mount came without its files");
    gift out;
    out.mount.device = std::move(files[0]);
    out.mount.device_minor = m_device_minor;
    out.mount.agreed = std::move(got.agreed);
    out.mount.held = std::move(got.held);
    out.mount.requests = std::move(got.requests);
    out.run_file = std::move(files[1]);
    return out;
}

result<void> takeover::attached() {
    const auto said = say(m_peer, replacement::attached{});
    const auto decided = said ? hear<yours>(m_peer, decide_within) : result<yours>(said.error());
    if (decided) return {};
    if (decided.error().code == errc::unavailable) {
        log::warn("fs", "the replaced cessfs died before it had decided: the mount is ours");
        return {};
    }
    m_peer.stop_receiving();  // it hangs. Unless it has decided just now, it cannot any more
    if (decided.error().code == errc::timeout && hear<yours>(m_peer, 0ms)) return {};
    return decided.error();
}

void takeover::refuse(const error& why) noexcept { program::refuse(m_peer, why); }

replacement_door::replacement_door(const std::string& socket, const options& running, std::function<result<void>()> pause)
    : m_offer(to_offer(running)), m_pause(std::move(pause)) {
    auto listener = local_listener::open(socket);
    if (!listener) {
        log::warn("fs", "this cessfs cannot be replaced: {}", listener.error().message());
        return;
    }
    m_listener.emplace(std::move(*listener));
    m_thread = std::thread([this] { watch(); });
}

replacement_door::~replacement_door() { close(); }

void replacement_door::close() {
    m_done = true;
    if (m_thread.joinable()) m_thread.join();
    m_listener.reset();
}

std::optional<local_peer> replacement_door::taker() {
    close();
    return std::move(m_taker);
}

void replacement_door::watch() {
    while (!m_done) {
        auto came = m_listener->accept(look_again);
        if (!came && came.error().code != errc::timeout) log::warn("fs", "who wants to replace this cessfs: {}", came.error().message());
        if (!came) {
            if (came.error().code != errc::timeout) std::this_thread::sleep_for(look_again);
            continue;
        }
        const auto ready = receive(*came);
        if (ready) {
            m_taker = std::move(*came);
            return;
        }
        log::warn("fs", "not replaced pid={}: {}", came->pid(), ready.error().message());
        refuse(*came, ready.error());
    }
}

result<void> replacement_door::wait_for_word(local_peer& who, std::chrono::milliseconds within) {
    for (const auto until = std::chrono::steady_clock::now() + within;;) {
        if (m_done) return error(errc::canceled, "the mount comes to its end");
        const auto ready = who.wait(look_again);
        if (ready) return {};
        if (ready.error().code != errc::timeout || std::chrono::steady_clock::now() >= until) return ready.error();
    }
}

result<void> replacement_door::receive(local_peer& who) {
    CHECK_OK(wait_for_word(who, answer_within));
    TRY(const auto said, hear<hello>(who, answer_within));
    if (said.version != version)
        return error(errc::unsupported, "cessfs " CESS_VERSION " cannot hand a mount to cessfs " + said.program + "; unmount, and mount again");
    log::info("fs", "cessfs {} wants to replace this one pid={}", said.program, who.pid());
    CHECK_OK(say(who, m_offer));
    CHECK_OK(wait_for_word(who, start_within));  // it starts up; nothing of the mount waits for it
    CHECK_OK(hear<replacement::take>(who, answer_within));
    CHECK_OK(m_pause());
    return {};
}

bool hand_over(local_peer& to, const parked_mount& what, int run_file) {
    const auto decided = [&]() -> result<void> {
        try {
            CHECK_OK(say(to, handed{what.agreed, what.held, what.requests}, {what.device.get(), run_file}));
            CHECK_OK(hear<attached>(to, attach_within));
            return say(to, yours{});
        } catch (const std::bad_alloc&) {  // what the kernel holds is here several times for a moment
            return error(errc::exhausted, "no memory for all that the kernel holds");
        }
    }();
    if (decided) return true;
    log::warn("fs", "pid={} did not take the mount over, this cessfs goes on: {}", to.pid(), decided.error().message());
    if (decided.error().code != errc::busy) to.end_process();  // it did not say that it has given up
    return false;
}

void refuse(local_peer& to, const error& why) noexcept try {
    (void)say(to, refused{why.message()});  // if it has gone, it need not know
} catch (const std::exception& e) {
    log::warn("fs", "a refusal was not sent: {}", e.what());
}

}  // namespace cess::fs::program
