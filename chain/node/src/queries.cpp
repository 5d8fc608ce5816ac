#include "queries.hpp"

#include <chain/client/protocol.hpp>

#include <algorithm>

namespace cess::chain {
namespace {

constexpr std::size_t freed_page_max = 256;
constexpr std::size_t large_page_max = 100;  // of records that may be hundreds of KiB

net::reply with(bytes head) {
    net::reply out;
    out.head = std::move(head);
    return out;
}

template <class T>
net::reply answer_of(result<T> got) { return got ? with(wire::encode(*got)) : net::reply::of(std::move(got).error()); }

// A page of what `list(state)` gives, cut where it grows too long; one more than fits tells that there is more.
template <class Record, class List>
net::reply paged(const machine& on, std::size_t limit, List list) {
    auto all = on.look([&](ledger::state& state) { return list(state, limit + 1); });
    if (!all) return net::reply::of(std::move(all).error());
    page<Record> out;
    std::size_t size = 0;
    for (auto& record : *all) {
        size += wire::encode(record).size();
        out.more = out.records.size() == limit || (size > page_bytes_max && !out.records.empty());
        if (out.more) break;
        out.records.push_back(std::move(record));
    }
    return with(wire::encode(out));
}

result<ledger::proved_record> read(const machine& on, const network_id& network, const read_request& asked) {
    if (asked.network != network) return error(errc::permission, "asked for another network");
    if (asked.key.size() > key_size_max) return error(errc::too_large, "key of more than 256 bytes");
    TRY(auto proved, on.prove(asked.key));
    const auto here = proved.certificate.body.height;
    if (here < asked.at_least)
        return error(errc::unavailable, "this node stands at height " + std::to_string(here.value) + ", " + std::to_string(asked.at_least.value) + " was asked for");
    return proved;
}

result<freed_reply> freed(const machine& on, const freed_request& asked) {
    TRY(const auto entries, on.look([&](ledger::state& state) { return ledger::list::freed(state, asked.miner, asked.after, freed_page_max); }));
    freed_reply out;
    out.next = asked.after;
    for (const auto& entry : entries) {
        TRY(auto proved, on.prove(entry.key));  // maybe at a later height; a freed record never changes
        out.records.push_back(std::move(proved));
        out.next = entry.at;
    }
    return out;
}

result<std::vector<ledger::state_certificate>> handovers(const machine& on, const network_id& network, const handovers_request& asked) {
    if (asked.network != network) return error(errc::permission, "asked for another network");
    return on.handovers(asked.from, handovers_max);
}

template <class Request, class Answer>
net::reply decoded(const net::request& what, Answer answer) {
    const auto asked = wire::decode<Request>(what.head);
    return asked ? answer(*asked) : net::reply::of(asked.error());
}

}  // namespace

net::reply answer_query(const machine& on, const network_id& network, const net::request& what) {
    switch (what.method) {
        case method::read: return decoded<read_request>(what, [&](const auto& q) { return answer_of(read(on, network, q)); });
        case method::handovers: return decoded<handovers_request>(what, [&](const auto& q) { return answer_of(handovers(on, network, q)); });
        case method::freed: return decoded<freed_request>(what, [&](const auto& q) { return answer_of(freed(on, q)); });
        case method::nodes:
            return decoded<nodes_request>(what, [&](const auto& q) {
                return paged<ledger::node_record>(on, page_max, [&](ledger::state& s, std::size_t n) { return ledger::list::nodes(s, q.after, n); });
            });
        case method::volumes:
            return decoded<volumes_request>(what, [&](const auto& q) {
                return paged<ledger::volume_record>(on, large_page_max, [&](ledger::state& s, std::size_t n) { return ledger::list::volumes(s, q.of, q.after, n); });
            });
        case method::views:
            return decoded<views_request>(what, [&](const auto& q) {
                return paged<ledger::view_record>(on, large_page_max, [&](ledger::state& s, std::size_t n) { return ledger::list::views(s, q.of, q.after, n); });
            });
        case method::segments:
            return decoded<segments_request>(what, [&](const auto& q) {
                const auto limit = std::clamp<std::uint32_t>(q.limit, 1, page_max);
                return paged<ledger::segment_record>(on, limit, [&](ledger::state& s, std::size_t n) { return ledger::list::segments(s, q.lineage, q.after, n); });
            });
        default: return net::reply::of(error(errc::unsupported, "no such request to a consensus node"));
    }
}

}  // namespace cess::chain
