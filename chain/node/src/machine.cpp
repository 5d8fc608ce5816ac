#include "machine.hpp"

#include "index.hpp"
#include "state_families.hpp"

#include <algorithm>
#include <deque>
#include <set>

namespace cess::chain {
namespace {

const bytes position_key = in_family(own_family, to_bytes("position"));
const bytes certificate_key = in_family(own_family, to_bytes("certificate"));
const bytes restoring_key = in_family(own_family, to_bytes("restoring"));
const bytes silent_key = in_family(own_family, to_bytes("silent"));

bytes numbered(std::string_view name, std::uint64_t number) {
    auto out = in_family(own_family, to_bytes(name));
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(number >> shift));
    return out;
}
bytes block_key(block_height height) { return numbered("block", height.value); }
bytes handover_key(std::uint64_t epoch) { return numbered("handover", epoch); }  // the epoch's last certificate

template <class T>
T value_or_throw(result<T> got) {
    if (!got) throw std::runtime_error(got.error().message());
    return std::move(*got);
}

class stored_state final : public ledger::state {
public:
    explicit stored_state(kv::store& on) : m_store(on) {}
    std::optional<bytes> get(const bytes& key) override { return value_or_throw(m_store.get(in_family(state_family, key))); }
    void put(const bytes&, bytes) override { throw std::logic_error("the stored state is written by store_layers() alone"); }
    void erase(const bytes&) override { throw std::logic_error("the stored state is written by store_layers() alone"); }
    std::vector<ledger::state_entry> scan(const bytes& prefix, const bytes& after, std::size_t limit) override {
        const auto from = after.empty() ? bytes{} : in_family(state_family, after);
        std::vector<ledger::state_entry> out;
        for (auto& entry : value_or_throw(m_store.scan(in_family(state_family, prefix), from, limit)))
            out.push_back({bytes(entry.key.begin() + 1, entry.key.end()), std::move(entry.value)});
        return out;
    }

private:
    kv::store& m_store;
};

class read_nodes final : public ledger::node_store {
public:
    explicit read_nodes(kv::store& on) : m_store(on) {}
    std::optional<bytes> get(const bytes& place) override { return value_or_throw(m_store.get(in_family(tree_family, place))); }
    void put(const bytes&, bytes) override { throw std::logic_error("the stored tree is written by store_layers() alone"); }
    void erase(const bytes&) override { throw std::logic_error("the stored tree is written by store_layers() alone"); }

private:
    kv::store& m_store;
};

using node_changes = std::map<bytes, std::optional<bytes>>;

// The nodes that layers hold back, each as the newest has it, above the store.
class nodes_ahead final : public ledger::node_store {
public:
    explicit nodes_ahead(kv::store& on) : m_below(on) {}
    std::optional<bytes> get(const bytes& place) override {
        const auto found = m_changes.find(place);
        return found != m_changes.end() ? found->second : m_below.get(place);
    }
    void put(const bytes& place, bytes node) override { set(place, std::move(node)); }
    void erase(const bytes& place) override { set(place, std::nullopt); }
    node_changes take_layer() { return std::exchange(m_layer, {}); }
    void forget(const bytes& place) { m_changes.erase(place); }

private:
    void set(const bytes& place, std::optional<bytes> node) {
        m_layer.insert_or_assign(place, node);
        m_changes.insert_or_assign(place, std::move(node));
    }
    read_nodes m_below;
    node_changes m_changes;
    node_changes m_layer;  // since the last was taken
};

std::uint64_t size_of(const std::map<bytes, std::optional<bytes>>& changes) {
    std::uint64_t out = 0;
    for (const auto& [key, value] : changes) out += key.size() + (value ? value->size() : 0) + 64;
    return out;
}

// A committee's liar may put anything into a block, which all members pass over alike. This node's own was checked before it was
// ordered: what does not decode there is of a later version, and was acknowledged.
std::vector<ledger::signed_transaction> transactions_of(const committed_block& block) {
    std::vector<ledger::signed_transaction> out;
    for (const auto& item : block.block->body().payload) {
        const bool fits = item.size() <= ledger::limits::transaction_size_max;
        auto decoded = fits ? wire::decode<ledger::signed_transaction>(item) : result<ledger::signed_transaction>(error(errc::too_large, "a transaction"));
        if (decoded) out.push_back(std::move(*decoded));
        else if (block.verified) throw std::runtime_error("block " + std::to_string(block.height.value) + " has a transaction that this version does not know; start a later one");
    }
    return out;
}

position beginning_of(const ledger::genesis& origin) {
    const auto body = ledger::origin_of(origin);
    position out;
    out.network = body.network;
    out.commit_digest = body.commit_digest;
    out.block_digest = body.commit_digest;
    out.epoch = {origin.first, body.commit_digest, {}};
    return out;
}

}  // namespace

