// The disk tier of a process's block cache, if it is configured.
//
// It is opened by the first attach, so that commands which only ask the ledger do not touch it. Processes that run at
// the same time each have a folder of their own below cache.disk_directory: the first that is free of 0, 1, … , so that
// a process finds what the last one left.
#pragma once

#include "memory_budget.hpp"

#include <cache/disk_cache.hpp>
#include <cache/tiered_cache.hpp>
#include <objectstore/client/client.hpp>

namespace cess::client {

// Thread-safe. Outlives the cache that it opens a tier for.
class disk_tier {
public:
    static constexpr unsigned folders_max = 8;

    disk_tier(const config& how, const memory_budget& budget, const chain::account& who);
    [[nodiscard]] std::uint64_t memory() const noexcept { return m_how.memory_max; }  // that it takes of the cache's
    void open_behind(cache::tiered_cache& front, random_source& random, metrics& count);  // once; what hinders it is logged

private:
    [[nodiscard]] result<std::unique_ptr<cache::disk_cache>> open(random_source& random, metrics& count);

    const std::string m_below;
    cache::disk_options m_how;
    std::mutex m_mutex;
    bool m_tried = false;
    std::unique_ptr<os::directory_lock> m_lock;
};

}  // namespace cess::client
