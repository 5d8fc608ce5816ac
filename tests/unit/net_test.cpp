// RPC over TLS: what honest peers get, and what all others get.
#include <core/net/blocking.hpp>
#include <core/net/deadline.hpp>
#include <core/net/http_metrics.hpp>
#include <core/net/local_network.hpp>
#include <core/net/quorum.hpp>
#include <core/net/real_env.hpp>
#include <core/net/tls_transport.hpp>

#include "tls_context.hpp"

#include <catch2/catch.hpp>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

using namespace cess;
using namespace cess::net;
using namespace std::chrono_literals;

// A resolver that one name holds up.
namespace {
std::atomic<bool> name_held{false}, name_asked{false};
}
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** out) {
    using resolver = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<resolver>(dlsym(RTLD_NEXT, "getaddrinfo"));
    if (node == nullptr || std::string_view(node) != "held.invalid") return real(node, service, hints, out);
    name_asked = true;
    while (name_held) std::this_thread::sleep_for(10ms);
    return EAI_NONAME;
}

namespace {

constexpr method_id echo = 1, who = 2, slow = 3, refuse = 4, huge = 5, cancel = 6;

struct echo_service : service {
    explicit echo_service(env& w) : world(w) {}
    awaitable<reply> serve(node_id from, request what) override {
        ++served;
        reply out;
        if (what.method == who) out.head = to_bytes(from.view());
        if (what.method == echo) {
            out.head = std::move(what.head);
            out.body = std::move(what.body).take();
        }
        if (what.method == slow) (void)co_await world.sleep_for(1h);
        if (what.method == refuse) out = reply::of(error(errc::no_space, "disk is\nfull\x1b[31m\xc2\x9b"));
        if (what.method == cancel) out = reply::of(error(errc::canceled, "given up"));
        if (what.method == huge) out.body.resize(body_size_max + 1);
        co_return out;
    }
    env& world;
    std::atomic<int> served = 0;
};

awaitable<result<int>> finished(awaitable<void> op) {
    co_await std::move(op);
    co_return 0;
}

// A server and a caller on loopback.
struct rig {
    explicit rig(tls_limits limits = {}) : server_key(crypto::signing_key::generate(world.random())), client_key(crypto::signing_key::generate(world.random())), echoes(world) {
        tls_server::options how;
        how.listen = "127.0.0.1:0";
        how.limits = limits;
        server = tls_server::start(world, server_key, how, echoes, count).value();
        network = make_tls_caller(world, client_key, limits, count);
    }
    ~rig() {
        network.reset();
        if (server) stop();
    }
    void stop(duration grace = 1s) {
        (void)wait(world, finished(server->stop(grace)));
        server.reset();
    }
    peer to() const { return peer{crypto::id_of<node_id>(server_key.pub()), server->address()}; }
    result<reply> call(method_id method, bytes head = {}, bytes body = {}, duration within = 10s, lane on = lane::control) {
        request what;
        what.method = method;
        what.head = std::move(head);
        what.body = std::move(body);
        return wait(world, network->call(to(), std::move(what), world.now() + within, on));
    }
    std::uint64_t refused(const char* side, const char* reason) {
        return count.make_counter("cess_rpc_refused_total", "", std::string("side=\"") + side + "\",reason=\"" + reason + "\"").value();
    }
    std::int64_t connections() { return count.make_gauge("cess_rpc_connections", "", "side=\"server\"").value(); }

