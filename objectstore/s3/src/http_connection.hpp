// One connection: HTTP/1.1 requests one after the other, each handed to the service, bodies streamed both ways.
//
// Runs on a strand of its own. Everything a peer can send is bounded: the head by header_size_max and a deadline,
// bodies by their readers, silence by timeouts; what cannot be parsed is refused, counted, and ends the connection.
#pragma once

#include "service.hpp"

#include <objectstore/s3/gateway.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <atomic>
#include <functional>

namespace cess::s3 {

inline constexpr std::size_t header_size_max = 64 * KiB;

// What connections share with their server.
struct http_context {
    service& api;
    memory_budget& memory;
    const gateway_settings& settings;
    boost::asio::ssl::context* tls;  // null: plain
    counter& requests;
    counter& refused;        // what was no request
    counter& timeouts;
    counter& bytes_in;
    counter& bytes_out;
    std::atomic<bool> stopping{false};
};

// How the server reaches a connection to stop it while it waits for a request. Called on the connection's strand.
struct http_handle {
    bool idle = false;
    std::function<void()> close;
};

[[nodiscard]] net::awaitable<void> serve_connection(http_context& in, boost::asio::ip::tcp::socket socket, std::shared_ptr<http_handle> handle);

}  // namespace cess::s3
