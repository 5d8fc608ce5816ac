// The state the ledger works on: ordered keys and values, wherever they are kept.
//
// An implementation that cannot read its store throws std::runtime_error: the ledger has no outcome for a broken disk,
// since outcomes are the same at every node. The node that owns the store then stops.
#pragma once

#include <core/base/bytes.hpp>

#include <map>
#include <optional>
#include <vector>

namespace cess::ledger {

struct state_entry {
    bytes key;
    bytes value;
};

// Not thread-safe.
class state {
public:
    virtual ~state() = default;
    virtual std::optional<bytes> get(const bytes& key) = 0;
    virtual void put(const bytes& key, bytes value) = 0;
    virtual void erase(const bytes& key) = 0;
    // Up to `limit` entries whose key begins with `prefix` and lies past `after` (empty: from the first), in order of keys.
    virtual std::vector<state_entry> scan(const bytes& prefix, const bytes& after, std::size_t limit) = 0;
};

class memory_state final : public state {
public:
    std::optional<bytes> get(const bytes& key) override;
    void put(const bytes& key, bytes value) override;
    void erase(const bytes& key) override;
    std::vector<state_entry> scan(const bytes& prefix, const bytes& after, std::size_t limit) override;
    [[nodiscard]] const std::map<bytes, bytes>& all() const noexcept { return m_entries; }

private:
    std::map<bytes, bytes> m_entries;
};

// Changes held back above another state: what a refused transaction did is dropped with it.
class buffered_state final : public state {
public:
    explicit buffered_state(state& below) : m_below(below) {}
    buffered_state(const buffered_state&) = delete;  // to stand on another, name that one as a state&
    buffered_state& operator=(const buffered_state&) = delete;
    std::optional<bytes> get(const bytes& key) override;
    void put(const bytes& key, bytes value) override;
    void erase(const bytes& key) override;
    std::vector<state_entry> scan(const bytes& prefix, const bytes& after, std::size_t limit) override;
    void pass_on();  // to the state below; empty afterwards
    void drop() { m_changes.clear(); }
    void forget(const bytes& key) { m_changes.erase(key); }  // the state below has it as it is here
    // None = erased. In order of keys; entries that end as they began are included.
    using changes = std::map<bytes, std::optional<bytes>>;
    [[nodiscard]] const changes& pending() const noexcept { return m_changes; }

private:
    state& m_below;
    changes m_changes;
};

}  // namespace cess::ledger
