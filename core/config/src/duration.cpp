#include <core/config/config.hpp>

#include <array>
#include <charconv>

namespace cess::config {
namespace {

struct unit {
    std::string_view name;
    std::uint64_t nanoseconds;
};
// Largest first: the printer takes the first that divides.
constexpr std::array units{unit{"h", 3'600'000'000'000}, unit{"m", 60'000'000'000}, unit{"s", 1'000'000'000},
                           unit{"ms", 1'000'000},        unit{"us", 1'000},         unit{"ns", 1}};
constexpr std::uint64_t nanoseconds_max = std::uint64_t{1} << 62;  // 146 years: sums of two still fit

}  // namespace

result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    const auto wrong = [&](const char* why) { return error(errc::invalid, "duration \"" + std::string(text.substr(0, 40)) + "\": " + why); };
    std::uint64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status == std::errc::result_out_of_range) return wrong("too long");
    if (status != std::errc()) return wrong("expected a number and a unit, such as 150ms, 5s, 10m or 2h");
    const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
    for (const auto& u : units) {
        if (u.name != name) continue;
        if (number > nanoseconds_max / u.nanoseconds) return wrong("too long");
        return std::chrono::nanoseconds(static_cast<std::int64_t>(number * u.nanoseconds));
    }
    return wrong(name.empty() ? "the unit is missing; use ns, us, ms, s, m or h" : "unknown unit; use ns, us, ms, s, m or h");
}

std::string format_duration(std::chrono::nanoseconds d) {
    if (d.count() == 0) return "0s";
    const bool negative = d.count() < 0;
    const auto count = negative ? std::uint64_t{0} - static_cast<std::uint64_t>(d.count()) : static_cast<std::uint64_t>(d.count());
    for (const auto& u : units)
        if (count % u.nanoseconds == 0) return (negative ? "-" : "") + std::to_string(count / u.nanoseconds) + std::string(u.name);
    return {};
}

}  // namespace cess::config
