// A filesystem's metadata as readable text, for `cess export`: JSON, one object a line (docs/formats/export.md). The same state gives
// the same bytes. It is written as it is read, and takes the memory of a batch of rows (2 MiB).
#pragma once

#include <objectstore/volume/volume.hpp>

#include <functional>
#include <string>

namespace cess::fs {

struct export_source {
    std::string volume;
    std::string snapshot;  // empty: it is of the moment, which has no name
};

// REQUIRES: nobody changes it meanwhile. `into` gets whole lines; its error ends the export.
using line_sink = std::function<result<void>(std::string_view)>;
[[nodiscard]] result<void> export_metadata(volume::reader& of, const export_source& named, const line_sink& into);

}  // namespace cess::fs
