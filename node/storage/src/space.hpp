// Where every byte of the store is counted, before it is written.
#pragma once

#include <core/os/file_system.hpp>

#include <functional>
#include <mutex>

namespace cess::storage {

class space_account;

// Bytes promised to a writer; what is not kept comes back when it dies. Movable.
class space_claim {
public:
    space_claim() = default;
    space_claim(space_account& of, std::uint64_t size) : m_of(&of), m_size(size) {}
    space_claim(space_claim&& from) noexcept : m_of(std::exchange(from.m_of, nullptr)), m_size(std::exchange(from.m_size, 0)) {}
    space_claim& operator=(space_claim&& from) noexcept;
    ~space_claim();
    // The bytes are in a file now: they count as used until space_account::give_back. REQUIRES: size <= what is claimed
    void keep(std::uint64_t size);
    void keep() { keep(m_size); }
    [[nodiscard]] std::uint64_t size() const noexcept { return m_size; }

private:
    space_account* m_of = nullptr;
    std::uint64_t m_size = 0;
};

// Thread-safe. used + promised + spare never exceeds the capacity, and no promise digs into the disk's reserve. Spare bytes
// are on the disk and are given up when a promise needs their room, so that nobody is told of them as used.
class space_account {
public:
    space_account(os::file_system& disk, std::string directory, std::uint64_t capacity, std::uint64_t reserve)
        : m_disk(disk), m_directory(std::move(directory)), m_capacity(capacity), m_reserve(reserve) {}

    // Removes all spare files; whether there were any. Set before the first claim; called without the lock.
    void set_relief(std::function<bool()> relief) { m_relief = std::move(relief); }
    void spare(std::uint64_t size);      // used bytes become spare
    void use_spare(std::uint64_t size);  // and used again
    void drop_spare(std::uint64_t size);

    [[nodiscard]] result<space_claim> claim(std::uint64_t size);  // errc::no_space
    void found(std::uint64_t size);      // at open: files that are already there
    void give_back(std::uint64_t size);  // files removed
    [[nodiscard]] std::uint64_t used() const;      // with what is promised
    [[nodiscard]] std::uint64_t capacity() const noexcept { return m_capacity; }

private:
    friend class space_claim;
    void settle(std::uint64_t promised, std::uint64_t kept);
    result<space_claim> try_claim(std::uint64_t size);

    os::file_system& m_disk;
    const std::string m_directory;
    const std::uint64_t m_capacity;
    const std::uint64_t m_reserve;
    std::function<bool()> m_relief;
    mutable std::mutex m_mutex;
    std::uint64_t m_used = 0;
    std::uint64_t m_promised = 0;
    std::uint64_t m_spare = 0;
};

}  // namespace cess::storage
