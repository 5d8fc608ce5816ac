#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace cess::s3 {

namespace {

constexpr bool unreserved(char c) noexcept {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct parts {
    std::chrono::year_month_day day;
    std::chrono::hh_mm_ss<std::chrono::milliseconds> time;
    unsigned weekday;
};

parts split(wall_time when) {
    const auto midnight = std::chrono::floor<std::chrono::days>(when);
    return {std::chrono::year_month_day(midnight), std::chrono::hh_mm_ss(when - midnight), std::chrono::weekday(midnight).c_encoding()};
}

template <class... Args>
std::string print(const char* format, Args... args) {
    char buffer[64];
    const int n = std::snprintf(buffer, sizeof buffer, format, args...);
    return {buffer, static_cast<std::size_t>(n)};
}

// Two or four digits at `at`; -1 if there are none.
int digits(std::string_view text, std::size_t at, std::size_t n) noexcept {
    int value = 0;
    for (std::size_t i = at; i < at + n; ++i) {
        if (i >= text.size() || text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

std::optional<wall_time> join(int year, int month, int day, int hour, int minute, int second) {
    if (year < 0 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0 || hour > 23 || minute > 59 || second > 60) return {};
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) return {};
    return wall_time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
}

}  // namespace

wall_time wall_from_ms(std::uint64_t unix_ms) noexcept {
    // What a record may hold is what a calendar can show: the end of the year 9999 at most.
    return wall_time(std::chrono::milliseconds(std::min<std::uint64_t>(unix_ms, 253402300799999ull)));
}

void uri_encode(std::string& to, std::string_view text, bool keep_slash) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    for (const char c : text) {
        if (unreserved(c) || (keep_slash && c == '/')) {
            to.push_back(c);
        } else {
            const auto b = static_cast<unsigned char>(c);
            to.push_back('%');
            to.push_back(hex[b >> 4]);
            to.push_back(hex[b & 15]);
        }
    }
}

std::string uri_encode(std::string_view text, bool keep_slash) {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    uri_encode(out, text, keep_slash);
    return out;
}

std::optional<std::string> uri_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            if (i + 2 >= text.size()) return {};
            const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return {};
            out.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
        }
    }
    return out;
}

std::string base64_encode(byte_view data) {
    std::string out;
    out.reserve((data.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < data.size(); i += 3) {
        const auto left = data.size() - i;
        std::uint32_t group = std::to_integer<std::uint32_t>(data[i]) << 16;
        if (left > 1) group |= std::to_integer<std::uint32_t>(data[i + 1]) << 8;
        if (left > 2) group |= std::to_integer<std::uint32_t>(data[i + 2]);
        out.push_back(base64_alphabet[group >> 18]);
        out.push_back(base64_alphabet[group >> 12 & 63]);
        out.push_back(left > 1 ? base64_alphabet[group >> 6 & 63] : '=');
        out.push_back(left > 2 ? base64_alphabet[group & 63] : '=');
    }
    return out;
}

std::optional<bytes> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return {};
    bytes out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        const bool last = i + 4 == text.size();
        std::uint32_t group = 0;
        unsigned padding = 0;
        for (std::size_t j = 0; j < 4; ++j) {
            const char c = text[i + j];
            if (c == '=' && last && (j == 3 || (j == 2 && text[i + 3] == '='))) {
                ++padding;
                group <<= 6;
                continue;
            }
            const auto value = base64_alphabet.find(c);
            if (value == std::string_view::npos) return {};
            group = group << 6 | static_cast<std::uint32_t>(value);
        }
        out.push_back(static_cast<std::byte>(group >> 16));
        if (padding < 2) out.push_back(static_cast<std::byte>(group >> 8 & 255));
        if (padding < 1) out.push_back(static_cast<std::byte>(group & 255));
    }
    return out;
}

std::string iso8601(wall_time when) {
    const auto p = split(when);
    return print("%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(p.day.year()), static_cast<unsigned>(p.day.month()),
                 static_cast<unsigned>(p.day.day()), static_cast<int>(p.time.hours().count()), static_cast<int>(p.time.minutes().count()),
                 static_cast<int>(p.time.seconds().count()), static_cast<int>(p.time.subseconds().count()));
}

std::string iso8601_basic(wall_time when) {
    const auto p = split(when);
    return print("%04d%02u%02uT%02d%02d%02dZ", static_cast<int>(p.day.year()), static_cast<unsigned>(p.day.month()),
                 static_cast<unsigned>(p.day.day()), static_cast<int>(p.time.hours().count()), static_cast<int>(p.time.minutes().count()),
                 static_cast<int>(p.time.seconds().count()));
}

std::optional<wall_time> parse_iso8601_basic(std::string_view t) {
    if (t.size() != 16 || t[8] != 'T' || t[15] != 'Z') return {};
    return join(digits(t, 0, 4), digits(t, 4, 2), digits(t, 6, 2), digits(t, 9, 2), digits(t, 11, 2), digits(t, 13, 2));
}

std::string http_date(wall_time when) {
    const auto p = split(when);
    return print("%s, %02u %s %04d %02d:%02d:%02d GMT", days[p.weekday].data(), static_cast<unsigned>(p.day.day()),
                 months[static_cast<unsigned>(p.day.month()) - 1].data(), static_cast<int>(p.day.year()),
                 static_cast<int>(p.time.hours().count()), static_cast<int>(p.time.minutes().count()),
                 static_cast<int>(p.time.seconds().count()));
}

std::optional<wall_time> parse_http_date(std::string_view t) {
    // IMF-fixdate only (RFC 9110): "Sun, 06 Nov 1994 08:49:37 GMT".
    if (t.size() != 29 || t[3] != ',' || t.substr(25) != " GMT" || t[19] != ':' || t[22] != ':') return {};
    const auto month = std::find(months.begin(), months.end(), t.substr(8, 3));
    if (month == months.end()) return {};
    return join(digits(t, 12, 4), static_cast<int>(month - months.begin()) + 1, digits(t, 5, 2), digits(t, 17, 2), digits(t, 20, 2),
                digits(t, 23, 2));
}

bool is_utf8(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        if (lead < 0x80) {
            ++i;
            continue;
        }
        const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || i + more >= text.size()) return false;
        std::uint32_t point = lead & (0x3f >> more);
        for (std::size_t j = 1; j <= more; ++j) {
            const auto next = static_cast<unsigned char>(text[i + j]);
            if ((next & 0xc0) != 0x80) return false;
            point = point << 6 | (next & 0x3f);
        }
        if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000)) return false;
        if ((point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) return false;
        i += more + 1;
    }
    return true;
}

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept {
    std::uint64_t value = 0;
    if (text.empty() || text[0] < '0' || text[0] > '9') return {};
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (auto& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    const auto fold = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return fold(x) == fold(y); });
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool header_safe(std::string_view value) noexcept {
    return std::all_of(value.begin(), value.end(), [](char c) {
        const auto b = static_cast<unsigned char>(c);
        return (b >= 0x20 && b != 0x7f) || b == '\t';
    });
}

}  // namespace cess::s3