struct machine::layer {
    position end;
    ledger::buffered_state::changes state;
    node_changes nodes;
    std::vector<std::pair<block_height, block_place>> blocks;
    kv::batch index;
    std::uint64_t size = 0;
};

struct machine::parts {
    explicit parts(kv::store& on) : stored(on), ahead(stored), nodes(on) {}
    class stored_state stored;
    ledger::buffered_state ahead;  // of all layers, each key as the newest has it
    nodes_ahead nodes;
    std::map<bytes, block_height> changed_at;  // keys with their family: the last block that changed it, while it is held back
    position at;
    layer open;
    std::deque<layer> ended;
    std::uint64_t held_back = 0;
};

machine::machine(kv::store& on, bool indexed) : m_store(on), m_parts(std::make_unique<parts>(on)) {
    if (indexed) m_index.emplace();
}
machine::~machine() = default;

result<std::unique_ptr<machine>> machine::open(kv::store& on, const ledger::genesis& origin, bool indexed) {
    std::unique_ptr<machine> made(new machine(on, indexed));
    auto& at = made->m_parts->at;
    TRY(const auto restoring, on.get(restoring_key));
    made->m_restoring = restoring.has_value();
    if (restoring) {
        TRY(made->m_given_up, wire::decode<std::uint64_t>(*restoring));
    }
    TRY(const auto silent, on.get(silent_key));
    if (silent) {
        TRY(made->m_silent_before, wire::decode<std::uint64_t>(*silent));
    }
    TRY(const auto stored, on.get(position_key));
    if (!stored) {
        at = made->m_stored = beginning_of(origin);
        if (indexed) made->m_index = indexed_range{at.height.next(), at.height};
        return made;
    }
    TRY(at, wire::decode<position>(*stored));
    if (at.network != ledger::id_of(origin)) return error(errc::conflict, "the stored state belongs to another network");
    TRY(const auto certificate, on.get(certificate_key));
    if (certificate) {
        TRY(made->m_certificate, wire::decode<ledger::state_certificate>(*certificate));
    }
    made->m_stored = at;
    if (indexed) {
        TRY(made->m_index, index::range_of(on, at.height));
    }
    return made;
}

const position& machine::applied() const noexcept { return m_parts->at; }
ledger::state& machine::stored_state() const { return m_parts->stored; }
std::uint64_t machine::held_back() const noexcept { return m_parts->held_back; }

result<std::vector<applied_transaction>> machine::apply(const committed_block& next) {
    if (m_broken) return error(errc::corrupt, "the state failed before");
    if (m_restoring) return error(errc::unavailable, "the state is being fetched");
    auto& at = m_parts->at;
    auto& open = m_parts->open;
    if (next.height != at.height.next()) return error(errc::invalid, "block " + std::to_string(next.height.value) + " does not follow " + std::to_string(at.height.value));
    if (at.next) return error(errc::invalid, "block " + std::to_string(next.height.value) + " comes after its epoch's end");
    m_broken = true;  // until all of it is applied
    std::vector<applied_transaction> outcomes;
    at.height = next.height;
    at.round = next.block->ref.round;
    at.block_digest = next.block->ref.digest;
    at.commit_digest = ledger::next_commit_digest(at.commit_digest, at.block_digest);
    try {
        ledger::state& before = m_parts->ahead;
        ledger::buffered_state changes(before);
        if (next.ends_epoch) at.next = ledger::end_epoch(changes, at.epoch.members, next.height, at.transactions);
        else apply_transactions(next, changes, outcomes);
        if (m_index) index::add(open.index, next.height, *next.block, static_cast<std::uint32_t>(outcomes.size()));
        for (const auto& [key, value] : changes.pending()) {
            open.state.insert_or_assign(key, value);
            m_parts->changed_at[in_family(state_family, key)] = at.height;
        }
        changes.pass_on();
        open.blocks.emplace_back(next.height, block_place{at.epoch.members.epoch, next.block->ref, next.ends_epoch});
        at.transactions += outcomes.size();
        if (next.certify || next.ends_epoch) end_layer();
    } catch (const std::runtime_error& broken) {
        return error(errc::corrupt, broken.what());
    }
    m_broken = false;
    return outcomes;
}

