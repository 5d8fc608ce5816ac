// Which miners get the fragments of a new segment: alive, with space, one a failure domain, the roomy ones more often.
#pragma once

#include <objectstore/layer/deadlines.hpp>
#include <objectstore/layer/miners.hpp>

namespace cess::layer {

// Thread-safe. What miners say of themselves is asked again when it is used and older than a few seconds.
class placement {
public:
    placement(net::env& world, chain::client& ledger, deadlines limits) : m_world(world), m_ledger(ledger), m_limits(limits) {}

    // Miners in the order in which they should be tried: the first `count` are of distinct failure domains, those
    // after them are substitutes (of whatever domain). errc::unavailable or errc::no_space if
    // there are not `count` of them.
    struct choice {
        node_id miner;
        std::string domain;
    };
    net::awaitable<result<std::vector<choice>>> choose(miner_link& link, std::size_t count, std::uint64_t fragment_bytes, net::time_point deadline);
    void full(const node_id& miner);  // it refused for lack of space
    void late(miner_link& link, const node_id& miner) { link.directory().failed(miner); }  // others stored theirs long before

private:
    struct standing {
        std::uint64_t free = 0;
        net::time_point seen{};
        bool answered = false;
        error failure;  // of one that did not answer
    };
    [[nodiscard]] std::string last_failure(const std::vector<ledger::node_record>& listed) const;  // REQUIRES: m_mutex
    net::awaitable<void> ask_all(miner_link& link, std::size_t count, net::time_point deadline);

    net::env& m_world;
    chain::client& m_ledger;
    deadlines m_limits;
    std::mutex m_mutex;
    std::map<node_id, standing> m_standings;
    net::time_point m_asked{};
    bool m_ever_asked = false;
};

}  // namespace cess::layer
