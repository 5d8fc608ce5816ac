#include <core/base/log.hpp>
#include <node/roles/host.hpp>

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>

#include <unistd.h>

namespace {

using namespace cess;

int fail(const error& e) {
    std::fprintf(stderr, "cess-node: %s\n", e.message().c_str());
    return 1;
}

// Blocked in every thread, so that sigwait below is who receives them.
sigset_t block_ending_signals() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ending, s);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return ending;
}

result<void> configure_log(const roles::process_config& how) {
    log::settings to;
    TRY(to.threshold, log::parse_level(how.log_level));
    to.file = how.log_file;
    return log::configure(to);
}

int run(const std::string& conf, const roles::overrides& over) {
    auto with = roles::load(conf, over);
    if (!with) return fail(with.error());
    if (const auto set = configure_log(with->process); !set) return fail(set.error());
    const auto ending = block_ending_signals();
    auto started = roles::host::start(std::move(*with));
    if (!started) return fail(started.error());
    if (const auto metrics = (*started)->metrics_address(); !metrics.empty()) log::info("node", "metrics at http://{}/metrics", metrics);
    int received = 0;
    sigwait(&ending, &received);
    log::info("node", "ends on signal {}", received);
    (*started)->stop();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("A node of a CESS network.", "cess-node");
    app.set_version_flag("--version", std::string("cess-node " CESS_VERSION));
    std::string conf;
    roles::overrides over;
    bool dump = false;
    app.add_option("--conf", conf, "configuration file; see cess-node(8)");
    app.add_option("--role", over.role, "storage or consensus");
    app.add_option("--dir", over.directory, "where the node keeps its key and its data");
    app.add_option("--listen", over.listen, "HOST:PORT to serve at");
    app.add_option("--metrics", over.metrics, "HOST:PORT of the Prometheus endpoint");
    app.add_flag("--dump-config", dump, "print the effective configuration and exit");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::fputs(app.help().c_str(), stdout);
        return 0;
    } catch (const CLI::CallForVersion&) {
        std::fputs("cess-node " CESS_VERSION "\n", stdout);
        return 0;
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "cess-node: %s; see cess-node --help\n", e.what());
        return 2;
    }
    try {
        if (!dump) return run(conf, over);
        const auto text = roles::dump(conf, over);
        if (!text) return fail(text.error());
        std::fputs(text->c_str(), stdout);
        return 0;
    } catch (const std::exception& e) {
        return fail({errc::io, e.what()});
    }
}