void machine::apply_transactions(const committed_block& block, ledger::state& to, std::vector<applied_transaction>& outcomes) {
    const ledger::context where{m_stored.network, block.height};
    const auto sig = block.verified ? ledger::signature_is::verified : ledger::signature_is::unknown;
    std::set<hash256> counted;  // of this block
    for (const auto& transaction : transactions_of(block)) {
        const auto id = ledger::digest_of(transaction.body);
        auto outcome = ledger::apply(to, transaction, where, sig);
        if (m_index) {
            auto how = index::standing_of(to, transaction.body, id, block.height);
            if (how == standing::counted && !counted.insert(id).second) how = standing::repeated;
            index::add(m_parts->open.index, {block.height, static_cast<std::uint32_t>(outcomes.size())}, transaction, id, outcome, how);
        }
        outcomes.push_back({id, std::move(outcome)});
    }
}

void machine::end_layer() {
    auto& at = m_parts->at;
    auto ended = std::exchange(m_parts->open, layer());
    ledger::tree::changes leaves;
    for (const auto& [key, value] : ended.state) {
        auto& leaf = leaves[crypto::sha256(key)];
        if (value) leaf = crypto::sha256(*value);
    }
    at.state_root = ledger::tree(m_parts->nodes).update(leaves);
    ended.nodes = m_parts->nodes.take_layer();
    for (const auto& [place, node] : ended.nodes) m_parts->changed_at[in_family(tree_family, place)] = at.height;
    ended.end = at;
    ended.size = size_of(ended.state) + size_of(ended.nodes) + size_of(ended.index);
    m_parts->held_back += ended.size;
    m_parts->ended.push_back(std::move(ended));
}

ledger::certificate_body machine::body_of(const position& at) const {
    ledger::certificate_body body;
    body.network = at.network;
    body.epoch = at.epoch.members.epoch;
    body.height = at.height;
    body.commit_digest = at.commit_digest;
    body.state_root = at.state_root;
    body.next = at.next ? *at.next : at.epoch.members;
    return body;
}

ledger::certificate_body machine::to_certify() const { return body_of(m_parts->ended.empty() ? m_stored : m_parts->ended.back().end); }

result<void> machine::certify(ledger::state_certificate certificate) {
    const auto height = certificate.body.height;
    if (height < m_stored.height) return {};
    const auto at = std::find_if(m_parts->ended.begin(), m_parts->ended.end(), [&](const layer& l) { return l.end.height == height; });
    const bool known = height == m_stored.height || at != m_parts->ended.end();
    if (!known || certificate.body != body_of(height == m_stored.height ? m_stored : at->end))
        return error(errc::invalid, "certificate of height " + std::to_string(height.value) + " is not of this state");
    return store_layers(height, std::move(certificate));
}

result<void> machine::spill() {
    if (m_parts->ended.empty()) return {};
    return store_layers(m_parts->ended.back().end.height, std::nullopt);
}

