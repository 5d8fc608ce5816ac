// cess diff, export-diff, import-diff.
#include "context.hpp"

#include <objectstore/client/history.hpp>

#include <cerrno>

#include <unistd.h>

namespace cess::cli {
namespace {

struct arguments {
    std::vector<std::string> states;
    std::string volume;
};

result<int> diff(context& c, const arguments& a) {
    TRY(const auto from, snapshot_name(a.states.front()));
    volume::target to{from.name, {}};
    if (a.states.size() > 1) {
        TRY(to, volume::parse_target(a.states.back()));
    }
    TRY(auto runtime, c.connect());
    bool first = true;
    const auto show = [&](const volume::range& r) -> result<void> {
        const char* content = r.data ? "data" : "zero";
        if (!c.json) {
            print(std::to_string(r.offset) + " " + std::to_string(r.length) + " " + content);
            return {};
        }
        nlohmann::json row;
        row["offset"] = r.offset;
        row["length"] = r.length;
        row["content"] = content;
        print((first ? "[" : ",") + row.dump());  // one by one: there may be millions
        first = false;
        return {};
    };
    CHECK_OK(client::compare(*runtime, from, to, show));
    if (c.json) print(first ? "[]" : "]");
    return 0;
}

result<int> export_diff(context& c, const arguments& a) {
    TRY(const auto to, snapshot_name(a.states.back()));
    std::optional<volume::target> from;
    if (a.states.size() > 1) {
        TRY(from, snapshot_name(a.states.front()));
    }
    if (::isatty(STDOUT_FILENO) == 1) return error(errc::invalid, "the stream goes to standard output, which is a terminal; send it to a file or a pipe");
    TRY(auto runtime, c.connect());
    progress_line line("export");
    CHECK_OK(client::export_diff(*runtime, from, to, write_output, [&line](std::uint64_t done, std::uint64_t total) { line.show(done, total); }));
    return 0;
}

result<int> import_diff(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.volume));
    if (::isatty(STDIN_FILENO) == 1) return error(errc::invalid, "the stream is read from standard input, which is a terminal; give a file or a pipe");
    TRY(auto runtime, c.connect());
    const auto read = [](byte_span out) -> result<std::size_t> {
        const auto n = std::fread(out.data(), 1, out.size(), stdin);
        if (n == 0 && std::ferror(stdin)) return errno_error("standard input", errno);
        return n;
    };
    client::imported done;
    {
        progress_line line("import");
        TRY(done, client::import_diff(*runtime, name, read, [&line](std::uint64_t at, std::uint64_t total) { line.show(at, total); }));
    }
    if (c.json) {
        nlohmann::json out;
        out["snapshot"] = name + "@" + done.snapshot;
        out["data"] = done.data;
        out["zeros"] = done.zeros;
        out["created"] = done.created;
        print_json(out);
    } else {
        print("snapshot " + name + "@" + done.snapshot + ": " + format_size(done.data) + " of data, " + format_size(done.zeros) + " of zeros");
    }
    return 0;
}

}  // namespace

void add_diff_commands(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    const auto act = [&c](CLI::App* command, auto what) { command->callback([&c, what] { c.action = what; }); };

    auto* diff_command = add_command(app, c, "diff", "List what changed in a block volume since a snapshot, up to another or to now", true);
    diff_command->add_option("states", a->states, "The snapshot, and what to compare it with")->required()->expected(1, 2)->option_text("VOLUME@SNAPSHOT [VOLUME[@SNAPSHOT]]");
    act(diff_command, [&c, a] { return diff(c, *a); });

    auto* export_command = add_command(app, c, "export-diff", "Write a snapshot, or what changed up to it, to standard output", false);
    export_command->add_option("states", a->states, "The snapshot; before it, the one to begin at")->required()->expected(1, 2)->option_text("[VOLUME@SNAPSHOT] VOLUME@SNAPSHOT");
    act(export_command, [&c, a] { return export_diff(c, *a); });

    auto* import_command = add_command(app, c, "import-diff", "Apply such a stream from standard input to a volume", true);
    import_command->add_option("volume", a->volume, "The volume; a whole stream makes it")->required()->option_text("VOLUME");
    act(import_command, [&c, a] { return import_diff(c, *a); });
}

}  // namespace cess::cli
