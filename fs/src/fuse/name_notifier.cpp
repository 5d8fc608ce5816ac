#include "name_notifier.hpp"

#include <core/base/log.hpp>

#include <linux/fuse.h>
#include <sys/uio.h>

#include <cerrno>
#include <thread>

namespace cess::fs {

void name_notifier::removed(inode_number directory, const std::string& name, inode_number ino) noexcept try {
    const std::lock_guard lock(m_shared->mutex);
    if (m_shared->stopped || m_shared->waiting.size() >= waiting_max) return;
    m_shared->waiting.push_back({directory, ino, name});
    if (m_shared->telling) return;
    std::thread([in = m_shared] { tell_all(*in); }).detach();
    m_shared->telling = true;
} catch (const std::exception& e) {  // no thread, no memory: the next one tries again
    log::debug("fs", "the kernel is not told of a name that went: {}", e.what());
}

void name_notifier::stop() noexcept {
    const std::lock_guard lock(m_shared->mutex);
    m_shared->stopped = true;
    m_shared->waiting.clear();
    if (!m_shared->telling) m_shared->device = descriptor();
}

void name_notifier::tell_all(shared& in) noexcept {
    std::unique_lock lock(in.mutex);
    while (!in.waiting.empty()) {
        const auto next = std::move(in.waiting.front());
        in.waiting.pop_front();
        lock.unlock();
        tell(in.device.get(), next);
        lock.lock();
    }
    in.telling = false;
    if (in.stopped) in.device = descriptor();
}

// As fuse_lowlevel_notify_delete(), whose session may be gone when the kernel answers.
void name_notifier::tell(int device, const gone_name& what) noexcept {
    fuse_notify_delete_out body{};
    body.parent = what.directory.value;
    body.child = what.ino.value;
    body.namelen = static_cast<std::uint32_t>(what.name.size());
    fuse_out_header head{};
    head.error = FUSE_NOTIFY_DELETE;  // a notification's code stands there
    const auto name_size = what.name.size() + 1;
    head.len = static_cast<std::uint32_t>(sizeof head + sizeof body + name_size);
    const iovec parts[3] = {{&head, sizeof head}, {&body, sizeof body}, {const_cast<char*>(what.name.c_str()), name_size}};
    // ENOENT: the kernel knows nothing of it. ENOTEMPTY, EBUSY: it finds out when it asks.
    if (::writev(device, parts, 3) < 0 && errno != ENOENT) log::debug("fs", "the kernel keeps a name that went: errno {}", errno);
}

}  // namespace cess::fs
