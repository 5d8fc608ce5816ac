#include "uploads.hpp"

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::storage {
namespace {

// A miner's memory is for what is read; and pages that are written and let go of are the next upload's, still warm. For what is
// small it does not pay.
constexpr std::uint64_t let_go_min = 128 * KiB;

}  // namespace

// Its file is removed when it dies unpublished.
struct uploads::upload {
    upload(os::file_system& disk, std::string file_path, const put_plan& plan)
        : on(disk), path(std::move(file_path)), what(plan), length(fragment_length(plan.geometry, plan.stored_length)),
          leaves(static_cast<std::size_t>((length + leaf_size - 1) / leaf_size)), filled(leaves.size(), false) {}
    upload(const upload&) = delete;
    upload& operator=(const upload&) = delete;
    ~upload() {
        out.reset();
        if (named || !created) return;
        if (auto gone = on.remove(path); !gone) log::warn("storage", "unfinished upload stays until the next start: {}", gone.error().message());
    }

    os::file_system& on;
    const std::string path;
    const put_plan what;
    const std::uint64_t length;
    std::mutex mutex;  // guards what follows
    std::unique_ptr<os::file> out;
    bool created = false;
    std::vector<hash256> leaves;
    std::vector<bool> filled;
    space_claim claim;
    fragment_store::ticket reserved;
    bool closed = false;
    bool named = false;

    // Guarded by uploads::m_mutex.
    node_id from;
    net::time_point touched;
};

result<uploads::upload_ptr> uploads::create(const put_plan& what, std::uint64_t reservation) {
    const fragment_tag tag{what.volume, what.term};
    const auto length = fragment_length(what.geometry, what.stored_length);
    TRY(auto reserved, m_into.reserve(tag, length, reservation));
    TRY(auto claim, m_space.claim(fragment_file_size(length)));
    std::string path;
    {
        const std::lock_guard lock(m_mutex);
        path = m_paths.unfinished() + "/put-" + hex_number(m_next_name++);
    }
    auto made = std::make_shared<upload>(m_disk, std::move(path), what);
    TRY(made->out, m_disk.open(made->path, os::open_mode::create_new));
    made->created = true;
    made->claim = std::move(claim);
    made->reserved = std::move(reserved);
    return made;
}

// REQUIRES: u.mutex
result<void> uploads::finish(upload& u, const segment_identity& named) {
    if (std::find(u.filled.begin(), u.filled.end(), false) != u.filled.end()) return error(errc::invalid, "the fragment is not complete");
    if (merkle_root(u.leaves) != named.roots[u.what.index]) return error(errc::corrupt, "the fragment does not match the segment's root");
    const fragment_ref fragment{id_of(named), u.what.index};
    fragment_header header;
    header.identity = named;
    header.index = u.what.index;
    header.tag = {u.what.volume, u.what.term};
    TRY(const auto front, encode_header(header));
    bytes hashes;
    for (const auto& leaf : u.leaves) append(hashes, leaf.view());
    CHECK_OK(u.out->write_at(fragment_data_at + u.length, hashes));
    CHECK_OK(u.out->write_at(0, front));
    CHECK_OK(u.out->sync());
    if (u.length >= let_go_min) u.out->let_go(fragment_data_at, u.length);
    u.out.reset();
    auto published = m_into.publish(fragment, header.tag, {u.path, u.length, std::move(u.claim), std::move(u.reserved)});
    // After the rename the name in tmp is nobody's; before it, the destructor removes it.
    u.named = !m_disk.exists(u.path);
    return published;
}

// REQUIRES: u.mutex
result<void> uploads::finish_begun(upload& u, const segment_identity& named, std::uint64_t reservation) {
    CHECK_OK(check_identity(named, u.what.index, m_limits.fragment_size_max));
    if (named.geometry != u.what.geometry || named.stored_length != u.what.stored_length) return error(errc::invalid, "the fragment is not of the segment that was begun");
    // Here already, from another upload or an older term: this one's bytes are reserved until it dies, and not twice.
    TRY(const bool here, m_into.adopt({id_of(named), u.what.index}, {u.what.volume, u.what.term}, reservation + std::min(fragment_file_size(u.length), ~reservation)));
    return here ? result<void>() : finish(u, named);
}

result<void> uploads::put(const put_request& what, byte_view data, std::uint64_t reservation) {
    CHECK_OK(check_identity(what.identity, what.index, m_limits.fragment_size_max));
    if (data.size() != fragment_length(what.identity)) return error(errc::invalid, "the fragment's length does not fit its segment");
    TRY(const bool here, m_into.adopt({id_of(what.identity), what.index}, {what.volume, what.term}, reservation));
    if (here) return {};
    auto leaves = leaf_hashes(data);
    if (merkle_root(leaves) != what.identity.roots[what.index]) return error(errc::corrupt, "the fragment does not match the segment's root");
    TRY(const auto made, create(plan_of(what), reservation));
    const std::lock_guard lock(made->mutex);
    CHECK_OK(made->out->write_at(fragment_data_at, data));
    made->leaves = std::move(leaves);
    made->filled.assign(made->leaves.size(), true);
    return finish(*made, what.identity);
}

// REQUIRES: m_mutex
result<void> uploads::admit(const node_id& from, std::uint64_t length) {
    if (m_open.size() >= m_limits.uploads_max) return error(errc::exhausted, "this miner has as many unfinished uploads as it takes");
    const auto mine = m_per_caller.find(from);
    if (mine != m_per_caller.end() && mine->second >= m_limits.uploads_per_caller_max) return error(errc::exhausted, "too many unfinished uploads of one caller");
    if (length > m_limits.upload_bytes_max - std::min(m_bytes, m_limits.upload_bytes_max)) return error(errc::exhausted, "unfinished uploads hold too many bytes");
    return {};
}

result<std::uint64_t> uploads::begin(const node_id& from, const put_plan& what, std::uint64_t reservation, net::time_point now, random_source& random) {
    CHECK_OK(check_shape(what.geometry, what.stored_length, what.index, m_limits.fragment_size_max));
    expire(now);
    const auto length = fragment_length(what.geometry, what.stored_length);
    {
        const std::lock_guard lock(m_mutex);
        CHECK_OK(admit(from, length));
    }
    TRY(auto made, create(what, reservation));
    const std::lock_guard lock(m_mutex);
    CHECK_OK(admit(from, length));  // others may have come while the file was made
    made->from = from;
    made->touched = now;
    std::uint64_t handle = 0;
    while (handle == 0 || m_open.contains(handle)) handle = random.next();
    m_open.emplace(handle, std::move(made));
    ++m_per_caller[from];
    m_bytes += length;
    return handle;
}

result<uploads::upload_ptr> uploads::find(const node_id& from, std::uint64_t handle) const {
    const std::lock_guard lock(m_mutex);
    const auto at = m_open.find(handle);
    if (at == m_open.end() || at->second->from != from) return error(errc::not_found, "no such upload of this caller: begin anew");
    return at->second;
}

result<fragment_tag> uploads::tag_of(const node_id& from, std::uint64_t handle) const {
    TRY(const auto u, find(from, handle));
    return fragment_tag{u->what.volume, u->what.term};
}

result<void> uploads::chunk(const node_id& from, const chunk_request& where, byte_view data, net::time_point now) {
    TRY(const auto u, find(from, where.handle));
    if (where.offset % leaf_size != 0) return error(errc::invalid, "a chunk starts at a multiple of 64 KiB");
    if (data.empty() || where.offset > u->length || data.size() > u->length - where.offset) return error(errc::out_of_range, "the chunk lies outside the fragment");
    const auto end = where.offset + data.size();
    if (end % leaf_size != 0 && end != u->length) return error(errc::invalid, "a chunk ends at a multiple of 64 KiB or with the fragment");
    const auto hashes = leaf_hashes(data);
    {
        const std::lock_guard lock(u->mutex);
        if (u->closed) return error(errc::not_found, "the upload is finished");
        const auto first = static_cast<std::size_t>(where.offset / leaf_size);
        for (std::size_t i = 0; i < hashes.size(); ++i) u->filled[first + i] = false;  // until the write is done
        CHECK_OK(u->out->write_at(fragment_data_at + where.offset, data));
        for (std::size_t i = 0; i < hashes.size(); ++i) {
            u->leaves[first + i] = hashes[i];
            u->filled[first + i] = true;
        }
    }
    const std::lock_guard lock(m_mutex);
    u->touched = now;
    return {};
}

result<void> uploads::commit(const node_id& from, const put_end& what, std::uint64_t reservation) {
    TRY(const auto u, find(from, what.handle));
    const std::lock_guard lock(u->mutex);
    if (u->closed) return error(errc::not_found, "the upload is finished");
    u->closed = true;
    auto done = finish_begun(*u, what.identity, reservation);
    drop(what.handle);
    return done;
}

void uploads::drop(std::uint64_t handle) {
    upload_ptr last;  // dies after the lock is gone
    const std::lock_guard lock(m_mutex);
    const auto at = m_open.find(handle);
    if (at == m_open.end()) return;
    last = std::move(at->second);
    m_open.erase(at);
    m_bytes -= last->length;
    if (const auto mine = m_per_caller.find(last->from); mine != m_per_caller.end() && --mine->second == 0) m_per_caller.erase(mine);
}

void uploads::expire(net::time_point now) {
    std::vector<std::uint64_t> old;
    {
        const std::lock_guard lock(m_mutex);
        for (const auto& [handle, u] : m_open)
            if (now - u->touched > m_limits.upload_idle_max) old.push_back(handle);
    }
    for (const auto handle : old) drop(handle);
}

std::size_t uploads::count() const {
    const std::lock_guard lock(m_mutex);
    return m_open.size();
}

}  // namespace cess::storage
