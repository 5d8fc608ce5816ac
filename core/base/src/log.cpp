#include <core/base/log.hpp>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

namespace cess::log {
namespace {

std::atomic<level> threshold{level::info};
constexpr const char* pattern = "%Y-%m-%dT%H:%M:%S.%f%z %-5l %v";

spdlog::level::level_enum to_spdlog(level at) {
    switch (at) {
        case level::debug: return spdlog::level::debug;
        case level::info: return spdlog::level::info;
        case level::warn: return spdlog::level::warn;
        case level::error: return spdlog::level::err;
        case level::off: break;
    }
    return spdlog::level::off;
}

// Replaced only by configure(), before threads start; the default is stderr.
std::shared_ptr<spdlog::logger>& logger() {
    static auto instance = [] {
        auto made = std::make_shared<spdlog::logger>("cess", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_pattern(pattern);
        made->set_level(spdlog::level::debug);
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return instance;
}

}  // namespace

result<level> parse_level(std::string_view text) {
    if (text == "debug") return level::debug;
    if (text == "info") return level::info;
    if (text == "warn") return level::warn;
    if (text == "error") return level::error;
    if (text == "off") return level::off;
    return cess::error(errc::invalid, "log level \"" + std::string(text) + "\": use debug, info, warn, error or off");
}

result<void> configure(const settings& to) {
    threshold = to.threshold;
    if (to.file.empty()) return {};
    try {
        auto made = std::make_shared<spdlog::logger>("cess", std::make_shared<spdlog::sinks::basic_file_sink_mt>(to.file));
        made->set_pattern(pattern);
        made->set_level(spdlog::level::debug);
        made->flush_on(spdlog::level::info);
        logger() = std::move(made);
    } catch (const spdlog::spdlog_ex& e) {
        return cess::error(errc::io, std::string("log file: ") + e.what());
    }
    return {};
}

bool enabled(level at) noexcept { return at >= threshold.load(std::memory_order_relaxed); }

void write(level at, std::string_view module, std::string_view text) { logger()->log(to_spdlog(at), "{}: {}", module, text); }

}  // namespace cess::log
