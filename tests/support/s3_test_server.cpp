// The gateway over buckets in memory, for trying real clients against the S3 face alone.
//   s3_test_server HOST:PORT ACCESS SECRET [DOMAIN]
#include <objectstore/s3/gateway.hpp>
#include <support/s3_store.hpp>

#include <csignal>
#include <cstdio>

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    std::signal(SIGPIPE, SIG_IGN);

    cess::testing::memory_store buckets(false);
    cess::metrics count;
    cess::net::real_env world(2);
    cess::s3::gateway_settings how;
    how.listen = argv[1];
    how.keys = {{argv[2], argv[3]}};
    if (argc > 4) how.domain = argv[4];
    auto server = cess::s3::gateway::start(world, buckets, how, count);
    if (!server) return std::fprintf(stderr, "%s\n", server.error().message().c_str()), 1;
    std::printf("%s\n", (*server)->address().c_str());
    std::fflush(stdout);
    int which = 0;
    sigwait(&stop, &which);
    const auto stopped = (*server)->stop();
    std::fprintf(stderr, "%s", count.render().c_str());
    return stopped ? 0 : 1;
}
