#include <chain/ledger/tree.hpp>

#include <array>
#include <bit>
#include <stdexcept>

namespace cess::ledger {
namespace {

constexpr std::size_t depth_max = 64;

unsigned nibble(const hash256& key, std::size_t depth) noexcept {
    const auto byte = std::to_integer<unsigned>(key.raw[depth / 2]);
    return depth % 2 == 0 ? byte >> 4 : byte & 15;
}

hash256 leaf_hash(const hash256& key, const hash256& value) {
    static constexpr std::byte tag[] = {std::byte{0}};
    return crypto::sha256({byte_view(tag), key.view(), value.view()});
}

hash256 inner_hash(const tree_proof::level& level) {
    bytes text{std::byte{1}, static_cast<std::byte>(level.present & 0xff), static_cast<std::byte>(level.present >> 8)};
    for (const auto& child : level.children) append(text, child.view());
    return crypto::sha256(text);
}

// What stands at a place: nothing, one leaf, or an inner node (whose children are stored under the place).
enum class slot_kind : std::uint8_t { none, leaf, inner };
slot_kind wire_enum_max(slot_kind) { return slot_kind::inner; }
struct slot {
    slot_kind kind = slot_kind::none;
    hash256 first;   // inner: its hash; leaf: hash of key
    hash256 second;  // leaf: hash of value
    [[nodiscard]] hash256 hash() const {
        if (kind == slot_kind::leaf) return leaf_hash(first, second);
        return kind == slot_kind::inner ? first : hash256{};
    }
    friend bool operator==(const slot&, const slot&) = default;
};

struct inner_node {
    std::array<slot, 16> children;

    [[nodiscard]] tree_proof::level level() const {
        tree_proof::level out;
        for (unsigned i = 0; i < 16; ++i) {
            if (children[i].kind == slot_kind::none) continue;
            out.present = static_cast<std::uint16_t>(out.present | 1U << i);
            out.children.push_back(children[i].hash());
        }
        return out;
    }
};

void put_slot(wire::encoder& to, const slot& s) {
    to(s.kind);
    if (s.kind != slot_kind::none) to(s.first);
    if (s.kind == slot_kind::leaf) to(s.second);
}
slot get_slot(wire::decoder& from) {
    slot s;
    from(s.kind);
    if (s.kind != slot_kind::none) from(s.first);
    if (s.kind == slot_kind::leaf) from(s.second);
    return s;
}

// The root's own slot lives where no inner node can: a place one byte long with a depth that does not exist.
const bytes root_place{std::byte{0xff}};

bytes place_of(const hash256& key, std::size_t depth) {
    bytes place;
    place.reserve(1 + (depth + 1) / 2);
    place.push_back(static_cast<std::byte>(depth));
    append(place, key.view().first(depth / 2));
    if (depth % 2 != 0) place.push_back(key.raw[depth / 2] & std::byte{0xf0});
    return place;
}

// A store that lost or mangled a node cannot go on: every later root would be wrong.
[[noreturn]] void broken_store() { throw std::runtime_error("authentication tree: a stored node is missing or damaged; the state must be rebuilt from the block log"); }

slot load_root(node_store& on) {
    const auto raw = on.get(root_place);
    if (!raw) return {};
    wire::decoder from(*raw);
    const auto s = get_slot(from);
    if (!from.finish()) broken_store();
    return s;
}

inner_node load(node_store& on, const bytes& place) {
    const auto raw = on.get(place);
    if (!raw) broken_store();
    wire::decoder from(*raw);
    inner_node node;
    for (auto& child : node.children) child = get_slot(from);
    if (!from.finish()) broken_store();
    return node;
}

void save(node_store& on, const bytes& place, const inner_node& node) {
    wire::encoder to;
    for (const auto& child : node.children) put_slot(to, child);
    on.put(place, std::move(to).take());
}

using change_iterator = tree::changes::const_iterator;

class updater {
public:
    explicit updater(node_store& on) : m_store(on) {}

    // The slot at `depth` after the changes [begin, end), which all lie below it.
    slot apply(const slot& old, std::size_t depth, change_iterator begin, change_iterator end) {
        if (begin == end) return old;
        if (old.kind == slot_kind::inner) return apply_inner(old, depth, begin, end);
        tree::changes leaves(begin, end);
        if (old.kind == slot_kind::leaf) leaves.emplace(old.first, old.second);  // unless a change names it
        std::erase_if(leaves, [](const auto& leaf) { return !leaf.second; });
        return build(depth, leaves.begin(), leaves.end());
    }

private:
    slot build(std::size_t depth, change_iterator begin, change_iterator end) {
        if (begin == end) return {};
        if (std::next(begin) == end) return {slot_kind::leaf, begin->first, *begin->second};
        inner_node node;
        const auto& key = begin->first;
        for (auto at = begin; at != end;) {
            const auto stop = run_end(at, end, depth);
            node.children[nibble(at->first, depth)] = build(depth + 1, at, stop);
            at = stop;
        }
        save(m_store, place_of(key, depth), node);
        return {slot_kind::inner, inner_hash(node.level()), {}};
    }

