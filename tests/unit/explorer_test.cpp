// The JSON API over a real validator in this process: every path, its bounds, and what strangers send.
#include <support/chain_process.hpp>
#include <support/ledger_bench.hpp>

#include "answers.hpp"

#include <chain/explorer/explorer.hpp>

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

using namespace cess;
using namespace std::chrono_literals;
using chain::json;
using test::chain_process;
using test::ledger_bench;

namespace {

struct scratch {
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "cess-explorer-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    ~scratch() { std::filesystem::remove_all(path); }
    std::string path;
};

const std::string* header(const net::http_response& of, std::string_view name) {
    for (const auto& [key, value] : of.headers)
        if (key == name) return &value;
    return nullptr;
}

// A network with miners, and a volume that was opened, filled and has a snapshot: every kind of record.
struct filled {
    explicit filled(bool indexed = true) : on(at.path), bench(0) {
        on.indexed = indexed;
        REQUIRE(on.start().has_value());
        bench.network = ledger::id_of(on.client->network().origin);
        for (std::uint64_t i = 0; i < 4; ++i) {
            const auto key = test::seeded_key(1000 + i);
            bench.miners.push_back(crypto::id_of<node_id>(key.pub()));
            send(bench.registration(key, on.account.key, 64 * GiB));
        }
        send(ledger_bench::creation("first"));
        volume = ledger_bench::volume_named("first");
        send(bench.taking(volume, 0));
        send(bench.root(volume, 10, 1));
        send(bench.view(volume, "monday", 10, 2));
        for (int i = 0; i < 5; ++i) send(ledger_bench::creation("v" + std::to_string(i)));
        CHECK(on.submit(ledger_bench::creation("first")).error().code != errc::ok);  // refused, and counted
        height = on.node->height().value;
    }
    void send(ledger::action what) {
        const auto done = on.submit(std::move(what));
        INFO((done ? std::string() : done.error().message()));
        REQUIRE(done.has_value());
    }
    net::http_response get(const std::string& target, const std::string& method = "GET", const std::string& tag = {}) const {
        return chain::answer(on.node->certified(), {method, target, tag});
    }
    json read(const std::string& target) const {
        const auto got = get(target);
        INFO(target << ": " << got.body);
        REQUIRE(got.status == 200);
        REQUIRE(header(got, "Access-Control-Allow-Origin"));
        return json::parse(got.body);
    }
    unsigned status(const std::string& target) const {
        const auto got = get(target);
        INFO(target << ": " << got.body);
        if (got.status == 200) return 200;
        const auto why = json::parse(got.body);
        CHECK(why["status"] == got.status);
        CHECK(!why["error"].get<std::string>().empty());
        CHECK(std::count(got.body.begin(), got.body.end(), '\n') == 1);
        return got.status;
    }
    std::string account() const { return on.account.id().hex(); }

    scratch at;
    chain_process on;
    ledger_bench bench;
    volume_id volume;
    std::uint64_t height = 0;
};

const std::string nothing32(64, '7'), nothing16(32, '7');

}  // namespace

