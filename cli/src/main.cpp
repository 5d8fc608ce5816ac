// cess: the command line of a CESS network. See cess(1).
#include "context.hpp"

#include <core/base/log.hpp>

#include <csignal>

namespace {

using namespace cess;

// What to do about it, where the condition alone says it.
std::string_view advice(errc code) {
    switch (code) {
        case errc::unavailable:
        case errc::timeout: return "; is the network up? see cess status, cess dev status";
        default: return "";
    }
}

int fail(const error& e) {
    auto text = cli::one_line(e.message());
    if (text.find(';') == std::string::npos) text += advice(e.code);
    std::fprintf(stderr, "cess: %s\n", text.c_str());
    return e.code == errc::invalid ? 2 : 1;
}

// CLI11 notices what is missing before what it does not know; a typing error is the reason for both.
std::string complaint(const CLI::App& app, const CLI::ParseError& e) {
    const auto unknown = app.remaining(true);
    if (unknown.empty() || !dynamic_cast<const CLI::RequiredError*>(&e)) return e.what();
    const bool option = unknown.front().starts_with("-");
    return std::string(option ? "unknown option \"" : "unknown command or argument \"") + unknown.front() + "\"";
}

int usage(const CLI::App& app, const CLI::ParseError& e) {
    if (dynamic_cast<const CLI::CallForHelp*>(&e) || dynamic_cast<const CLI::CallForAllHelp*>(&e) || dynamic_cast<const CLI::CallForVersion*>(&e))
        return app.exit(e);
    std::fprintf(stderr, "cess: %s; see cess --help\n", cli::one_line(complaint(app, e)).c_str());
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    log::settings quiet;
    quiet.threshold = log::level::error;
    (void)log::configure(quiet);

    CLI::App app("Storage network: filesystems, block devices and buckets on miners that nobody has to trust.", "cess");
    app.set_version_flag("--version", std::string("cess " CESS_VERSION));
    app.set_help_all_flag("--help-all", "Print the help of all commands");
    app.require_subcommand(1);
    cli::context context;
    cli::add_dev_commands(app, context);
    cli::add_volume_commands(app, context);
    cli::add_snapshot_commands(app, context);
    cli::add_diff_commands(app, context);
    cli::add_export_command(app, context);
    cli::add_import_command(app, context);
    cli::add_umount_command(app, context);
    cli::add_mount_commands(app, context);
    cli::add_copy_command(app, context);
    cli::add_quota_commands(app, context);
    cli::add_trash_commands(app, context);
    cli::add_health_commands(app, context);
    cli::add_account_commands(app, context);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return usage(app, e);
    }
    try {
        const auto code = context.action();
        std::fflush(stdout);
        if (std::ferror(stdout)) return fail(error(errc::io, "standard output"));
        return code ? *code : fail(code.error());
    } catch (const std::exception& e) {
        return fail(error(errc::io, e.what()));
    }
}
