// The gateway on a real socket over buckets in memory: what clients send well, badly, slowly, and in bad faith.
#include "signature.hpp"

#include <objectstore/s3/gateway.hpp>
#include <support/s3_store.hpp>

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

using namespace cess;
using namespace cess::s3;

namespace {

const credential owner{"CESSTEST", "secret"};

struct world {
    testing::memory_store buckets;
    metrics count;
    net::real_env env{2};
    std::unique_ptr<gateway> server;

    explicit world(gateway_settings how = settings()) {
        how.keys = {{owner.access, owner.secret}};
        auto started = gateway::start(env, buckets, how, count);
        REQUIRE(started.has_value());
        server = std::move(*started);
    }
    ~world() {
        if (server) REQUIRE(server->stop().has_value());
    }
    static gateway_settings settings() {
        gateway_settings how;
        how.listen = "127.0.0.1:0";
        how.workers = 8;
        how.header_timeout = std::chrono::milliseconds(600);
        how.body_timeout = std::chrono::milliseconds(600);
        how.idle_timeout = std::chrono::seconds(5);
        return how;
    }
};

// A socket with a deadline on everything.
class peer {
public:
    explicit peer(const world& to) {
        const auto at = to.server->address();
        m_fd = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(at.substr(at.rfind(':') + 1))));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(connect(m_fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    ~peer() { ::close(m_fd); }

    void send(std::string_view text) {
        while (!text.empty()) {
            const auto n = ::send(m_fd, text.data(), text.size(), MSG_NOSIGNAL);
            if (n <= 0) return;  // the server has hung up: what it said is what counts
            text.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    // One reply, or what came before the end.
    std::string receive(bool bodyless = false) {
        for (;;) {
            const auto end = m_in.find("\r\n\r\n");
            if (end != std::string::npos) {
                const auto at = m_in.find("Content-Length: ");
                const std::size_t length = bodyless || at > end ? 0 : std::stoul(m_in.substr(at + 16));
                if (m_in.size() >= end + 4 + length) {
                    const auto out = m_in.substr(0, end + 4 + length);
                    m_in.erase(0, out.size());
                    return out;
                }
            }
            if (!more()) return std::exchange(m_in, {});
        }
    }
    bool closed() {
        while (more()) {
        }
        return m_ended;
    }

private:
    bool more() {
        pollfd wait{m_fd, POLLIN, 0};
        if (poll(&wait, 1, 10000) <= 0) return false;
        char buffer[65536];
        const auto n = recv(m_fd, buffer, sizeof buffer, 0);
        if (n <= 0) m_ended = true;
        if (n > 0) m_in.append(buffer, static_cast<std::size_t>(n));
        return n > 0;
    }
    int m_fd;
    std::string m_in;
    bool m_ended = false;
};

std::string signed_request(std::string_view method, std::string_view target, std::string_view body = {}, std::vector<named_value> more = {},
                           std::string_view payload = "UNSIGNED-PAYLOAD", std::string_view length = {}) {
    header_list headers;
    const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    more.push_back({"host", "localhost"});
    more.push_back({"x-amz-content-sha256", std::string(payload)});
    more.push_back({"x-amz-date", iso8601_basic(now)});
    std::sort(more.begin(), more.end(), [](auto& a, auto& b) { return a.name < b.name; });
    std::vector<std::string> names;
    std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n", list;
    for (const auto& [name, value] : more) {
        headers.add(name, value);
        names.push_back(name);
        list += (list.empty() ? "" : ";") + name;
        text += name + ": " + value + "\r\n";
    }
    const auto head = parse_head(method, target, headers);
    REQUIRE(head.has_value());
    signing_context with;
    with.date = iso8601_basic(now);
    const auto day = with.date.substr(0, 8);
    with.scope = day + "/us-east-1/s3/aws4_request";
    with.key = signing_key(owner.secret, day, "us-east-1");
    text += "Authorization: AWS4-HMAC-SHA256 Credential=" + owner.access + "/" + with.scope + ", SignedHeaders=" + list +
            ", Signature=" + sign(with, canonical_request(*head, names, payload)) + "\r\n";
    text += "Content-Length: " + (length.empty() ? std::to_string(body.size()) : std::string(length)) + "\r\n\r\n";
    return text + std::string(body);
}

std::string ask(peer& with, const std::string& request) {
    with.send(request);
    return with.receive();
}

bool is(const std::string& reply, std::string_view status, std::string_view contains = {}) {
    INFO(reply.substr(0, 600));
    CHECK(reply.starts_with("HTTP/1.1 " + std::string(status)));
    CHECK(reply.find(contains) != std::string::npos);
    return reply.starts_with("HTTP/1.1 " + std::string(status));
}

}  // namespace

TEST_CASE("gateway: a bucket's and an object's life on one connection") {
    world w;
    peer c(w);
    is(ask(c, signed_request("PUT", "/bkt")), "200");
    is(ask(c, signed_request("PUT", "/bkt")), "409", "BucketAlreadyOwnedByYou");
    is(ask(c, signed_request("PUT", "/bkt/a%20key", "hello", {{"x-amz-meta-colour", "blue"}})), "200", "ETag: \"5d41402abc4b2a76b9719d911017c592\"");
    is(ask(c, signed_request("GET", "/bkt/a%20key")), "200", "hello");
    is(ask(c, signed_request("GET", "/bkt/a%20key", {}, {{"range", "bytes=1-3"}})), "206", "ell");
    is(ask(c, signed_request("GET", "/bkt/a%20key", {}, {{"range", "bytes=9-"}})), "416", "InvalidRange");
    is(ask(c, signed_request("GET", "/bkt/a%20key", {}, {{"if-none-match", "\"5d41402abc4b2a76b9719d911017c592\""}})), "304");
    c.send(signed_request("HEAD", "/bkt/a%20key"));
    is(c.receive(true), "200", "x-amz-meta-colour: blue");
    is(ask(c, signed_request("PUT", "/bkt/copy", {}, {{"x-amz-copy-source", "bkt/a%20key"}})), "200", "CopyObjectResult");
    is(ask(c, signed_request("GET", "/bkt?list-type=2&delimiter=%2F")), "200", "<KeyCount>2</KeyCount>");
    is(ask(c, signed_request("DELETE", "/bkt")), "409", "BucketNotEmpty");
    is(ask(c, signed_request("GET", "/bkt@frozen/copy")), "200", "hello");
    is(ask(c, signed_request("PUT", "/bkt@frozen/copy", "x")), "403", "read-only");
    const auto acl = ask(c, signed_request("GET", "/bkt/copy?acl"));
    const auto policy = acl.substr(acl.find("<?xml"));
    is(ask(c, signed_request("PUT", "/bkt/copy?acl", policy)), "200");
    is(ask(c, signed_request("PUT", "/bkt/never?acl", policy)), "404", "NoSuchKey");
    is(ask(c, signed_request("PUT", "/bkt?acl", {}, {{"x-amz-acl", "private"}})), "200");
    is(ask(c, signed_request("PUT", "/bkt?acl", {}, {{"x-amz-acl", "public-read"}})), "400", "AccessControlListNotSupported");
    is(ask(c, signed_request("PUT", "/bkt?acl", "<AccessControlPolicy/>")), "400", "AccessControlListNotSupported");
    is(ask(c, signed_request("DELETE", "/bkt/copy", {}, {{"if-match", "\"other\""}})), "412", "PreconditionFailed");
    is(ask(c, signed_request("DELETE", "/bkt/never", {}, {{"if-match", "*"}})), "404", "NoSuchKey");
    is(ask(c, signed_request("DELETE", "/bkt/copy", {}, {{"x-amz-if-match-size", "5"}})), "501", "NotImplemented");
    is(ask(c, signed_request("DELETE", "/bkt/copy", {}, {{"x-amz-expected-bucket-owner", "111122223333"}})), "403", "AccessDenied");
    is(ask(c, signed_request("GET", "/bkt/copy", {}, {{"x-amz-expected-bucket-owner", owner.access}})), "200", "hello");
    for (const auto* key : {"/bkt/a%20key", "/bkt/copy", "/bkt/never"}) is(ask(c, signed_request("DELETE", key)), "204");
    is(ask(c, signed_request("GET", "/bkt/copy")), "404", "NoSuchKey");
}

TEST_CASE("gateway: a bucket that another process owns is refused by name, and a deleted one is gone") {
    world w;
    peer c(w);
    REQUIRE(w.buckets.create("taken").has_value());
    w.buckets.own_elsewhere("taken", true);
    is(ask(c, signed_request("GET", "/taken/x")), "503", "127.0.0.1:1");
    REQUIRE(w.buckets.create("brief").has_value());
    is(ask(c, signed_request("HEAD", "/brief")), "200");
    CHECK(w.buckets.attached_now() == 1);
    is(ask(c, signed_request("DELETE", "/brief")), "204");
    is(ask(c, signed_request("GET", "/brief")), "404", "NoSuchBucket");
    is(ask(c, signed_request("PUT", "/brief")), "200");
    is(ask(c, signed_request("GET", "/brief")), "200", "ListBucketResult");
}

TEST_CASE("gateway: a 2xx to a write means that it is durable") {
    world w;
    peer c(w);
    is(ask(c, signed_request("PUT", "/bkt")), "200");
    seeded_random random(5);
    for (int i = 0; i < 20; ++i) {
        is(ask(c, signed_request("PUT", "/bkt/k", std::string(static_cast<std::size_t>(i) * 1000, 'a'))), "200");
        CHECK(w.buckets.volume_of("bkt").durable() == w.buckets.volume_of("bkt").applied());
    }
    // A body longer than one buffer, and one that the volume refuses.
    is(ask(c, signed_request("PUT", "/bkt/long", std::string(3 * MiB + 17, 'l'))), "200");
    CHECK(ask(c, signed_request("GET", "/bkt/long")).size() > 3 * MiB + 17);
    w.buckets.volume_of("bkt").fail_at(1, errc::no_space);
    is(ask(c, signed_request("PUT", "/bkt/k", "full")), "507", "QuotaExceeded");
    is(ask(c, signed_request("PUT", "/bkt/k", "again")), "200");
}

TEST_CASE("gateway: an owner whom too few miners confirm answers nobody") {
    world w;
    peer c(w);
    is(ask(c, signed_request("PUT", "/bkt")), "200");
    is(ask(c, signed_request("PUT", "/bkt/k", "hello")), "200");
    w.buckets.volume_of("bkt").set_confirmed(false);
    is(ask(c, signed_request("GET", "/bkt/k")), "503", "ServiceUnavailable");
    is(ask(c, signed_request("GET", "/bkt/never")), "503", "ServiceUnavailable");
    w.buckets.volume_of("bkt").set_confirmed(true);
    is(ask(c, signed_request("GET", "/bkt/k")), "200", "hello");
    is(ask(c, signed_request("GET", "/bkt/never")), "404", "NoSuchKey");
}

TEST_CASE("gateway: wrong hashes, lengths and signatures leave no object") {
    world w;
    peer c(w);
    is(ask(c, signed_request("PUT", "/bkt")), "200");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {}, std::string(64, 'a'))), "400", "XAmzContentSHA256Mismatch");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {{"content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="}})), "400", "BadDigest");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {{"content-md5", "nonsense"}})), "400", "InvalidDigest");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {{"x-amz-checksum-crc32", "AAAAAA=="}})), "400", "BadDigest");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {{"x-amz-tagging", "a=b"}})), "501", "NotImplemented");
    is(ask(c, signed_request("PUT", "/bkt/k", "data", {{"x-amz-meta-big", std::string(3000, 'm')}})), "400", "MetadataTooLarge");
    auto endless = signed_request("PUT", "/bkt/k", "");
    endless.erase(endless.find("Content-Length: 0\r\n"), 19);
    is(ask(c, endless), "411", "MissingContentLength");
    auto forged = signed_request("PUT", "/bkt/k", "data");
    forged[forged.find("Signature=") + 12] ^= 1;
    is(ask(c, forged), "403", "SignatureDoesNotMatch");
    {
        peer cut(w);
        cut.send(signed_request("PUT", "/bkt/k", "only a part", {}, "UNSIGNED-PAYLOAD", "1000"));
    }
    {
        peer slow(w);  // silent in the middle of a body
        slow.send(signed_request("PUT", "/bkt/k", "only a part", {}, "UNSIGNED-PAYLOAD", "1000"));
        CHECK(slow.closed());
    }
    {
        peer large(w);
        is(ask(large, signed_request("PUT", "/bkt/k", "x", {}, "UNSIGNED-PAYLOAD", "99999999999999")), "400", "EntityTooLarge");
        CHECK(large.closed());
    }
    peer fresh(w);
    is(ask(fresh, signed_request("GET", "/bkt/k")), "404", "NoSuchKey");
    is(ask(fresh, signed_request("GET", "/bkt")), "200");
    for (int i = 0; i < 100 && w.buckets.volume_of("bkt").blob_count() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(w.buckets.volume_of("bkt").blob_count() == 0);
}

