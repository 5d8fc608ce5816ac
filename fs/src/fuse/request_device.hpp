// Where requests are read and answered: at the session's FUSE device, or at a clone of it, which has a queue of its own in the
// kernel. The kernel takes an answer only where the request was read, and fails what a clone that is closed did not answer. So
// who answers on another thread takes the clone along.
#pragma once

#include <fs/descriptor.hpp>

#include <memory>
#include <utility>

namespace cess::fs {

using device_clone = std::shared_ptr<const descriptor>;  // null: the session's own device

// While it lives, its thread reads and answers there.
class at_device {
public:
    explicit at_device(device_clone there) noexcept : m_before(std::exchange(current(), std::move(there))) {}
    ~at_device() { current() = std::move(m_before); }
    at_device(const at_device&) = delete;
    at_device& operator=(const at_device&) = delete;

    [[nodiscard]] static const device_clone& here() noexcept { return current(); }

private:
    static device_clone& current() noexcept {
        thread_local device_clone now;
        return now;
    }
    device_clone m_before;
};

}  // namespace cess::fs
