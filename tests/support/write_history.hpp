// What was written to a block device, in order, and whether an image that came back after a crash is a prefix of it.
//
// Every sector carries the stamp of the write that made it and bytes that follow from stamp and sector alone: so each
// sector of an image says by itself between which writes it was read, and one pass over the sectors finds the prefixes
// that all of them allow. Thread-safe where said.
#pragma once

#include <core/base/bytes.hpp>
#include <core/base/ids.hpp>

#include <mutex>
#include <string>
#include <vector>

namespace cess::test {

using stamp = std::uint64_t;  // 0: zeros

class write_history {
public:
    static constexpr std::uint64_t sector = 512;
    using image_stamps = std::vector<stamp>;  // by sector

    explicit write_history(std::uint64_t sectors) : m_base(sectors, 0) {}
    [[nodiscard]] std::uint64_t sectors() const noexcept { return m_base.size(); }

    // ---- while the device is written to; any thread
    [[nodiscard]] stamp next_stamp();
    // Bytes of a write: a whole number of sectors from `first` on.
    static void fill(stamp which, std::uint64_t first, byte_span out);
    // The write has its place in the order. `which` 0: zeroed.
    void wrote(sequence_number at, stamp which, std::uint64_t first, std::uint64_t count);
    // All up to `upto` is promised to survive.
    void acknowledged(sequence_number upto);

    // ---- between; nobody writes
    // Empty if the image is a prefix that holds everything acknowledged and nothing past `recovered`, which then is the
    // history from here on; or what is wrong.
    [[nodiscard]] std::string check(byte_view image, sequence_number recovered);
    // The image when everything before `at` had happened. REQUIRES: `at` is past the last check
    [[nodiscard]] image_stamps before(sequence_number at);
    // Empty, or where an image differs from what it should be.
    [[nodiscard]] static std::string compare(byte_view image, const image_stamps& with);
    [[nodiscard]] image_stamps now() { return before({~std::uint64_t{0}}); }
    [[nodiscard]] std::size_t pending() const { return m_writes.size(); }  // since the last check

private:
    struct written {
        sequence_number at;
        stamp which = 0;
        std::uint64_t first = 0, count = 0;
    };
    void sort();
    [[nodiscard]] std::string explain(const std::vector<stamp>& seen, std::size_t prefix) const;

    std::mutex m_mutex;
    image_stamps m_base;             // at the last check
    std::vector<written> m_writes;   // since
    sequence_number m_acknowledged;
    stamp m_last = 0;
};

}  // namespace cess::test
