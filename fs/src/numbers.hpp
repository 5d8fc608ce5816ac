// Gives out inode numbers, each once in the life of a volume. They are reserved by the thousand in the superblock, in a
// change of their own before the first is used, so that a crash skips numbers and never repeats one.
#pragma once

#include "store.hpp"

#include <mutex>

namespace cess::fs {

class number_source {
public:
    explicit number_source(store& in) : m_store(in) {}
    void start(const format::superblock& from);  // before any take()
    [[nodiscard]] answer<inode_number> take();

private:
    static constexpr std::uint64_t batch = 4096;

    store& m_store;
    std::mutex m_mutex;
    format::superblock m_super;
    std::uint64_t m_next = 0;
};

}  // namespace cess::fs
