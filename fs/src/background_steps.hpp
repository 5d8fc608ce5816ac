// Work that comes in bounded steps, done in a thread of its own when somebody says that there is some. A step that fails is
// tried again a little later. The thread starts with the first need.
#pragma once

#include <fs/posix_error.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace cess::fs {

class background_steps {
public:
    // `step` answers whether there may be more to do; `what` names it in the log. `period`: it is looked for that often besides,
    // once there was some; 0: never. Disabled it does nothing: tests call their steps themselves.
    background_steps(std::string what, std::function<answer<bool>()> step, std::chrono::seconds period, bool enabled);
    ~background_steps();
    background_steps(const background_steps&) = delete;
    background_steps& operator=(const background_steps&) = delete;

    void wake() noexcept;  // there may be something to do; REQUIRES: a volume that can be written

private:
    void run();
    void wait(std::unique_lock<std::mutex>& lock);
    [[nodiscard]] answer<bool> try_step() noexcept;

    const std::string m_what;
    const std::function<answer<bool>()> m_step;
    const std::chrono::seconds m_period;
    const bool m_enabled;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    bool m_wanted = false, m_stopping = false;
    std::thread m_thread;
};

}  // namespace cess::fs
