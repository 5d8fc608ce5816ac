// Numbered records in a row of files: what block_log and dag_log are both made of.
//
// Files <number of the first record, 16 hex digits><suffix> of records
//
//     mark u32, length u32, number u64, [durable u64,] sha256([salt,] those fields, body), body
//
// numbered upwards by one; integers little-endian. In the *plain* form the mark is the form's magic, each record is synced
// before the next is written, and what stands in brackets is left out. In the *batched* form many records share a sync:
// `durable` is the number up to which all were, when this one was written, and a file begins with {magic u32, version u32,
// number of its first record u64, salt 16 bytes, sha256 of those}, durable before any record is. The salt is random, its
// first bytes are the mark, and it never leaves the machine: what strangers have put into a body cannot be taken for a record.
//
// After a crash the last file may end in what was not synced, torn and with holes in it. The log is cut off at the first
// record that does not check, unless that one is known to have been durable: then it is damage, as it is anywhere else, and the
// log does not open. A file is begun only once all before it is durable.
//
// append() and sync() by one thread at a time; reading by any, beside it.
#pragma once

#include <core/base/ids.hpp>
#include <core/os/file_system.hpp>

#include <array>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

namespace cess::chain {

class record_log {
public:
    struct form {
        std::string noun;      // what a record is, for errors
        std::uint32_t magic = 0;
        std::string suffix;
        bool batched = false;
        std::uint64_t file_size = 0;
    };
    // Where a record stands. `file` is the number of the file's first record.
    struct place {
        std::uint64_t file = 0;
        std::uint64_t offset = 0;
        std::uint64_t number = 0;
        template <class S, class C> static void describe(S& s, C& c) { c(s.file, s.offset, s.number); }
    };
    using visitor = std::function<result<void>(const place&, byte_view body)>;

    record_log(os::file_system& disk, std::string directory, form of) : m_disk(disk), m_directory(std::move(directory)), m_form(std::move(of)) {}

    // The files that are there; recover() has to follow.
    result<void> list_files();
    // Cuts a torn tail off, makes the rest durable, and visits in order every record from `from` on. What lies past the
    // caller's own knowledge `durable` may have been torn.
    result<void> recover(std::uint64_t from, std::uint64_t durable, const visitor& visit);

    // After a failed write or sync nothing more is taken: what is on disk is unknown.
    result<place> append(byte_view body);
    result<void> sync();

    result<bytes> read(const place& at);
    result<place> find(std::uint64_t number);  // among what is durable
    [[nodiscard]] std::uint64_t durable() const;  // up to this number all are; 0 = none ever was
    [[nodiscard]] std::vector<std::uint64_t> files() const;  // the numbers of their first records, ascending

private:
    static constexpr std::size_t open_files_max = 8;
    struct file_handle {
        std::uint64_t first = 0;
        std::shared_ptr<os::file> file;
        std::uint32_t mark = 0;
        std::array<std::byte, 16> salt{};
        std::uint64_t end = 0;  // of what may be read of it
    };
    struct scanned_file : file_handle {
        std::vector<std::uint64_t> offsets;  // of its records
    };
    struct header {
        std::uint32_t length = 0;
        std::uint64_t number = 0;
        std::uint64_t durable = 0;
        hash256 sum;
    };
    struct record {
        header head;
        bytes body;
    };

    [[nodiscard]] std::string path_of(std::uint64_t first) const;
    [[nodiscard]] error damage(const file_handle& in, std::uint64_t offset, std::uint64_t number) const;
    [[nodiscard]] std::size_t header_size() const noexcept { return m_form.batched ? 56 : 48; }
    [[nodiscard]] bytes fields_of(std::uint32_t mark, const header& h) const;
    [[nodiscard]] hash256 sum_of(const file_handle& in, const header& h, byte_view body) const;
    result<std::optional<header>> header_at(const file_handle& in, std::uint64_t offset, std::uint64_t end) const;
    result<std::optional<record>> record_at(const file_handle& in, std::uint64_t offset, std::uint64_t end) const;

    result<file_handle> open(std::uint64_t first, os::open_mode mode) const;
    result<void> begin(file_handle& fresh) const;
    result<bool> read_beginning(file_handle& of) const;
    result<scanned_file> scan(std::uint64_t first, bool last_file, std::uint64_t durable) const;
    result<void> cut_torn_tail(scanned_file& in, std::uint64_t size, std::uint64_t durable) const;
    result<bool> ends_at(const scanned_file& in, std::uint64_t size, std::uint64_t number) const;
    result<bool> says_durable(const scanned_file& in, std::uint64_t size, std::uint64_t number) const;
    result<void> settle_tail(std::uint64_t durable);
    result<void> start_file(std::uint64_t first);
    result<file_handle> handle_of(std::uint64_t first);  // REQUIRES: m_mutex
    result<std::optional<place>> find_known(std::uint64_t number, std::uint64_t& file) const;

    os::file_system& m_disk;
    const std::string m_directory;
    const form m_form;
    std::mutex m_scanning;                // before m_mutex: a whole file is read by one at a time, and nobody who writes waits for it
    mutable std::mutex m_mutex;           // of what follows
    std::vector<std::uint64_t> m_firsts;  // of all files, ascending
    std::uint64_t m_last = 0;              // that was appended
    std::uint64_t m_durable = 0;
    scanned_file m_tail;                  // the last file
    scanned_file m_found;                 // another, for find()
    std::deque<file_handle> m_open;       // others, for read(); the latest first
    bool m_failed = false;
};

}  // namespace cess::chain