    slot apply_inner(const slot& old, std::size_t depth, change_iterator begin, change_iterator end) {
        const auto place = place_of(begin->first, depth);
        auto node = load(m_store, place);
        bool changed = false;
        for (auto at = begin; at != end;) {
            const auto stop = run_end(at, end, depth);
            auto& child = node.children[nibble(at->first, depth)];
            const auto after = apply(child, depth + 1, at, stop);
            changed = changed || !(after == child);
            child = after;
            at = stop;
        }
        if (!changed) return old;
        unsigned present = 0;
        slot last;
        for (const auto& child : node.children) {
            if (child.kind == slot_kind::none) continue;
            ++present;
            last = child;
        }
        if (present == 0 || (present == 1 && last.kind == slot_kind::leaf)) {
            m_store.erase(place);
            return last;
        }
        save(m_store, place, node);
        return {slot_kind::inner, inner_hash(node.level()), {}};
    }

    static change_iterator run_end(change_iterator at, change_iterator end, std::size_t depth) {
        const auto which = nibble(at->first, depth);
        while (at != end && nibble(at->first, depth) == which) ++at;
        return at;
    }

    node_store& m_store;
};

bool same_prefix(const hash256& a, const hash256& b, std::size_t nibbles) noexcept {
    for (std::size_t i = 0; i < nibbles; ++i)
        if (nibble(a, i) != nibble(b, i)) return false;
    return true;
}

error no_proof(const char* why) { return {errc::corrupt, std::string("state proof: ") + why}; }

}  // namespace

std::optional<bytes> memory_node_store::get(const bytes& place) {
    const auto found = m_nodes.find(place);
    if (found == m_nodes.end()) return std::nullopt;
    return found->second;
}
void memory_node_store::put(const bytes& place, bytes node) { m_nodes[place] = std::move(node); }
void memory_node_store::erase(const bytes& place) { m_nodes.erase(place); }

hash256 tree::update(const changes& what) {
    const auto old = load_root(m_store);
    const auto now = updater(m_store).apply(old, 0, what.begin(), what.end());
    if (now == old) return now.hash();
    if (now.kind == slot_kind::none) {
        m_store.erase(root_place);
    } else {
        wire::encoder to;
        put_slot(to, now);
        m_store.put(root_place, std::move(to).take());
    }
    return now.hash();
}

hash256 tree::root() { return load_root(m_store).hash(); }

tree_proof tree::prove(const hash256& key_hash) {
    tree_proof out;
    auto at = load_root(m_store);
    for (std::size_t depth = 0; at.kind == slot_kind::inner; ++depth) {
        const auto node = load(m_store, place_of(key_hash, depth));
        out.path.push_back(node.level());
        at = node.children[nibble(key_hash, depth)];
    }
    if (at.kind == slot_kind::leaf) out.leaf.emplace(at.first, at.second);
    return out;
}

tree_place root_of(const hash256& root) { return {root_place, root}; }

namespace {

// The place of child `which` of the inner node at `parent`; of the root's slot, the one at depth 0.
bytes child_of(const bytes& parent, unsigned which) {
    if (parent == root_place) return bytes(1, std::byte{0});
    auto out = parent;
    const auto depth = std::to_integer<std::size_t>(parent.front());
    out.front() = static_cast<std::byte>(depth + 1);
    if (depth % 2 == 0) out.push_back(static_cast<std::byte>(which << 4));
    else out.back() |= static_cast<std::byte>(which);
    return out;
}

error no_node(const char* why) { return {errc::corrupt, std::string("tree node: ") + why}; }

}  // namespace

result<tree_children> check_node(const tree_place& at, byte_view node) {
    wire::decoder from(node);
    std::array<slot, 16> children;
    const bool root = at.where == root_place;
    for (std::size_t i = 0; i < (root ? 1U : 16U); ++i) children[i] = get_slot(from);
    CHECK_OK(from.finish());
    const auto hash = root ? children[0].hash() : inner_hash(inner_node{children}.level());
    if (hash != at.hash) return no_node("it is not the one that is named");
    if (!root && std::to_integer<std::size_t>(at.where.front()) >= depth_max) return no_node("deeper than a key");
    tree_children out;
    for (unsigned i = 0; i < children.size(); ++i) {
        if (children[i].kind == slot_kind::inner) out.inner.push_back({child_of(at.where, i), children[i].first});
        if (children[i].kind == slot_kind::leaf) ++out.leaves;
    }
    return out;
}

result<std::optional<hash256>> follow(const tree_proof& proof, const hash256& root, const hash256& key_hash) {
    if (proof.path.size() > depth_max) return no_proof("longer than a key");
    auto expected = root;
    bool gap = root.is_zero();  // nothing can stand below here
    for (std::size_t depth = 0; depth < proof.path.size(); ++depth) {
        const auto& level = proof.path[depth];
        if (gap) return no_proof("goes on past its end");
        if (level.children.size() != static_cast<std::size_t>(std::popcount(level.present)) || level.children.empty()) return no_proof("malformed");
        if (inner_hash(level) != expected) return no_proof("a node does not match its parent");
        const auto which = nibble(key_hash, depth);
        gap = (level.present >> which & 1U) == 0;
        if (!gap) expected = level.children[static_cast<std::size_t>(std::popcount(level.present & ((1U << which) - 1U)))];
    }
    if (gap) {
        if (proof.leaf) return no_proof("a leaf where nothing is");
        return std::optional<hash256>();
    }
    if (!proof.leaf) return no_proof("cut short");
    const auto& [leaf_key, leaf_value] = *proof.leaf;
    if (leaf_hash(leaf_key, leaf_value) != expected) return no_proof("the leaf does not match its parent");
    if (leaf_key == key_hash) return std::optional(leaf_value);
    if (!same_prefix(leaf_key, key_hash, proof.path.size())) return no_proof("the leaf stands elsewhere");
    return std::optional<hash256>();
}

}  // namespace cess::ledger
