// What `durability=local` acknowledged on this machine and the volume's history then went on without: the local journals that
// were set aside, read again. docs/formats/local.md tells when that happens.
//
// Some of it may be in the volume all the same: a journal is set aside whole, and in doubt.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::volume {

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
    byte_view bytes;  // data; in the journal that told of it
};

// Of one term. Movable; its ranges go with it.
struct lost_journal {
    std::vector<std::string> files;
    term_number term;
    std::uint64_t entries = 0;
    sequence_number first, last;       // change; last before first: none
    std::uint64_t keys = 0;            // that were set or erased
    std::uint64_t until_unix = 0;      // when a file of it was written last, as the disk says
    std::vector<lost_range> ranges;    // ascending, never overlapping, data in pieces as they were written
    std::string damage;                // what of the journal cannot be had, and why; empty: nothing is missing
    std::vector<bytes> held;           // what the ranges' bytes are in
};

// All that are in a volume's `directory`, oldest first. One of which nothing can be read has no entries. Entries are read until one
// is missing; those missing at the beginning are passed over. `damage` tells of both, and which term a file that does not open is
// of its name does.
[[nodiscard]] result<std::vector<lost_journal>> read_lost(const chain::account& who, network_id network, volume_id volume, const std::string& directory,
                                                          os::file_system* disk = nullptr);

}  // namespace cess::volume
