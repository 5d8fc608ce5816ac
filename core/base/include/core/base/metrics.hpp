// Counters, gauges and histograms that a program exposes in Prometheus' text format (version 0.0.4).
//
// A metric belongs to a `metrics` registry handed to whoever counts; references stay valid for the registry's
// life. Updates are relaxed atomics and safe from any thread; `render` may run beside them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cess {

class counter {
public:
    void add(std::uint64_t n = 1) noexcept { m_value.fetch_add(n, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t value() const noexcept { return m_value.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> m_value{0};
};

class gauge {
public:
    void set(std::int64_t v) noexcept { m_value.store(v, std::memory_order_relaxed); }
    void add(std::int64_t n) noexcept { m_value.fetch_add(n, std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t value() const noexcept { return m_value.load(std::memory_order_relaxed); }

private:
    std::atomic<std::int64_t> m_value{0};
};

// Of durations, in powers of two from 1 µs to 67 s; rendered in seconds.
class latency_histogram {
public:
    static constexpr std::size_t buckets = 27;
    void observe_us(std::uint64_t microseconds) noexcept;

private:
    friend class metrics;
    std::array<std::atomic<std::uint64_t>, buckets + 1> m_counts{};
    std::atomic<std::uint64_t> m_sum_us{0};
};

class metrics {
    struct row;
    using questions = std::list<std::function<std::int64_t()>>;

public:
    metrics() = default;
    metrics(const metrics&) = delete;
    metrics& operator=(const metrics&) = delete;

    // `labels` is the inside of the braces: `op="put",node="a"`, or empty. The same name and labels give the same metric.
    counter& make_counter(std::string_view name, std::string_view help, std::string_view labels = {});
    gauge& make_gauge(std::string_view name, std::string_view help, std::string_view labels = {});
    latency_histogram& make_histogram(std::string_view name, std::string_view help, std::string_view labels = {});

    // Part of a gauge that is asked for when it is rendered; over when this goes, which waits for a rendering under way.
    class sampled {
    public:
        sampled() = default;
        sampled(sampled&& other) noexcept : m_in(std::exchange(other.m_in, nullptr)), m_row(other.m_row), m_at(other.m_at) {}
        sampled& operator=(sampled&& other) noexcept;
        ~sampled();

    private:
        friend class metrics;
        sampled(metrics& in, row& of, questions::iterator at) : m_in(&in), m_row(&of), m_at(at) {}
        metrics* m_in = nullptr;
        row* m_row = nullptr;
        questions::iterator m_at;
    };
    // For what its owner knows anyway: costs nothing until somebody looks. Several of the same name and labels are added up.
    // REQUIRES: `ask` is quick, comes from any thread, and calls nothing of this registry's; this outlives the handle.
    [[nodiscard]] sampled sample(std::string_view name, std::string_view help, std::string_view labels, std::function<std::int64_t()> ask);

    // Renders `other` as a part of this from now on, with more labels: several nodes in one process, one endpoint.
    // REQUIRES: `other` lives as long as this is rendered, and includes nothing itself.
    void include(const metrics& other, std::string_view labels);

    [[nodiscard]] std::string render() const;

private:
    enum class kind { counter, gauge, histogram };
    struct row {
        std::string name, help, labels;
        kind what;
        counter as_counter;
        gauge as_gauge;
        latency_histogram as_histogram;
        questions asked;  // of a gauge that is sampled
    };
    struct shown {
        const row* what;
        std::string labels;
    };
    static void append_row(std::string& out, const shown& r);
    void collect(std::vector<shown>& into, std::string_view labels) const;
    row& add(std::string_view name, std::string_view help, std::string_view labels, kind what);  // REQUIRES: m_mutex
    row& find_or_add(std::string_view name, std::string_view help, std::string_view labels, kind what);

    mutable std::mutex m_mutex;
    mutable std::deque<row> m_rows;  // rendering sets what is sampled
    std::vector<std::pair<const metrics*, std::string>> m_parts;
};

}  // namespace cess
