#include "program.hpp"

#include "text.hpp"

#include <objectstore/client/account_file.hpp>
#include <objectstore/client/client.hpp>

#include <core/base/log.hpp>
#include <core/net/http_metrics.hpp>

#include <csignal>
#include <cstdio>
#include <functional>

namespace cess::s3 {

namespace {

struct option {
    std::string_view name, value, help;
    std::function<result<void>(arguments&, std::string_view)> set;
};

result<std::uint64_t> number(std::string_view text, std::uint64_t max) {
    const auto value = parse_number(text);
    if (!value || *value == 0 || *value > max) return error(errc::invalid, "\"" + std::string(text) + "\" is not a number from 1 to " + std::to_string(max));
    return *value;
}

const std::vector<option>& options() {
    static const std::vector<option> all{
        {"--listen", "HOST:PORT", "where S3 clients connect (127.0.0.1:9000)", [](arguments& to, std::string_view v) -> result<void> {
             to.gateway.listen = v;
             return {};
         }},
        {"--conf", "FILE", "the client configuration", [](arguments& to, std::string_view v) -> result<void> {
             to.configuration = v;
             return {};
         }},
        {"--domain", "DOMAIN", "serve BUCKET.DOMAIN in virtual-host style too", [](arguments& to, std::string_view v) -> result<void> {
             to.gateway.domain = v;
             return {};
         }},
        {"--metrics", "HOST:PORT", "serve Prometheus metrics", [](arguments& to, std::string_view v) -> result<void> {
             to.metrics = v;
             return {};
         }},
        {"--workers", "N", "threads that wait for storage (64)", [](arguments& to, std::string_view v) -> result<void> {
             TRY(const auto n, number(v, 1024));
             to.gateway.workers = static_cast<unsigned>(n);
             return {};
         }},
        {"--connections", "N", "open connections at most (1024)", [](arguments& to, std::string_view v) -> result<void> {
             TRY(to.gateway.connections_max, number(v, 65536));
             return {};
         }},
        {"--buckets", "N", "buckets attached at a time (16)", [](arguments& to, std::string_view v) -> result<void> {
             TRY(to.gateway.buckets_max, number(v, 256));
             return {};
         }},
        {"--durability", "HOW", "what a 2xx waits for: remote (default) or local, this disk", [](arguments& to, std::string_view v) -> result<void> {
             TRY(to.durability, client::parse_durability(v));
             return {};
         }},
        {"--tls-cert", "FILE", "serve HTTPS with this PEM certificate chain", [](arguments& to, std::string_view v) -> result<void> {
             to.gateway.tls_certificate = v;
             return {};
         }},
        {"--tls-key", "FILE", "the certificate's PEM key", [](arguments& to, std::string_view v) -> result<void> {
             to.gateway.tls_key = v;
             return {};
         }},
    };
    return all;
}

result<void> set_option(arguments& to, const option& which, std::string_view value) {
    auto done = which.set(to, value);
    if (!done) return std::move(done).error().with_context(which.name);
    return {};
}

// SIGTERM and SIGINT are waited for by the main thread alone.
sigset_t block_signals() {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return stop;
}

int fail(const error& why) {
    std::fprintf(stderr, "cess-gateway: %s\n", why.message().c_str());
    return 1;
}

result<void> serve(arguments with, const sigset_t& until) {
    TRY(const auto path, client::find_config(with.configuration));
    TRY(auto config, client::load_config(path));
    TRY(auto runtime, client::runtime::start(std::move(config)));
    const auto key = client::s3_key_of(runtime->account());
    with.gateway.keys = {access_key{key.access, key.secret}};
    const auto buckets = make_store(*runtime, with.durability);
    net::real_env world(2);
    TRY(auto gateway, gateway::start(world, *buckets, with.gateway, runtime->count()));
    TRY(const auto scraped, net::serve_metrics(world, runtime->count(), with.metrics));
    log::info("s3", "serving S3 at={} access_key={}", gateway->address(), key.access);
    int which = 0;
    sigwait(&until, &which);
    log::info("s3", "stopping: requests under way are finished, buckets detached");
    return gateway->stop();
}

}  // namespace

std::string usage() {
    std::string out = "usage: cess-gateway [--listen HOST:PORT] [options]\n\nServes the account's buckets to S3 clients, in the foreground until SIGTERM.\n\n";
    for (const auto& one : options()) {
        auto line = "  " + std::string(one.name) + " " + std::string(one.value);
        line.resize(std::max<std::size_t>(line.size() + 2, 26), ' ');
        out.append(line).append(one.help).append("\n");
    }
    return out + "  --help                  this text\n\nThe keys are printed by `cess account s3-key`. See cess-gateway(8).\n";
}

result<arguments> parse_arguments(int count, const char* const* words) {
    arguments out;
    for (int i = 1; i < count; ++i) {
        const std::string_view word = words[i];
        if (word == "--help" || word == "-h") {
            out.help = true;
            return out;
        }
        const auto equals = word.find('=');
        const auto name = word.substr(0, equals);
        const option* found = nullptr;
        for (const auto& one : options())
            if (one.name == name) found = &one;
        if (!found) return error(errc::invalid, "unknown argument " + std::string(word) + "; try --help");
        if (equals == std::string_view::npos && i + 1 >= count) return error(errc::invalid, std::string(name) + " needs " + std::string(found->value));
        CHECK_OK(set_option(out, *found, equals == std::string_view::npos ? std::string_view(words[++i]) : word.substr(equals + 1)));
    }
    return out;
}

int run(int count, const char* const* words) {
    auto with = parse_arguments(count, words);
    if (!with) {
        std::fprintf(stderr, "cess-gateway: %s\n", with.error().what.c_str());
        return 2;
    }
    if (with->help) {
        std::fputs(usage().c_str(), stdout);
        return 0;
    }
    const auto until = block_signals();
    auto served = serve(std::move(*with), until);
    return served ? 0 : fail(served.error());
}

}  // namespace cess::s3
