// Fragments on their way in: a file in tmp each, filled in chunks, hashed as they arrive.
//
// An upload belongs to the caller that began it: nobody else can write to it or finish it. Their number, the bytes
// they may still write and the time they may lie idle are bounded. Thread-safe; blocking; a mutex each upload.
#pragma once

#include "fragment_store.hpp"

#include <core/net/env.hpp>
#include <node/storage/miner.hpp>

#include <map>

namespace cess::storage {

class uploads {
public:
    uploads(os::file_system& disk, store_paths paths, space_account& space, fragment_store& into, const miner_limits& limits)
        : m_disk(disk), m_paths(std::move(paths)), m_space(space), m_into(into), m_limits(limits) {}

    // A fragment that came whole.
    result<void> put(const put_request& what, byte_view data, std::uint64_t reservation);
    // Handle of a new upload.
    result<std::uint64_t> begin(const node_id& from, const put_plan& what, std::uint64_t reservation, net::time_point now, random_source& random);
    result<void> chunk(const node_id& from, const chunk_request& where, byte_view data, net::time_point now);
    // Whole, equal to its root, synced and named; or the reason, and the upload is gone.
    result<void> commit(const node_id& from, const put_end& what, std::uint64_t reservation);
    // The term under which an upload was begun, to be judged again before it is finished.
    [[nodiscard]] result<fragment_tag> tag_of(const node_id& from, std::uint64_t handle) const;
    // Drops what has lain idle too long.
    void expire(net::time_point now);
    [[nodiscard]] std::size_t count() const;

private:
    struct upload;
    using upload_ptr = std::shared_ptr<upload>;
    result<upload_ptr> create(const put_plan& what, std::uint64_t reservation);
    result<void> finish(upload& u, const segment_identity& named);
    result<void> finish_begun(upload& u, const segment_identity& named, std::uint64_t reservation);
    [[nodiscard]] result<upload_ptr> find(const node_id& from, std::uint64_t handle) const;
    result<void> admit(const node_id& from, std::uint64_t length);
    void drop(std::uint64_t handle);

    os::file_system& m_disk;
    const store_paths m_paths;
    space_account& m_space;
    fragment_store& m_into;
    const miner_limits& m_limits;
    mutable std::mutex m_mutex;
    std::map<std::uint64_t, upload_ptr> m_open;
    std::map<node_id, std::uint32_t> m_per_caller;
    std::uint64_t m_bytes = 0;
    std::uint64_t m_next_name = 0;
};

}  // namespace cess::storage
