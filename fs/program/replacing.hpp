// A cessfs hands its mount to a newer one, which goes on where it stopped.
//
//     new                                   running
//     hello (what it speaks)        →
//                                   ←       offer (its options)
//     configuration, network, log:
//     all that may fail, or is slow
//     take                          →
//                                           a checkpoint; stops serving; closes the volume
//                                   ←       handed (what the kernel holds, the FUSE device, the run file)
//     opens volume and filesystem
//     attached                      →
//                                   ←       yours
//     serves                                ends, without unmounting
//
// Either may say "refused" and a reason instead, and the running one goes on. Exactly one serves: the running one decides,
// with "yours", after which it never serves again. Until then it may take the mount back: on a refusal, on silence, on a
// lost connection; unless the new one has said that it has given up, it is killed first. The new one serves when it is told
// "yours", or when the running one has died after "handed": only death closes its end before it has decided.
#pragma once

#include "local_socket.hpp"
#include "options.hpp"

#include <fs/fuse_mount.hpp>

#include <atomic>
#include <optional>
#include <thread>

namespace cess::fs::program {

// Messages. hello and refused are the same in all versions.
namespace replacement {

inline constexpr std::uint32_t version = 1;

struct hello {
    std::uint32_t version = 0;
    std::string program;  // its version, for the log
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.version, self.program); }
};
struct refused {
    std::string why;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.why); }
};
struct offer {
    std::string program;
    std::string volume, conf, log_file, metrics;
    bool read_only = false, allow_other = false, acls = true, snapshots = true, stats = true, local_durability = false;
    std::uint8_t access_times = 0;  // as the enum
    std::uint64_t cache_size = 0, entry_timeout_us = 0, attr_timeout_us = 0;
    std::vector<std::string> words;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.program, self.volume, self.conf, self.log_file, self.metrics, self.read_only, self.allow_other, self.acls, self.snapshots);
        codec(self.stats, self.local_durability, self.access_times, self.cache_size, self.entry_timeout_us, self.attr_timeout_us, self.words);
    }
    friend bool operator==(const offer&, const offer&) = default;
};
struct take {
    template <class Self, class Codec>
    static void describe(Self&, Codec&) {}
};
struct handed {  // the FUSE device and the run file go along
    fuse_agreement agreed;
    kernel_state held;
    std::vector<bytes> requests;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.agreed, self.held, self.requests); }
    friend bool operator==(const handed&, const handed&) = default;
};
struct attached {
    template <class Self, class Codec>
    static void describe(Self&, Codec&) {}
};
struct yours {
    template <class Self, class Codec>
    static void describe(Self&, Codec&) {}
};
using message = std::variant<hello, refused, offer, take, handed, attached, yours>;

[[nodiscard]] offer to_offer(const options& running);
[[nodiscard]] result<options> from_offer(const offer& what, const std::string& directory);  // errc::protocol for what no option can be

}  // namespace replacement

// The new process' side, step after step. An error of any step is the end; refuse() tells the running one before it asks.
class takeover {
public:
    // errc::not_found: no running cessfs of this user answers for the directory.
    [[nodiscard]] static result<takeover> begin(const std::string& directory);
    [[nodiscard]] const options& running() const noexcept { return m_running; }
    [[nodiscard]] pid_t pid() const noexcept { return m_peer.pid(); }

    struct gift {
        parked_mount mount;
        descriptor run_file;
    };
    [[nodiscard]] result<gift> take();
    [[nodiscard]] result<void> attached();  // and wait for the decision; an error: it is not ours, and must be let go of
    void refuse(const error& why) noexcept;

private:
    takeover(local_peer peer, unsigned device_minor, options running)
        : m_peer(std::move(peer)), m_device_minor(device_minor), m_running(std::move(running)) {}
    local_peer m_peer;
    unsigned m_device_minor;
    options m_running;
};

// The running process' side: listens while the mount is served.
class replacement_door {
public:
    // `pause`, on the door's thread, stops serving or says why not; after it taker() has who asked.
    replacement_door(const std::string& socket, const options& running, std::function<result<void>()> pause);
    ~replacement_door();
    replacement_door(const replacement_door&) = delete;
    replacement_door& operator=(const replacement_door&) = delete;

    // Closes the door.
    [[nodiscard]] std::optional<local_peer> taker();

private:
    void watch();
    [[nodiscard]] result<void> receive(local_peer& who);  // up to `take` and the pause
    [[nodiscard]] result<void> wait_for_word(local_peer& who, std::chrono::milliseconds within);  // errc::canceled: close() was called
    void close();

    const replacement::offer m_offer;
    const std::function<result<void>()> m_pause;
    std::optional<local_listener> m_listener;
    std::atomic<bool> m_done{false};
    std::optional<local_peer> m_taker;
    std::thread m_thread;
};

// The rest of the running side. Tells the taker what it gets, and whether it has it: true, it serves now. False: nobody
// does, and the mount is ours again; the taker is dead or has given up.
[[nodiscard]] bool hand_over(local_peer& to, const parked_mount& what, int run_file);
void refuse(local_peer& to, const error& why) noexcept;

}  // namespace cess::fs::program
