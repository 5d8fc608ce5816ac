// The last runs of entries that were read for listings, so that a reader who comes back for the next few hundred bytes
// finds them. Few, since a run matters only while somebody lists that directory. Thread-safe.
#pragma once

#include "format.hpp"

#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace cess::fs {

struct listing_run {
    inode_number directory;
    std::uint64_t version = 0;         // of the directory when it was read
    entry_cookie after;                // holds the entries past this cookie …
    bool complete = false;             // … to the end
    std::vector<listed_entry> entries;
};
using listing_run_ptr = std::shared_ptr<const listing_run>;

class listing_cache {
public:
    // One that holds what follows `after`, or null.
    [[nodiscard]] listing_run_ptr find(inode_number directory, std::uint64_t version, entry_cookie after);
    void store(listing_run_ptr run);

private:
    static constexpr std::size_t runs_max = 32;
    std::mutex m_mutex;
    std::list<listing_run_ptr> m_recent;  // front: newest
};

}  // namespace cess::fs