    metrics count;
    real_env world{2};
    crypto::signing_key server_key, client_key;
    echo_service echoes;
    std::unique_ptr<tls_server> server;
    std::unique_ptr<caller> network;
};

template <class F>
bool eventually(F f) {
    for (int i = 0; i < 500; ++i) {
        if (f()) return true;
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

bytes pattern(std::size_t n) {
    bytes out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 31 + i / 251);
    return out;
}

// A blocking TCP client with no manners.
struct raw_client {
    explicit raw_client(const std::string& address) : fd(socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
        connected = connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
    ~raw_client() { close(fd); }
    void send(byte_view data) const { (void)::send(fd, data.data(), data.size(), MSG_NOSIGNAL); }
    bool closed_within(int ms) const {
        for (;;) {
            pollfd p{fd, POLLIN, 0};
            if (poll(&p, 1, ms) <= 0) return false;
            char buffer[4096];
            if (recv(fd, buffer, sizeof buffer, 0) <= 0) return true;
        }
    }
    int fd;
    bool connected;
};

// A TLS client that speaks whatever frames it likes.
struct hostile_client : raw_client {
    hostile_client(const std::string& address, const crypto::signing_key* key, int version = TLS1_3_VERSION, bool with_alpn = true)
        : raw_client(address), context(SSL_CTX_new(TLS_client_method())) {
        SSL_CTX_set_min_proto_version(context, version);
        SSL_CTX_set_max_proto_version(context, version);
        if (with_alpn) SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>("\x0a" "cess-rpc/1"), 11);
        if (key) {
            auto* native = static_cast<EVP_PKEY*>(key->native());
            X509* x = X509_new();
            X509_set_version(x, 2);
            X509_gmtime_adj(X509_getm_notBefore(x), 0);
            X509_gmtime_adj(X509_getm_notAfter(x), 3600);
            X509_set_pubkey(x, native);
            X509_sign(x, native, nullptr);
            SSL_CTX_use_certificate(context, x);
            SSL_CTX_use_PrivateKey(context, native);
            X509_free(x);
        }
        ssl = SSL_new(context);
        SSL_set_fd(ssl, fd);
        timeval limit{5, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        shaken = SSL_connect(ssl) == 1;
    }
    ~hostile_client() {
        SSL_free(ssl);
        SSL_CTX_free(context);
    }
    void say(byte_view data) const { SSL_write(ssl, data.data(), static_cast<int>(data.size())); }
    // True when the server ended the connection.
    bool refused_within(int ms) const {
        timeval limit{ms / 1000, (ms % 1000) * 1000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        char buffer[4096];
        for (;;) {
            const int n = SSL_read(ssl, buffer, sizeof buffer);
            if (n > 0) continue;
            const int why = SSL_get_error(ssl, n);
            return why != SSL_ERROR_WANT_READ && !(why == SSL_ERROR_SYSCALL && errno == EAGAIN);
        }
    }
    SSL_CTX* context;
    SSL* ssl = nullptr;
    bool shaken = false;
};

bytes header(std::uint32_t magic, std::uint16_t code, std::uint16_t flags, std::uint64_t id, std::uint32_t head, std::uint32_t body) {
    wire::encoder e;
    e(magic, code, flags, id, head, body);
    return std::move(e).take();
}
constexpr std::uint32_t magic = 0x31524543;

}  // namespace

TEST_CASE("a call carries head and body both ways, and the server knows who calls") {
    rig r;
    for (const std::size_t size : {0u, 1u, 23u, 4096u, 16383u, 16384u, 16385u, 65536u, 1048577u, 4194304u}) {
        const auto body = pattern(size);
        const auto answered = r.call(echo, pattern(size / 3), body, 10s, size % 2 == 0 ? lane::bulk : lane::control);
        REQUIRE(answered.has_value());
        CHECK(equal(answered->body, body));
        CHECK(equal(answered->head, pattern(size / 3)));
    }
    CHECK(equal(r.call(who)->head, r.client_key.pub().view()));
}

TEST_CASE("large requests have a connection of their own where there is a place for it") {
    rig r;
    real_env place(1);
    const auto other = make_tls_caller(r.world, r.client_key, tls_limits(), r.count, &place);
    const auto echoed = [&](caller& through, std::size_t size, lane on) {
        request what;
        what.method = echo;
        what.body = pattern(size);
        const auto got = wait(r.world, through.call(r.to(), std::move(what), r.world.now() + 10s, on));
        return got && equal(got->body, pattern(size));
    };
    for (const auto size : {std::size_t{100}, std::size_t{3 * MiB}}) REQUIRE(echoed(*r.network, size, lane::bulk));
    CHECK(r.connections() == 1);
    for (const auto on : {lane::control, lane::bulk}) REQUIRE(echoed(*other, 100, on));
    REQUIRE(echoed(*other, 3 * MiB, lane::control));
    CHECK(r.connections() == 3);
    REQUIRE(echoed(*other, 3 * MiB, lane::bulk));
    CHECK(r.connections() == 4);
}

TEST_CASE("a refusal arrives as the error the service named, on one line") {
    rig r;
    const auto answered = r.call(refuse);
    CHECK(answered.error().code == errc::no_space);
    CHECK(answered.error().what == "disk is full [31m??");
    CHECK(r.call(huge).error().code == errc::too_large);
    CHECK(r.call(echo, {}, bytes(body_size_max + 1)).error().code == errc::too_large);
    CHECK(r.call(echo).has_value());
}

TEST_CASE("a peer that claims a call was canceled has failed it: only we give up our calls") {
    rig on;
    const auto got = on.call(cancel);
    REQUIRE(got.has_error());
    CHECK(got.error().code == errc::unavailable);
}

TEST_CASE("many calls at once on one connection all get their own answers") {
    rig r;
    struct run {
        static awaitable<result<int>> one(rig& r, int i) {
            request what;
            what.method = echo;
            what.body = pattern(static_cast<std::size_t>(i) * 97);
            auto op = r.network->call(r.to(), std::move(what), r.world.now() + 10s, lane::control);
            auto got = co_await std::move(op);
            if (!got) co_return std::move(got).error();
            co_return equal(got->body, pattern(static_cast<std::size_t>(i) * 97)) ? 1 : 0;
        }
        static awaitable<result<int>> all(rig& r) {
            std::vector<awaitable<result<int>>> ops;
            for (int i = 0; i < 200; ++i) ops.push_back(one(r, i));
            auto each = co_await all_of<int>(std::move(ops));
            int sum = 0;
            for (auto& e : each) sum += e ? *e : 0;
            co_return sum;
        }
    };
    for (int round = 0; round < 5; ++round) CHECK(wait(r.world, run::all(r)).value() == 200);
    CHECK(r.connections() == 1);
}

TEST_CASE("a call past its deadline ends, and the connection serves on") {
    rig r;
    CHECK(r.call(slow, {}, {}, 30ms).error().code == errc::timeout);
    CHECK(r.call(echo).has_value());
    CHECK(r.call(echo, {}, {}, -1s).error().code == errc::timeout);
}

TEST_CASE("a cancelled call ends at once") {
    rig r;
    const auto began = r.world.now();
    request what;
    what.method = slow;
    auto op = r.network->call(r.to(), std::move(what), r.world.now() + 1h, lane::control);
    CHECK(wait(r.world, with_deadline<reply>(r.world, std::move(op), r.world.now() + 20ms)).error().code == errc::timeout);
    CHECK(r.world.now() - began < 5s);
}

TEST_CASE("calls under way fail at once when the server dies, and come back with it") {
    rig r;
    const auto where = r.server->address();
    CHECK(r.call(echo).has_value());
    std::atomic<int> code = -1;
    std::thread hanging([&] { code = static_cast<int>(r.call(slow, {}, {}, 1h).error().code); });
    CHECK(eventually([&] { return r.echoes.served == 2; }));
    const auto to = r.to();
    r.stop(10ms);
    hanging.join();
    CHECK(code == static_cast<int>(errc::unavailable));

    request what;
    what.method = echo;
    CHECK(wait(r.world, r.network->call(to, what, r.world.now() + 5s, lane::control)).error().code == errc::unavailable);
    tls_server::options how;
    how.listen = where;
    r.server = tls_server::start(r.world, r.server_key, how, r.echoes, r.count).value();
    CHECK(eventually([&] { return r.call(echo).has_value(); }));
}

TEST_CASE("a server with another key than the one called is refused") {
    rig r;
    auto to = r.to();
    to.id = r.world.random().id<node_id>();
    request what;
    what.method = echo;
    CHECK(wait(r.world, r.network->call(to, what, r.world.now() + 5s, lane::control)).error().code == errc::permission);
    CHECK(r.refused("client", "handshake") == 1);
    CHECK(r.echoes.served == 0);
}

TEST_CASE("nobody at the address, or no address, is one clear error") {
    rig r;
    request what;
    const peer nobody{r.to().id, "127.0.0.1:1"};
    CHECK(wait(r.world, r.network->call(nobody, what, r.world.now() + 5s, lane::control)).error().code == errc::unavailable);
    for (const char* bad : {"", "x", ":1", "127.0.0.1:", "127.0.0.1:99999", "a:b:1", "127.0.0.1:-1"}) {
        const peer wrong{r.to().id, bad};
        CHECK(wait(r.world, r.network->call(wrong, what, r.world.now() + 5s, lane::control)).error().code == errc::invalid);
    }
}

TEST_CASE("a name that is looked up for ever holds up no call to an address in numbers") {
    rig r;
    name_held = true;
    std::thread stuck([&] {
        peer far = r.to();
        far.address = "held.invalid:1";
        CHECK(wait(r.world, r.network->call(far, request{who, {}, {}}, r.world.now() + 30s, lane::control)).has_error());
    });
    CHECK(eventually([] { return name_asked.load(); }));
    CHECK(r.call(who, {}, {}, 4s).has_value());
    name_held = false;
    stuck.join();
}

TEST_CASE("too many calls under way to one peer are refused, not queued") {
    tls_limits limits;
    limits.requests_in_flight_max = 4;
    rig r(limits);
    std::vector<std::thread> hanging;
    for (int i = 0; i < 4; ++i) hanging.emplace_back([&] { (void)r.call(slow, {}, {}, 300ms); });
    CHECK(eventually([&] { return r.echoes.served == 4; }));
    CHECK(r.call(echo).error().code == errc::exhausted);
    CHECK(r.refused("client", "in_flight") == 1);
    for (auto& t : hanging) t.join();
    // The caller has given up on those four; the server has not, and says so.
    CHECK(r.call(echo).error().code == errc::exhausted);
    CHECK(r.refused("server", "in_flight") == 1);
}

TEST_CASE("plaintext, old TLS, no certificate, a wrong kind of key and no protocol are refused and counted") {
    rig r;
    const auto at = r.server->address();
    {
        raw_client c(at);
        c.send(as_view("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(c.closed_within(5000));
    }
    CHECK(eventually([&] { return r.refused("server", "handshake") == 1; }));
    CHECK_FALSE(hostile_client(at, &r.client_key, TLS1_2_VERSION).shaken);
    CHECK(eventually([&] { return r.refused("server", "handshake") == 2; }));
    hostile_client nameless(at, nullptr);
    CHECK(nameless.refused_within(5000));
    CHECK(eventually([&] { return r.refused("server", "handshake") == 3; }));
    hostile_client stranger(at, &r.client_key, TLS1_3_VERSION, false);
    CHECK(stranger.refused_within(5000));
    CHECK(eventually([&] { return r.refused("server", "handshake") == 4; }));
    CHECK(eventually([&] { return r.connections() == 0; }));
    CHECK(r.call(echo).has_value());
}

TEST_CASE("a certificate whose key is nobody's identifies nobody") {
    seeded_random random(7);
    const auto names = [](const public_key& key) {
        const auto* const raw = reinterpret_cast<const unsigned char*>(key.raw.data());
        const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> native(
            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw, key.raw.size()), EVP_PKEY_free);
        const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
        REQUIRE(X509_set_pubkey(certificate.get(), native.get()) == 1);
        return ed25519_key(certificate.get());
    };
    const auto somebody = crypto::signing_key::generate(random).pub();
    CHECK(names(somebody).value() == somebody);
    CHECK(names(public_key{}).error() == errc::permission);
}

TEST_CASE("frames that are none, oversized, unasked or doubled end their connection and are counted") {
    rig r;
    const auto at = r.server->address();
    const auto refused_after = [&](const bytes& said) {
        hostile_client c(at, &r.client_key);
        REQUIRE(c.shaken);
        c.say(said);
        return c.refused_within(5000);
    };
    CHECK(refused_after(header(0xdeadbeef, echo, 0, 1, 0, 0)));
    CHECK(refused_after(header(magic, echo, 2, 1, 0, 0)));
    CHECK(refused_after(header(magic, 0, 1, 1, 0, 0)));
    CHECK(eventually([&] { return r.refused("server", "malformed") == 3; }));
    CHECK(refused_after(header(magic, echo, 0, 1, 0xffffffff, 0)));
    CHECK(refused_after(header(magic, echo, 0, 1, 0, body_size_max + 1)));
    CHECK(refused_after(header(magic, echo, 0, 1, head_size_max + 1, 0)));
    CHECK(eventually([&] { return r.refused("server", "oversized") == 3; }));
    auto twice = header(magic, slow, 0, 7, 0, 0);
    append(twice, header(magic, slow, 0, 7, 0, 0));
    CHECK(refused_after(twice));
    CHECK(eventually([&] { return r.refused("server", "malformed") == 4; }));
    CHECK(eventually([&] { return r.connections() == 0; }));
    CHECK(r.call(echo).has_value());
}

TEST_CASE("half a handshake, half a frame and a reader that does not read are closed after their time") {
    tls_limits limits;
    limits.handshake_timeout = 200ms;
    limits.frame_timeout = 300ms;
    rig r(limits);
    const auto at = r.server->address();
    raw_client silent(at);
    CHECK(silent.closed_within(5000));
    CHECK(eventually([&] { return r.refused("server", "handshake") == 1; }));

    hostile_client half(at, &r.client_key);
    REQUIRE(half.shaken);
    half.say(header(magic, echo, 0, 1, 100, 100));
    half.say(to_bytes("not two hundred bytes"));
    CHECK(half.refused_within(5000));
    CHECK(r.refused("server", "slow") == 1);

    hostile_client drip(at, &r.client_key);
    const auto slowly = header(magic, echo, 0, 1, 0, 0);
    for (std::size_t i = 0; i < slowly.size() && !drip.refused_within(60); ++i) drip.say(byte_view(slowly).subspan(i, 1));
    CHECK(eventually([&] { return r.refused("server", "slow") == 2; }));

    // Asks for a lot and takes none of it: its requests' bytes are bounded, and then it is out.
    hostile_client deaf(at, &r.client_key);
    auto ask = header(magic, echo, 0, 1, 0, MiB);
    append(ask, pattern(MiB));
    timeval quick{1, 0};
    setsockopt(deaf.fd, SOL_SOCKET, SO_SNDTIMEO, &quick, sizeof quick);
    for (std::uint64_t id = 1; id < 200; ++id) {
        std::memcpy(ask.data() + 8, &id, sizeof id);
        if (SSL_write(deaf.ssl, ask.data(), static_cast<int>(ask.size())) <= 0) break;
    }
    CHECK(eventually([&] { return r.refused("server", "slow") == 3; }));
    CHECK(eventually([&] { return r.connections() == 0; }));
    CHECK(r.call(echo).has_value());
}

TEST_CASE("connections past the limit are closed at once, and room comes back") {
    tls_limits limits;
    limits.connections_max = 3;
    rig r(limits);
    const auto at = r.server->address();
    {
        hostile_client a(at, &r.client_key), b(at, &r.client_key), c(at, &r.client_key);
        CHECK(a.shaken);
        CHECK(c.shaken);
        raw_client d(at);
        CHECK(d.closed_within(5000));
        CHECK(r.refused("server", "connections") == 1);
        CHECK(r.call(echo).error().code == errc::unavailable);
    }
    CHECK(eventually([&] { return r.call(echo).has_value(); }));
}

TEST_CASE("when all connections are taken the one idle for longest gives way, and none that works") {
    tls_limits limits;
    limits.connections_max = 2;
    limits.idle_yield = 100ms;
    rig r(limits);
    const auto at = r.server->address();
    hostile_client busy(at, &r.client_key), idle(at, &r.client_key);
    REQUIRE(busy.shaken);
    REQUIRE(idle.shaken);
    busy.say(header(0x31524543, slow, 0, 1, 0, 0));
    CHECK(eventually([&] { return r.echoes.served == 1; }));
    std::this_thread::sleep_for(150ms);
    CHECK(r.call(who).has_value());
    CHECK(idle.refused_within(5000));
    CHECK(eventually([&] { return r.connections() == 2; }));  // the busy one, and the caller's
    CHECK(r.count.make_counter("cess_rpc_gave_way_total", "", "side=\"server\"").value() == 1);
    CHECK(r.refused("server", "connections") == 0);
}

TEST_CASE("requests past a connection's byte limit wait unread until others are answered") {
    tls_limits limits;
    limits.bytes_in_flight_max = 3 * MiB;
    limits.bytes_total_max = 4 * MiB;
    rig r(limits);
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 16; ++i)
        threads.emplace_back([&, i] {
            const auto body = pattern(2 * MiB);
            const auto got = r.call(echo, {}, body, 20s, i % 2 == 0 ? lane::bulk : lane::control);
            good += got && equal(got->body, body) ? 1 : 0;
        });
    for (auto& t : threads) t.join();
    CHECK(good == 16);
}

TEST_CASE("random bytes at any stage never crash the server") {
    rig r;
    seeded_random random(20240601);
    const auto at = r.server->address();
    for (int i = 0; i < 30; ++i) {
        raw_client c(at);
        bytes noise(random.below(2000));
        random.fill(noise);
        c.send(noise);
    }
    for (int i = 0; i < 30; ++i) {
        hostile_client c(at, &r.client_key);
        REQUIRE(c.shaken);
        bytes noise(1 + random.below(2000));
        random.fill(noise);
        if (random.below(2) == 0 && noise.size() > 24) {
            const auto h = header(magic, static_cast<std::uint16_t>(random.below(6)), 0, random.next(), static_cast<std::uint32_t>(random.below(3000)),
                                  static_cast<std::uint32_t>(random.below(3000)));
            std::copy(h.begin(), h.end(), noise.begin());
        }
        c.say(noise);
        if (random.below(2) == 0) c.send(noise);  // and then no TLS at all
    }
    CHECK(r.call(echo).has_value());
    CHECK(eventually([&] { return r.connections() == 1; }));
}

TEST_CASE("stopping waits for requests under way, up to its grace") {
    rig r;
    std::thread caller([&] { CHECK(r.call(slow, {}, {}, 1h).error().code == errc::unavailable); });
    CHECK(eventually([&] { return r.echoes.served == 1; }));
    const auto began = r.world.now();
    r.stop(100ms);
    CHECK(r.world.now() - began >= 100ms);
    CHECK(r.world.now() - began < 5s);
    caller.join();
}

TEST_CASE("the in-process network has the same refusals and any fate one wants") {
    metrics count;
    real_env world(2);
    echo_service echoes(world);
    local_network network(world);
    const auto server = world.random().id<node_id>(), client = world.random().id<node_id>();
    network.add(server, echoes);
    auto through = network.caller_as(client);
    const auto call = [&](method_id method, duration within = 10s) {
        request what;
        what.method = method;
        const peer to{server, ""};
        return wait(world, through->call(to, std::move(what), world.now() + within, lane::control));
    };
    CHECK(equal(call(who)->head, client.view()));
    CHECK(call(refuse).error().code == errc::no_space);
    CHECK(call(slow, 20ms).error().code == errc::timeout);
    local_network::fate fate;
    fate.down = true;
    network.set_fate(server, fate);
    CHECK(call(echo).error().code == errc::unavailable);
    fate = {};
    fate.lose_requests = true;
    network.set_fate(server, fate);
    const int before = echoes.served;
    CHECK(call(echo, 20ms).error().code == errc::timeout);
    CHECK(echoes.served == before);
    fate = {};
    fate.lose_replies = true;
    network.set_fate(server, fate);
    CHECK(call(echo, 20ms).error().code == errc::timeout);
    CHECK(echoes.served == before + 1);
    fate = {};
    fate.alter = [](reply& r) { r.head = to_bytes("a lie"); };
    network.set_fate(server, fate);
    CHECK(as_text(call(echo)->head) == "a lie");
    network.remove(server);
    CHECK(call(echo).error().code == errc::unavailable);
    (void)wait(world, finished(network.stop()));
}

namespace {
std::string http(const std::string& address, std::string_view said) {
    raw_client c(address);
    c.send(as_view(said));
    std::string all;
    for (;;) {
        pollfd p{c.fd, POLLIN, 0};
        char buffer[4096];
        if (poll(&p, 1, 5000) <= 0) return all + "(still open)";
        const auto n = recv(c.fd, buffer, sizeof buffer, 0);
        if (n <= 0) return all;
        all.append(buffer, static_cast<std::size_t>(n));
    }
}
}  // namespace

TEST_CASE("metrics are served over HTTP, and anything else is refused") {
    metrics count;
    real_env world(2);
    count.make_counter("cess_test_total", "For this test.").add(42);
    http_metrics::options how;
    how.request_timeout = 300ms;
    bool healthy = true;
    how.healthy = [&] { return healthy; };
    auto server = http_metrics::start(world, count, how).value();
    CHECK_THAT(http(server->address(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Catch::Contains("200 OK") && Catch::Contains("cess_test_total 42\n"));
    CHECK_THAT(http(server->address(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), Catch::Contains("200 OK"));
    healthy = false;
    CHECK_THAT(http(server->address(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), Catch::Contains("503"));
    CHECK_THAT(http(server->address(), "GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"), Catch::Contains("404"));
    CHECK_THAT(http(server->address(), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n"), !Catch::Contains("200"));
    CHECK_THAT(http(server->address(), "GET /metrics HT"), !Catch::Contains("still open"));
    CHECK_THAT(http(server->address(), "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n"), !Catch::Contains("200"));
    http_metrics::options taken;
    taken.listen = server->address();
    CHECK(http_metrics::start(world, count, taken).error().code != errc::ok);
    (void)wait(world, finished(server->stop()));
}
