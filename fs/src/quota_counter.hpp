// Counts what was below a directory when it got its quota: gives every inode there the project, one change each, in a
// thread of its own. Whatever is not counted yet is found again after a crash.
//
// It holds at every moment, and so after every crash:
// - A project's record counts exactly the inodes that name the project.
// - While it is counting, each of its directories stands in the uncounted set, or all that its entries lead to has it.
// - What gets an entry in a directory of a project has the project, or gets it in the same change: made there, linked
//   (refused with EXDEV unless it has it), or renamed there (take_project). So one pass through a directory, in the
//   order of its listing, finds all that were there before.
// docs/formats/filesystem.md has the rest of the argument.
#pragma once

#include "background_steps.hpp"
#include "format.hpp"

#include <objectstore/volume/volume.hpp>

#include <map>

namespace cess::fs {

struct context;
struct inode;

class quota_counter {
public:
    quota_counter(context& in, bool in_background);

    void wake() noexcept;  // there may be something to count; REQUIRES: a volume that can be written
    [[nodiscard]] answer<bool> step();  // bounded; false: nothing was left to do. One thread at a time.

private:
    // Where a project's pass through a directory is. Kept in memory: after a crash the pass begins anew.
    struct place {
        inode_number directory;
        entry_cookie after;
    };

    [[nodiscard]] answer<bool> sweep();
    [[nodiscard]] answer<void> pass(project_id project, inode_number directory);
    [[nodiscard]] answer<void> count_entry(inode_number directory, const format::listing_record& entry);

    context& m_in;
    std::map<project_id, place> m_places;  // of projects that are counted
    project_id m_last;                     // whose turn it was
    background_steps m_steps;  // last: its thread uses the others
};

// What has, or gets, an entry in the directory and no project yet takes the directory's: in `next`, and in the change what
// follows from it but the charge of use_of(). False: nothing to take, or it has one. REQUIRES: exclusive locks of both.
[[nodiscard]] bool take_project(context& in, volume::change& change, const inode& directory, const inode& node, format::inode_record& next);

}  // namespace cess::fs