TEST_CASE("the chain's side: status, committee, blocks, transactions, accounts") {
    filled net;
    const auto status = net.read("/v1/status");
    CHECK(status["height"] == net.height);
    CHECK(status["certified"] == true);
    CHECK(status["network"]["id"] == ledger::id_of(net.on.client->network().origin).hex());
    CHECK(status["members"].size() == 1);
    CHECK(status["members"][0]["behind"] == 0);
    CHECK(status["indexed"]["from"] == 1);
    CHECK(status["space"]["offered"] == std::to_string(4 * 64 * GiB));
    const auto genesis = net.read("/v1/genesis");
    CHECK(genesis["network"] == status["network"]["id"]);
    CHECK(genesis["encoded"] == to_hex(wire::encode(net.on.client->network().origin)));
    const auto committee = net.read("/v1/committee");
    CHECK(committee["members"].size() == 1);
    CHECK(committee["certificate"]["height"] == net.height);

    // Every block once, newest first, over pages.
    std::uint64_t next_height = net.height, seen = 0, transactions = 0;
    for (json page = net.read("/v1/blocks?limit=3");; page = net.read(page["next"].get<std::string>())) {
        CHECK(page["blocks"].size() <= 3);
        for (const auto& row : page["blocks"]) {
            CHECK(row["height"] == next_height--);
            ++seen;
            transactions += row["transaction_count"].get<std::uint64_t>();
        }
        if (page["next"].is_null()) break;
    }
    CHECK(seen == net.height);
    CHECK(transactions == status["transactions"]);
    CHECK(net.read("/v1/blocks?before=3&limit=100")["blocks"].size() == 2);

    // Each block's transactions are the account's, newest first.
    const auto top = net.read("/v1/blocks/" + std::to_string(net.height));
    REQUIRE(top["transactions"].size() == 1);
    const auto refused = top["transactions"][0];
    CHECK(refused["kind"] == "create_volume");
    CHECK(refused["sender"] == net.account());
    CHECK(refused["standing"] == "counted");
    CHECK(refused["result"]["code"] == "conflict");
    const auto whole = net.read("/v1/transactions/" + refused["id"].get<std::string>());
    CHECK(whole["height"] == net.height);
    CHECK(whole["action"]["name"] == "first");
    CHECK(whole["result"]["code"] == "conflict");
    std::vector<std::string> ids;
    for (json page = net.read("/v1/accounts/" + net.account() + "/transactions?limit=4");; page = net.read(page["next"].get<std::string>())) {
        for (const auto& row : page["transactions"]) ids.push_back(row["id"]);
        if (page["next"].is_null()) break;
    }
    CHECK(ids.size() == transactions);
    CHECK(ids.front() == refused["id"]);
    CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == ids.size());
    for (const auto& id : ids) CHECK(net.read("/v1/transactions/" + id)["sender"] == net.account());
    const auto account = net.read("/v1/accounts/" + net.account());
    CHECK(account["volumes"].size() == 6);
    CHECK(account["volumes_next"].is_null());
    CHECK(net.read("/v1/accounts/" + net.account() + "/volumes?limit=2&after=v1")["volumes"][0]["name"] == "v2");
}

TEST_CASE("the state's side: nodes, volumes, views, segments") {
    filled net;
    std::set<std::string> nodes;
    for (json page = net.read("/v1/nodes?limit=3");; page = net.read(page["next"].get<std::string>())) {
        for (const auto& row : page["nodes"]) nodes.insert(row["id"]);
        CHECK(page["height"] == net.height);
        if (page["next"].is_null()) break;
    }
    CHECK(nodes.size() == 4);
    const auto miner = net.read("/v1/nodes/" + *nodes.begin());
    CHECK(miner["role"] == "storage");
    CHECK(miner["owner"] == net.account());
    CHECK(miner["offered"] == std::to_string(64 * GiB));

    std::set<std::string> volumes;
    for (json page = net.read("/v1/volumes?limit=4");; page = net.read(page["next"].get<std::string>())) {
        for (const auto& row : page["volumes"]) volumes.insert(row["name"]);
        if (page["next"].is_null()) break;
    }
    CHECK(volumes == std::set<std::string>{"first", "v0", "v1", "v2", "v3", "v4"});
    const auto base = "/v1/volumes/" + net.volume.hex();
    const auto volume = net.read(base);
    CHECK(volume["lease"]["term"] == 1);
    CHECK(volume["lease"]["members"].size() == 4);
    CHECK(volume["root"]["sequence"] == "10");
    const auto views = net.read(base + "/views");
    REQUIRE(views["views"].size() == 1);
    CHECK(views["views"][0]["name"] == "monday");
    CHECK(net.read(base + "/views/monday")["kind"] == "snapshot");
    const auto segments = net.read(base + "/segments?limit=1");
    REQUIRE(segments["segments"].size() == 1);
    CHECK(net.read(segments["next"].get<std::string>())["segments"].size() == 1);
    const auto id = segments["segments"][0]["id"].get<std::string>();
    const auto found = net.read("/v1/segments/" + id);
    REQUIRE(found["segments"].size() == 1);
    CHECK(found["segments"][0]["lineage"] == net.volume.hex());
    CHECK(found["segments"][0]["state"] == "live");
    CHECK(net.read(base + "/segments/" + segments["segments"][0]["number"].get<std::string>())["id"] == id);
    for (const auto* missing : {"/v1/nodes/", "/v1/segments/", "/v1/transactions/", "/v1/accounts/"}) CHECK(net.status(missing + nothing32) == 404);
    CHECK(net.status("/v1/volumes/" + nothing16) == 404);
    CHECK(net.status(base + "/views/none") == 404);
    CHECK(net.status(base + "/segments/1") == 404);
}

