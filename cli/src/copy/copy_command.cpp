// `cess copy`: copies within a mounted filesystem that share their bytes.
#include "context.hpp"
#include "copy/tree_copy.hpp"
#include "mounted_file.hpp"

#include <core/base/bytes.hpp>

#include <atomic>
#include <csignal>

#include <fts.h>
#include <sys/stat.h>

namespace cess::cli {
namespace {

struct arguments {
    std::string source, target;
};

std::atomic<bool> interrupted{false};

// What was made is removed then; who cannot wait for that signals again.
void end_on_signals() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(number, &action, nullptr);
}

std::uint64_t count_entries(const std::string& source) {
    char* const roots[] = {const_cast<char*>(source.c_str()), nullptr};
    FTS* const tree = ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV | FTS_NOSTAT, nullptr);
    if (!tree) return 0;
    std::uint64_t count = 0;
    while (const auto* const at = ::fts_read(tree))
        if (at->fts_info != FTS_DP) ++count;
    ::fts_close(tree);
    return count;
}

// Snapshots hold segments that the head may not name any more.
result<void> check_shares(const std::string& source) {
    TRY(const auto placed, placement_from(source, 0));
    (void)placed;
    struct stat s {};
    if (::lstat(source.c_str(), &s) != 0) return errno_error(source, errno);
    if (s.st_ino >> 63 != 0) return error(errc::unsupported, source + " is in a snapshot, with which the volume shares no bytes any more; use cp -a");
    return {};
}

result<copied> copy_visibly(const arguments& a) {
    const auto total = standard_error_is_terminal() ? count_entries(a.source) : 0;  // somebody wants to see how far it is
    progress_line line("cess copy");
    return copy_tree(a.source, a.target, [&](const copied& so_far) {
        if (total > 0) line.show(std::min(so_far.entries, total), total);
        return !interrupted;
    });
}

result<int> copy(const context& c, const arguments& a) {
    CHECK_OK(check_shares(a.source));
    end_on_signals();
    TRY(const auto done, copy_visibly(a));
    if (c.json) print_json({{"entries", done.entries}, {"bytes", done.bytes}});
    else print(std::to_string(done.entries) + " files and directories copied, sharing " + format_size(done.bytes));
    return 0;
}

}  // namespace

void add_copy_command(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* command = app.add_subcommand("copy", "Copy a file or a tree within a mounted filesystem, sharing its bytes");
    command->add_flag("--json", c.json, "Print JSON");
    command->add_option("source", a->source, "In a filesystem that cessfs mounted")->required()->option_text("SOURCE");
    command->add_option("target", a->target, "The copy, or a directory to put it in")->required()->option_text("TARGET");
    command->callback([&c, a] { c.action = [&c, a] { return copy(c, *a); }; });
}

}  // namespace cess::cli
