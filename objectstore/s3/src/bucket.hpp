// A bucket: objects, uploads and their bytes in one volume. All S3 semantics that need storage stand here; HTTP does not.
//
// Thread-safe; calls block on the engine (call them on a worker), except where said. A write's answer is the sequence
// that must be durable before anybody is told: committer::durable(). A read's `seen` likewise, since nothing
// undurable may escape.
//
// Bytes that a reader holds (`object_reader`) stay until it lets go: what replaces or deletes the object then lists
// the blob as to be dropped, and the committer drops it after the last reader, or the next open after a crash. Bytes
// of an upload that is not yet an object are listed so from their first write on, so that nothing half-made stays.
#pragma once

#include "conditions.hpp"
#include "listing.hpp"
#include "records.hpp"
#include "xml.hpp"

#include <array>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

namespace cess::s3 {

inline constexpr std::uint64_t object_size_max = 5 * TiB;
inline constexpr std::uint64_t put_size_max = 5 * GiB;
inline constexpr std::uint64_t part_size_min = 5 * MiB;
inline constexpr std::uint32_t part_number_max = 10000;

class bucket;

// Keeps a blob's bytes while it lives. Its death never blocks.
class blob_pin {
public:
    blob_pin() = default;
    blob_pin(bucket& in, volume::blob_id blob);
    blob_pin(blob_pin&& other) noexcept : m_bucket(std::exchange(other.m_bucket, nullptr)), m_blob(other.m_blob) {}
    blob_pin& operator=(blob_pin&& other) noexcept;
    ~blob_pin() { reset(); }
    void reset() noexcept;

private:
    bucket* m_bucket = nullptr;
    volume::blob_id m_blob = 0;
};

struct object_reader {
    object_record record;
    blob_pin pin;
    sequence_number seen;  // to be durable before the record is shown
};

// Bytes on their way to become an object or a part. Not thread-safe. Left uncommitted, its bytes are reclaimed.
class blob_writer {
public:
    explicit blob_writer(bucket& to);
    ~blob_writer();
    blob_writer(const blob_writer&) = delete;
    blob_writer& operator=(const blob_writer&) = delete;
    [[nodiscard]] result<void> write(byte_view data);  // appends
    [[nodiscard]] std::uint64_t size() const noexcept { return m_size; }

private:
    friend class bucket;
    [[nodiscard]] result<void> start(volume::change& with);  // gives it a blob, listed as to be dropped
    // Adds the rest and takes the blob off the list, in the change that makes it an object.
    [[nodiscard]] result<void> finish(volume::change& with, byte_view tail);
    [[nodiscard]] volume::blob_id blob() const noexcept { return m_size == 0 ? 0 : m_blob; }

    bucket& m_bucket;
    volume::blob_id m_blob = 0;
    std::uint64_t m_size = 0;
    bool m_listed = false;     // as to be dropped
    bool m_committed = false;
};

struct written {
    object_record record;
    sequence_number sequence;
};

// Until enough members of its journal confirm that this process still owns the bucket: before, what it knows may be older than
// what another owner has acknowledged. errc::unavailable after some seconds. Blocks.
[[nodiscard]] result<void> wait_confirmed(const volume::volume& head);

class bucket {
public:
    // `head` null: read-only. Reads what a crash left to be dropped.
    static result<std::unique_ptr<bucket>> open(volume::reader& data, volume::volume* head, random_source& random);

    [[nodiscard]] bool writable() const noexcept { return m_head != nullptr; }
    [[nodiscard]] volume::volume* head() noexcept { return m_head; }

    // Objects
    [[nodiscard]] answer<object_reader> find(const std::string& key);
    [[nodiscard]] result<void> read(const object_reader& from, std::uint64_t offset, byte_span out);
    // `meta` is the record but for blob and size; `tail` the bytes the writer has not been given. Judges If-Match and
    // If-None-Match together with the replacement.
    [[nodiscard]] answer<written> put(const std::string& key, blob_writer& body, byte_view tail, object_record meta, const header_list& conditions);
    // Of what is not there, unless `if_match` (a header's value; empty: none) wants it to be: nothing happens.
    [[nodiscard]] answer<sequence_number> remove(const std::string& key, std::string_view if_match = {});
    // Shares the bytes of `from` (of this bucket). `meta` as above.
    [[nodiscard]] answer<written> copy(const object_reader& from, const std::string& to, object_record meta, const header_list& conditions);
    [[nodiscard]] answer<bool> empty();

