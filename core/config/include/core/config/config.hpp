// Typed configuration from a TOML file. A program declares its options once, each with a default, a unit and a
// sentence; unknown keys, wrong types and values out of range are refused by name and line. `dump()` prints the
// effective configuration as TOML with those sentences as comments (--dump-config), and loading that gives the same.
#pragma once

#include <core/base/bytes.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace cess::config {

// Declares options against the caller's variables, which hold the defaults until load() sets them.
class schema {
public:
    void text(std::string key, std::string& value, std::string help);
    void flag(std::string key, bool& value, std::string help);
    void number(std::string key, std::uint64_t& value, std::uint64_t min, std::uint64_t max, std::string help);
    void size(std::string key, std::uint64_t& value, std::uint64_t min, std::uint64_t max, std::string help);      // "512MiB"
    void time(std::string key, std::chrono::nanoseconds& value, std::string help);                                 // "150ms", "5s", "10m", "2h"
    void texts(std::string key, std::vector<std::string>& value, std::string help);

    // Keys are dotted: "deadlines.read" is `read` in [deadlines].
    [[nodiscard]] result<void> load(const std::string& path);
    [[nodiscard]] result<void> parse(std::string_view toml, const std::string& name);
    [[nodiscard]] std::string dump() const;

private:
    enum class kind { text, flag, number, size, time, texts };
    struct option {
        std::string key, help;
        kind what;
        void* value;
        std::uint64_t min = 0, max = ~std::uint64_t{0};
    };
    std::vector<option> m_options;
};

[[nodiscard]] result<std::chrono::nanoseconds> parse_duration(std::string_view text);
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds d);

}  // namespace cess::config
