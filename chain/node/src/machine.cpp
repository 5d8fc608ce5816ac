#include "machine.hpp"

namespace cess::chain {
namespace {

// Three families of keys in one store.
constexpr char state_family = 'S', tree_family = 'T', own_family = 'M';

bytes in_family(char family, const bytes& key) {
    bytes out;
    out.reserve(key.size() + 1);
    out.push_back(static_cast<std::byte>(family));
    append(out, key);
    return out;
}

const bytes position_key = in_family(own_family, to_bytes("position"));
const bytes certificate_key = in_family(own_family, to_bytes("certificate"));

template <class T>
T value_or_throw(result<T> got) {
    if (!got) throw std::runtime_error(got.error().message());
    return std::move(*got);
}

class stored_state final : public ledger::state {
public:
    explicit stored_state(kv::store& on) : m_store(on) {}
    std::optional<bytes> get(const bytes& key) override { return value_or_throw(m_store.get(in_family(state_family, key))); }
    void put(const bytes&, bytes) override { throw std::logic_error("the certified state is written by certify() alone"); }
    void erase(const bytes&) override { throw std::logic_error("the certified state is written by certify() alone"); }
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

class stored_nodes final : public ledger::node_store {
public:
    explicit stored_nodes(kv::store& on) : m_store(on) {}
    std::optional<bytes> get(const bytes& place) override {
        if (const auto found = m_changes.find(place); found != m_changes.end()) return found->second;
        return value_or_throw(m_store.get(in_family(tree_family, place)));
    }
    void put(const bytes& place, bytes node) override { m_changes.insert_or_assign(place, std::move(node)); }
    void erase(const bytes& place) override { m_changes.insert_or_assign(place, std::nullopt); }
    void move_into(kv::batch& all) {
        for (auto& [place, node] : m_changes) all.insert_or_assign(in_family(tree_family, place), std::move(node));
        m_changes.clear();
    }

private:
    kv::store& m_store;
    std::map<bytes, std::optional<bytes>> m_changes;
};

}  // namespace

struct machine::parts {
    explicit parts(kv::store& on) : certified(on), block_changes(certified), nodes(on) {}
    stored_state certified;
    ledger::buffered_state block_changes;  // since the last certificate
    stored_nodes nodes;
    position at;
};

machine::machine(kv::store& on, const ledger::genesis& origin) : m_store(on), m_origin(origin), m_parts(std::make_unique<parts>(on)) {}
machine::~machine() = default;

result<std::unique_ptr<machine>> machine::open(kv::store& on, const ledger::genesis& origin) {
    std::unique_ptr<machine> made(new machine(on, origin));
    auto& at = made->m_parts->at;
    TRY(const auto stored, on.get(position_key));
    if (!stored) {
        const auto body = ledger::origin_of(origin);
        at.network = body.network;
        at.commit_digest = body.commit_digest;
        at.block_digest = body.commit_digest;
        return made;
    }
    TRY(at, wire::decode<position>(*stored));
    if (at.network != ledger::id_of(origin)) return error(errc::conflict, "the stored state belongs to another network");
    TRY(const auto certificate, on.get(certificate_key));
    if (!certificate) return error(errc::corrupt, "the stored state has no certificate");
    TRY(made->m_certificate, wire::decode<ledger::state_certificate>(*certificate));
    made->m_certified_transactions = at.transactions;
    return made;
}

const position& machine::applied() const noexcept { return m_parts->at; }
ledger::state& machine::certified_state() const { return m_parts->certified; }

result<std::vector<ledger::outcome>> machine::apply(const committed_block& next) {
    if (m_broken) return error(errc::corrupt, "the state failed before");
    auto& at = m_parts->at;
    if (next.height != at.height.next()) return error(errc::invalid, "block " + std::to_string(next.height.value) + " does not follow " + std::to_string(at.height.value));
    m_broken = true;  // until all of it is applied
    std::vector<ledger::outcome> outcomes;
    try {
        ledger::state& before = m_parts->block_changes;
        ledger::buffered_state changes(before);
        const ledger::context where{at.network, next.height};
        const auto sig = next.verified ? ledger::signature_is::verified : ledger::signature_is::unknown;
        for (const auto& transaction : next.what.body.payload) outcomes.push_back(ledger::apply(changes, transaction, where, sig));
        ledger::tree::changes leaves;
        for (const auto& [key, value] : changes.pending()) {
            auto& leaf = leaves[crypto::sha256(key)];
            if (value) leaf = crypto::sha256(*value);
        }
        at.state_root = ledger::tree(m_parts->nodes).update(leaves);
        changes.pass_on();
    } catch (const std::runtime_error& broken) {
        return error(errc::corrupt, broken.what());
    }
    at.height = next.height;
    at.round = next.what.body.round;
    at.block_digest = digest_of(next.what.body);
    at.commit_digest = ledger::next_commit_digest(at.commit_digest, at.block_digest);
    at.transactions += outcomes.size();
    m_broken = false;
    return outcomes;
}

ledger::certificate_body machine::to_certify() const {
    auto body = ledger::origin_of(m_origin);
    body.height = m_parts->at.height;
    body.commit_digest = m_parts->at.commit_digest;
    body.state_root = m_parts->at.state_root;
    return body;
}

result<void> machine::certify(ledger::state_certificate certificate) {
    if (m_broken) return error(errc::corrupt, "the state failed before");
    kv::batch all;
    for (const auto& [key, value] : m_parts->block_changes.pending()) all.emplace(in_family(state_family, key), value);
    m_parts->nodes.move_into(all);
    all[position_key] = wire::encode(m_parts->at);
    all[certificate_key] = wire::encode(certificate);
    std::unique_lock lock(m_mutex);
    m_broken = true;
    CHECK_OK(m_store.commit(all));
    m_broken = false;
    m_parts->block_changes.drop();
    m_certificate = std::move(certificate);
    m_certified_transactions = m_parts->at.transactions;
    return {};
}

result<void> machine::flush() { return m_store.flush(); }

std::optional<ledger::state_certificate> machine::certificate() const {
    std::shared_lock lock(m_mutex);
    return m_certificate;
}

std::uint64_t machine::transactions() const {
    std::shared_lock lock(m_mutex);
    return m_certified_transactions;
}

result<ledger::proved_record> machine::prove(const bytes& key) const {
    std::shared_lock lock(m_mutex);
    if (!m_certificate) return error(errc::unavailable, "nothing is certified yet");
    ledger::proved_record out;
    out.certificate = *m_certificate;
    out.key = key;
    try {
        out.value = m_parts->certified.get(key);
        stored_nodes nodes(m_store);  // not the writer's, which runs ahead
        out.proof = ledger::tree(nodes).prove(crypto::sha256(key));
    } catch (const std::runtime_error& broken) {
        return error(errc::io, broken.what());
    }
    return out;
}

}  // namespace cess::chain
