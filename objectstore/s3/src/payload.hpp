// A request's body: raw bytes as they arrive, turned into data that is what the client signed.
//
// read() runs on the connection's coroutine; decode() and finish() on a worker, in order. Nothing of the data may be
// made visible before finish() has said that all of it is there and matches length, hashes and signatures.
#pragma once

#include "checksum.hpp"
#include "chunked.hpp"

#include <core/net/env.hpp>

#include <atomic>

namespace cess::s3 {

// Bytes from a connection. Not thread-safe.
class body_source {
public:
    virtual ~body_source() = default;
    [[nodiscard]] virtual std::optional<std::uint64_t> length() const = 0;  // as declared; none: chunked by HTTP
    // Fills `to` unless the body ends first; then `ended()`. Answers "100 Continue" before the first byte where asked.
    [[nodiscard]] virtual net::awaitable<answer<std::size_t>> read(byte_span to) = 0;
    [[nodiscard]] virtual bool ended() const = 0;
};

// Room for bodies in memory, for all requests together.
class memory_budget {
public:
    explicit memory_budget(std::uint64_t limit) : m_left(static_cast<std::int64_t>(limit)) {}

    class share {
    public:
        share() = default;
        share(memory_budget& from, std::uint64_t size) : m_from(&from), m_size(static_cast<std::int64_t>(size)) {}
        share(share&& other) noexcept : m_from(std::exchange(other.m_from, nullptr)), m_size(other.m_size) {}
        share& operator=(share&& other) noexcept {
            std::swap(m_from, other.m_from);
            std::swap(m_size, other.m_size);
            return *this;
        }
        ~share() {
            if (m_from) m_from->m_left += m_size;
        }

    private:
        memory_budget* m_from = nullptr;
        std::int64_t m_size = 0;
    };
    [[nodiscard]] answer<share> take(std::uint64_t size) {
        if ((m_left -= static_cast<std::int64_t>(size)) >= 0) return share(*this, size);
        m_left += static_cast<std::int64_t>(size);
        return failure(code::slow_down, "Too many bodies are on their way.");
    }

private:
    std::atomic<std::int64_t> m_left;
};

class payload {
public:
    // Refuses lengths that cannot be right. `size_max` is of the data. Without `checksums`, x-amz-checksum-* are not the body's.
    static answer<std::unique_ptr<payload>> make(body_source& from, const identity& who, const request_head& head, std::uint64_t size_max,
                                                 bool checksums = true);

    [[nodiscard]] std::optional<std::uint64_t> size() const noexcept { return m_size; }  // of the data, as declared
    [[nodiscard]] std::optional<std::uint64_t> wire_size() const { return m_from.length(); }
    [[nodiscard]] net::awaitable<answer<std::size_t>> read(byte_span to) { return m_from.read(to); }
    [[nodiscard]] bool ended() const { return m_from.ended(); }

    // Wire bytes to data in place, how many; digests them.
    [[nodiscard]] answer<std::size_t> decode(byte_span wire);
    [[nodiscard]] answer<void> finish();

    // After finish():
    [[nodiscard]] const bytes& md5() const noexcept { return m_md5_digest; }
    [[nodiscard]] checksum_kind checksum() const noexcept { return m_checksum; }
    [[nodiscard]] const std::string& checksum_value() const noexcept { return m_checksum_value; }  // base64
    // Asks for a checksum of this kind even if the client sent none. REQUIRES: nothing decoded yet.
    void compute(checksum_kind kind);

private:
    payload(body_source& from, const identity& who) : m_from(from), m_who(who) {}
    answer<void> expect_md5(const request_head& head);
    answer<void> expect_checksum(const request_head& head);

    body_source& m_from;
    const identity& m_who;
    std::optional<std::uint64_t> m_size;
    std::uint64_t m_size_max = 0, m_seen = 0;
    std::optional<chunk_decoder> m_chunks;
    std::optional<crypto::sha256_stream> m_sha256;  // the signed hash of the body
    digest m_md5 = digest::md5();
    std::optional<bytes> m_md5_wanted;
    bytes m_md5_digest;
    checksum_kind m_checksum = checksum_kind::none;
    std::optional<digest> m_digest;
    std::string m_checksum_wanted, m_checksum_value;
    bool m_checksum_in_trailer = false;
};

}  // namespace cess::s3
