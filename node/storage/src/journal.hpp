// One journal: the appended groups of one term of one volume, in files that rotate so that trimming deletes whole ones.
//
// An acknowledged group is on stable storage; so is every group before it. Files are named by their first entry and
// chained by it; only the last is written. Thread-safe; blocking: m_mutex is held across disk operations, so that
// a fence that comes after it in the journal's order sees everything that was ever acknowledged.
#pragma once

#include "journal_records.hpp"
#include "spare_files.hpp"
#include "store_files.hpp"

#include <core/base/random.hpp>

#include <deque>
#include <functional>
#include <mutex>

namespace cess::storage {

class journal {
public:
    struct setting {
        os::file_system& disk;
        space_account& space;
        spare_files& spares;
        random_source& random;
        std::string directory;
        journal_ref name;
        std::uint64_t file_size;
        std::function<void()> synced;  // counts
    };
    explicit journal(setting how) : m_how(std::move(how)) {}

    // At open: finds what is there, cuts a torn tail, and makes what it found durable.
    result<void> load();

    // One group as it came; `answer` is filled by commit().
    struct pending {
        append_request what;
        bytes body;
        public_key session;
        entry_index begin_max;  // an empty journal may start up to here (what the ledger certified as not needed)
        result<entry_index> answer = entry_index{};
        std::function<void(pending&)> done;
    };
    // Appends what can be appended, in the order of their entries, with one sync for all. Refused once `fence` says so.
    void commit(std::vector<pending>& batch, const std::function<term_number()>& fence);

    struct position {
        entry_index base, end;
        hash256 base_chain, chain;
    };
    [[nodiscard]] result<position> state();  // waits for a commit under way. errc::corrupt if the journal is damaged
    result<journal_read_reply> read(entry_index from, std::uint32_t bytes_max, bytes& body);
    // Entries below `needed` may go: whole files do.
    result<void> trim(entry_index needed);
    // For checking, file by file: their first entries; whether the file that starts there has, on the medium, all it should.
    // Damage makes the journal answer errc::corrupt to everything from then on: it no longer has what it acknowledged.
    [[nodiscard]] std::vector<entry_index> files();
    struct verdict {
        std::uint64_t bytes = 0;
        bool damaged = false;
    };
    [[nodiscard]] result<verdict> check(entry_index first);
    [[nodiscard]] bool damaged();
    // The directory is about to be removed: nothing is written to it any more, its bytes are given back.
    void abandon();

private:
    struct mark {  // a place to start reading from
        entry_index first;
        std::uint64_t offset;
        hash256 previous;
    };
    struct segment_file {
        journal_file_header header;
        std::uint64_t written = journal_header_size;  // bytes of header and records
        std::uint64_t allocated = 0;                  // bytes of the file
        entry_index end;
        std::vector<mark> marks;                      // every 64 KiB or so
        bool complete = false;                        // marks cover the whole file
    };
    struct staged {
        journal_record record;
        hash256 previous;
        bytes payloads;
    };

    // journal_load.cpp
    result<void> load_file(const std::string& name, bool last);
    result<void> scan_tail(segment_file& f, os::file& on);
    result<void> settle_tail(segment_file& f, os::file& on, std::uint64_t batch);
    result<void> forget_headless(const std::string& path, os::file& on);
    // journal_append.cpp
    result<std::optional<staged>> place(pending& p, entry_index end, const hash256& chain);
    result<std::optional<staged>> place_overlap(const pending& p, entry_index end, const hash256& chain, std::vector<hash256> chains);
    result<void> check_signature(const pending& p, const hash256& chain);
    result<void> write(const std::vector<staged>& groups);
    [[nodiscard]] bool full(std::uint64_t more) const;
    result<void> write_run(bytes& run, std::uint32_t& synced);
    [[nodiscard]] static std::size_t room_for(const std::vector<staged>& groups);
    [[nodiscard]] std::uint64_t growth(std::uint64_t run) const;
    result<void> zero_ahead(std::uint64_t run);
    result<void> start_file(entry_index first, const hash256& previous);
    result<std::unique_ptr<os::file>> make_file(segment_file& f);
    result<std::unique_ptr<os::file>> reuse_file(segment_file& f, const spare_files::spare& from);
    result<void> reload();
    // journal.cpp
    result<std::pair<segment_file*, mark>> seek(entry_index index);
    result<void> index_file(segment_file& f, os::file& on);
    struct step {
        record_head head;
        journal_record record;
        bytes content;
    };
    result<std::optional<step>> read_record(const segment_file& f, os::file& on, std::uint64_t offset);
    result<hash256> chain_after(entry_index index);
    result<void> remove_oldest();
    [[nodiscard]] std::string path_of(const segment_file& f) const { return m_how.directory + "/" + hex_number(f.header.first.value); }
    void add_mark(segment_file& f, const mark& m);
    [[nodiscard]] position where() const;
    // journal_check.cpp
    [[nodiscard]] result<std::uint64_t> check_file(const segment_file& f, entry_index end) const;

    const setting m_how;
    std::mutex m_mutex;
    std::deque<segment_file> m_files;  // empty: an empty journal
    std::unique_ptr<os::file> m_tail;  // of m_files.back()
    entry_index m_end;
    hash256 m_chain;
    bool m_doubtful = false;  // a write or sync failed: what the disk has is found out anew before going on
    bool m_abandoned = false;
    unsigned m_unverified = 0;  // groups since the last one whose signature was looked at, itself included; 0: none yet
    std::optional<error> m_damage;
};

}  // namespace cess::storage