TEST_CASE("gateway: garbage, half requests and oversized headers are refused, and service goes on") {
    world w;
    seeded_random random(9);
    const std::vector<std::string> hostile{
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100 * KiB, 'x') + "\r\n\r\n",
        "GET /" + std::string(100 * KiB, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;;;,Signature=\r\n\r\n",
    };
    for (const auto& text : hostile) {
        INFO(text.substr(0, 80));
        peer c(w);
        c.send(text);
        const auto reply = c.receive();
        CHECK((reply.empty() || reply.starts_with("HTTP/1.1 4")));
    }
    for (int i = 0; i < 50; ++i) {
        std::string noise(1 + random.below(3000), '\0');
        random.fill(std::as_writable_bytes(std::span(noise)));
        peer c(w);
        c.send(noise);
    }
    peer half(w);
    half.send("GET / HTT");
    CHECK(half.closed());  // by the header's deadline
    const auto text = w.count.render();
    CHECK(text.find("cess_s3_malformed_total") != std::string::npos);
    peer good(w);
    is(ask(good, signed_request("GET", "/")), "200", "ListAllMyBucketsResult");
}

TEST_CASE("gateway: random damage to a signed request never makes an object") {
    world w;
    {
        peer c(w);
        is(ask(c, signed_request("PUT", "/bkt")), "200");
    }
    seeded_random random(11);
    for (int i = 0; i < 150; ++i) {
        auto text = signed_request("PUT", "/bkt/key" + std::to_string(i), "body", {{"x-amz-meta-a", "b"}},
                                   crypto::sha256(as_view("body")).hex());
        const auto damage = random.below(text.size());
        const auto before = text[damage];
        text[damage] = static_cast<char>(random.below(256));
        // White space and the case of header names carry no meaning; framing that asks for more bytes waits for them.
        peer c(w);
        c.send(text);
        if (text[damage] == before) continue;
        const auto reply = c.receive();
        const bool same_meaning = (before | 0x20) == (text[damage] | 0x20) || before == ' ' || before == '\t' || before == '\r' || before == '\n';
        const bool unsigned_part = text.find("Content-Length") == std::string::npos || damage > text.find("Authorization");
        if (!same_meaning && !unsigned_part) {
            INFO(text);
            CHECK_FALSE(reply.starts_with("HTTP/1.1 200"));
        }
    }
}