namespace {

template <class Id>
Id id_of(const json& text) { return Id::parse(text.get<std::string>()).value(); }

// A proof from its JSON alone.
ledger::proved_record from_json(const json& from) {
    ledger::proved_record out;
    const auto& of = from["certificate"];
    auto& body = out.certificate.body;
    body.network = id_of<network_id>(of["network"]);
    body.epoch = of["epoch"];
    body.height.value = of["height"];
    body.commit_digest = id_of<hash256>(of["commit_digest"]);
    body.state_root = id_of<hash256>(of["state_root"]);
    body.next.epoch = of["next"]["epoch"];
    for (const auto& member : of["next"]["members"]) body.next.members.push_back(id_of<public_key>(member));
    for (const auto& row : of["signatures"]) out.certificate.signatures.emplace_back(row["member"].get<std::uint16_t>(), id_of<signature>(row["signature"]));
    CHECK(of["message"] == to_hex(ledger::message_of(body)));
    out.key = from_hex(from["key"].get<std::string>()).value();
    if (!from["value"].is_null()) out.value = from_hex(from["value"].get<std::string>()).value();
    for (const auto& row : from["proof"]["path"]) {
        auto& level = out.proof.path.emplace_back();
        level.present = row["present"];
        for (const auto& child : row["children"]) level.children.push_back(id_of<hash256>(child));
    }
    const auto& leaf = from["proof"]["leaf"];
    if (!leaf.is_null()) out.proof.leaf.emplace(id_of<hash256>(leaf["key_hash"]), id_of<hash256>(leaf["value_hash"]));
    return out;
}

}  // namespace

TEST_CASE("proofs hold for who trusts the genesis alone") {
    filled net;
    const auto& origin = net.on.client->network().origin;
    const ledger::trust trust(ledger::id_of(origin), origin.first);
    const auto last = net.read("/v1/blocks/" + std::to_string(net.height))["transactions"][0];
    const auto segment = net.bench.segment(net.volume, 1, 10);
    const auto volume = net.volume.hex();
    for (const auto& path : {std::string("totals"), "nodes/" + net.bench.miners[0].hex(), "volumes/" + volume, "names/" + net.account() + "/first", "views/" + volume + "/monday",
                             "segments/" + volume + "/" + std::to_string(segment.number.value), "transactions/" + last["id"].get<std::string>(),
                             "clients/" + net.account() + "/" + last["client"].get<std::string>(), "keys/" + to_hex(ledger::key::totals())}) {
        INFO(path);
        const auto told = net.read("/v1/proofs/" + path);
        const auto value = trust.check(from_json(told));
        REQUIRE(value.has_value());
        CHECK(value->has_value());
    }
    for (const auto& path : {"volumes/" + nothing16, "freed/" + volume + "/" + segment.id.hex(), "views/" + volume + "/none"}) {
        INFO(path);
        const auto value = trust.check(from_json(net.read("/v1/proofs/" + path)));
        REQUIRE(value.has_value());
        CHECK(!value->has_value());  // proved absent
    }
    auto forged = from_json(net.read("/v1/proofs/volumes/" + volume));
    forged.value->back() ^= std::byte{1};
    CHECK(trust.check(forged).has_error());
    const auto first = net.read("/v1/blocks/1")["transactions"][0]["id"].get<std::string>();
    const auto sent_by_last = net.read("/v1/transactions/" + first)["client"] == last["client"];
    CHECK(net.status("/v1/proofs/transactions/" + first) == (sent_by_last ? 404U : 200U));
}

