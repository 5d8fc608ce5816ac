#include <core/base/metrics.hpp>

#include <spdlog/fmt/fmt.h>

#include <bit>
#include <set>

namespace cess {
namespace {

std::string with_label(const std::string& labels, std::string_view more) {
    if (labels.empty() && more.empty()) return {};
    return fmt::format("{{{}{}{}}}", labels, labels.empty() || more.empty() ? "" : ",", more);
}

}  // namespace

void latency_histogram::observe_us(std::uint64_t microseconds) noexcept {
    const auto bucket = std::min<std::size_t>(std::bit_width(microseconds == 0 ? 0 : microseconds - 1), buckets);
    m_counts[bucket].fetch_add(1, std::memory_order_relaxed);
    m_sum_us.fetch_add(microseconds, std::memory_order_relaxed);
}

metrics::row& metrics::find_or_add(std::string_view name, std::string_view help, std::string_view labels, kind what) {
    std::lock_guard lock(m_mutex);
    for (auto& r : m_rows)
        if (r.name == name && r.labels == labels) return r;
    auto& r = m_rows.emplace_back();
    r.name = name;
    r.help = help;
    r.labels = labels;
    r.what = what;
    return r;
}

counter& metrics::make_counter(std::string_view name, std::string_view help, std::string_view labels) {
    return find_or_add(name, help, labels, kind::counter).as_counter;
}
gauge& metrics::make_gauge(std::string_view name, std::string_view help, std::string_view labels) {
    return find_or_add(name, help, labels, kind::gauge).as_gauge;
}
latency_histogram& metrics::make_histogram(std::string_view name, std::string_view help, std::string_view labels) {
    return find_or_add(name, help, labels, kind::histogram).as_histogram;
}

std::string metrics::render() const {
    static constexpr std::string_view kinds[] = {"counter", "gauge", "histogram"};
    std::lock_guard lock(m_mutex);
    std::string out;
    std::set<std::string_view> described;
    for (const auto& first : m_rows) {
        if (!described.insert(first.name).second) continue;
        out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", first.name, first.help, first.name, kinds[static_cast<int>(first.what)]);
        for (const auto& r : m_rows) {
            if (r.name != first.name) continue;
            if (r.what == kind::counter) out += fmt::format("{}{} {}\n", r.name, with_label(r.labels, {}), r.as_counter.value());
            if (r.what == kind::gauge) out += fmt::format("{}{} {}\n", r.name, with_label(r.labels, {}), r.as_gauge.value());
            if (r.what != kind::histogram) continue;
            std::uint64_t seen = 0;
            for (std::size_t i = 0; i <= latency_histogram::buckets; ++i) {
                seen += r.as_histogram.m_counts[i].load(std::memory_order_relaxed);
                const auto bound = i == latency_histogram::buckets ? std::string("+Inf") : fmt::format("{:g}", static_cast<double>(1ULL << i) / 1e6);
                out += fmt::format("{}_bucket{} {}\n", r.name, with_label(r.labels, "le=\"" + bound + "\""), seen);
            }
            out += fmt::format("{}_sum{} {:g}\n{}_count{} {}\n", r.name, with_label(r.labels, {}),
                               static_cast<double>(r.as_histogram.m_sum_us.load(std::memory_order_relaxed)) / 1e6, r.name, with_label(r.labels, {}), seen);
        }
    }
    return out;
}

}  // namespace cess
