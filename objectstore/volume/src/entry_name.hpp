// What an entry of the journal is called for ever, in whichever term's journal it stands: the term that wrote it, and its
// place among what that term wrote. A process never resumes a term, so that one name means one content.
#pragma once

#include <core/base/ids.hpp>

#include <compare>

namespace cess::volume {

struct entry_name {
    term_number by;            // 0: no entry
    std::uint64_t number = 0;  // from 1
    template <class S, class C> static void describe(S& s, C& c) { c(s.by, s.number); }
    friend auto operator<=>(const entry_name&, const entry_name&) = default;
};

}  // namespace cess::volume
