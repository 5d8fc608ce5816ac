// What `durability=local` acknowledged on this machine and the volume's history then went on without: the local journals that
// were set aside, read again. docs/formats/local.md tells when that happens.
//
// Some of it may be in the volume all the same: a journal is set aside whole, and in doubt.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::volume {

// Where bytes of a journal are: in the record of an entry, which is sealed as a whole.
struct lost_place {
    std::size_t file = 0;      // index in lost_journal::files
    std::uint64_t record = 0;  // its offset in the file
    std::uint64_t number = 0;  // of the entry
    std::uint64_t offset = 0;  // in the entry
};
// A range of a blob as the last of these changes left it.
struct lost_range {
    enum class kind : std::uint8_t {
        data,
        zeros,
        elsewhere,  // its bytes are not in the journal: in a segment that went to the miners, or shared from older ones
    };
    blob_id blob = 0;
    std::uint64_t offset = 0, length = 0;
    kind what = kind::data;
    lost_place at;  // data; lost_data reads it
};

// Of one term. What it takes of memory goes with the number of writes, not with their bytes.
struct lost_journal {
    std::vector<std::string> files;
    term_number term;
    std::uint64_t entries = 0;
    sequence_number first, last;       // change; last before first: none
    std::uint64_t keys = 0;            // that were set or erased
    std::uint64_t until_unix = 0;      // when a file of it was written last, as the disk says
    std::vector<lost_range> ranges;    // ascending, never overlapping, data in pieces as they were written
    std::string damage;                // what of the journal cannot be had, and why; empty: nothing is missing
};

// All that are in a volume's `directory`, oldest first. One of which nothing can be read has no entries. Entries are read until one
// is missing; those missing at the beginning are passed over. `damage` tells of both, and which term a file that does not open is
// of its name does.
[[nodiscard]] result<std::vector<lost_journal>> read_lost(const chain::account& who, network_id network, volume_id volume, const std::string& directory,
                                                          os::file_system* disk = nullptr);

// Reads the data of a journal's ranges. It keeps the entries that it met last, memory_max bytes of them, and one in any case.
// Movable, not thread-safe.
class lost_data {
public:
    static constexpr std::uint64_t memory_max = 64 * MiB;
    lost_data(const chain::account& who, std::string directory, const lost_journal& of, os::file_system* disk = nullptr);
    ~lost_data();
    lost_data(lost_data&&) noexcept;

    // REQUIRES: `of` is data of that journal, and offset + out.size() <= of.length
    [[nodiscard]] result<void> read(const lost_range& of, std::uint64_t offset, byte_span out);

private:
    struct state;
    std::unique_ptr<state> m_state;
};

}  // namespace cess::volume
