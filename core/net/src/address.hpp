// "host:port" and "[v6]:port".
#pragma once

#include <core/base/result.hpp>

#include <string>
#include <string_view>

namespace cess::net {

struct host_port {
    std::string host;
    std::string port;
};

inline result<host_port> parse_address(std::string_view text) {
    const auto colon = text.rfind(':');
    const error bad(errc::invalid, "address \"" + std::string(text.substr(0, 100)) + "\" is not HOST:PORT");
    if (colon == std::string_view::npos || colon == 0) return bad;
    auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos) return bad;
    unsigned number = 0;
    for (const char c : port) {
        if (c < '0' || c > '9' || number > 65535) return bad;
        number = number * 10 + static_cast<unsigned>(c - '0');
    }
    if (port.empty() || number > 65535 || host.size() > 253) return bad;
    return host_port{std::string(host), std::string(port)};
}

// "1.2.3.4:80", "[::1]:80"
template <class Endpoint>
std::string format_address(const Endpoint& at) {
    const auto host = at.address().to_string();
    return (at.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(at.port());
}

}  // namespace cess::net
