// RPC over TLS on loopback, both ends in this process, on threads of their own: small calls a second, one at a time and
// many at once, and bulk bytes a second; and for each call or MiB the processor time of the process and how often its
// threads waited. Prints one line each; usage: rpc_bench [seconds]
#include <core/net/blocking.hpp>
#include <core/net/real_env.hpp>
#include <core/net/task_group.hpp>
#include <core/net/tls_transport.hpp>

#include <boost/asio/this_coro.hpp>

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

using namespace cess;
using namespace cess::net;

namespace {

struct sink : service {
    awaitable<reply> serve(node_id, request what) override {
        reply out;
        if (what.method == 2) out.body = bytes(what.body.empty() ? MiB : 0);
        co_return out;
    }
};

struct load {
    caller& through;
    peer to;
    env& world;
    time_point until;
    std::size_t body;
    method_id method;
    std::uint64_t done = 0;
};

awaitable<void> one_after_another(load& l) {
    while (l.world.now() < l.until) {
        request what;
        what.method = l.method;
        what.head = bytes(64);
        what.body = bytes(l.body);
        auto op = l.through.call(l.to, std::move(what), l.world.now() + std::chrono::seconds(10), l.body == 0 ? lane::control : lane::bulk);
        auto got = co_await std::move(op);
        if (!got) {
            std::fprintf(stderr, "rpc_bench: %s\n", got.error().message().c_str());
            co_return;
        }
        ++l.done;
    }
}

awaitable<result<int>> many(load& l, int n) {
    task_group all(co_await boost::asio::this_coro::executor);
    for (int i = 0; i < n; ++i) all.spawn(one_after_another(l));
    co_await all.join();
    co_return 0;
}

awaitable<result<int>> stopped(tls_server& s) {
    auto op = s.stop(std::chrono::seconds(1));
    co_await std::move(op);
    co_return 0;
}

struct usage {
    double us;
    double waits;
};
usage used() {
    rusage all{};
    ::getrusage(RUSAGE_SELF, &all);
    const auto us = [](const timeval& t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
    return {us(all.ru_utime) + us(all.ru_stime), static_cast<double>(all.ru_nvcsw)};
}

}  // namespace

int main(int argc, char** argv) {
    const int seconds = argc > 1 ? std::atoi(argv[1]) : 3;
    metrics count;
    real_env world(1), servers(1);
    sink to;
    const auto server_key = crypto::signing_key::generate(world.random()), client_key = crypto::signing_key::generate(world.random());
    tls_server::options how;
    how.listen = "127.0.0.1:0";
    auto server = tls_server::start(servers, server_key, how, to, count);
    if (!server) {
        std::fprintf(stderr, "rpc_bench: %s\n", server.error().message().c_str());
        return 1;
    }
    {
        auto caller = make_tls_caller(world, client_key, tls_limits(), count);
        const peer at{crypto::id_of<node_id>(server_key.pub()), (*server)->address()};
        const auto run = [&](const char* what, int parallel, std::size_t body, method_id method, double unit, const char* name) {
            load l{*caller, at, world, world.now() + std::chrono::seconds(seconds), body, method};
            const auto before = used();
            (void)wait(world, many(l, parallel));
            const auto after = used();
            const auto done = static_cast<double>(l.done > 0 ? l.done : 1);
            std::printf("%-32s %10.0f %s  %8.1f us, %5.2f waits each\n", what, static_cast<double>(l.done) * unit / seconds, name,
                        (after.us - before.us) / done, (after.waits - before.waits) / done);
        };
        run("small calls, one at a time", 1, 0, 1, 1, "calls/s");
        run("small calls, 64 at once", 64, 0, 1, 1, "calls/s");
        run("1 MiB up, 8 at once", 8, MiB, 1, 1.048576, "MB/s");
        run("1 MiB down, 8 at once", 8, 0, 2, 1.048576, "MB/s");
    }
    (void)wait(servers, stopped(**server));
    return 0;
}
