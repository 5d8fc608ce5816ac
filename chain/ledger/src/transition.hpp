// One transaction at work: typed records over the state, and the sums that are written once at its end.
#pragma once

#include "keys.hpp"

#include <chain/ledger/ledger.hpp>

#include <stdexcept>

namespace cess::ledger {

class transition {
public:
    transition(state& on, const context& at, const account_id& who) : m_state(on), m_at(at), m_who(who) {}

    template <class Record>
    std::optional<Record> find(const bytes& key) {
        const auto raw = m_state.get(key);
        if (!raw) return std::nullopt;
        return decoded<Record>(*raw);
    }
    template <class Record>
    void save(const bytes& key, const Record& record) { m_state.put(key, wire::encode(record)); }
    void mark(const bytes& key) { m_state.put(key, bytes(1, std::byte{1})); }
    void erase(const bytes& key) { m_state.erase(key); }
    [[nodiscard]] bool has(const bytes& key) { return m_state.get(key).has_value(); }
    std::vector<state_entry> scan(const bytes& prefix, const bytes& after, std::size_t limit) { return m_state.scan(prefix, after, limit); }

    [[nodiscard]] const context& at() const noexcept { return m_at; }
    [[nodiscard]] const account_id& who() const noexcept { return m_who; }

    // The volume, if it exists, is not being deleted, and belongs to the signer.
    result<volume_record> owned(const volume_id& id) {
        auto volume = find<volume_record>(key::volume(id));
        if (!volume || volume->deleting) return error(errc::not_found, "volume " + id.hex());
        if (volume->owner != m_who) return error(errc::permission, "volume " + id.hex() + " belongs to another account");
        return std::move(*volume);
    }
    // And `term` is its newest.
    result<volume_record> held(const volume_id& id, term_number term) {
        TRY(auto volume, owned(id));
        if (term < volume.term) return error(errc::fenced, "volume " + volume.name + ": term " + std::to_string(term.value) + " ended, now " + std::to_string(volume.term.value));
        if (term > volume.term || volume.leases.empty()) return error(errc::invalid, "volume " + volume.name + ": term " + std::to_string(term.value) + " was never granted");
        return volume;
    }
    void save(const volume_record& volume) { save(key::volume(volume.id), volume); }

    totals_record& totals() {
        if (!m_totals) m_totals = find<totals_record>(key::totals()).value_or(totals_record{});
        return *m_totals;
    }
    // A node, read once a transaction; null if there is none.
    const node_record* node(const node_id& id) {
        auto at = m_nodes.find(id);
        if (at == m_nodes.end()) at = m_nodes.emplace(id, counted_node{find<node_record>(key::node(id)), false}).first;
        return at->second.record ? &*at->second.record : nullptr;
    }
    void add_committed(const node_id& id, std::uint64_t length) {
        if (node(id)) m_nodes[id].record->committed += length, m_nodes[id].changed = true;
    }
    void drop_committed(const node_id& id, std::uint64_t length) {
        if (!node(id)) return;
        auto& sum = m_nodes[id].record->committed;
        sum -= std::min(sum, length);
        m_nodes[id].changed = true;
    }
    freed_cursor next_freed() {
        if (!m_freed) m_freed = find<freed_cursor>(key::freed_count()).value_or(freed_cursor{});
        m_freed = m_freed->next();
        return *m_freed;
    }

    // Gives back what `volume` holds of the network's reservations, or takes more of them.
    void unreserve(volume_record& volume, std::uint64_t amount) {
        amount = std::min(amount, volume.reserved);
        volume.reserved -= amount;
        totals().reserved -= std::min(totals().reserved, amount);
    }
    result<void> reserve(volume_record& volume, std::uint64_t amount) {
        const auto available = totals().available();
        if (amount > available) return error(errc::no_space, "the network has " + std::to_string(available / MiB) + " MiB left, " + std::to_string(amount / MiB) + " MiB were asked for");
        totals().reserved += amount;
        volume.reserved += amount;
        return {};
    }

    // Writes the sums. Call once, after everything else succeeded.
    void finish() {
        if (m_totals) save(key::totals(), *m_totals);
        for (const auto& [id, node] : m_nodes)
            if (node.changed) save(key::node(id), *node.record);
        if (m_freed) save(key::freed_count(), *m_freed);
    }

    template <class Record>
    static Record decoded(const bytes& raw) {
        auto record = wire::decode<Record>(raw);
        if (!record) throw std::runtime_error("ledger state: a record does not decode; the state must be rebuilt from the block log");
        return std::move(*record);
    }

private:
    struct counted_node {
        std::optional<node_record> record;
        bool changed = false;
    };
    state& m_state;
    const context& m_at;
    const account_id& m_who;
    std::optional<totals_record> m_totals;
    std::map<node_id, counted_node> m_nodes;
    std::optional<freed_cursor> m_freed;
};

// Every action answers the bytes of its result, or why it is refused.
result<bytes> execute(transition& in, const register_node& what);
result<bytes> execute(transition& in, const create_volume& what);
result<bytes> execute(transition& in, const rename_volume& what);
result<bytes> execute(transition& in, const resize_volume& what);
result<bytes> execute(transition& in, const delete_volume& what);
result<bytes> execute(transition& in, const take_lease& what);
result<bytes> execute(transition& in, const release_lease& what);
result<bytes> execute(transition& in, const extend_reservation& what);
result<bytes> execute(transition& in, const add_segments& what);
result<bytes> execute(transition& in, const commit_root& what);
result<bytes> execute(transition& in, const create_view& what);
result<bytes> execute(transition& in, const delete_view& what);
result<bytes> execute(transition& in, const rename_view& what);
result<bytes> execute(transition& in, const drop_base& what);
result<bytes> execute(transition& in, const rewrite_view& what);
result<bytes> execute(transition& in, const reap& what);
result<bytes> execute(transition& in, const seal_leases& what);

}  // namespace cess::ledger