    struct page {
        list_page keys;        // values: encoded object_record or upload_record
        sequence_number seen;
    };
    [[nodiscard]] answer<page> list(const list_request& what);

    // Uploads in parts
    [[nodiscard]] answer<std::pair<std::string, sequence_number>> create_upload(const std::string& key, upload_record what);
    [[nodiscard]] answer<upload_record> find_upload(const std::string& key, const std::string& id);
    [[nodiscard]] answer<sequence_number> put_part(const std::string& key, const std::string& id, std::uint32_t number, blob_writer& body, byte_view tail,
                                                   part_record meta);
    [[nodiscard]] answer<sequence_number> copy_part(const std::string& key, const std::string& id, std::uint32_t number, const object_reader& from,
                                                    byte_range range, part_record meta);
    [[nodiscard]] answer<written> complete_upload(const std::string& key, const std::string& id, const std::vector<completed_part>& parts,
                                                  const header_list& headers);
    [[nodiscard]] answer<sequence_number> abort_upload(const std::string& key, const std::string& id);
    struct listed_part {
        std::uint32_t number;
        part_record record;
    };
    [[nodiscard]] answer<std::vector<listed_part>> list_parts(const std::string& key, const std::string& id, std::uint32_t after, std::size_t limit);
    [[nodiscard]] answer<page> list_uploads(const list_request& what);  // names: key NUL id

    // Drops what is to be dropped, a bounded step; whether more is left. Called by the committer.
    [[nodiscard]] result<bool> reclaim();
    [[nodiscard]] bool has_garbage() const;
    // Called (without locks held) when garbage appears: wakes the committer.
    void on_garbage(std::function<void()> tell);
    // A write of `key` is durable: nobody needs to wait for it any more.
    void settle(const std::string& key, sequence_number sequence);

private:
    friend class blob_pin;
    friend class blob_writer;
    bucket(volume::reader& data, volume::volume* head, random_source& random) : m_data(data), m_head(head), m_random(random) {}
    result<void> load_garbage();
    result<volume::blob_id> new_blob();

    void pin(volume::blob_id blob);
    void unpin(volume::blob_id blob) noexcept;
    void discard(volume::blob_id blob) noexcept;  // listed already
    void tell_garbage() noexcept;
    // The bytes of what a change replaces: dropped by it, or listed if somebody reads them.
    class retiring;

    [[nodiscard]] result<std::optional<object_record>> record_of(const std::string& key);
    [[nodiscard]] result<std::optional<part_record>> part_of(const std::string& id, std::uint32_t number);
    [[nodiscard]] answer<written> replace(const std::string& key, volume::change& with, object_record record, const header_list& conditions);
    [[nodiscard]] answer<sequence_number> replace_part(const std::string& id, std::uint32_t number, volume::change& with, part_record record);
    [[nodiscard]] result<void> share_parts(blob_writer& to, const std::vector<part_record>& parts, volume::change& last);
    [[nodiscard]] result<bool> dismantle(const std::string& upload);
    [[nodiscard]] answer<std::vector<part_record>> choose_parts(const std::string& id, const std::vector<completed_part>& wanted);
    [[nodiscard]] answer<sequence_number> erase(const std::string& key, const object_record& what);  // under the key's lock
    void remember(const std::string& key, sequence_number sequence);
    [[nodiscard]] sequence_number recent(const std::string& key);
    [[nodiscard]] result<void> make_tellable(sequence_number seen);

    std::mutex& lock_of(std::string_view name) noexcept;

    volume::reader& m_data;
    volume::volume* m_head;
    random_source& m_random;

    static constexpr std::size_t stripes = 512;
    std::array<std::mutex, stripes> m_locks;  // by key: read-decide-write
    std::array<std::mutex, 64> m_upload_locks;  // by upload; taken before a key's

    std::mutex m_blob_mutex;
    volume::blob_id m_next_blob = 1, m_reserved = 1;

    mutable std::mutex m_garbage_mutex;
    std::unordered_map<volume::blob_id, std::uint32_t> m_pins;
    std::unordered_set<volume::blob_id> m_retired;  // pinned and listed
    std::deque<volume::blob_id> m_garbage;
    std::deque<std::string> m_ended;                // uploads
    std::function<void()> m_tell_garbage;

    std::mutex m_recent_mutex;
    std::unordered_map<std::string, sequence_number> m_recent;  // applied, perhaps not durable
};

}  // namespace cess::s3