TEST_CASE("what is wrong is refused with a line that says what") {
    filled net;
    for (const auto* bad : {"/v1/blocks/0", "/v1/blocks/999999", "/v1/blocks/18446744073709551615", "/v2/status", "/", "/v1/nothing", "/v1/proofs/nothing/x"}) CHECK(net.status(bad) == 404);
    for (const auto* bad : {"/v1/blocks/x", "/v1/blocks/-1", "/v1/blocks/01", "/v1/blocks/18446744073709551616", "/v1/blocks?limit=0", "/v1/blocks?limit=101", "/v1/blocks?limit=5&limit=5",
                            "/v1/blocks?before=", "/v1/blocks?before", "/v1/blocks?after=3", "/v1/blocks?colour=red", "/v1/status?limit=3", "/v1//status", "/v1/stat%75s", "/v1/transactions/12",
                            "/v1/transactions/zz", "/v1/volumes/../status", "v1/status", "/v1/blocks?before=1%00", "/v1/nodes?after=1", "/v1/proofs/keys/0", "/v1/1/2/3/4/5/6/7/8"})
        CHECK((net.status(bad) == 400 || net.status(bad) == 404));
    CHECK(net.status("/v1/accounts/" + net.account() + "/transactions?before=3") == 400);
    CHECK(net.status("/v1/volumes/" + net.volume.hex() + "/views?after=UPPER") == 400);
    CHECK(net.status("/" + std::string(5000, 'a')) == 414);
    CHECK(net.get("/v1/status", "POST").status == 405);
    CHECK(net.get("/v1/status", "DELETE").status == 405);
    CHECK(header(net.get("/v1/nothing"), "Access-Control-Allow-Origin"));
    const auto preflight = net.get("/anything", "OPTIONS");
    CHECK(preflight.status == 204);
    CHECK(header(preflight, "Access-Control-Allow-Methods"));
}

TEST_CASE("what never changes says so, and a known answer is not sent again") {
    filled net;
    const auto block = net.get("/v1/blocks/1");
    CHECK_THAT(*header(block, "Cache-Control"), Catch::Contains("max-age=300"));
    CHECK(*header(net.get("/v1/status"), "Cache-Control") == "no-cache");
    const auto tag = *header(block, "ETag");
    CHECK(net.get("/v1/blocks/1", "GET", tag).status == 304);
    CHECK(net.get("/v1/blocks/1", "GET", "\"other\", W/" + tag).status == 304);
    CHECK(net.get("/v1/blocks/1", "GET", "\"other\"").status == 200);
    CHECK(net.get("/v1/blocks/2", "GET", tag).status == 200);
}

