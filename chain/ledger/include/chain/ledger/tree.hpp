// The authentication tree over the ledger's state: its root stands in every certificate, so that anybody can check a
// record, or that there is none, against a committee's signatures.
//
// A 16-ary Merkle trie over sha256(key), by nibbles from the high half of the first byte. A subtree with one leaf is
// that leaf; with two or more it is an inner node at its own depth, even if it has a single child. So the shape, and
// with it the root, depends on the set of (key, value) pairs alone.
//
//     leaf  = sha256(0 ‖ sha256(key) ‖ sha256(value))
//     inner = sha256(1 ‖ present: u16 LE, bit i = child i ‖ hashes of the present children, ascending)
//     root of the empty tree = 32 zero bytes
//
// Nodes are stored by their place (the nibbles that lead to them) and overwritten: one version exists at a time.
// Not thread-safe; the owner sees to it that nobody reads while update() writes.
#pragma once

#include <chain/ledger/proof.hpp>

#include <map>

namespace cess::ledger {

// Where nodes are kept. `place` is at most 33 bytes; values are at most some 1,100.
class node_store {
public:
    virtual ~node_store() = default;
    virtual std::optional<bytes> get(const bytes& place) = 0;
    virtual void put(const bytes& place, bytes node) = 0;
    virtual void erase(const bytes& place) = 0;
};

class memory_node_store final : public node_store {
public:
    std::optional<bytes> get(const bytes& place) override;
    void put(const bytes& place, bytes node) override;
    void erase(const bytes& place) override;
    [[nodiscard]] std::size_t size() const noexcept { return m_nodes.size(); }

private:
    std::map<bytes, bytes> m_nodes;
};

class tree {
public:
    explicit tree(node_store& on) : m_store(on) {}

    // hash of key → hash of value, or none to remove it. Costs O(depth) node writes a change, shared by neighbours.
    // Answers the new root.
    using changes = std::map<hash256, std::optional<hash256>>;
    hash256 update(const changes& what);
    [[nodiscard]] hash256 root();
    [[nodiscard]] tree_proof prove(const hash256& key_hash);

private:
    node_store& m_store;
};

// ---- copying a tree from somebody who is not trusted: node by node from the root, each checked against what names it ----

struct tree_place {
    bytes where;   // as in node_store
    hash256 hash;  // what stands there
};
[[nodiscard]] tree_place root_of(const hash256& root);
// What a checked node names.
struct tree_children {
    std::vector<tree_place> inner;
    std::uint64_t leaves = 0;
};
// errc::corrupt unless `node` is what stands there. REQUIRES: at.hash is not zero; a tree without leaves has no nodes
[[nodiscard]] result<tree_children> check_node(const tree_place& at, byte_view node);

// Where a path of hashes leads: the hash of the value if the proof shows the key under this root, none if it shows its
// absence; errc::corrupt if it shows nothing.
[[nodiscard]] result<std::optional<hash256>> follow(const tree_proof& proof, const hash256& root, const hash256& key_hash);

}  // namespace cess::ledger
