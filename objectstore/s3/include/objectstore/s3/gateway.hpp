// The S3 endpoint: an HTTP server over a store of buckets.
#pragma once

#include <objectstore/s3/store.hpp>

#include <core/base/metrics.hpp>
#include <core/net/real_env.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cess::s3 {

struct access_key {
    std::string id;
    std::string secret;
};

struct gateway_settings {
    std::string listen = "127.0.0.1:9000";
    std::string domain;                        // of virtual-host style; empty: path style only
    std::string tls_certificate, tls_key;      // PEM files; both or neither
    std::vector<access_key> keys;
    unsigned workers = 64;                     // threads that wait for the engine
    std::size_t queue_max = 4096;              // requests that wait for a worker
    std::size_t connections_max = 1024;
    std::size_t buckets_max = 16;              // attached at a time
    std::uint64_t memory = 128 * MiB;          // of bodies on their way, in all
    net::duration idle_timeout = std::chrono::seconds(75);     // between requests of a connection
    net::duration header_timeout = std::chrono::seconds(20);   // of a request's head, from its first byte
    net::duration body_timeout = std::chrono::seconds(30);     // without any progress of a body
    net::duration detach_after = std::chrono::minutes(10);     // of a bucket that nobody uses
    net::duration grace = std::chrono::seconds(30);            // for requests under way when it stops
};

// Thread-safe. Runs on the env's threads and its own; stop() before destruction.
class gateway {
public:
    // errc::busy naming the port if it is taken; errc::invalid for a bad address, certificate or key.
    static result<std::unique_ptr<gateway>> start(net::real_env& world, store& buckets, gateway_settings how, metrics& count);
    virtual ~gateway() = default;
    [[nodiscard]] virtual std::string address() const = 0;  // with the real port
    // Refuses new connections, finishes requests under way (within `grace`), detaches the buckets. Blocks.
    virtual result<void> stop() = 0;
};

}  // namespace cess::s3
