// Making a volume what one of its snapshots is.
//
// What differs, as the extent maps tell, is written again or punched, and the keys are set; all snapshots stay as they are,
// and what is rolled back over is freed like all that was overwritten. That is many changes: a mark among the volume's keys
// stands from before the first until after the last, so that nobody takes what is half-way for a state. After a crash
// another call goes on, to the same snapshot or to another one.
#pragma once

#include <objectstore/volume/volume.hpp>

namespace cess::volume {

// The snapshot that a rollback was under way to, if it has not ended.
[[nodiscard]] result<std::optional<std::string>> unfinished_rollback(reader& of);

// Takes what is there when it was interrupted as the volume's state. errc::not_found if none was.
[[nodiscard]] result<void> abandon_rollback(volume& head);

// `to` is the head's snapshot `name`. Tells bytes written, and of how many. Durable when it returns. A device gets the
// snapshot's size and keeps its own keys, which are its settings; of the others the size, which is a limit, stays.
// REQUIRES: nobody else writes to `head`, or makes snapshots of it.
[[nodiscard]] result<void> roll_back(volume& head, reader& to, const std::string& name,
                                     const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace cess::volume
