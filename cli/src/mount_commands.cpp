// Commands on what is mounted: cess info, cess warmup.
#include "context.hpp"
#include "mounted_file.hpp"
#include "warmup.hpp"

#include <core/wire/codec.hpp>

#include <set>

#include <sys/stat.h>
#include <sys/xattr.h>

namespace cess::cli {
namespace {

struct arguments {
    std::vector<std::string> paths;
    unsigned threads = 8;
};

// All of it, in as many questions as it takes.
result<fs::placement> placement_of(const std::string& path) {
    TRY(auto all, placement_from(path, 0));
    while (all.next != 0) {
        TRY(auto more, placement_from(path, all.next));
        all.parts.insert(all.parts.end(), std::make_move_iterator(more.parts.begin()), std::make_move_iterator(more.parts.end()));
        all.next = more.next;
    }
    return all;
}

std::string_view kind_of(const struct stat& s) {
    switch (s.st_mode & S_IFMT) {
        case S_IFREG: return "file";
        case S_IFDIR: return "directory";
        case S_IFLNK: return "symbolic link";
        default: return "special file";
    }
}

struct placed_file {
    std::string path;
    struct stat attributes {};
    fs::placement where;
};

nlohmann::json to_json(const placed_file& f) {
    nlohmann::json out;
    out["path"] = f.path;
    out["volume"] = f.where.volume;
    out["inode"] = f.attributes.st_ino;
    out["type"] = kind_of(f.attributes);
    out["size"] = f.attributes.st_size;
    out["allocated"] = static_cast<std::uint64_t>(f.attributes.st_blocks) * 512;
    out["parts"] = nlohmann::json::array();
    for (const auto& p : f.where.parts) {
        nlohmann::json row;
        row["offset"] = p.offset;
        row["length"] = p.length;
        if (!p.holders.empty()) {
            row["segment"] = p.segment.hex();
            row["geometry"] = to_string(ledger::shape{p.k, p.m});
            row["miners"] = nlohmann::json::array();
            for (const auto& m : p.holders) row["miners"].push_back(m.hex());
        }
        out["parts"].push_back(row);
    }
    return out;
}

void show(const placed_file& f) {
    print(one_line(f.path) + ": " + std::string(kind_of(f.attributes)) + ", inode " + std::to_string(f.attributes.st_ino) + " of volume " + f.where.volume + ", " +
          format_size(static_cast<std::uint64_t>(f.attributes.st_size)) + ", " + format_size(static_cast<std::uint64_t>(f.attributes.st_blocks) * 512) + " of it data");
    if (f.where.parts.empty()) return;
    std::vector<std::vector<std::string>> rows{{"OFFSET", "LENGTH", "SEGMENT", "GEOMETRY", "MINERS"}};
    for (const auto& p : f.where.parts) {
        std::string miners;
        for (const auto& m : p.holders) miners += (miners.empty() ? "" : " ") + m.brief();
        const bool stored = !p.holders.empty();
        rows.push_back({std::to_string(p.offset), std::to_string(p.length), stored ? p.segment.brief() : "-", stored ? to_string(ledger::shape{p.k, p.m}) : "-",
                        stored ? miners : "in memory and the journal"});
    }
    print_table(rows);
}

result<int> info(context& c, const arguments& a) {
    auto rows = nlohmann::json::array();
    for (const auto& path : a.paths) {
        placed_file f;
        f.path = path;
        if (::lstat(path.c_str(), &f.attributes) != 0) return errno_error(path, errno);
        TRY(f.where, placement_of(path));
        if (c.json) rows.push_back(to_json(f));
        else show(f);
    }
    if (c.json) print_json(rows);
    return 0;
}

result<int> warm(context& c, const arguments& a) {
    for (const auto& path : a.paths) {
        TRY(const auto mounted, placement_from(path, 0));
        (void)mounted;
    }
    TRY(const auto done, warm_up(a.paths, a.threads));
    for (const auto& each : done.problems) std::fprintf(stderr, "cess: %s\n", one_line(each).c_str());
    if (c.json) {
        nlohmann::json out;
        out["files"] = done.files;
        out["bytes"] = done.bytes;
        out["failed"] = done.failed;
        print_json(out);
    } else {
        print(std::to_string(done.files) + " files read, " + format_size(done.bytes) + (done.failed > 0 ? ", " + std::to_string(done.failed) + " failed" : ""));
    }
    return done.failed == 0 ? 0 : 1;
}

CLI::App* add_path_command(CLI::App& app, context& c, const std::shared_ptr<arguments>& a, const std::string& name, const std::string& does) {
    auto* command = app.add_subcommand(name, does);
    command->add_flag("--json", c.json, "Print JSON");
    command->add_option("path", a->paths, "In a filesystem that cessfs mounted")->required()->option_text("PATH...");
    return command;
}

}  // namespace

result<fs::placement> placement_from(const std::string& path, std::uint64_t offset) {
    const auto name = std::string(fs::placement_attribute) + "@" + std::to_string(offset);
    bytes value(XATTR_SIZE_MAX);
    const auto n = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (n < 0 && (errno == EOPNOTSUPP || errno == ENODATA)) return error(errc::unsupported, path + " is not in a filesystem that cessfs mounted");
    if (n < 0) return errno_error(path, errno);
    value.resize(static_cast<std::size_t>(n));
    return wire::decode<fs::placement>(value);
}

void add_mount_commands(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    add_path_command(app, c, a, "info", "Show which miners hold a file's bytes")->callback([&c, a] { c.action = [&c, a] { return info(c, *a); }; });
    auto* command = add_path_command(app, c, a, "warmup", "Read files and all below directories, so that they are near afterwards");
    command->add_option("--threads", a->threads, "Files read at a time")->check(CLI::Range(1, 64))->capture_default_str()->option_text("N");
    command->callback([&c, a] { c.action = [&c, a] { return warm(c, *a); }; });
}

}  // namespace cess::cli
