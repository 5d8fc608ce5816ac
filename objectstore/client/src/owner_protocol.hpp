// What the account's own tools ask the process that has a volume attached; docs/formats/owner.md.
//
// A command is signed by the account's key over everything that makes it unique: network, volume, term, the owner it
// is for, the connection's key it comes from, and a challenge that the owner gave to that key, which is good once and
// for a short time. So it can be neither replayed nor passed on, and no clocks are compared.
#pragma once

#include <chain/client/client.hpp>
#include <objectstore/client/limits.hpp>
#include <objectstore/layer/owner.hpp>

namespace cess::client {

namespace method {
inline constexpr net::method_id owner_challenge = 0x0301;  // owner_challenge_request → owner_challenge
inline constexpr net::method_id owner_command = 0x0302;    // signed_owner_command → owner_result
}  // namespace method

inline constexpr net::duration challenge_life = std::chrono::seconds(30);

struct owner_challenge_request {
    static constexpr std::uint8_t wire_version = 1;
    template <class S, class C> static void describe(S&, C&) {}
};
struct owner_challenge {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t expires = 0;  // by the owner's own clock; opaque to others
    salt256 unique;
    hash256 mac;                // of the owner over both and the asker's key
    template <class S, class C> static void describe(S& s, C& c) { c(s.expires, s.unique, s.mac); }
};

struct make_snapshot { std::string name; template <class S, class C> static void describe(S& s, C& c) { c(s.name); } };
struct list_snapshots { template <class S, class C> static void describe(S&, C&) {} };
struct set_size { std::uint64_t size = 0; template <class S, class C> static void describe(S& s, C& c) { c(s.size); } };
struct set_limits { io_limits to; template <class S, class C> static void describe(S& s, C& c) { c(s.to); } };
struct get_limits { template <class S, class C> static void describe(S&, C&) {} };
struct tell_usage { template <class S, class C> static void describe(S&, C&) {} };
struct rename_snapshot { std::string name, to; template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.to); } };
// Several volumes are cut at one instant between these two. The second is refused if the first did not last so long.
struct hold_writes {
    std::uint64_t id = 0;  // chosen at random by the asker
    std::uint32_t at_most_ms = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.id, s.at_most_ms); }
};
struct release_writes { std::uint64_t id = 0; template <class S, class C> static void describe(S& s, C& c) { c(s.id); } };
// Begins, or tells how far it is; once it has ended, how.
struct flatten_volume { template <class S, class C> static void describe(S&, C&) {} };
using owner_action = std::variant<make_snapshot, list_snapshots, set_size, set_limits, get_limits, tell_usage, rename_snapshot, hold_writes, release_writes,
                                  flatten_volume>;

struct owner_command {
    static constexpr std::uint8_t wire_version = 1;
    network_id network;
    volume_id volume;
    term_number term;
    public_key owner;  // the session key of the lease
    node_id from;      // the asker's TLS key
    owner_challenge challenge;
    owner_action what;
    template <class S, class C> static void describe(S& s, C& c) { c(s.network, s.volume, s.term, s.owner, s.from, s.challenge, s.what); }
};
struct signed_owner_command {
    static constexpr std::uint8_t wire_version = 1;
    owner_command body;
    signature sig;  // by the account, over "cess owner command v1" ‖ encode(body)
    template <class S, class C> static void describe(S& s, C& c) { c(s.body, s.sig); }
};
[[nodiscard]] inline bytes signed_part(const owner_command& body) {
    auto out = to_bytes("cess owner command v1");
    append(out, wire::encode(body));
    return out;
}

struct listed_snapshot {
    std::string name;
    std::uint64_t created_unix = 0;
    sequence_number at;
    bool pending = false;
    std::uint64_t size = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.created_unix, s.at, s.pending, s.size); }
};
struct told_usage {
    std::uint64_t mapped = 0, stored = 0, needed = 0;  // volume::usage
    template <class S, class C> static void describe(S& s, C& c) { c(s.mapped, s.stored, s.needed); }
};
struct told_flattening {
    bool running = false;
    std::uint64_t done = 0, total = 0;  // bytes
    template <class S, class C> static void describe(S& s, C& c) { c(s.running, s.done, s.total); }
};
struct owner_result {
    static constexpr std::uint8_t wire_version = 1;
    std::vector<listed_snapshot> snapshots;  // of list_snapshots
    std::optional<io_limits> limits;         // of get_limits
    std::optional<told_usage> usage;         // of tell_usage
    std::optional<told_flattening> flattening;  // of flatten_volume
    template <class S, class C> static void describe(S& s, C& c) { c(s.snapshots, s.limits, s.usage, s.flattening); }
};

}  // namespace cess::client
