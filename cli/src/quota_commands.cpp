// `cess quota`: what trees of a mounted filesystem may use. Quotas are reached through the mount itself, as extended
// attributes (see fs/operations.hpp), so that no command needs the network.
#include "context.hpp"

#include <chrono>
#include <sstream>
#include <thread>

#include <sys/stat.h>
#include <sys/xattr.h>

namespace cess::cli {
namespace {

constexpr std::string_view prefix = "cess.quota.";
constexpr std::chrono::seconds count_patience{60};  // without any progress

struct row {
    std::string directory;
    std::uint64_t project = 0, bytes = 0, bytes_max = 0, files = 0, files_max = 0;
    bool counting = false;
};

error failure(const std::string& directory, int number) {
    switch (number) {
        case EOPNOTSUPP: return error(errc::unsupported, directory + " is not in a mounted CESS filesystem");
        case EBUSY: return error(errc::busy, directory + " lies in the tree of another quota, or holds one");
        case EPERM: return error(errc::permission, "quotas are for who mounted the filesystem, and for root");
        default: return errno_error(directory, number);
    }
}

// Empty: there is none.
result<std::optional<std::string>> get(const std::string& directory, const std::string& key) {
    std::string value(64 * KiB, '\0');
    const auto n = ::getxattr(directory.c_str(), (std::string(prefix) + key).c_str(), value.data(), value.size());
    if (n < 0 && errno == ENODATA) return std::optional<std::string>();
    if (n < 0) return failure(directory, errno);
    value.resize(static_cast<std::size_t>(n));
    return std::optional(std::move(value));
}

result<void> set(const std::string& directory, const std::string& key, std::uint64_t to) {
    const auto text = std::to_string(to);
    if (::setxattr(directory.c_str(), (std::string(prefix) + key).c_str(), text.data(), text.size(), 0) != 0) return failure(directory, errno);
    return {};
}

// What was there before the quota counts when this returns.
result<void> wait_until_counted(const std::string& directory) {
    std::optional<std::string> last;
    auto since = std::chrono::steady_clock::now();
    for (auto pause = std::chrono::milliseconds(1);; pause = std::min(pause * 2, std::chrono::milliseconds(200))) {
        TRY(const auto state, get(directory, "state"));
        if (state != "counting") return {};
        TRY(auto files, get(directory, "files"));
        if (files != last) {
            last = std::move(files);
            since = std::chrono::steady_clock::now();
        }
        if (std::chrono::steady_clock::now() - since > count_patience)
            return error(errc::timeout, directory + ": the quota is set, but counting what is there does not advance; it goes on");
        std::this_thread::sleep_for(pause);
    }
}

struct limits {
    std::string directory, size, files;
};

// "none" is 0; empty: not given.
result<std::optional<std::uint64_t>> parse_limit(const std::string& text) {
    if (text.empty()) return std::optional<std::uint64_t>();
    if (text == "none") return std::optional<std::uint64_t>(0);
    TRY(const auto n, parse_size(text));
    return std::optional(n);
}

result<int> set_quota(const limits& wanted) {
    TRY(const auto bytes, parse_limit(wanted.size));
    TRY(const auto files, parse_limit(wanted.files));
    if (!bytes && !files) return error(errc::invalid, "quota set: --size or --files is missing");
    // A limit before none: with no limit at all the quota would end in between.
    const bool bytes_first = bytes.value_or(0) > 0;
    if (bytes && bytes_first) CHECK_OK(set(wanted.directory, "max_bytes", *bytes));
    if (files) CHECK_OK(set(wanted.directory, "max_files", *files));
    if (bytes && !bytes_first) CHECK_OK(set(wanted.directory, "max_bytes", *bytes));
    CHECK_OK(wait_until_counted(wanted.directory));
    return 0;
}

result<int> clear_quota(const std::string& directory) {
    TRY(const auto state, get(directory, "state"));
    if (!state) return error(errc::not_found, directory + " has no quota");
    CHECK_OK(set(directory, "max_bytes", 0));
    CHECK_OK(set(directory, "max_files", 0));
    return 0;
}

result<std::vector<row>> read_quotas(const std::string& mount) {
    struct stat s {};
    if (::stat(mount.c_str(), &s) != 0) return errno_error(mount, errno);
    if (s.st_ino != 1) return error(errc::invalid, mount + " is not where a filesystem is mounted");
    std::vector<row> out;
    for (std::uint64_t after = 0;; after = out.back().project) {
        TRY(const auto line, get(mount, "after." + std::to_string(after)));
        if (!line) return out;
        std::istringstream words(*line);
        row r;
        std::string state;
        words >> r.project >> r.bytes >> r.bytes_max >> r.files >> r.files_max >> state;
        words.get();  // the blank; what follows is the path, whatever it holds
        std::getline(words, r.directory, '\0');
        if (!words || r.project <= after) return error(errc::protocol, mount + " tells its quotas in words of another version");
        r.counting = state == "counting";
        if (r.directory.starts_with('/')) r.directory = mount + (mount.ends_with('/') ? r.directory.substr(1) : r.directory == "/" ? "" : r.directory);
        out.push_back(std::move(r));
    }
}

result<int> list_quotas(const context& c, const std::string& mount) {
    TRY(const auto all, read_quotas(mount));
    if (c.json) {
        auto out = nlohmann::json::array();
        for (const auto& r : all) {
            out.push_back({{"directory", r.directory}, {"bytes", r.bytes}, {"max_bytes", r.bytes_max}, {"files", r.files},
                           {"max_files", r.files_max}, {"counting", r.counting}});
        }
        print_json(out);
        return 0;
    }
    std::vector<std::vector<std::string>> table{{"DIRECTORY", "USED", "SIZE", "FILES", "MAX FILES", "STATE"}};
    for (const auto& r : all) {
        table.push_back({one_line(r.directory), format_size(r.bytes), r.bytes_max == 0 ? "-" : format_size(r.bytes_max), std::to_string(r.files),
                         r.files_max == 0 ? "-" : std::to_string(r.files_max), r.counting ? "counting" : "counted"});
    }
    print_table(table);
    return 0;
}

}  // namespace

void add_quota_commands(CLI::App& app, context& c) {
    auto* quota = app.add_subcommand("quota", "Limits of directories in a mounted filesystem");
    quota->require_subcommand(1);

    const auto wanted = std::make_shared<limits>();
    auto* set = quota->add_subcommand("set", "Limit what a directory's tree may use");
    set->add_option("directory", wanted->directory, "In a mounted filesystem")->required()->option_text("DIR");
    set->add_option("--size", wanted->size, "Bytes, such as 10G; 0 or none: no limit")->option_text("SIZE");
    set->add_option("--files", wanted->files, "Files, directories and links; 0 or none: no limit")->option_text("N");
    set->callback([&c, wanted] { c.action = [wanted] { return set_quota(*wanted); }; });

    const auto where = std::make_shared<std::string>();
    auto* list = quota->add_subcommand("list", "List a filesystem's quotas and what they use");
    list->add_option("mount", *where, "Where it is mounted")->required()->option_text("MOUNT");
    list->add_flag("--json", c.json, "Print JSON");
    list->callback([&c, where] { c.action = [&c, where] { return list_quotas(c, *where); }; });

    auto* clear = quota->add_subcommand("clear", "Remove a directory's quota");
    clear->add_option("directory", *where, "The directory")->required()->option_text("DIR");
    clear->callback([&c, where] { c.action = [where] { return clear_quota(*where); }; });
}

}  // namespace cess::cli
