// A block device over a volume: one blob of the volume's size. This is all that a block protocol needs to know.
//
// Offsets and lengths may be any, block sizes are only advice: the engine keeps extents by the byte. What lies past
// the device's end is refused. Thread-safe; calls block; the volume must outlive the device. Order and durability
// are the engine's: a returned flush, or a write with `fua`, covers every write that returned before it was called,
// whichever thread made it.
#pragma once

#include <blockdev/limiter.hpp>
#include <objectstore/client/client.hpp>

#include <atomic>

namespace cess::blockdev {

inline constexpr volume::blob_id device_blob = client::block_device_blob;
inline constexpr std::uint32_t block_size_min = 512;
inline constexpr std::uint32_t block_size_preferred = 4096;
inline constexpr std::uint32_t block_size_max = 32 * MiB;

class device {
public:
    // `head` is null for a snapshot, and the device is then read-only. Reads and writes keep to `limits`, if there
    // are any; a trim, a zero, a prefetch is an operation as well. A flush and block status are not.
    device(volume::reader& data, volume::volume* head, limiter* limits = nullptr);
    // What a snapshot changed of an older one, `base`: the contents of `data`, whose extents tell the changes.
    device(volume::reader& data, volume::reader& base);

    [[nodiscard]] std::uint64_t size() const noexcept { return m_size.load(std::memory_order_relaxed); }
    [[nodiscard]] bool writable() const noexcept { return m_head != nullptr; }

    [[nodiscard]] result<void> read(std::uint64_t offset, byte_span out);
    [[nodiscard]] result<void> write(std::uint64_t offset, byte_view data, bool fua);
    // Both leave a hole that reads as zeros. Nothing is ever reserved for a written block, so that a hole is worth
    // as much as zeros that were written, and costs one edit of the map whatever its length.
    [[nodiscard]] result<void> zero(std::uint64_t offset, std::uint64_t length, bool fua);
    [[nodiscard]] result<void> trim(std::uint64_t offset, std::uint64_t length, bool fua) { return zero(offset, length, fua); }
    [[nodiscard]] result<void> flush();
    // What to say about a range; only data needs to be read.
    enum class kind : std::uint8_t {
        data,
        zero,       // a hole: reads as zeros
        zeroed,     // of a change map: changed into zeros
        unchanged,  // of a change map: as in the base
    };
    struct extent {
        std::uint64_t offset = 0, length = 0;
        kind is = kind::data;
    };
    // Covers the range from its begin on, all of it or at least a part.
    [[nodiscard]] result<std::vector<extent>> extents(std::uint64_t offset, std::uint64_t length);
    // Brings what fits a readahead of the range into the cache.
    [[nodiscard]] result<void> prefetch(std::uint64_t offset, std::uint64_t length);

    // The volume was resized, and what lies past its end is being cut off.
    void resize(std::uint64_t size) noexcept { m_size.store(size, std::memory_order_relaxed); }

private:
    [[nodiscard]] result<void> check(std::uint64_t offset, std::uint64_t length) const;
    [[nodiscard]] result<void> check_writable(std::uint64_t offset, std::uint64_t length) const;
    [[nodiscard]] result<void> admit(direction which, std::uint64_t size);
    [[nodiscard]] result<void> commit(const volume::change& what, bool fua);
    [[nodiscard]] result<std::vector<extent>> changes(std::uint64_t offset, std::uint64_t length);

    volume::reader& m_data;
    volume::volume* m_head;
    limiter* m_limits;
    volume::reader* m_base = nullptr;
    std::atomic<std::uint64_t> m_size;
};

}  // namespace cess::blockdev
