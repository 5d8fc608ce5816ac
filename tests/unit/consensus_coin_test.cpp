#include <chain/consensus/cks_coin.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::consensus;

namespace {

// Seven members, two of whom may be liars: any three shares make the coin.
struct seven {
    seven() {
        seeded_random random(5);
        const auto dealt = deal_coin(random, 7, 3);
        for (author_index i = 0; i < 7; ++i) coins.emplace_back(network_id{}, 9, i, dealt.secrets[i], dealt.verification, 3);
        secrets = dealt.secrets;
        verification = dealt.verification;
    }
    [[nodiscard]] hash256 value(coin_number of, std::vector<author_index> members) const {
        std::map<author_index, bytes> shares;
        for (const auto i : members) shares.emplace(i, coins[i].share(of));
        return coins[0].combine(of, shares);
    }
    std::vector<cks_coin> coins;
    std::vector<crypto::secret_key> secrets;
    std::vector<crypto::ristretto::point> verification;
};

}  // namespace

TEST_CASE("any f+1 shares make the same value, and each coin another") {
    const seven on;
    const auto value = on.value(1, {0, 1, 2});
    CHECK(on.value(1, {4, 5, 6}) == value);
    CHECK(on.value(1, {0, 3, 6}) == value);
    CHECK(on.value(1, {0, 1, 2, 3, 4, 5, 6}) == value);
    CHECK(on.value(2, {0, 1, 2}) != value);
}

TEST_CASE("too few shares make no value, and f of them would make another") {
    const seven on;
    CHECK_THROWS_AS(on.value(1, {0, 1}), std::logic_error);
    CHECK_THROWS_AS(on.value(1, {}), std::logic_error);
    std::map<author_index, bytes> shares;
    for (author_index i = 0; i < 2; ++i) shares.emplace(i, on.coins[i].share(1));
    const cks_coin content_with_two(network_id{}, 9, 0, on.secrets[0], on.verification, 2);
    CHECK(content_with_two.combine(1, shares) != on.value(1, {0, 1, 2}));
    shares.emplace(2, to_bytes("no share"));
    CHECK_THROWS_AS(on.coins[0].combine(1, shares), std::logic_error);
}

TEST_CASE("proofs of one secret under two verification points have nothing in common") {
    const seven on;
    auto others = on.verification;
    others[2] = others[3];
    const cks_coin confused(network_id{}, 9, 2, on.secrets[2], others, 3);
    const auto share = on.coins[2].share(4), other = confused.share(4);
    const auto part = [](const bytes& of, std::size_t which) { return crypto::ristretto::scalar::from(byte_view(of).subspan(32 * which, 32)); };
    REQUIRE(part(share, 0) == part(other, 0));
    REQUIRE(part(share, 1) != part(other, 1));
    // One nonce under two challenges would be solved for the secret.
    const auto solved = (part(share, 2) - part(other, 2)) * crypto::ristretto::inverse(part(share, 1) - part(other, 1));
    CHECK(solved != crypto::ristretto::scalar::from(on.secrets[2].view()));
}

TEST_CASE("the value is pinned") {
    const seven on;
    CHECK(on.value(1, {0, 1, 2}).hex() == "76a3da87ce2a9b4a135cb4d9a2b0eb1acfbe6d5daef852cb8fe2fb0b6015d357");
    CHECK(crypto::sha256(on.coins[3].share(1)).hex() == "8b9f894929fdb346fdfd14cfa14e479a6507bc8ea25ad87a448fd173186a85e2");
}

TEST_CASE("a share holds for its member and coin alone") {
    const seven on;
    const auto share = on.coins[2].share(4);
    CHECK(share.size() == 96);
    for (const auto& anybody : on.coins) CHECK(anybody.holds(4, 2, share));
    CHECK_FALSE(on.coins[0].holds(5, 2, share));
    CHECK_FALSE(on.coins[0].holds(4, 3, share));
    CHECK_FALSE(on.coins[0].holds(4, 7, share));
    const cks_coin other_epoch(network_id{}, 10, 2, on.secrets[2], on.verification, 3);
    CHECK_FALSE(other_epoch.holds(4, 2, share));
}

TEST_CASE("no bit of a share can be changed") {
    const seven on;
    const auto share = on.coins[2].share(4);
    for (std::size_t bit = 0; bit < share.size() * 8; ++bit) {
        auto other = share;
        other[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        CHECK_FALSE(on.coins[0].holds(4, 2, other));
    }
    auto shorter = share, longer = share;
    shorter.pop_back();
    longer.push_back(std::byte{0});
    CHECK_FALSE(on.coins[0].holds(4, 2, shorter));
    CHECK_FALSE(on.coins[0].holds(4, 2, longer));
    CHECK_FALSE(on.coins[0].holds(4, 2, bytes(96, std::byte{0})));
}

TEST_CASE("a member cannot prove another share than its own") {
    const seven on;
    // Made with another's secret, and sold as its own.
    const cks_coin liar(network_id{}, 9, 2, on.secrets[3], on.verification, 3);
    CHECK_FALSE(on.coins[0].holds(4, 2, liar.share(4)));
}

TEST_CASE("a coin names every member about as often") {
    const seven on;
    std::vector<int> named(7);
    for (coin_number k = 1; k <= 140; ++k) ++named[leader_by(on.value(k, {0, 1, 2}), 7)];
    for (const auto count : named) {
        CHECK(count > 6);
        CHECK(count < 40);
    }
}
