// A root's store and segment table, as a head, a snapshot's reader and a rewriting of snapshots open them.
#pragma once

#include "reading.hpp"

namespace cess::volume {

struct loaded {
    std::unique_ptr<store> state;
    std::unique_ptr<segment_table> table;
};
[[nodiscard]] store::options options_of(const settings& how, bool read_only);
// The store of a root, or an empty one, with its segment table; `own` gets a lineage index if it has none yet.
[[nodiscard]] result<loaded> load(const store::options& how, const root_manifest& manifest, std::optional<volume_id> own);

}  // namespace cess::volume
