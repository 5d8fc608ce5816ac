// What the plugin serves: block volumes and their snapshots. One is attached when its first connection asks for it
// and detached after the last has gone; the one named at the start stays attached. Connections to the same export
// share one attachment, so that a flush on any of them covers the writes of all.
//
// Thread-safe; calls block, each within the deadlines of the configuration.
#pragma once

#include <blockdev/device.hpp>
#include <objectstore/client/client.hpp>

#include <map>
#include <memory>
#include <mutex>

namespace cess::blockdev {

// "name", "name@snapshot", or "name@old..new": the snapshot `new`, whose extents tell what changed since `old`.
struct export_name {
    volume::target what;
    std::string since;  // the older snapshot of a change map; else empty
};
[[nodiscard]] result<export_name> parse_export(std::string_view text);

struct export_options {
    std::string volume;  // as parse_export() takes it; empty: the client's export name chooses
    std::string conf;    // path of the configuration
    bool force = false;  // take volumes over without waiting for a silent owner
    volume::durability durability = volume::durability::remote;  // what a flush waits for
    limiter::time_source time = limiter::real_time();  // of requests that the volume's limits hold back
};

class exports {
public:
    // Looks up what start() will need and keeps nothing. Runs in a child process: the caller may still fork, and
    // threads do not survive that.
    static result<void> rehearse(const export_options& with);
    // Starts threads: call after any fork. Attaches `volume` at once, if there is one.
    static result<std::unique_ptr<exports>> start(export_options with);
    ~exports();  // without stop(): as if the process had died

    class connection;  // holds its export attached
    // `name` may be empty if there is a `volume`, and can be nothing else then but that name.
    [[nodiscard]] result<std::unique_ptr<connection>> connect(std::string name, bool read_only);
    struct listed {
        std::string name, description;
    };
    [[nodiscard]] result<std::vector<listed>> list();
    [[nodiscard]] const std::string& default_name() const noexcept { return m_options.volume; }
    // Detaches what is attached: everything written is durable when it returns without an error. Connections may be
    // left, which are never touched again: once it is ending, nbdkit lets clients go without closing their handles.
    // REQUIRES: no call is under way, and none comes.
    [[nodiscard]] result<void> stop();

private:
    struct slot;
    explicit exports(export_options with);
    [[nodiscard]] result<std::shared_ptr<slot>> acquire(const std::string& name);
    result<void> release(const std::shared_ptr<slot>& what);
    [[nodiscard]] result<void> attach(slot& what);

    export_options m_options;
    std::unique_ptr<client::runtime> m_runtime;
    std::mutex m_mutex;  // of m_slots and of each slot's `users`; never held across an attach
    std::map<std::string, std::shared_ptr<slot>> m_slots;
    std::shared_ptr<slot> m_kept;  // of m_options.volume
};

class exports::connection {
public:
    ~connection();
    [[nodiscard]] device& disk() noexcept;
    [[nodiscard]] bool writable() noexcept;
    [[nodiscard]] const std::string& name() const noexcept;

private:
    friend class exports;
    connection(exports& of, std::shared_ptr<slot> what, bool read_only) : m_of(of), m_slot(std::move(what)), m_read_only(read_only) {}
    exports& m_of;
    std::shared_ptr<slot> m_slot;
    bool m_read_only;
};

// The errors that NBD knows; everything else is an I/O error there.
[[nodiscard]] int to_nbd_errno(const error& e) noexcept;

}  // namespace cess::blockdev
