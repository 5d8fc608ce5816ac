// Blocks that wait for what they refer to, and whom to ask for it. Each author has an account of its own, for what its
// blocks take up and for what is asked on their behalf, so that a liar is in nobody's way.
#pragma once

#include <chain/consensus/rules.hpp>

#include <map>
#include <set>

namespace cess::consensus {

using instant = std::uint64_t;  // microseconds of the owner's monotonic clock

// To one peer: these blocks, or (`from` set) those of the rounds from there on, in the order of rounds, as many as it likes.
struct request {
    author_index peer = 0;
    std::vector<block_ref> blocks;
    std::optional<round_number> from;
};

class pending {
public:
    // Of one author's waiting blocks; a single one always fits.
    static constexpr std::size_t blocks_an_author = 256;
    static constexpr std::size_t bytes_an_author = 32 * MiB;
    static constexpr std::size_t names_an_author = 8192;  // of absent blocks, counted by each that names them
    static constexpr std::size_t blocks_a_request = 64;
    static constexpr std::size_t asked_for_an_author = 256;  // blocks, within `retry`
    static constexpr std::size_t doublings_max = 3;          // of `retry`: one each time that all have been asked in vain

    pending(std::size_t members, author_index self, instant retry) : m_self(self), m_retry(retry), m_accounts(members) {}

    [[nodiscard]] bool holds(const block_ref& what) const { return m_waiting.contains(what); }
    // Something waits for it.
    [[nodiscard]] bool wants(const block_ref& what) const { return m_wanted.contains(what); }
    // A block by somebody else than its author does, perhaps by way of its author's own.
    [[nodiscard]] bool backed(const block_ref& what) const;
    // Blocks by so many authors do, by way of whosesoever.
    [[nodiscard]] bool backed_by(const block_ref& what, std::size_t authors) const;

    // Whether its author's account has room, or is given some: what is backed goes before what is not, then the lower round.
    [[nodiscard]] bool has_room(const named_block& block, const std::vector<block_ref>& missing) const;
    // `from` is asked first. False if there is no room.
    bool add(block_ptr block, const std::vector<block_ref>& missing, author_index from);
    // Those that waited for `what` last, and now for nothing.
    [[nodiscard]] std::vector<block_ptr> arrived(const block_ref& what);
    // What is to be asked for now, for one author after the other; and again, of the next peer, when it is not here by `retry`.
    void due(instant now, std::vector<request>& out);
    [[nodiscard]] std::optional<instant> next_due() const;
    // Forgets what waits below and nothing waits for.
    void collect(round_number floor);
    [[nodiscard]] std::size_t size() const noexcept { return m_waiting.size(); }
    [[nodiscard]] std::size_t wanted_size() const noexcept { return m_wanted.size(); }

private:
    struct waiting {
        block_ptr block;
        std::vector<block_ref> missing;  // at first
        std::size_t left = 0;            // of those
    };
    struct wanted {
        std::vector<block_ref> by;
        bool backed = false;
        author_index ask = 0;
        std::size_t asked = 0;  // times
        instant at = 0;         // to be asked for then
    };
    struct account {
        std::set<block_ref> waiting;
        std::size_t bytes = 0, names = 0;
        std::set<std::pair<instant, block_ref>> due;  // absent blocks that these wait for
        instant window = 0;                           // since when `asked` is counted
        std::size_t asked = 0;
    };
    using requests_by_peer = std::map<author_index, std::vector<block_ref>>;
    [[nodiscard]] std::optional<std::vector<block_ref>> make_room(const named_block& block, std::size_t names) const;
    void back(const block_ref& what);
    void leave(std::map<block_ref, waiting>::iterator who);
    void drop(const block_ref& what);
    void queue(const block_ref& what, const wanted& entry);
    void unqueue(const block_ref& what, const wanted& entry);
    [[nodiscard]] bool ask_for(account& whose, instant now, requests_by_peer& out);
    [[nodiscard]] author_index after(author_index peer) const noexcept;

    author_index m_self;
    instant m_retry;
    std::vector<account> m_accounts;  // by author
    std::size_t m_turn = 0;           // whose is served first
    std::map<block_ref, waiting> m_waiting;
    std::map<block_ref, wanted> m_wanted;
};

}  // namespace cess::consensus