result<void> machine::store_layers(block_height upto, std::optional<ledger::state_certificate> certificate) {
    if (m_broken) return error(errc::corrupt, "the state failed before");
    kv::batch all;
    auto now = m_stored;
    auto& ended = m_parts->ended;
    while (!ended.empty() && ended.front().end.height <= upto) {
        auto first = std::move(ended.front());
        ended.pop_front();
        for (auto& [key, value] : first.state) all.insert_or_assign(in_family(state_family, key), std::move(value));
        for (auto& [place, node] : first.nodes) all.insert_or_assign(in_family(tree_family, place), std::move(node));
        for (const auto& [height, ref] : first.blocks) all.insert_or_assign(block_key(height), wire::encode(ref));
        all.merge(first.index);
        m_parts->held_back -= first.size;
        now = std::move(first.end);
    }
    const auto stored = [&](const auto& entry) {  // what no later layer has changed again
        const auto changed = m_parts->changed_at.find(entry.first);
        if (changed == m_parts->changed_at.end() || changed->second > now.height) return;
        const bytes key(entry.first.begin() + 1, entry.first.end());
        if (entry.first.front() == static_cast<std::byte>(state_family)) m_parts->ahead.forget(key);
        else m_parts->nodes.forget(key);
        m_parts->changed_at.erase(changed);
    };
    const bool handover = certificate && now.next;
    if (handover) {
        all[handover_key(now.epoch.members.epoch)] = wire::encode(*certificate);
        now.epoch = {*std::exchange(now.next, std::nullopt), ledger::epoch_genesis(certificate->body), now.height};
    }
    std::unique_lock lock(m_mutex);
    m_broken = true;
    all[position_key] = wire::encode(now);
    if (certificate) all[certificate_key] = wire::encode(*certificate);
    if (m_index) {
        m_index->upto = now.height;
        index::add(all, *m_index);
    }
    CHECK_OK(m_store.commit(all));
    m_broken = false;
    m_stored = std::move(now);
    if (handover) m_parts->at = m_stored;
    if (certificate) m_certificate = std::move(certificate);
    lock.unlock();
    for (const auto& entry : all) stored(entry);
    return {};
}

result<void> machine::flush() { return m_store.flush(); }

// ---- instead of applying blocks ---------------------------------------------------------------------------

result<void> machine::drop_family(char family) {
    static constexpr std::size_t batch = 4096;
    for (const bytes prefix{static_cast<std::byte>(family)};;) {
        TRY(const auto some, m_store.scan(prefix, {}, batch));
        kv::batch gone;
        for (const auto& entry : some)
            if (entry.key != restoring_key && entry.key != silent_key) gone.emplace(entry.key, std::nullopt);
        if (gone.empty()) return {};
        CHECK_OK(m_store.commit(gone));
    }
}

result<void> machine::begin_restore(std::uint64_t given_up) {
    m_given_up = std::max(m_given_up, given_up);
    kv::batch mark;
    mark.emplace(restoring_key, wire::encode(m_given_up));
    {
        std::unique_lock lock(m_mutex);
        m_certificate.reset();
        m_restoring = true;
    }
    CHECK_OK(m_store.commit(mark));
    CHECK_OK(m_store.flush());
    for (const auto family : {state_family, tree_family, own_family, index_family}) CHECK_OK(drop_family(family));
    return {};
}

result<void> machine::restore_nodes(const std::vector<ledger::state_entry>& by_place) {
    kv::batch all;
    for (const auto& node : by_place) all.emplace(in_family(tree_family, node.key), node.value);
    return m_store.commit(all);
}

result<void> machine::restore_records(const std::vector<ledger::state_entry>& ascending) {
    kv::batch all;
    try {
        read_nodes nodes(m_store);
        ledger::tree known(nodes);
        for (const auto& record : ascending) {
            const auto leaf = known.prove(crypto::sha256(record.key)).leaf;
            if (!leaf || *leaf != std::pair(crypto::sha256(record.key), crypto::sha256(record.value)))
                return error(errc::corrupt, "a record that the tree does not have");
            all.emplace(in_family(state_family, record.key), record.value);
        }
    } catch (const std::runtime_error& broken) {
        return error(errc::io, broken.what());
    }
    return m_store.commit(all);
}

