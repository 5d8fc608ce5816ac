// Which reads of a volume go through a blob in order, and what should be brought nearer before they ask for it.
//
// A stream is known by where it has come to: a read near there carries it on, whatever order threads let its reads
// arrive in. It gets a window once most of the bytes it passed were read; the window doubles as it goes on, up to the
// bound. A read that belongs to no stream begins one in the place of the one that was silent longest, which gives up
// what was read ahead for it; so random reads end streams and never get a window. Thread-safe; blocks on nothing.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <mutex>
#include <vector>

namespace cess::volume {

class stream_detector {
public:
    static constexpr std::size_t streams_max = 32;

    explicit stream_detector(std::uint64_t window_max) : m_window_max(window_max) {}

    struct advice {
        layer::stream_id of{};
        std::uint64_t from = 0, to = 0;             // read this ahead, if from < to
        std::optional<layer::stream_id> over;       // give this up
    };
    [[nodiscard]] advice note(blob_id blob, std::uint64_t offset, std::uint64_t length);
    [[nodiscard]] std::vector<layer::stream_id> all();  // that have read ahead

private:
    struct stream {
        layer::stream_id id{};
        blob_id blob = 0;
        std::uint64_t start = 0, end = 0;  // of what it passed
        std::uint64_t bytes = 0;           // that it read of it
        std::uint64_t reads = 0;
        std::uint64_t window = 0;          // 0: none yet
        std::uint64_t ahead = 0;           // read ahead up to here
        std::uint64_t touched = 0;         // a count of reads
    };
    [[nodiscard]] stream* find(blob_id blob, std::uint64_t offset, std::uint64_t end, std::uint64_t slack);
    void begin(stream& on, blob_id blob, std::uint64_t offset, std::uint64_t end, advice& out);
    void advance(stream& on, std::uint64_t offset, std::uint64_t end, advice& out);

    const std::uint64_t m_window_max;
    std::mutex m_mutex;
    std::vector<stream> m_streams;
    std::uint64_t m_reads = 0;
};

// The detector, and the layer that does what it advises.
class store;
class segment_table;
class locator;
class readahead {
public:
    readahead(layer::layer& on, std::uint64_t window_max) : m_layer(on), m_on(window_max != 0), m_detector(window_max) {}
    ~readahead();
    // Before a read of [offset, offset+length).
    void before(const store& from, const segment_table& segments, locator& where, const layer::keyring& keys, blob_id blob, std::uint64_t offset,
                std::uint64_t length);

private:
    layer::layer& m_layer;
    const bool m_on;
    stream_detector m_detector;
};

}  // namespace cess::volume
