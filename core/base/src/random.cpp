#include <core/base/random.hpp>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sys/random.h>

namespace cess {

void system_random::fill(byte_span out) {
    while (!out.empty()) {
        const auto got = ::getrandom(out.data(), out.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            std::perror("getrandom");
            std::abort();
        }
        out = out.subspan(static_cast<std::size_t>(got));
    }
}

seeded_random::seeded_random(std::uint64_t seed) noexcept {
    for (auto& word : m_state) {
        seed += 0x9e3779b97f4a7c15U;
        std::uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        word = z ^ (z >> 31);
    }
}

std::uint64_t seeded_random::step() noexcept {
    const auto answer = std::rotl(m_state[1] * 5, 7) * 9;
    const auto t = m_state[1] << 17;
    m_state[2] ^= m_state[0];
    m_state[3] ^= m_state[1];
    m_state[1] ^= m_state[2];
    m_state[0] ^= m_state[3];
    m_state[2] ^= t;
    m_state[3] = std::rotl(m_state[3], 45);
    return answer;
}

void seeded_random::fill(byte_span out) {
    while (!out.empty()) {
        const auto word = step();
        const auto n = std::min(out.size(), sizeof word);
        std::memcpy(out.data(), &word, n);
        out = out.subspan(n);
    }
}

}  // namespace cess
