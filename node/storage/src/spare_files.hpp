// Whole files of trimmed journals, kept to be written again. Their blocks are there and were written, so an append to one
// costs its own bytes and a sync: no zeros ahead of it, and nothing in the file system's own log.
//
// A spare lies in tmp, which a start empties. It goes when its room is needed for anything else. Thread-safe; blocking.
#pragma once

#include "space.hpp"

#include <mutex>
#include <optional>
#include <vector>

namespace cess::storage {

class spare_files {
public:
    struct spare {
        std::string path;
        std::uint64_t size = 0;
    };
    // `directory` is that of unfinished things; at most `count_max` are kept.
    spare_files(os::file_system& disk, space_account& space, std::string directory, std::size_t count_max)
        : m_disk(disk), m_space(space), m_directory(std::move(directory)), m_count_max(count_max) {}

    [[nodiscard]] std::optional<std::string> place();  // where to move one more to; nothing if there are enough
    void add(spare what);                              // it was moved there, and that is durable; its bytes count as used so far
    [[nodiscard]] std::optional<spare> take();         // the caller's from now on, its bytes used
    void discard(const spare& what);                   // one that was taken and came to nothing
    bool drop_all();                                   // whether there were any

private:
    void remove(const std::string& path);

    os::file_system& m_disk;
    space_account& m_space;
    const std::string m_directory;
    const std::size_t m_count_max;
    mutable std::mutex m_mutex;
    std::vector<spare> m_spares;
    std::uint64_t m_named = 0;
};

}  // namespace cess::storage
