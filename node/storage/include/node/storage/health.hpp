// How a miner's store is, by its own word: what scrubbing found, and how far it is. Asked by `cess status`.
#pragma once

#include <node/storage/protocol.hpp>

namespace cess::storage {

namespace method {
inline constexpr net::method_id health = 0x0102;  // health_request → health_reply
}  // namespace method

// Values are stored and travel; never renumbered.
enum class fault_kind : std::uint8_t {
    leaves = 1,      // some leaves of a fragment do not match their hashes; the others are served
    header = 2,      // a fragment's header or leaf hashes are damaged
    length = 3,      // a fragment's file has the wrong length
    missing = 4,     // a fragment's file is gone
    unreadable = 5,  // the disk does not give it
    journal = 6,     // a journal has lost entries
};
[[nodiscard]] std::string_view to_string(fault_kind kind) noexcept;

// One damaged fragment, or one damaged journal (segment and index then mean nothing).
struct fault {
    std::uint8_t kind = 0;
    segment_id segment;
    std::uint8_t index = 0;
    volume_id volume;
    term_number term;                   // of a journal
    std::vector<std::uint32_t> leaves;  // ascending; of fault_kind::leaves, and of what is unreadable in parts
    std::uint64_t found_s = 0;          // seconds since 1970
    template <class S, class C> static void describe(S& s, C& c) { c(s.kind, s.segment, s.index, s.volume, s.term, s.leaves, s.found_s); }
    friend bool operator==(const fault&, const fault&) = default;
};
// "segment … fragment 2: 1 damaged leaf"
[[nodiscard]] std::string describe(const fault& what);

inline constexpr std::size_t listed_faults_max = 64;

struct health_request {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network); }
};
struct health_reply {
    std::uint64_t scrub_period_s = 0;  // 0: scrubbing is off
    std::uint64_t passes = 0;          // finished
    std::uint64_t last_pass_s = 0;     // when the last one finished, seconds since 1970; 0: never
    std::uint32_t permille = 0;        // of the pass under way
    std::uint64_t faults = 0;          // known now
    std::vector<fault> listed;         // of them, at most listed_faults_max
    template <class S, class C> static void describe(S& s, C& c) { c(s.scrub_period_s, s.passes, s.last_pass_s, s.permille, s.faults, s.listed); }
};

}  // namespace cess::storage
