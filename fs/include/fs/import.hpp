// Makes a filesystem's metadata again from what `cess export` wrote (docs/formats/export.md), for `cess import`.
//
// No data is written: a file's ranges are shared from where the volume's own files have the same places, so only bytes that the
// volume names can be named again. What is not there any more is an error, and so is a stream that is torn, damaged, or describes
// no filesystem. It is read several times and not kept: beside that this takes the memory of a batch (some 64 MiB).
#pragma once

#include <objectstore/volume/volume.hpp>

#include <functional>
#include <optional>
#include <string>

namespace cess::fs {

// Reads at an offset; fewer bytes than asked for only at the end.
using stream_source = std::function<result<std::size_t>(std::uint64_t offset, byte_span out)>;

struct import_header {
    std::string volume;
    volume_id id;
    std::string snapshot;  // empty: of the moment, which had no name
    sequence_number at;    // of the snapshot
};

// Reads all of the stream and checks it as far as it can be checked by itself.
[[nodiscard]] result<import_header> check_stream(const stream_source& from);

struct import_report {
    std::uint64_t inodes = 0, entries = 0, quotas = 0;
    std::uint64_t bytes = 0;  // of data that the files name
    std::uint64_t moved = 0;  // files whose bytes are not mapped as they were in the volume
};

// `into` becomes what the stream describes, whatever it held before, and is checked as `cess fsck` does. That is many changes: after
// an error, or a crash, it is no state that anybody should use. Not synced. Tells bytes of the stream passed, and of how many.
// REQUIRES: nobody else uses `into`, a clone made for this.
[[nodiscard]] result<import_report> import_metadata(volume::volume& into, const stream_source& from,
                                                    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = {});

}  // namespace cess::fs
