#include "waiting_line.hpp"

#include <utility>

namespace cess::fs {
namespace {

thread_local bool this_is_the_line = false;

struct waiting final : net::worker_pool::task {
    const in_flight::one under_way;
    const std::function<void()> request;

    waiting(in_flight& in, std::function<void()> what) : under_way(in), request(std::move(what)) {}
    void run() noexcept override {
        this_is_the_line = true;
        request();
    }
};

}  // namespace

bool waiting_line::is_here() noexcept { return this_is_the_line; }

bool waiting_line::add(std::function<void()> request) {
    if (is_here()) return false;
    std::unique_ptr<net::worker_pool::task> work = std::make_unique<waiting>(m_under_way, std::move(request));
    return m_threads.submit(work).has_value();
}

}  // namespace cess::fs
