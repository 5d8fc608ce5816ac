// This member's side of what it says to the others: blocks pushed to each, and asked of each.
//
// Each peer has a queue of its own, which drops its oldest past a bound, and a bounded number of calls under way, so that one that
// stalls costs itself alone: what is lost the protocol sends, or asks for, again.
// All on one strand, which the owner gives; the tasks are the owner's.
#pragma once

#include <chain/consensus/pending.hpp>
#include <core/net/rpc.hpp>
#include <core/net/task_group.hpp>

#include <deque>
#include <functional>

namespace cess::chain {

class member_links {
public:
    static constexpr std::size_t queued_blocks_max = 256;           // to a peer
    static constexpr std::uint64_t queued_bytes_max = 16 * MiB;
    static constexpr unsigned pushes_max = 4;                       // under way to a peer
    static constexpr unsigned fetches_max = 4;
    static constexpr net::duration call_within = std::chrono::seconds(5);
    static constexpr net::duration pause_after_failure = std::chrono::milliseconds(100);

    // What came in answer to a request; of blocks asked for by name those alone.
    using receiver = std::function<net::awaitable<void>(consensus::request asked, std::vector<consensus::block_ptr> blocks)>;
    struct owner {
        receiver receive;
        std::function<void(consensus::author_index at)> ended;  // the epoch, for that member,
        std::function<void(consensus::author_index at)> gone;   // who keeps its log no more
    };

    // `members` in the order of the committee.
    member_links(net::env& world, net::caller& through, net::task_group& tasks, network_id network, std::uint64_t epoch, consensus::author_index self,
                 std::vector<net::peer> members, owner tell);

    void broadcast(const consensus::block_ptr& block);
    // Of a state certificate. The newest of them, if a peer is slow.
    void broadcast(block_height height, const signature& own);
    void ask(consensus::request what);
    [[nodiscard]] net::awaitable<result<net::reply>> call(consensus::author_index to, net::method_id method, bytes head, bytes body, net::lane on);

private:
    struct waiting {
        consensus::block_ref name;
        std::shared_ptr<const bytes> encoded;
    };
    struct peer_link {
        net::peer to;
        std::deque<waiting> queue;
        std::uint64_t queued_bytes = 0;
        unsigned pushes = 0, fetches = 0, tellings = 0;
        std::vector<std::pair<block_height, signature>> signatures;  // not told yet
    };
    struct held;
    void queue(peer_link& to, const waiting& what);
    [[nodiscard]] std::vector<bytes> take(peer_link& from);
    net::awaitable<void> push(std::size_t to);
    net::awaitable<void> tell(std::size_t to);
    net::awaitable<void> fetch(consensus::request what);

    net::env& m_world;
    net::caller& m_through;
    net::task_group& m_tasks;
    const network_id m_network;
    const std::uint64_t m_epoch;
    const consensus::author_index m_self;
    std::vector<peer_link> m_links;
    const owner m_tell;
};

// Blocks of a message's body, named; what does not decode ends it.
[[nodiscard]] result<std::vector<consensus::block_ptr>> decode_blocks(byte_view body);

}  // namespace cess::chain
