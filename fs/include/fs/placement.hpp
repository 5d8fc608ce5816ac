// Where a file's bytes are, for `cess info`. Asked of the mount through extended attributes that are never listed:
// "cess.where" tells it from the file's start, "cess.where@OFFSET" from there on; the value is a placement in the
// canonical codec.
#pragma once

#include <core/base/ids.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cess::fs {

struct placement {
    static constexpr std::uint8_t wire_version = 1;
    struct part {
        std::uint64_t offset = 0, length = 0;  // in the file
        segment_id segment;
        std::uint8_t k = 0, m = 0;             // fragments, and how many of them may be lost
        std::vector<node_id> holders;          // of the segment's fragments; none: the bytes are in the mount's memory, and the journal
        template <class Self, class Codec>
        static void describe(Self& self, Codec& codec) { codec(self.offset, self.length, self.segment, self.k, self.m, self.holders); }
    };
    std::string volume;
    std::vector<part> parts;  // in order; holes are left out
    std::uint64_t next = 0;   // where the rest begins; 0: there is none
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.volume, self.parts, self.next); }
};

inline constexpr std::string_view placement_attribute = "cess.where";
// Of such an attribute's name; none if it is another.
[[nodiscard]] std::optional<std::uint64_t> placement_offset(std::string_view name);

}  // namespace cess::fs
