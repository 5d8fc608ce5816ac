#include "options.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace cess::fs::program {
namespace {

constexpr std::uint64_t cache_size_min = 128 * MiB;

struct word {
    std::string_view name, argument, help;
};

constexpr std::array own_words{
    word{"ro", "", "mount read-only (a snapshot always is)"},
    word{"rw", "", "mount for reading and writing (default)"},
    word{"noatime", "", "never keep access times"},
    word{"relatime", "", "keep them when they are older than the last change, or than a day (default)"},
    word{"strictatime", "", "keep them at each read that the kernel's cache does not answer"},
    word{"acl", "", "access control lists, checked by the kernel (default)"},
    word{"noacl", "", "no access control lists: the mode alone decides"},
    word{"allow_other", "", "let other users in; permissions decide what they may do"},
    word{"default_permissions", "", "accepted; the kernel always checks permissions"},
    word{"nosnapdir", "", "no directory .snapshots, which shows the volume's snapshots"},
    word{"nostats", "", "no file .stats, which shows the mount's metrics"},
    word{"metrics", "HOST:PORT", "serve Prometheus metrics"},
    word{"conf", "FILE", "the connection's configuration"},
    word{"cache-size", "SIZE", "memory of the whole process, 128M or more (default: as configured)"},
    word{"attr-timeout", "SECONDS", "how long the kernel may trust attributes (default 3600)"},
    word{"entry-timeout", "SECONDS", "how long the kernel may trust names (default 3600)"},
    word{"log", "FILE", "where the daemon writes its log (default: in the configured directory)"},
    word{"durability", "HOW", "what fsync waits for: remote (default), miners enough to lose this machine; local, its disk"},
    word{"force", "", "take the volume from an owner that is silent, without waiting"},
};

// mount(8)'s, for the kernel.
constexpr std::array kernel_words{"suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "nodiratime"};
// mount(8)'s, for others: systemd, mount itself, or what we do anyway.
constexpr std::array ignored_words{"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev",
                                   "atime", "norelatime", "nostrictatime", "lazytime", "nolazytime", "diratime",
                                   "iversion", "noiversion", "mand", "nomand", "silent", "loud", "remount"};

template <class List>
bool contains(const List& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

result<double> parse_seconds(std::string_view name, std::string_view text) {
    double value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size() || !(value >= 0) || value > 1e9)
        return error(errc::invalid, "option " + std::string(name) + " wants seconds, not \"" + std::string(text) + "\"");
    return value;
}

result<void> set_valued(options& to, std::string_view name, std::string_view value) {
    if (value.empty()) return error(errc::invalid, "option " + std::string(name) + " wants a value: " + std::string(name) + "=…");
    if (name == "conf") {
        to.conf = value;
    } else if (name == "durability") {
        TRY(to.durability, client::parse_durability(value));
    } else if (name == "metrics") {
        to.metrics = value;
    } else if (name == "log") {
        to.log_file = value;
    } else if (name == "attr-timeout") {
        TRY(to.attr_timeout, parse_seconds(name, value));
    } else if (name == "entry-timeout") {
        TRY(to.entry_timeout, parse_seconds(name, value));
    } else {
        auto size = parse_size(value);
        if (!size) return error(errc::invalid, "option cache-size wants a size as 512M, not \"" + std::string(value) + "\"");
        if (*size < cache_size_min || *size > 1 * TiB) return error(errc::invalid, "option cache-size wants 128M to 1T");
        to.cache_size = *size;
    }
    return {};
}

bool set_flag(options& to, std::string_view name) {
    if (name == "ro") to.read_only = true;
    else if (name == "rw") to.read_only = false;
    else if (name == "noatime") to.access_times = access_times::never;
    else if (name == "relatime") to.access_times = access_times::relative;
    else if (name == "strictatime") to.access_times = access_times::strict;
    else if (name == "acl") to.acls = true;
    else if (name == "noacl") to.acls = false;
    else if (name == "allow_other") to.allow_other = true;
    else if (name == "nosnapdir") to.snapshots = false;
    else if (name == "nostats") to.stats = false;
    else if (name == "force") to.force = true;
    else return name == "default_permissions";
    return true;
}

result<void> take_word(options& to, std::string_view text) {
    const auto equals = text.find('=');
    const auto name = text.substr(0, equals);
    if (name.empty() || name.starts_with("x-") || name == "comment") return {};
    const auto own = std::find_if(own_words.begin(), own_words.end(), [&](const word& w) { return w.name == name; });
    if (own != own_words.end() && !own->argument.empty()) return set_valued(to, name, equals == text.npos ? "" : text.substr(equals + 1));
    if (equals == text.npos) {
        if (own != own_words.end() && set_flag(to, name)) return {};
        if (contains(kernel_words, name)) {
            to.words.emplace_back(name);
            return {};
        }
        if (contains(ignored_words, name)) return {};
    }
    return error(errc::invalid, "unknown option \"" + std::string(text) + "\"; see cessfs --help");
}

result<void> take_list(options& to, std::string_view list) {
    for (;;) {
        const auto comma = list.find(',');
        CHECK_OK(take_word(to, list.substr(0, comma)));
        if (comma == list.npos) return {};
        list.remove_prefix(comma + 1);
    }
}

result<void> take_place(options& to, std::string_view text) {
    if (to.volume.empty()) to.volume = text;
    else if (to.directory.empty()) to.directory = text;
    else return error(errc::invalid, "one volume and one directory, please: \"" + std::string(text) + "\" is too much");
    return {};
}

// The kernel keeps the rest as it was mounted.
constexpr std::array changeable_words{"noatime", "relatime", "strictatime", "cache-size", "attr-timeout", "entry-timeout", "log", "metrics",
                                      "durability"};

result<void> check_changes(std::string_view list) {
    for (;;) {
        const auto comma = list.find(',');
        const auto name = list.substr(0, std::min(comma, list.find('=')));
        if (!contains(changeable_words, name))
            return error(errc::invalid, "option \"" + std::string(name) + "\" cannot change while the volume is mounted");
        if (comma == list.npos) return {};
        list.remove_prefix(comma + 1);
    }
}

result<options> replacing(options out, const std::vector<std::string>& places, std::vector<std::string> lists) {
    if (places.size() != 1) return error(errc::invalid, "--replace wants the directory alone; the volume stays");
    out.directory = places.front();
    for (const auto& each : lists) CHECK_OK(check_changes(each));
    CHECK_OK(with_changes(out, lists));  // wrong values are refused at once
    out.changes = std::move(lists);
    return out;
}

}  // namespace

result<options> with_changes(options running, const std::vector<std::string>& changes) {
    for (const auto& each : changes) CHECK_OK(take_list(running, each));
    return running;
}

result<options> parse(int argc, const char* const* argv) {
    options out;
    std::vector<std::string> lists, places;
    for (int i = 1; i < argc; ++i) {
        const std::string_view arg = argv[i];
        if (arg == "-h" || arg == "--help") {
            out.help = true;
            return out;
        }
        if (arg == "-V" || arg == "--version") {
            out.version = true;
            return out;
        }
        if (arg == "--replace") out.replace = true;
        else if (arg == "-f") out.foreground = true;
        else if (arg == "-d") out.foreground = out.debug = true;
        else if (arg == "-o") {
            if (++i == argc) return error(errc::invalid, "-o wants options");
            lists.emplace_back(argv[i]);
        } else if (arg.starts_with("-o")) {
            lists.emplace_back(arg.substr(2));
        } else if (arg.starts_with("-") && arg.size() > 1) {
            return error(errc::invalid, "unknown option \"" + std::string(arg) + "\"; see cessfs --help");
        } else {
            places.emplace_back(arg);
        }
    }
    if (out.replace) return replacing(std::move(out), places, std::move(lists));
    for (const auto& each : lists) CHECK_OK(take_list(out, each));
    for (const auto& each : places) CHECK_OK(take_place(out, each));
    if (out.volume.empty() || out.directory.empty()) return error(errc::invalid, "which volume, and where? See cessfs --help");
    return out;
}

std::string help_text() {
    std::string text =
        "usage: cessfs VOLUME[@SNAPSHOT] DIR [-o OPTION[,OPTION…]] [-f] [-d]\n"
        "       mount -t fuse.cessfs VOLUME[@SNAPSHOT] DIR [-o …]\n"
        "       cessfs --replace DIR [-o OPTION[,OPTION…]] [-f] [-d]\n"
        "\n"
        "Mounts a filesystem volume; returns when it can be used. Unmount with umount or cess umount.\n"
        "\n"
        "  --replace          a new cessfs takes the mount over from the running one, whose users notice a pause at most;\n"
        "                     noatime, relatime, strictatime, cache-size, attr-timeout, entry-timeout, log, metrics, durability can change\n"
        "  -o OPTION          see below\n"
        "  -f                 stay in the foreground\n"
        "  -d                 as -f, and show every request\n"
        "  -h, --help         this text\n"
        "  -V, --version      the version\n"
        "\n"
        "Options of -o:\n";
    for (const auto& w : own_words) {
        std::string name = "  " + std::string(w.name) + (w.argument.empty() ? "" : "=" + std::string(w.argument));
        name.resize(std::max<std::size_t>(name.size() + 1, 26), ' ');
        text += name + std::string(w.help) + "\n";
    }
    text += "mount's own (nosuid, nodev, noexec, sync, …) do what they do elsewhere; nofail, _netdev, user, x-… are for mount.\n";
    return text;
}

}  // namespace cess::fs::program
