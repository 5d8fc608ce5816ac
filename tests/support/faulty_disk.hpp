// A disk in memory that keeps what POSIX promises and nothing more (core/os/file_system.hpp).
//
// Fault model
//   data      a write or truncate is durable after sync() of its file; until then a crash keeps any subset of it, in
//             pieces of 512 bytes or 4 KiB, each truncate on its own; bytes that were never written read as zeros
//   names     a created, renamed or removed name is durable after sync_directory() of its directory; until then a crash
//             keeps any subset of the changes of each directory. A rename inside one directory is atomic; between two
//             it is two changes, which a crash may separate
//   errors    the N-th operation fails with a given error: a write that fails has written half; a sync that fails has
//             dropped what it should have kept, and a later sync does not bring it back (Linux)
//   death     from the N-th operation on everything fails, and what was done stays visible: a killed process
//   lies      chosen syncs do nothing and answer that all is well
// Thread-safe; one mutex.
#pragma once

#include <core/base/random.hpp>
#include <core/os/file_system.hpp>

#include <functional>
#include <map>
#include <mutex>

namespace cess::test {

class faulty_disk final : public os::file_system {
public:
    explicit faulty_disk(std::uint64_t capacity = 1 * GiB);
    ~faulty_disk() override;

    // Power is cut and comes back: unsynced changes survive or not by the seed. Open files are dead.
    void crash(std::uint64_t seed);
    // Open files of the old process are dead, everything stays visible, errors and deaths are over.
    void new_process();

    // Counted from the last call of either: 0 is the next operation.
    void fail_at(std::uint64_t operation, errc with);
    void die_at(std::uint64_t operation);
    void no_faults();
    [[nodiscard]] std::uint64_t operations() const;  // since the last of the above, or the start
    [[nodiscard]] bool fault_met() const;

    // A sync as a test sees it: the path with its variable parts cut ("/m/tmp/put"), and of a directory whether a
    // removal was the last thing that happened to it.
    struct sync_point {
        bool directory = false;
        std::string place;
        friend auto operator<=>(const sync_point&, const sync_point&) = default;
    };
    // True: this sync, the n-th since watch() was called, is a lie. None: honest.
    using lie = std::function<bool(std::size_t n, const sync_point& at)>;
    void watch(lie which = {});
    [[nodiscard]] std::vector<sync_point> watched() const;  // syncs since watch()

    // Flips one bit of a file, durably. False if there is no such byte.
    bool flip(const std::string& path, std::uint64_t offset);
    [[nodiscard]] std::vector<std::string> files() const;  // all paths of files

    result<std::unique_ptr<os::file>> open(const std::string& path, os::open_mode mode) override;
    result<void> rename(const std::string& from, const std::string& to) override;
    result<void> remove(const std::string& path) override;
    result<void> make_directories(const std::string& path) override;
    result<void> sync_directory(const std::string& path) override;
    result<std::vector<os::directory_entry>> list(const std::string& path) override;
    result<os::space> statistics(const std::string& path) override;
    bool exists(const std::string& path) override;

    struct state;

private:
    std::shared_ptr<state> m_state;
};

}  // namespace cess::test
