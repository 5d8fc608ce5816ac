#include "ports.hpp"

#include <charconv>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cess::cli::dev {
namespace {

constexpr std::uint16_t lowest = 20000;
constexpr std::uint16_t highest = 32000;
constexpr std::uint16_t stride = 40;  // between two directories; a default network takes ten

}  // namespace

bool port_is_free(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    where.sin_port = htons(port);
    const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0 && ::listen(fd, 1) == 0;
    ::close(fd);
    return free;
}

std::uint16_t first_port(const std::string& directory) {
    std::uint64_t hash = 1469598103934665603ULL;  // FNV-1a: the port must not depend on the standard library
    for (const char c : directory) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return static_cast<std::uint16_t>(lowest + hash % ((highest - lowest) / stride) * stride);
}

result<std::string> take_port(std::uint16_t from, std::set<std::uint16_t>& taken) {
    for (unsigned tried = 0; tried < highest - lowest; ++tried) {
        const auto port = from;
        from = port + 1 >= highest ? lowest : static_cast<std::uint16_t>(port + 1);
        if (!port_is_free(port) || !taken.insert(port).second) continue;
        return "127.0.0.1:" + std::to_string(port);
    }
    return error(errc::busy, "no free port between 20000 and 32000 on 127.0.0.1");
}

result<std::uint16_t> port_of(const std::string& address) {
    const auto colon = address.rfind(':');
    std::uint16_t port = 0;
    if (colon == std::string::npos) return error(errc::invalid, "address " + address + ": expected host:port");
    const auto* end = address.data() + address.size();
    const auto [stop, status] = std::from_chars(address.data() + colon + 1, end, port);
    if (status != std::errc() || stop != end) return error(errc::invalid, "address " + address + ": expected host:port");
    return port;
}

}  // namespace cess::cli::dev
