// The stream that carries what changed between two states of a block volume from one network to another: written by
// `cess export-diff`, read by `cess import-diff`. docs/formats/diff.md has the layout.
//
// Hostile input: a reader holds one record at a time, of bounded size, and believes nothing before its check holds.
// Every check covers everything before it, so that no record can be lost, added, doubled or moved.
#pragma once

#include <chain/ledger/types.hpp>

#include <functional>

namespace cess::client {

// Fills some of the span and says how much; 0 = the end.
using byte_source = std::function<result<std::size_t>(byte_span)>;
using byte_sink = std::function<result<void>(byte_view)>;

namespace diff {

inline constexpr std::size_t piece_max = 1 * MiB;  // of data in one record

struct state {  // of a volume, at a snapshot
    std::string name;
    hash256 id;  // equal ids: equal content, in whatever volume or network
    template <class S, class C> static void describe(S& s, C& c) { c(s.name, s.id); }
};
struct header {
    static constexpr std::uint8_t wire_version = 1;
    ledger::volume_type type = ledger::volume_type::block;
    std::string volume;          // it came from
    std::optional<state> from;   // none: from nothing
    state to;
    std::uint64_t from_size = 0; // of the device
    std::uint64_t to_size = 0;
    std::uint64_t data = 0;      // bytes of data that follow
    template <class S, class C> static void describe(S& s, C& c) { c(s.type, s.volume, s.from, s.to, s.from_size, s.to_size, s.data); }
};
struct data {
    std::uint64_t offset = 0;
    bytes content;  // 1 to piece_max
    template <class S, class C> static void describe(S& s, C& c) { c(s.offset, s.content); }
};
struct zero {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    template <class S, class C> static void describe(S& s, C& c) { c(s.offset, s.length); }
};
struct end {
    std::uint64_t records = 0;  // before this one
    template <class S, class C> static void describe(S& s, C& c) { c(s.records); }
};
using record = std::variant<header, data, zero, end>;

class writer {
public:
    explicit writer(byte_sink to);
    [[nodiscard]] result<void> put(const record& what);

private:
    byte_sink m_to;
    hash256 m_check;
    std::uint64_t m_records = 0;
};

class reader {
public:
    explicit reader(byte_source from);
    // First of all. errc::protocol if this is no such stream, or another version's.
    [[nodiscard]] result<header> begin();
    // Data and zeros in ascending order, none of them overlapping or past to_size; none once the end was read and
    // nothing follows it. Any error is final.
    [[nodiscard]] result<std::optional<record>> next();

private:
    [[nodiscard]] result<record> take();
    [[nodiscard]] result<void> fill(byte_span out, std::string_view what);
    [[nodiscard]] result<void> advance(std::uint64_t offset, std::uint64_t length);

    byte_source m_from;
    hash256 m_check;
    std::uint64_t m_records = 0;
    std::uint64_t m_at = 0, m_size = 0;
    std::uint64_t m_data = 0, m_data_said = 0;
    bool m_ended = false;
};

}  // namespace diff
}  // namespace cess::client