namespace {

std::vector<std::string> chain_of(const filled& net) {
    std::vector<std::string> out;
    for (std::uint64_t h = 1; h <= net.height; ++h) {
        const auto block = net.read("/v1/blocks/" + std::to_string(h) + "?limit=100");
        auto bare = block;
        for (auto& row : bare["transactions"]) row["result"].erase("words");
        out.push_back(bare.dump());
    }
    return out;
}

void wait_until_indexed(const filled& net) {
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (net.read("/v1/status")["indexed"]["from"] != 1 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
    REQUIRE(net.read("/v1/status")["indexed"]["from"] == 1);
}

}  // namespace

TEST_CASE("the index is the same after a restart, a replay from nothing, and when it is switched on later") {
    filled net;
    const auto before = chain_of(net);
    net.on.stop();
    REQUIRE(net.on.start().has_value());
    CHECK(chain_of(net) == before);
    net.on.stop();
    std::filesystem::remove_all(net.at.path + "/state");
    REQUIRE(net.on.start().has_value());
    CHECK(chain_of(net) == before);
    net.on.stop();

    net.on.indexed = false;  // blocks that the index never sees
    REQUIRE(net.on.start().has_value());
    net.send(ledger_bench::creation("unseen"));
    CHECK(net.status("/v1/blocks/1") == 501);
    CHECK(net.status("/v1/volumes") == 200);
    net.on.stop();
    net.on.indexed = true;
    REQUIRE(net.on.start().has_value());
    wait_until_indexed(net);
    net.send(ledger_bench::creation("seen"));
    CHECK(chain_of(net) == before);
    net.height = net.on.node->height().value;
    CHECK(chain_of(net).size() == before.size() + 2);
    CHECK(net.read("/v1/blocks/" + std::to_string(net.height - 1))["transactions"][0]["result"]["code"] == "ok");
    for (int i = 0; i < 500 && std::filesystem::exists(net.at.path + "/index"); ++i) std::this_thread::sleep_for(10ms);
    CHECK(!std::filesystem::exists(net.at.path + "/index"));  // what the build needed
    net.on.stop();
    REQUIRE(net.on.start().has_value());
    CHECK(net.read("/v1/status")["indexed"]["from"] == 1);
}

namespace {

struct raw_client {
    explicit raw_client(const std::string& address) : fd(socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
        if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) throw std::runtime_error("connect");
    }
    ~raw_client() { close(fd); }
    raw_client(const raw_client&) = delete;
    raw_client& operator=(const raw_client&) = delete;
    void send(std::string_view text) const { (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL); }
    // Up to `end` or the connection's end.
    std::string receive(std::string_view end = {}) const {
        std::string all;
        for (;;) {
            pollfd p{fd, POLLIN, 0};
            char buffer[4096];
            if (poll(&p, 1, 5000) <= 0) return all + "(still open)";
            const auto n = recv(fd, buffer, sizeof buffer, 0);
            if (n <= 0) return all;
            all.append(buffer, static_cast<std::size_t>(n));
            if (!end.empty() && all.ends_with(end)) return all;
        }
    }
    int fd;
};

net::awaitable<result<void>> ended(net::awaitable<void> op) {
    co_await std::move(op);
    co_return result<void>();
}

}  // namespace

