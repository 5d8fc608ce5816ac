// `cess volume limit`: how fast a block volume may be used.
#include "context.hpp"

namespace cess::cli {
namespace {

// One option each; what is not given stays as it is.
struct arguments {
    std::string name;
    std::optional<std::uint64_t> iops, read_iops, write_iops;
    std::string bandwidth, read_bandwidth, write_bandwidth;
    std::optional<std::uint32_t> burst;
    bool none = false;

    [[nodiscard]] bool changes() const {
        return none || iops || read_iops || write_iops || burst || !bandwidth.empty() || !read_bandwidth.empty() || !write_bandwidth.empty();
    }
};

result<client::io_limits> applied(const arguments& a, client::io_limits to) {
    if (a.none) to = client::io_limits();
    to.iops = a.iops.value_or(to.iops);
    to.read_iops = a.read_iops.value_or(to.read_iops);
    to.write_iops = a.write_iops.value_or(to.write_iops);
    to.burst_seconds = a.burst.value_or(to.burst_seconds);
    const auto size = [](const std::string& text, std::uint64_t& out) -> result<void> {
        if (text.empty()) return {};
        TRY(out, parse_size(text));
        return {};
    };
    CHECK_OK(size(a.bandwidth, to.bandwidth));
    CHECK_OK(size(a.read_bandwidth, to.read_bandwidth));
    CHECK_OK(size(a.write_bandwidth, to.write_bandwidth));
    CHECK_OK(client::check_limits(to));
    return to;
}

result<int> limit(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    CHECK_OK(applied(a, client::io_limits()));  // what is wrong anyway is said before anything is asked
    TRY(auto runtime, c.connect());
    TRY(auto limits, runtime->limits(name));
    if (a.changes()) {
        TRY(limits, applied(a, limits));
        CHECK_OK(runtime->set_limits(name, limits));
    }
    if (c.json) print_json(limits_json(limits));
    else print("volume " + name + ": " + limits_text(limits_json(limits), name));
    return 0;
}

}  // namespace

nlohmann::json limits_json(const client::io_limits& limits) {
    nlohmann::json out;
    out["iops"] = limits.iops;
    out["read_iops"] = limits.read_iops;
    out["write_iops"] = limits.write_iops;
    out["bandwidth"] = limits.bandwidth;
    out["read_bandwidth"] = limits.read_bandwidth;
    out["write_bandwidth"] = limits.write_bandwidth;
    out["burst"] = limits.burst_seconds;
    return out;
}

std::string limits_text(const nlohmann::json& limits, const std::string& volume) {
    if (limits.is_null()) return "not attached; `cess volume limit " + volume + "` tells";
    std::string out;
    for (const char* key : {"iops", "read_iops", "write_iops", "bandwidth", "read_bandwidth", "write_bandwidth"}) {
        const auto value = limits.at(key).get<std::uint64_t>();
        if (value == 0) continue;
        const bool is_size = std::string_view(key).find("bandwidth") != std::string_view::npos;
        out += (out.empty() ? "" : ", ") + std::string(key) + " " + (is_size ? format_size(value) + "/s" : std::to_string(value));
    }
    return out.empty() ? "none" : out + ", burst " + std::to_string(limits.at("burst").get<std::uint32_t>()) + " s";
}

void add_limit_command(CLI::App& volume, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* command = add_command(volume, c, "limit", "Show or set how fast a block volume may be used", true);
    command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    command->add_option("--iops", a->iops, "Reads and writes a second; 0: no limit")->option_text("N");
    command->add_option("--read-iops", a->read_iops, "Reads a second")->option_text("N");
    command->add_option("--write-iops", a->write_iops, "Writes a second")->option_text("N");
    command->add_option("--bandwidth", a->bandwidth, "Bytes a second, read and written, such as 100M")->option_text("SIZE");
    command->add_option("--read-bandwidth", a->read_bandwidth, "Bytes read a second")->option_text("SIZE");
    command->add_option("--write-bandwidth", a->write_bandwidth, "Bytes written a second")->option_text("SIZE");
    command->add_option("--burst", a->burst, "Seconds for which an idle volume saves up; default 1")->option_text("SECONDS");
    command->add_flag("--none", a->none, "Remove all limits not given here");
    command->callback([&c, a] { c.action = [&c, a] { return limit(c, *a); }; });
}

}  // namespace cess::cli