result<void> machine::finish_restore(const std::vector<ledger::state_certificate>& lasts) {
    const auto& last = lasts.back();
    position now;
    now.network = last.body.network;
    now.height = last.body.height;
    now.commit_digest = now.block_digest = last.body.commit_digest;
    now.state_root = last.body.state_root;
    now.epoch = {last.body.next, ledger::epoch_genesis(last.body), last.body.height};
    TRY(const auto raw, m_store.get(in_family(state_family, ledger::key::epoch())));
    if (!raw) return error(errc::corrupt, "a state at an epoch's end without that epoch");
    TRY(const auto turn, wire::decode<ledger::epoch_record>(*raw));
    now.transactions = turn.transactions;
    kv::batch all;
    all[position_key] = wire::encode(now);
    all[certificate_key] = wire::encode(last);
    for (const auto& one : lasts) all[handover_key(one.body.epoch)] = wire::encode(one);
    all[restoring_key] = std::nullopt;
    const auto range = indexed_range{now.height.next(), now.height};
    if (m_index) index::add(all, range);
    CHECK_OK(m_store.commit(all));
    CHECK_OK(m_store.flush());
    std::unique_lock lock(m_mutex);
    m_parts = std::make_unique<parts>(m_store);
    m_parts->at = m_stored = std::move(now);
    m_certificate = last;
    if (m_index) m_index = range;
    m_restoring = false;
    return {};
}

result<void> machine::be_silent_before(std::uint64_t epoch) {
    kv::batch all;
    all.emplace(silent_key, wire::encode(epoch));
    CHECK_OK(m_store.commit(all));
    CHECK_OK(m_store.flush());
    m_silent_before = epoch;
    return {};
}

std::optional<ledger::state_certificate> machine::certificate() const {
    std::shared_lock lock(m_mutex);
    return m_certificate;
}

bool machine::certified_here() const {
    std::shared_lock lock(m_mutex);
    return m_certificate && m_certificate->body.height == m_stored.height;
}

std::uint64_t machine::transactions() const {
    std::shared_lock lock(m_mutex);
    return m_stored.transactions;
}

result<block_place> machine::block_at(block_height height) const {
    TRY(const auto found, m_store.get(block_key(height)));
    if (!found) return error(errc::not_found, "block " + std::to_string(height.value));
    return wire::decode<block_place>(*found);
}

result<std::vector<ledger::state_certificate>> machine::handovers(std::uint64_t from, std::size_t limit) const {
    std::vector<ledger::state_certificate> out;
    while (out.size() < limit) {
        TRY(const auto found, m_store.get(handover_key(from + out.size())));
        if (!found) break;
        TRY(auto certificate, wire::decode<ledger::state_certificate>(*found));
        out.push_back(std::move(certificate));
    }
    return out;
}

std::optional<indexed_range> machine::indexed() const {
    std::shared_lock lock(m_mutex);
    return m_index;
}

result<void> machine::index_completed() {
    std::unique_lock lock(m_mutex);
    m_index->from = {1};
    kv::batch change;
    index::add(change, *m_index);
    return m_store.commit(change);
}

result<ledger::state_certificate> machine::look_certified(const std::function<void(ledger::state&)>& f) const {
    std::shared_lock lock(m_mutex);
    if (!m_certificate) return error(errc::unavailable, "nothing is certified yet");
    if (m_certificate->body.height != m_stored.height) return error(errc::unavailable, "this node catches up; nothing is certified where it stands");
    try {
        f(stored_state());
    } catch (const std::runtime_error& broken) {
        return error(errc::io, broken.what());
    }
    return *m_certificate;
}

result<ledger::proved_record> machine::prove(const bytes& key) const {
    std::shared_lock lock(m_mutex);
    if (!m_certificate) return error(errc::unavailable, "nothing is certified yet");
    if (m_certificate->body.height != m_stored.height) return error(errc::unavailable, "this node catches up; nothing is certified where it stands");
    ledger::proved_record out;
    out.certificate = *m_certificate;
    out.key = key;
    try {
        out.value = m_parts->stored.get(key);
        read_nodes nodes(m_store);  // not the writer's, which runs ahead
        out.proof = ledger::tree(nodes).prove(crypto::sha256(key));
    } catch (const std::runtime_error& broken) {
        return error(errc::io, broken.what());
    }
    return out;
}

}  // namespace cess::chain
