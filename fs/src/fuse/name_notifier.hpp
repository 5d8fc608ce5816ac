// Tells the kernel of names that went without its asking: it lets go of what it has cached of them, and gives back its references.
//
// For that the kernel takes the directory's lock, which a caller may hold whose request waits for our answer; and while a mount
// changes hands nobody answers. So a thread of its own tells, for which nobody waits: it has a descriptor of the device of its own,
// and what it shares with the mount lives as long as either.
#pragma once

#include <fs/descriptor.hpp>
#include <fs/types.hpp>

#include <deque>
#include <memory>
#include <mutex>
#include <string>

namespace cess::fs {

// Thread-safe.
class name_notifier {
public:
    // `device`: that the kernel takes notifications from.
    explicit name_notifier(descriptor device) : m_shared(std::make_shared<shared>(std::move(device))) {}
    ~name_notifier() { stop(); }
    name_notifier(const name_notifier&) = delete;
    name_notifier& operator=(const name_notifier&) = delete;

    // The directory had that entry, of that inode. It is a hint: what is too much, or comes too late, is not told.
    void removed(inode_number directory, const std::string& name, inode_number ino) noexcept;
    void stop() noexcept;  // nothing more is told, but for what is being told

private:
    static constexpr std::size_t waiting_max = 4096;

    struct gone_name {
        inode_number directory, ino;
        std::string name;
    };
    struct shared {
        explicit shared(descriptor from) : device(std::move(from)) {}
        descriptor device;       // closed by stop(), or behind it: open it would keep a connection that has ended
        std::mutex mutex;
        std::deque<gone_name> waiting;
        bool telling = false;  // a thread does
        bool stopped = false;
    };
    static void tell_all(shared& in) noexcept;
    static void tell(int device, const gone_name& what) noexcept;

    const std::shared_ptr<shared> m_shared;
};

}  // namespace cess::fs
