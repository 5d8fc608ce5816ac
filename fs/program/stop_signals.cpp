#include "stop_signals.hpp"

#include <csignal>
#include <ctime>

namespace cess::fs::program {
namespace {

sigset_t stopping() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    return set;
}

}  // namespace

void stop_signals::block() {
    const auto set = stopping();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

bool stop_signals::pending() {
    const auto set = stopping();
    sigset_t waiting;
    sigpending(&waiting);
    sigandset(&waiting, &waiting, &set);
    return !sigisemptyset(&waiting);
}

stop_signals::stop_signals(std::function<void()> on_stop) : m_on_stop(std::move(on_stop)), m_thread([this] { watch(); }) {}

stop_signals::~stop_signals() {
    m_done = true;
    m_thread.join();
}

void stop_signals::watch() {
    const auto set = stopping();
    const timespec tick{0, 200'000'000};
    while (!m_done) {
        if (::sigtimedwait(&set, nullptr, &tick) < 0) continue;
        m_on_stop();
        return;
    }
}

}  // namespace cess::fs::program
