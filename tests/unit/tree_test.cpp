#include <chain/ledger/tree.hpp>
#include <core/base/random.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::ledger;

namespace {

using leaf_map = std::map<hash256, hash256>;

// The definition, without storage, paths or increments.
hash256 naive_root(const leaf_map& leaves, std::size_t depth = 0) {
    if (leaves.empty()) return {};
    if (leaves.size() == 1) {
        const bytes zero(1, std::byte{0});
        return crypto::sha256({zero, leaves.begin()->first.view(), leaves.begin()->second.view()});
    }
    std::map<unsigned, leaf_map> split;
    for (const auto& [key, value] : leaves) {
        const auto byte = std::to_integer<unsigned>(key.raw[depth / 2]);
        split[depth % 2 == 0 ? byte >> 4 : byte & 15][key] = value;
    }
    std::uint16_t present = 0;
    bytes hashes;
    for (const auto& [which, part] : split) {
        present = static_cast<std::uint16_t>(present | 1U << which);
        append(hashes, naive_root(part, depth + 1).view());
    }
    const bytes head{std::byte{1}, static_cast<std::byte>(present & 255), static_cast<std::byte>(present >> 8)};
    return crypto::sha256({head, hashes});
}

// Keys that share long prefixes, so that deep and narrow places are visited.
hash256 clustered_key(random_source& random) {
    hash256 key;
    if (random.below(3) == 0) {
        key = random.id<hash256>();
    } else {
        const auto at = random.below(32);
        key.raw[at] = static_cast<std::byte>(random.below(4) << (4 * random.below(2)));
        if (random.below(2) == 0) key.raw[31] = static_cast<std::byte>(random.below(3));
    }
    return key;
}

void check_proof(tree& t, const leaf_map& leaves, const hash256& root, const hash256& key) {
    const auto shown = follow(t.prove(key), root, key);
    REQUIRE(shown.has_value());
    const auto found = leaves.find(key);
    CHECK(shown->has_value() == (found != leaves.end()));
    if (*shown && found != leaves.end()) CHECK(**shown == found->second);
}

}  // namespace

TEST_CASE("the root depends on the set of records alone, through any history of batches") {
    seeded_random random(11);
    for (int round = 0; round < 3000; ++round) {
        memory_node_store store;
        tree t(store);
        leaf_map leaves;
        const auto batches = 1 + random.below(5);
        for (std::uint64_t b = 0; b < batches; ++b) {
            tree::changes batch;
            for (auto n = random.below(8) + (round % 50 == 0 ? 200 : 0); n > 0; --n) {
                auto key = clustered_key(random);
                if (!leaves.empty() && random.below(3) == 0) {
                    key = std::next(leaves.begin(), static_cast<std::ptrdiff_t>(random.below(leaves.size())))->first;
                    if (random.below(2) == 0) {
                        batch[key] = std::nullopt;
                        continue;
                    }
                }
                batch[key] = random.id<hash256>();
            }
            for (const auto& [key, value] : batch) {
                if (value) leaves[key] = *value;
                else leaves.erase(key);
            }
            const auto root = t.update(batch);
            REQUIRE(root == naive_root(leaves));
            REQUIRE(t.root() == root);
            check_proof(t, leaves, root, clustered_key(random));
            if (!leaves.empty()) check_proof(t, leaves, root, std::next(leaves.begin(), static_cast<std::ptrdiff_t>(random.below(leaves.size())))->first);
        }
        tree::changes all;
        for (const auto& leaf : leaves) all[leaf.first] = std::nullopt;
        CHECK(t.update(all).is_zero());
        CHECK(store.size() == 0);  // nothing is left behind
    }
}

TEST_CASE("a batch and the same changes one by one give the same root and the same nodes") {
    seeded_random random(12);
    memory_node_store one_store, many_store;
    tree one(one_store), many(many_store);
    tree::changes all;
    for (int i = 0; i < 2000; ++i) all[random.id<hash256>()] = random.id<hash256>();
    const auto root = one.update(all);
    for (const auto& [key, value] : all) many.update({{key, value}});
    CHECK(many.root() == root);
    CHECK(one_store.size() == many_store.size());
}

TEST_CASE("an update touches only the nodes on its path") {
    struct counting_store final : node_store {
        memory_node_store below;
        std::size_t touched = 0;
        std::optional<bytes> get(const bytes& p) override { return ++touched, below.get(p); }
        void put(const bytes& p, bytes n) override { ++touched, below.put(p, std::move(n)); }
        void erase(const bytes& p) override { ++touched, below.erase(p); }
    } store;
    seeded_random random(13);
    tree t(store);
    tree::changes all;
    for (int i = 0; i < 50000; ++i) all[random.id<hash256>()] = random.id<hash256>();
    t.update(all);
    store.touched = 0;
    t.update({{random.id<hash256>(), random.id<hash256>()}});
    CHECK(store.touched <= 2 * 7 + 2);
}

