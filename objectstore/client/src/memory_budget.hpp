// How the process's memory is shared: a quarter caches blocks that have been read, an eighth is for what moves between
// here and the miners, and the rest belongs to attached volumes, each of which takes its share when it is attached.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <algorithm>
#include <mutex>

namespace cess::client {

// Thread-safe.
class memory_budget {
public:
    explicit memory_budget(std::uint64_t total) : m_total(total), m_left(total - cache() - moving()) {}
    [[nodiscard]] std::uint64_t cache() const noexcept { return m_total / 4; }  // the disk tier's index included
    [[nodiscard]] std::uint64_t cache_index() const noexcept { return m_total / 8; }  // of it, at most
    [[nodiscard]] std::uint64_t ahead() const noexcept { return moving() / 2; }       // of what moves, at most
    [[nodiscard]] std::uint64_t moving() const noexcept { return m_total / 8; }

    // One volume's share, given back when it dies.
    class share {
    public:
        share() = default;
        share(memory_budget& of, std::uint64_t size) : m_of(&of), m_size(size) {}
        share(share&& o) noexcept : m_of(std::exchange(o.m_of, nullptr)), m_size(o.m_size) {}
        share& operator=(share&& o) noexcept {
            std::swap(m_of, o.m_of);
            std::swap(m_size, o.m_size);
            return *this;
        }
        ~share() {
            if (m_of) m_of->give_back(m_size);
        }
        // The engine's bounds within this share. More than 40 MiB of buffers make hardly a writer faster, but snapshots slower,
        // which wait until what was written before them is stored.
        void apply(volume::settings& to) const {
            const auto whole = [](std::uint64_t n) { return std::max(n / MiB, std::uint64_t{1}) * MiB; };
            const bool local = to.acknowledge == volume::durability::local;
            to.local_bytes = whole(m_size / 8);
            to.buffers_max = std::min<std::uint64_t>(40 * MiB, whole(m_size * (local ? 4 : 5) / 8));
            to.segment_size = std::min<std::uint64_t>(10 * MiB, whole(to.buffers_max / 4));
            to.metadata_cache = whole(m_size * 5 / 16);
            to.memtable = std::min<std::uint64_t>(8 * MiB, whole(m_size / 16));
        }

    private:
        memory_budget* m_of = nullptr;
        std::uint64_t m_size = 0;
    };

    // Half of what is left, within sensible bounds, so that many can be attached. errc::exhausted when nothing is left.
    enum class use { writing, reading, reading_little };
    result<share> take(use what) {
        const std::uint64_t least = what == use::writing ? 16 * MiB : 8 * MiB;
        const std::uint64_t most = what == use::writing ? 160 * MiB : what == use::reading ? 32 * MiB : 12 * MiB;
        std::lock_guard lock(m_mutex);
        if (m_left < least)
            return error(errc::exhausted, "the memory budget of " + format_size(m_total) + " is used up by attached volumes; detach some, or raise `memory`");
        const auto size = std::clamp(m_left / 2, least, most);
        m_left -= size;
        return share(*this, size);
    }

private:
    void give_back(std::uint64_t size) {
        std::lock_guard lock(m_mutex);
        m_left += size;
    }

    const std::uint64_t m_total;
    std::mutex m_mutex;
    std::uint64_t m_left;
};

}  // namespace cess::client
