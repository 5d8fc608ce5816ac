// Structured logging: one line an event, on stderr or a file, through spdlog. Fields go as key=value.
//
//     log::info("storage", "fragment stored segment={} index={} bytes={}", id.brief(), index, size);
//
// Set up once by a program's main; libraries only call info/warn/... Thread-safe.
#pragma once

#include <core/base/result.hpp>

#include <spdlog/fmt/fmt.h>

#include <string>
#include <string_view>

namespace cess::log {

enum class level { debug, info, warn, error, off };

struct settings {
    level threshold = level::info;
    std::string file;  // empty: stderr
};

[[nodiscard]] result<level> parse_level(std::string_view text);
[[nodiscard]] result<void> configure(const settings& to);
[[nodiscard]] bool enabled(level at) noexcept;
void write(level at, std::string_view module, std::string_view text);

template <class... Args>
void debug(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level::debug)) write(level::debug, module, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level::info)) write(level::info, module, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level::warn)) write(level::warn, module, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view module, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level::error)) write(level::error, module, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace cess::log
