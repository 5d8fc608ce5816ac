#include <support/model_miner.hpp>

#include <algorithm>

namespace cess::simulation {

using namespace storage;

class model_miner::server final : public net::service {
public:
    server(model_miner& of, std::uint64_t life) : m_of(of), m_life(life) {}
    net::awaitable<net::reply> serve(node_id from, net::request what) override { return m_of.serve(from, std::move(what), m_life); }

private:
    model_miner& m_of;
    std::uint64_t m_life;
};

model_miner::model_miner(world& in, network& on, const ledger::trust& trust, node_id id)
    : m_world(in), m_network(on), m_trust(trust), m_id(id), m_incarnation(in.random().id<incarnation_id>()) {}

void model_miner::start() { m_network.up(m_id, std::make_shared<server>(*this, ++m_life)); }

void model_miner::crash() {
    ++m_life;
    m_network.down(m_id);
    for (auto& [id, v] : m_volumes)
        for (auto& [term, j] : v.journals) {
            const auto kept = j.durable + m_world.below(j.groups.size() - j.durable + 1);
            j.groups.resize(kept);
            j.durable = kept;
        }
}

void model_miner::wipe() {
    m_volumes.clear();
    m_incarnation = m_world.random().id<incarnation_id>();
}

model_miner::volume* model_miner::find(const volume_id& id) {
    const auto found = m_volumes.find(id);
    return found == m_volumes.end() ? nullptr : &found->second;
}

net::awaitable<net::reply> model_miner::serve(node_id from, net::request what, std::uint64_t life) {
    net::reply out;
    result<bytes> head = error(errc::unsupported);
    switch (what.method) {
        case method::hello: head = hello(what.head); break;
        case method::present: head = present(what.head); break;
        case method::journal_fence: head = fence(from, what.head); break;
        case method::journal_state: head = state(what.head); break;
        case method::journal_trim: head = trim(what.head); break;
        case method::journal_append: co_return co_await append(from, std::move(what), life);
        case method::journal_read: {
            auto page = read(from, what.head);
            co_return page ? std::move(*page) : net::reply::of(std::move(page).error());
        }
        default: break;
    }
    if (!head) co_return net::reply::of(std::move(head).error());
    auto slept = co_await m_world.sleep_for(m_world.between(broken.sync_min, broken.sync_max));
    if (!slept || life != m_life) co_return net::reply::of(errc::unavailable);
    out.head = std::move(*head);
    co_return out;
}

result<bytes> model_miner::hello(byte_view head) const {
    TRY(auto asked, wire::decode<hello_request>(head));
    if (asked.network != m_trust.network()) return error(errc::permission, "another network");
    hello_reply out;
    out.id = m_id;
    out.incarnation = m_incarnation;
    out.capacity = GiB;
    return wire::encode(out);
}

result<model_miner::volume*> model_miner::learn(const ledger::proved_record& record) {
    // All miners believe the same certificates: one of them checking is enough, and a simulated second stays cheap.
    static std::set<hash256> believed;
    const auto name = crypto::sha256({wire::encode(record.certificate), wire::encode(record.proof), record.value ? byte_view(*record.value) : byte_view()});
    if (!believed.contains(name)) {
        TRY([[maybe_unused]] auto checked, m_trust.value_of<ledger::volume_record>(record));
        if (believed.size() > 1000) believed.clear();
        believed.insert(name);
    }
    TRY(auto certified, wire::decode<ledger::volume_record>(record.value ? byte_view(*record.value) : byte_view()));
    if (record.key != ledger::key::volume(certified.id)) return error(errc::invalid, "not a volume's record");
    auto& v = m_volumes[certified.id];
    for (const auto& lease : certified.leases) v.leases.insert_or_assign(lease.term, lease);
    if (record.certificate.body.height >= v.height) {
        v.height = record.certificate.body.height;
        v.record = std::move(certified);
    }
    return &v;
}

result<bytes> model_miner::present(byte_view head) {
    TRY(auto asked, wire::decode<present_request>(head));
    TRY(auto v, learn(asked.volume));
    (void)v;
    return wire::encode(empty_reply{});
}

// ---- appending -------------------------------------------------------------------------------------------

result<bytes> model_miner::check_append(const node_id& from, const append_request& what, volume*& out) {
    out = find(what.journal.volume);
    if (!out) return error(errc::lease_required);
    const auto lease = out->leases.find(what.journal.term);
    if (what.journal.term < out->fence && !broken.forgetful) return error(errc::fenced);
    if (lease == out->leases.end()) return error(errc::lease_required);
    if (crypto::id_of<node_id>(lease->second.session) != from) return error(errc::permission, "not the session of this term");
    const auto& members = lease->second.members;
    const auto me = std::find_if(members.begin(), members.end(), [this](const auto& m) { return m.miner == m_id; });
    if (me == members.end() || me->incarnation != m_incarnation) return error(errc::permission, "not a member");
    return bytes{};
}

net::awaitable<net::reply> model_miner::append(node_id from, net::request request, std::uint64_t life) {
    auto asked = wire::decode<append_request>(request.head);
    if (!asked) co_return net::reply::of(std::move(asked).error());
    volume* v = nullptr;
    if (auto allowed = check_append(from, *asked, v); !allowed) co_return net::reply::of(std::move(allowed).error());
    if (broken.pretending) {
        append_reply lie;
        lie.durable = {asked->first.value + asked->lengths.size()};
        net::reply out;
        out.head = wire::encode(lie);
        co_return out;
    }
    const auto term = asked->journal.term;
    auto& j = v->journals[term];
    group g;
    g.head.first = asked->first;
    g.head.lengths = asked->lengths;
    g.head.sig = asked->sig;
    g.previous = g.chain = asked->previous;
    byte_view rest = request.body;
    for (std::size_t i = 0; i < asked->lengths.size(); ++i) {
        if (asked->lengths[i] > rest.size()) co_return net::reply::of(errc::protocol);
        g.chain = chain_hash(asked->journal, entry_index{asked->first.value + i}, g.chain, rest.first(asked->lengths[i]));
        rest = rest.subspan(asked->lengths[i]);
    }
    // The group's signature is left to those who read it back: signatures are most of what a simulated second costs.
    const bool empty = !j.started;
    const auto end = g.end();
    if (empty && asked->first == asked->begin) {
        const bool certified = asked->begin.value == 0 || (v->record.head.term == term && v->record.head.journal_base >= asked->begin);
        if (!certified) co_return net::reply::of(errc::lease_required);
        j.started = true;
        j.position = asked->first;
        j.position_chain = asked->previous;
    }
    if (j.started && asked->first == j.end()) {
        if (j.chain() != asked->previous) co_return net::reply::of(error(errc::conflict, "another chain"));
        g.body = std::move(request.body).take();
        j.groups.push_back(std::move(g));
    }
    auto slept = co_await m_world.sleep_for(m_world.between(broken.sync_min, broken.sync_max));
    if (!slept || life != m_life) co_return net::reply::of(errc::unavailable);
    // One sync makes durable what was written before it began; what came later is only counted up to this group.
    auto& now = m_volumes[asked->journal.volume].journals[term];
    while (now.durable < now.groups.size() && now.groups[now.durable].end() <= end) ++now.durable;
    append_reply out;
    out.durable = now.started ? now.durable_end() : entry_index{0};
    net::reply reply;
    reply.head = wire::encode(out);
    co_return reply;
}

// ---- fencing, reading, trimming --------------------------------------------------------------------------

journal_state model_miner::state_of(const volume& of, journal_ref which) const {
    journal_state out;
    out.journal = which;
    out.incarnation = m_incarnation;
    out.fence = of.fence;
    const auto found = of.journals.find(which.term);
    if (found == of.journals.end() || !found->second.started) return out;
    const auto& j = found->second;
    out.base = j.groups.empty() ? j.position : j.groups.front().head.first;
    out.base_chain = j.groups.empty() ? j.position_chain : j.groups.front().previous;
    out.end = j.end();
    out.chain = j.chain();
    return out;
}

result<bytes> model_miner::fence(const node_id& from, byte_view head) {
    TRY(auto asked, wire::decode<fence_request>(head));
    TRY(auto v, learn(asked.volume));
    if (v->record.id != asked.journal.volume) return error(errc::invalid, "the record is of another volume");
    const auto lease = v->leases.find(asked.term);
    if (lease == v->leases.end() || crypto::id_of<node_id>(lease->second.session) != from) return error(errc::permission, "not the session of this term");
    if (asked.term < v->fence) return error(errc::fenced);
    v->fence = asked.term;
    // Answered after the sync that serve() waits for: what was written is then stable too.
    for (auto& [term, j] : v->journals)
        if (term < v->fence) j.durable = j.groups.size();
    return wire::encode(state_of(*v, asked.journal));
}

result<bytes> model_miner::state(byte_view head) {
    TRY(auto asked, wire::decode<journal_ref>(head));
    auto* v = find(asked.volume);
    return wire::encode(v ? state_of(*v, asked) : state_of(volume{}, asked));
}

result<net::reply> model_miner::read(const node_id& from, byte_view head) {
    TRY(auto asked, wire::decode<journal_read_request>(head));
    auto* v = find(asked.journal.volume);
    if (!v) return error(errc::lease_required);
    const bool allowed = std::any_of(v->leases.begin(), v->leases.end(), [&](const auto& l) {
        return l.first >= asked.journal.term && crypto::id_of<node_id>(l.second.session) == from;
    });
    if (!allowed) return error(errc::lease_required);
    journal_read_reply out;
    net::reply reply;
    for (const auto& g : v->journals[asked.journal.term].groups) {
        if (g.end() <= asked.from) continue;
        if (!out.groups.empty() && reply.body.size() + g.body.size() > asked.bytes_max) {
            out.more = true;
            break;
        }
        if (out.groups.empty()) out.previous = g.previous;
        out.groups.push_back(g.head);
        cess::append(reply.body, g.body);
    }
    reply.head = wire::encode(out);
    return reply;
}

result<bytes> model_miner::trim(byte_view head) {
    TRY(auto asked, wire::decode<trim_request>(head));
    TRY(auto v, learn(asked.volume));
    const auto& record = v->record;
    std::erase_if(v->journals, [&](const auto& j) {
        return j.first <= record.term && std::none_of(record.leases.begin(), record.leases.end(), [&](const auto& l) { return l.term == j.first; });
    });
    const auto found = v->journals.find(record.head.term);
    if (found == v->journals.end() || !found->second.started) return wire::encode(empty_reply{});
    auto& j = found->second;
    if (j.end() < record.head.journal_base) {
        j = journal{};
        return wire::encode(empty_reply{});
    }
    while (!j.groups.empty() && j.groups.front().end() <= record.head.journal_base) {
        j.position = j.groups.front().end();
        j.position_chain = j.groups.front().chain;
        j.groups.erase(j.groups.begin());
        if (j.durable > 0) --j.durable;
    }
    return wire::encode(empty_reply{});
}

}  // namespace cess::simulation
