// `cess trash`: how long a mounted filesystem keeps what is deleted. Asked of the mount itself, as quotas are.
#include "context.hpp"

#include <fs/operations.hpp>

#include <sys/xattr.h>

namespace cess::cli {
namespace {

struct arguments {
    std::string mount;
    std::uint32_t days = 0;
};

error failure(const std::string& mount, int number) {
    switch (number) {
        case ENODATA: return error(errc::invalid, mount + " is not where a filesystem is mounted");
        case EOPNOTSUPP: return error(errc::unsupported, mount + " is not where cessfs mounted a filesystem");
        case EPERM: return error(errc::permission, "the trash is for who mounted the filesystem, and for root");
        case EEXIST: return error(errc::exists, mount + "/" + std::string(fs::trash_name) + ", which is not a trash");
        default: return errno_error(mount, number);
    }
}

const std::string attribute(fs::trash_attribute);

result<int> set(const arguments& a) {
    const auto days = std::to_string(a.days);
    if (::setxattr(a.mount.c_str(), attribute.c_str(), days.data(), days.size(), 0) != 0) return failure(a.mount, errno);
    return 0;
}

result<int> info(const context& c, const arguments& a) {
    std::string days(20, '\0');
    const auto n = ::getxattr(a.mount.c_str(), attribute.c_str(), days.data(), days.size());
    if (n < 0) return failure(a.mount, errno);
    days.resize(static_cast<std::size_t>(n));
    if (c.json) print_json({{"days", std::stoul(days)}});
    else print(days == "0" ? "no trash: what is deleted is gone" : "what is deleted is kept for " + days + (days == "1" ? " day" : " days"));
    return 0;
}

}  // namespace

void add_trash_commands(CLI::App& app, context& c) {
    auto* trash = app.add_subcommand("trash", "What a mounted filesystem keeps of what is deleted");
    trash->require_subcommand(1);
    const auto a = std::make_shared<arguments>();
    auto* set_days = trash->add_subcommand("set", "Keep what is deleted for some days, or no longer");
    set_days->add_option("mount", a->mount, "Where it is mounted")->required()->option_text("MOUNT");
    set_days->add_option("days", a->days, "Days; 0: no trash")->required()->check(CLI::Range(std::uint32_t{0}, fs::trash_days_max))->option_text("DAYS");
    set_days->callback([&c, a] { c.action = [a] { return set(*a); }; });
    auto* show = trash->add_subcommand("info", "Show for how long it is kept");
    show->add_option("mount", a->mount, "Where it is mounted")->required()->option_text("MOUNT");
    show->add_flag("--json", c.json, "Print JSON");
    show->callback([&c, a] { c.action = [&c, a] { return info(c, *a); }; });
}

}  // namespace cess::cli