TEST_CASE("gateway: connections past the bound are turned away, idle ones do not hold up a stop") {
    auto how = world::settings();
    how.connections_max = 4;
    world w(how);
    std::vector<std::unique_ptr<peer>> held;
    for (int i = 0; i < 4; ++i) {
        held.push_back(std::make_unique<peer>(w));
        is(ask(*held.back(), signed_request("GET", "/")), "200");
    }
    peer extra(w);
    const auto reply = extra.receive();
    CHECK((reply.starts_with("HTTP/1.1 503") || reply.empty()));
    const auto began = std::chrono::steady_clock::now();
    REQUIRE(w.server->stop().has_value());
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(3));
    CHECK(held.front()->closed());
    w.server.reset();
}

TEST_CASE("gateway: an occupied port and a bad address are refused in one line") {
    world w;
    auto how = world::settings();
    how.listen = w.server->address();
    testing::memory_store other;
    metrics count;
    const auto taken = gateway::start(w.env, other, how, count);
    REQUIRE(taken.has_error());
    CHECK(taken.error().message().find(how.listen) != std::string::npos);
    for (const auto* bad : {"", "9000", "nowhere:9000", "127.0.0.1:99999", "127.0.0.1:"}) {
        how.listen = bad;
        CHECK(gateway::start(w.env, other, how, count).has_error());
    }
}
