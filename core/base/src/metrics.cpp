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

metrics::row& metrics::add(std::string_view name, std::string_view help, std::string_view labels, kind what) {
    for (auto& r : m_rows)
        if (r.name == name && r.labels == labels) return r;
    auto& r = m_rows.emplace_back();
    r.name = name;
    r.help = help;
    r.labels = labels;
    r.what = what;
    return r;
}

metrics::row& metrics::find_or_add(std::string_view name, std::string_view help, std::string_view labels, kind what) {
    std::lock_guard lock(m_mutex);
    return add(name, help, labels, what);
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

metrics::sampled metrics::sample(std::string_view name, std::string_view help, std::string_view labels, std::function<std::int64_t()> ask) {
    std::lock_guard lock(m_mutex);
    auto& r = add(name, help, labels, kind::gauge);
    r.asked.push_back(std::move(ask));
    return {*this, r, std::prev(r.asked.end())};
}

metrics::sampled& metrics::sampled::operator=(sampled&& other) noexcept {
    const sampled old(std::move(*this));
    m_in = std::exchange(other.m_in, nullptr);
    m_row = other.m_row;
    m_at = other.m_at;
    return *this;
}

metrics::sampled::~sampled() {
    if (!m_in) return;
    std::lock_guard lock(m_in->m_mutex);
    m_row->asked.erase(m_at);
    if (m_row->asked.empty()) m_row->as_gauge.set(0);
}

void metrics::include(const metrics& other, std::string_view labels) {
    std::lock_guard lock(m_mutex);
    m_parts.emplace_back(&other, labels);
}

void metrics::collect(std::vector<shown>& into, std::string_view labels) const {
    std::lock_guard lock(m_mutex);
    for (auto& r : m_rows) {
        if (r.asked.empty()) continue;
        std::int64_t sum = 0;
        for (const auto& ask : r.asked) sum += ask();
        r.as_gauge.set(sum);
    }
    for (const auto& r : m_rows) into.push_back({&r, r.labels + (r.labels.empty() || labels.empty() ? "" : ",") + std::string(labels)});
}

void metrics::append_row(std::string& out, const shown& r) {
    const auto& name = r.what->name;
    if (r.what->what == kind::counter) out += fmt::format("{}{} {}\n", name, with_label(r.labels, {}), r.what->as_counter.value());
    if (r.what->what == kind::gauge) out += fmt::format("{}{} {}\n", name, with_label(r.labels, {}), r.what->as_gauge.value());
    if (r.what->what != kind::histogram) return;
    const auto& h = r.what->as_histogram;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i <= latency_histogram::buckets; ++i) {
        seen += h.m_counts[i].load(std::memory_order_relaxed);
        const auto bound = i == latency_histogram::buckets ? std::string("+Inf") : fmt::format("{:g}", static_cast<double>(1ULL << i) / 1e6);
        out += fmt::format("{}_bucket{} {}\n", name, with_label(r.labels, "le=\"" + bound + "\""), seen);
    }
    const auto sum = static_cast<double>(h.m_sum_us.load(std::memory_order_relaxed)) / 1e6;
    out += fmt::format("{}_sum{} {:g}\n{}_count{} {}\n", name, with_label(r.labels, {}), sum, name, with_label(r.labels, {}), seen);
}

std::string metrics::render() const {
    static constexpr std::string_view kinds[] = {"counter", "gauge", "histogram"};
    std::vector<shown> rows;
    collect(rows, {});
    {
        std::lock_guard lock(m_mutex);
        for (const auto& [part, labels] : m_parts) part->collect(rows, labels);
    }
    // A family stands together, wherever its rows come from.
    std::string out;
    std::set<std::string_view> described;
    for (const auto& first : rows) {
        if (!described.insert(first.what->name).second) continue;
        const auto& name = first.what->name;
        out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, first.what->help, name, kinds[static_cast<int>(first.what->what)]);
        for (const auto& r : rows)
            if (r.what->name == name) append_row(out, r);
    }
    return out;
}

}  // namespace cess