TEST_CASE("no altered proof shows anything but the truth") {
    seeded_random random(14);
    memory_node_store store;
    tree t(store);
    leaf_map leaves;
    for (int i = 0; i < 300; ++i) leaves[random.id<hash256>()] = random.id<hash256>();
    tree::changes all(leaves.begin(), leaves.end());
    const auto root = t.update(all);
    std::size_t refused = 0;
    for (int i = 0; i < 5000; ++i) {
        const bool present = random.below(2) == 0;
        const auto key = present ? std::next(leaves.begin(), static_cast<std::ptrdiff_t>(random.below(leaves.size())))->first : random.id<hash256>();
        auto raw = wire::encode(t.prove(key));
        for (auto n = 1 + random.below(3); n > 0; --n) raw[random.below(raw.size())] = static_cast<std::byte>(random.next());
        const auto mutant = wire::decode<tree_proof>(raw);
        if (!mutant) continue;
        const auto shown = follow(*mutant, root, key);
        if (!shown) {
            ++refused;
            continue;
        }
        CHECK(shown->has_value() == present);
        if (*shown) CHECK(**shown == leaves[key]);
    }
    CHECK(refused > 1000);
}

TEST_CASE("a proof for one key proves nothing about another, nor under another root") {
    seeded_random random(15);
    memory_node_store store;
    tree t(store);
    const auto a = random.id<hash256>(), b = random.id<hash256>(), value = random.id<hash256>();
    const auto root = t.update({{a, value}, {b, value}});
    CHECK(follow(t.prove(a), root, a)->has_value());
    const auto wrong = follow(t.prove(a), root, b);
    CHECK((!wrong || (a.raw[0] & std::byte{0xf0}) == (b.raw[0] & std::byte{0xf0})));
    CHECK_FALSE(follow(t.prove(a), random.id<hash256>(), a).has_value());
    CHECK_FALSE(follow(tree_proof{}, root, a).has_value());
    CHECK_FALSE(follow(tree_proof{}, hash256{}, a)->has_value());
}

namespace {

// The tree under this root, as somebody copies it from `from`, who changes every n-th node. How many nodes were refused.
std::size_t copied(memory_node_store& from, const hash256& root, memory_node_store& to, std::uint64_t& leaves, std::size_t every, seeded_random& random) {
    std::vector<tree_place> places{root_of(root)};
    std::size_t refused = 0, asked = 0;
    leaves = 0;
    while (!places.empty()) {
        const auto at = places.back();
        auto node = from.get(at.where);
        REQUIRE(node.has_value());
        if (every > 0 && ++asked % every == 0) {
            auto spoiled = *node;
            spoiled[random.below(spoiled.size())] ^= static_cast<std::byte>(1 + random.below(255));
            CHECK_FALSE(check_node(at, spoiled).has_value());
            ++refused;
        }
        const auto children = check_node(at, *node);
        REQUIRE(children.has_value());
        places.pop_back();
        places.insert(places.end(), children->inner.begin(), children->inner.end());
        leaves += children->leaves;
        to.put(at.where, *node);
    }
    return refused;
}

}  // namespace

TEST_CASE("a tree is copied node by node, and nothing else is taken for it") {
    for (const std::size_t count : {1, 2, 17, 3000}) {
        seeded_random random(16 + count);
        memory_node_store store, copy;
        tree t(store);
        tree::changes all;
        for (std::size_t i = 0; i < count; ++i) {
            auto key = random.id<hash256>();
            if (i % 10 == 0 && i > 0) {  // deep: two that part late
                key = all.begin()->first;
                key.raw[31] ^= static_cast<std::byte>(1 + i % 255);
            }
            all[key] = random.id<hash256>();
        }
        const auto root = t.update(all);
        std::uint64_t leaves = 0;
        const auto refused = copied(store, root, copy, leaves, 3, random);
        CHECK(refused * 3 + 3 > copy.size());
        CHECK(leaves == all.size());
        CHECK(copy.size() == store.size());
        tree c(copy);
        CHECK(c.root() == root);
        for (const auto& [key, value] : all) CHECK(c.prove(key).leaf == std::optional(std::pair(key, *value)));
        // A node that stands elsewhere in it.
        if (count > 100) CHECK_FALSE(check_node(root_of(root), *store.get(bytes(1, std::byte{0}))).has_value());
    }
}

TEST_CASE("roots are frozen: a change here breaks every network") {
    memory_node_store store;
    tree t(store);
    tree::changes all;
    for (int i = 0; i < 100; ++i) all[crypto::sha256(as_view("key " + std::to_string(i)))] = crypto::sha256(as_view("value " + std::to_string(i)));
    CHECK(t.update(all).hex() == "97d9d844116fbd97d935cb2f1ac4cefeb7644729c9757ff79c642582c6181880");
    CHECK(t.update({{crypto::sha256(as_view("key 7")), std::nullopt}}).hex() == "a7ed220eef6bad5eeb1e42427719a8b66ea108ce9f9c2340ea8d39dd8842bc9d");
}