TEST_CASE("over HTTP: several requests a connection, HEAD, and neither garbage nor slowness does harm") {
    filled net;
    metrics count;
    chain::explorer::options how;
    how.connections_max = 4;
    how.head_timeout = 300ms;
    how.idle_timeout = 500ms;
    auto server = chain::explorer::start(net.on.world, net.on.node->certified(), count, how).value();
    {
        raw_client c(server->address());
        c.send("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
        CHECK_THAT(c.receive("}\n"), Catch::Contains("200 OK") && Catch::Contains("\"height\":" + std::to_string(net.height)));
        c.send("HEAD /v1/status HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/blocks/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        const auto two = c.receive();
        CHECK_THAT(two, Catch::Contains("ETag") && Catch::Contains("\"height\":1,"));
        CHECK(two.find("\r\n\r\nHTTP/1.1") != std::string::npos);  // HEAD has no body
    }
    for (const auto* garbage : {"\x16\x03\x01\x02", "GET\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n", "PUT /v1/status HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                                "GET /v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"}) {
        raw_client c(server->address());
        c.send(garbage);
        const auto said = c.receive();
        CHECK_THAT(said, !Catch::Contains("200 OK") && !Catch::Contains("still open"));
    }
    {
        raw_client c(server->address());
        c.send("GET /v1/status HTTP/1.1\r\nA: " + std::string(100'000, 'a') + "\r\n\r\n");
        CHECK_THAT(c.receive(), !Catch::Contains("200 OK") && !Catch::Contains("still open"));
    }
    // More silent peers than connections: whoever speaks is answered at once.
    std::vector<std::unique_ptr<raw_client>> silent;
    for (int i = 0; i < 12; ++i) silent.push_back(std::make_unique<raw_client>(server->address()));
    for (const auto& each : silent) each->send("GET /v1/st");
    raw_client honest(server->address());
    honest.send("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK_THAT(honest.receive(), Catch::Contains("200 OK"));
    for (const auto& each : silent) CHECK_THAT(each->receive(), !Catch::Contains("still open"));
    CHECK_THAT(count.render(), Catch::Contains("cess_explorer_refused_total"));

    chain::explorer::options taken;
    taken.listen = server->address();
    CHECK(chain::explorer::start(net.on.world, net.on.node->certified(), count, taken).has_error());
    (void)net::wait(net.on.world, ended(server->stop()));
}

TEST_CASE("who asks while too many wait, or has waited too long, is told to come again") {
    filled net;
    metrics count;
    chain::explorer::options full, late;
    full.queue_max = 0;
    late.queue_time_max = 0ns;
    for (const auto& how : {full, late}) {
        auto server = chain::explorer::start(net.on.world, net.on.node->certified(), count, how).value();
        raw_client c(server->address());
        c.send("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        CHECK_THAT(c.receive(), Catch::Contains("503") && Catch::Contains("Retry-After") && Catch::Contains("\"error\""));
        (void)net::wait(net.on.world, ended(server->stop()));
    }
}

TEST_CASE("blocks of many transactions come in pages, each transaction once") {
    filled net;
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t)
        threads.emplace_back([&net, t] {
            for (int i = 0; i < 8; ++i) (void)net.on.submit(ledger_bench::creation("p" + std::to_string(t) + "." + std::to_string(i)));
        });
    for (auto& t : threads) t.join();
    std::set<std::string> seen;
    std::size_t largest = 0;
    for (std::uint64_t height = net.height + 1; height <= net.on.node->height().value; ++height) {
        std::size_t here = 0;
        std::uint64_t whole = 0;
        for (json page = net.read("/v1/blocks/" + std::to_string(height) + "?limit=2");; page = net.read(page["next"].get<std::string>())) {
            whole = page["transaction_count"];
            for (const auto& row : page["transactions"]) {
                CHECK(row["place"] == here++);
                seen.insert(row["id"]);
            }
            if (page["next"].is_null()) break;
        }
        CHECK(here == whole);
        largest = std::max(largest, here);
    }
    CHECK(seen.size() == 16 * 8);
    CHECK(largest > 2);
    std::set<std::string> sent;
    for (json page = net.read("/v1/accounts/" + net.account() + "/transactions?limit=3");; page = net.read(page["next"].get<std::string>())) {
        for (const auto& row : page["transactions"]) CHECK(sent.insert(row["id"]).second);
        if (page["next"].is_null()) break;
    }
    CHECK(std::includes(sent.begin(), sent.end(), seen.begin(), seen.end()));
}

TEST_CASE("peers that ask and do not read give way to those who do") {
    filled net;
    metrics count;
    chain::explorer::options how;
    how.connections_max = 3;
    auto server = chain::explorer::start(net.on.world, net.on.node->certified(), count, how).value();
    std::string flood;
    for (int i = 0; i < 6000; ++i) flood += "GET /v1/blocks?limit=100 HTTP/1.1\r\nHost: x\r\n\r\n";  // some 20 MB of answers
    std::vector<std::unique_ptr<raw_client>> deaf;
    for (std::size_t i = 0; i < how.connections_max; ++i) {
        deaf.push_back(std::make_unique<raw_client>(server->address()));
        const int small = 4096;
        setsockopt(deaf.back()->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        std::thread([fd = deaf.back()->fd, &flood] {
            for (std::size_t at = 0, idle = 0; at < flood.size() && idle < 20;) {
                const auto n = ::send(fd, flood.data() + at, flood.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n > 0) at += static_cast<std::size_t>(n), idle = 0;
                else ++idle, std::this_thread::sleep_for(20ms);  // it takes no more: it waits to be read
            }
        }).join();
    }
    const auto until = std::chrono::steady_clock::now() + 15s;  // less than a reader may take
    std::string said;
    do {  // on a busy machine some may still be answered: come again, as it says
        raw_client honest(server->address());
        honest.send("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        said = honest.receive();
        if (said.find("503") != std::string::npos) std::this_thread::sleep_for(200ms);
    } while (said.find("200 OK") == std::string::npos && std::chrono::steady_clock::now() < until);
    CHECK_THAT(said, Catch::Contains("200 OK"));
    (void)net::wait(net.on.world, ended(server->stop()));
}
