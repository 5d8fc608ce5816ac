// The fragments of a store: which there are, whose, and whether the ledger lists them; publishing, reading, deleting.
//
// One copy a (segment, index, volume): what one volume's owner or record does never touches another's copy. The
// file's name carries the state: <segment>.<index>.<volume>.<term>, term 0 once the ledger lists the segment. So every
// change of state is one rename, and opening a store reads no file.
//
// Thread-safe; blocking. Changes of one segment are ordered by its shard's mutex, held across the disk operations;
// m_mutex guards memory only.
#pragma once

#include "fault_book.hpp"
#include "fragment_file.hpp"
#include "space.hpp"

#include <array>
#include <list>
#include <map>
#include <set>

namespace cess::storage {

// Provisional fragments of one segment that may have outlived their need, as the sweeper sees them.
struct provisional_segment {
    fragment_tag tag;
    segment_id segment;
    friend auto operator<=>(const provisional_segment&, const provisional_segment&) = default;
};

class fragment_store {
public:
    fragment_store(os::file_system& disk, store_paths paths, space_account& space, fault_book& faults, std::size_t open_max)
        : m_disk(disk), m_paths(std::move(paths)), m_space(space), m_faults(faults), m_open_max(open_max) {}

    result<void> load();  // at open

    // Reserves the file of a fragment of so many bytes for a term. errc::no_space past `limit`. Given back when the ticket
    // dies unless published.
    class ticket {
    public:
        ticket() = default;
        ticket(fragment_store& of, fragment_tag tag, std::uint64_t length) : m_of(&of), m_tag(tag), m_length(length) {}
        ticket(ticket&& from) noexcept : m_of(std::exchange(from.m_of, nullptr)), m_tag(from.m_tag), m_length(from.m_length) {}
        ticket& operator=(ticket&& from) noexcept;
        ~ticket() { release(); }
        void keep() noexcept { m_of = nullptr; }
        void release() noexcept;

    private:
        fragment_store* m_of = nullptr;
        fragment_tag m_tag;
        std::uint64_t m_length = 0;
    };
    [[nodiscard]] result<ticket> reserve(const fragment_tag& tag, std::uint64_t length, std::uint64_t limit);

    // True if this volume's copy is here already, and not known to be damaged: committed, or provisional under this term (raised to it, durably).
    result<bool> adopt(const fragment_ref& fragment, const fragment_tag& tag, std::uint64_t limit);
    // Gives a finished, synced file in tmp its name, durably, in the place of a damaged copy too. What it replaces is gone.
    struct finished {
        std::string path;
        std::uint64_t length = 0;
        space_claim claim;
        ticket reserved;
    };
    result<void> publish(const fragment_ref& fragment, const fragment_tag& tag, finished file);

    // Of several copies one that is not known to be damaged. errc::corrupt: all are.
    [[nodiscard]] result<std::shared_ptr<const fragment_file>> open(const fragment_ref& fragment);
    [[nodiscard]] std::shared_ptr<const fragment_file> opened(const fragment_ref& fragment);  // null unless it is open; waits for nothing
    // The ledger lists the segment in `volume`: its fragments stay until it says otherwise.
    result<void> commit(const segment_id& segment, const volume_id& volume);
    // Deletes the volume's fragments of a segment: all of them, or those provisional under the tag's term.
    result<std::size_t> remove_all(const segment_id& segment, const volume_id& volume);
    result<std::size_t> remove_provisional(const segment_id& segment, const fragment_tag& tag);

    // Up to `limit` after `cursor`, in order; moves the cursor, back to the start after the last.
    [[nodiscard]] std::vector<provisional_segment> provisional(provisional_segment& cursor, std::size_t limit) const;
    // For checking: the copies after `cursor`, in order; those of one fragment; one of them as the medium has it (nothing
    // if it is no longer here), and that what is known of one has changed.
    [[nodiscard]] std::vector<copy_name> after(const copy_name& cursor, std::size_t limit) const;
    [[nodiscard]] std::vector<copy_name> copies_of(const fragment_ref& fragment) const;
    [[nodiscard]] result<std::shared_ptr<const fragment_file>> open_medium(const copy_name& name);
    void judged(const copy_name& name) { close_cached(name.segment); }
    [[nodiscard]] std::size_t count() const;
    [[nodiscard]] std::size_t provisional_count() const;

private:
    struct copy {
        std::uint8_t index = 0;
        fragment_tag tag;          // term 0: committed
        std::uint64_t size = 0;    // of the file
        bool named = false;        // the name is durable: nothing is acknowledged before
        [[nodiscard]] bool committed() const noexcept { return tag.term.value == 0; }
    };
    using copies = std::vector<copy>;

    [[nodiscard]] std::string path_of(const segment_id& segment, const copy& c) const;
    [[nodiscard]] static std::optional<std::pair<segment_id, copy>> parse_name(std::string_view name);
    result<void> load_directory(const std::string& path);
    [[nodiscard]] copies matching(const segment_id& segment, const volume_id& volume) const;
    std::mutex& shard(const segment_id& id) { return m_shards[std::to_integer<std::size_t>(id.raw[1]) % m_shards.size()]; }
    result<void> retag(const segment_id& segment, const copy& from, const fragment_tag& to);
    result<void> settle_names(const segment_id& segment);            // syncs the directory. REQUIRES: the shard
    result<void> drop(const segment_id& segment, const copy& c);     // REQUIRES: the shard
    result<void> replace(const segment_id& segment, const copy& damaged, finished file);  // REQUIRES: the shard
    template <class Doomed>
    result<std::size_t> remove_if(const segment_id& segment, const volume_id& volume, Doomed doomed);
    void note(const segment_id& segment, const copy& c);    // REQUIRES: m_mutex
    void forget(const segment_id& segment, const copy& c);  // REQUIRES: m_mutex
    void close_cached(const segment_id& segment);
    void cache(const fragment_ref& fragment, std::shared_ptr<const fragment_file> file);

    os::file_system& m_disk;
    const store_paths m_paths;
    space_account& m_space;
    fault_book& m_faults;
    const std::size_t m_open_max;
    std::array<std::mutex, 64> m_shards;
    mutable std::mutex m_mutex;
    std::map<segment_id, copies> m_index;
    std::size_t m_count = 0;
    std::set<provisional_segment> m_provisional;
    std::map<fragment_tag, std::uint64_t> m_reserved;  // bytes of provisional files, those of unfinished uploads included
    // Least recently used first.
    using cached = std::pair<fragment_ref, std::shared_ptr<const fragment_file>>;
    std::list<cached> m_open;
    std::map<std::pair<segment_id, std::uint8_t>, std::list<cached>::iterator> m_open_index;
};

}  // namespace cess::storage
