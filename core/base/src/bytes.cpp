#include <core/base/bytes.hpp>

#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>

namespace cess {
namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string to_hex(byte_view view) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(view.size() * 2);
    for (auto b : view) {
        text += digits[std::to_integer<unsigned>(b) >> 4];
        text += digits[std::to_integer<unsigned>(b) & 15];
    }
    return text;
}

result<bytes> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return error(errc::invalid, "hexadecimal text of odd length");
    bytes out(text.size() / 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return error(errc::invalid, "not a hexadecimal digit");
        out[i] = static_cast<std::byte>(high << 4 | low);
    }
    return out;
}

result<std::uint64_t> parse_size(std::string_view text) {
    const auto wrong = [&](const char* why) { return error(errc::invalid, "size \"" + std::string(text.substr(0, 40)) + "\": " + why); };
    std::uint64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status == std::errc::result_out_of_range) return wrong("too large");
    if (status != std::errc()) return wrong("expected a number such as 10G, 512MiB or 4096");
    std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (unit.empty()) return number;
    static constexpr std::string_view letters = "KMGTPE";
    const auto power = letters.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
    unit.remove_prefix(1);
    if (power == std::string_view::npos || !(unit.empty() || unit == "iB")) return wrong("unknown unit; use K, M, G, T, P or E");
    const unsigned shift = 10 * (static_cast<unsigned>(power) + 1);
    if (number > (~std::uint64_t{0} >> shift)) return wrong("too large");
    return number << shift;
}

std::string format_size(std::uint64_t size) {
    static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(size);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 || value == static_cast<double>(static_cast<std::uint64_t>(value)) ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text.data();
}

}  // namespace cess
