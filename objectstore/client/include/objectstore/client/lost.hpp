// What `durability=local` acknowledged on this machine and the volume's history went on without: listed, and written as a
// stream of which a volume is made.
#pragma once

#include <objectstore/client/client.hpp>
#include <objectstore/client/diff_stream.hpp>
#include <objectstore/volume/lost.hpp>

namespace cess::client {

// Oldest first. Reads this machine's disk, and needs no miner.
[[nodiscard]] result<std::vector<volume::lost_journal>> lost_journals(runtime& on, const ledger::volume_record& of);
[[nodiscard]] volume::lost_data data_of(runtime& on, const ledger::volume_record& of, const volume::lost_journal& journal);

// Bytes that were written and are not in the stream.
struct left_out {
    std::uint64_t elsewhere = 0;  // not in the journal
    std::uint64_t past_end = 0;   // where the volume, which was shrunk since, has no place: it may be grown again
};
// Of a block volume: what `cess import-diff` makes a volume of the same size of, that holds what was lost where it was
// written, and nothing elsewhere.
[[nodiscard]] result<left_out> export_lost(const ledger::volume_record& of, const volume::lost_journal& what, volume::lost_data& data, byte_sink into);

}  // namespace cess::client
