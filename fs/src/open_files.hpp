// Open files by the numbers by which the kernel names them: small ones, given out again after release, that another process
// can keep when it takes the mount over. Thread-safe. Looking one up takes no lock: the kernel names a file only between
// the answer to its open and its release.
#pragma once

#include "mount_tree.hpp"

#include <fs/kernel_state.hpp>

#include <array>
#include <mutex>

namespace cess::fs {

class open_file_table {
public:
    static constexpr std::uint64_t handle_max = std::uint64_t{1} << 22;  // more than the kernel lets all processes open by default

    open_file_table() = default;
    ~open_file_table();
    open_file_table(const open_file_table&) = delete;
    open_file_table& operator=(const open_file_table&) = delete;

    // Its handle, never 0. ENFILE: too many are open; `file` is then as before.
    [[nodiscard]] answer<std::uint64_t> add(std::unique_ptr<mounted_file>& file);
    // Null for what is not the handle of an open file.
    [[nodiscard]] mounted_file* find(std::uint64_t handle) const noexcept;
    [[nodiscard]] std::unique_ptr<mounted_file> take(std::uint64_t handle) noexcept;

    // Of a mount that is taken over. EINVAL for a handle that cannot be one, or is open already.
    [[nodiscard]] answer<void> restore(std::uint64_t handle, std::unique_ptr<mounted_file> file);
    [[nodiscard]] std::vector<held_file> list() const;

private:
    static constexpr std::uint64_t chunk_size = 1024;
    using chunk = std::array<std::atomic<mounted_file*>, chunk_size>;

    [[nodiscard]] std::atomic<mounted_file*>* slot_of(std::uint64_t handle) const noexcept;
    void reach(std::uint64_t handle);  // gives out numbers up to it; REQUIRES: the lock

    std::array<std::atomic<chunk*>, handle_max / chunk_size> m_chunks{};  // never moved nor freed while the table lives
    mutable std::mutex m_mutex;
    std::vector<std::uint32_t> m_free;
    std::uint64_t m_used = 0;  // handles 1 to this have been given out
};

}  // namespace cess::fs
