#include "member_links.hpp"

#include "members.hpp"

#include <algorithm>

namespace cess::chain {

result<std::vector<consensus::block_ptr>> decode_blocks(byte_view body) {
    const auto encoded = wire::decode<std::vector<bytes>>(body);
    if (!encoded || encoded->size() > message_blocks_max) return error(errc::protocol, "message of blocks");
    std::vector<consensus::block_ptr> out;
    out.reserve(encoded->size());
    for (const auto& one : *encoded) {
        TRY(auto block, wire::decode<consensus::block>(one));
        out.push_back(consensus::named(std::move(block)));
    }
    return out;
}

// One of a peer's calls under way.
struct member_links::held {
    explicit held(unsigned& of) : count(of) { ++count; }
    ~held() { --count; }
    held(const held&) = delete;
    held& operator=(const held&) = delete;
    unsigned& count;
};

member_links::member_links(net::env& world, net::caller& through, net::task_group& tasks, network_id network, std::uint64_t epoch, consensus::author_index self,
                           std::vector<net::peer> members, owner tell)
    : m_world(world), m_through(through), m_tasks(tasks), m_network(network), m_epoch(epoch), m_self(self), m_tell(std::move(tell)) {
    for (auto& who : members) m_links.emplace_back().to = std::move(who);
}

void member_links::broadcast(const consensus::block_ptr& block) {
    const waiting what{block->ref, std::make_shared<const bytes>(wire::encode(block->what))};
    for (std::size_t i = 0; i < m_links.size(); ++i) {
        if (i == m_self) continue;
        queue(m_links[i], what);
        if (m_links[i].pushes < pushes_max) m_tasks.spawn(push(i));
    }
}

void member_links::broadcast(block_height height, const signature& own) {
    for (std::size_t i = 0; i < m_links.size(); ++i) {
        if (i == m_self) continue;
        auto& untold = m_links[i].signatures;
        if (untold.size() == message_signatures_max) untold.erase(untold.begin());
        untold.emplace_back(height, own);
        if (m_links[i].tellings == 0) m_tasks.spawn(tell(i));
    }
}

// What is lost on the way comes in a block.
net::awaitable<void> member_links::tell(std::size_t to) {
    auto& link = m_links[to];
    if (link.tellings > 0) co_return;
    held one(link.tellings);
    while (!link.signatures.empty()) {
        const signatures_message what{m_network, m_epoch, std::exchange(link.signatures, {})};
        auto telling = call(static_cast<consensus::author_index>(to), method::signatures, wire::encode(what), {}, net::lane::control);
        const auto told = co_await std::move(telling);
        if (!told) co_return;
    }
}

void member_links::queue(peer_link& to, const waiting& what) {
    if (std::any_of(to.queue.begin(), to.queue.end(), [&](const waiting& w) { return w.name == what.name; })) return;
    to.queue.push_back(what);
    to.queued_bytes += what.encoded->size();
    while (to.queue.size() > 1 && (to.queue.size() > queued_blocks_max || to.queued_bytes > queued_bytes_max)) {
        to.queued_bytes -= to.queue.front().encoded->size();
        to.queue.pop_front();
    }
}

std::vector<bytes> member_links::take(peer_link& from) {
    std::vector<bytes> out;
    std::size_t size = 0;
    while (!from.queue.empty()) {
        const auto next = from.queue.front().encoded->size();
        if (!out.empty() && size + next > message_bytes_max) break;
        size += next;
        out.push_back(*from.queue.front().encoded);
        from.queued_bytes -= next;
        from.queue.pop_front();
    }
    return out;
}

net::awaitable<result<net::reply>> member_links::call(consensus::author_index to, net::method_id method, bytes head, bytes body, net::lane on) {
    net::request what;
    what.method = method;
    what.head = std::move(head);
    what.body = std::move(body);
    return m_through.call(m_links[to].to, std::move(what), m_world.now() + call_within, on);
}

net::awaitable<void> member_links::push(std::size_t to) {
    auto& link = m_links[to];
    if (link.pushes >= pushes_max) co_return;
    held one(link.pushes);
    while (!link.queue.empty()) {
        const blocks_message head{m_network, m_epoch};
        auto sending = call(static_cast<consensus::author_index>(to), method::blocks, wire::encode(head), wire::encode(take(link)), net::lane::control);
        const auto sent = co_await std::move(sending);
        if (sent) continue;
        if (sent.error().code == errc::canceled) co_return;
        if (sent.error().code == errc::conflict) m_tell.ended(static_cast<consensus::author_index>(to));
        auto slept = co_await m_world.sleep_for(pause_after_failure);
        if (!slept) co_return;
    }
}

void member_links::ask(consensus::request what) {
    if (what.peer == m_self || what.peer >= m_links.size() || m_links[what.peer].fetches >= fetches_max) return;
    m_tasks.spawn(fetch(std::move(what)));
}

net::awaitable<void> member_links::fetch(consensus::request what) {
    auto& link = m_links[what.peer];
    if (link.fetches >= fetches_max) co_return;
    held one(link.fetches);
    fetch_request head{m_network, m_epoch, what.blocks, what.from};
    auto asking = call(what.peer, method::fetch, wire::encode(head), bytes(), net::lane::bulk);
    auto got = co_await std::move(asking);
    if (!got && got.error().code == errc::not_found) m_tell.gone(what.peer);
    if (!got) co_return;
    auto blocks = decode_blocks(got->body);
    if (!blocks) co_return;
    const auto unasked = [&what](const consensus::block_ptr& b) { return std::find(what.blocks.begin(), what.blocks.end(), b->ref) == what.blocks.end(); };
    if (!what.from) std::erase_if(*blocks, unasked);
    if (blocks->empty()) co_return;
    auto taking = m_tell.receive(std::move(what), std::move(*blocks));
    co_await std::move(taking);
}

}  // namespace cess::chain
