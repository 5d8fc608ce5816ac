// Which states a quorum has signed, and when a member must stop.
#include "certifier.hpp"

#include <catch2/catch.hpp>

using namespace cess;
using chain::certifier;

namespace {

crypto::signing_key key_of(unsigned n) { return crypto::signing_key(crypto::secret_key(bytes(32, static_cast<std::byte>(n + 1)))); }

ledger::committee four() {
    ledger::committee out;
    for (unsigned i = 0; i < 4; ++i) out.members.push_back(key_of(i).pub());
    return out;
}

ledger::certificate_body state_at(std::uint64_t height, std::uint8_t root = 1) {
    ledger::certificate_body out;
    out.height = {height};
    out.state_root.raw[0] = std::byte{root};
    out.next = four();
    return out;
}

chain::member_signature signed_by(unsigned member, const ledger::certificate_body& what) {
    return {what.height, static_cast<consensus::author_index>(member), sign(key_of(member), what)};
}

}  // namespace

TEST_CASE("the newest state that a quorum signed is certified once, and older ones are forgotten") {
    certifier on(four());
    for (unsigned member = 0; member < 3; ++member) on.add(signed_by(member, state_at(3)));  // before this member is there
    for (std::uint64_t height = 1; height <= 4; ++height) on.reached(state_at(height));
    for (unsigned member = 0; member < 3; ++member) on.add(signed_by(member, state_at(2)));
    on.add(signed_by(0, state_at(4)));
    on.add(signed_by(1, state_at(4)));
    const auto got = on.newest();
    REQUIRE((got && *got));
    CHECK((*got)->body == state_at(3));
    CHECK(ledger::trust({}, four()).check(**got).has_value());
    CHECK(on.waiting() == 1);
    CHECK_FALSE(on.newest()->has_value());
    on.add(signed_by(3, state_at(4)));
    CHECK((*on.newest())->body == state_at(4));
    for (unsigned member = 0; member < 4; ++member) on.add(signed_by(member, state_at(2)));
    CHECK_FALSE(on.newest()->has_value());
}

TEST_CASE("one member's wrong signature is passed over, with two this state is wrong") {
    certifier on(four());
    on.reached(state_at(1));
    on.add(signed_by(0, state_at(1)));
    on.add(signed_by(1, state_at(1, 9)));
    on.add(signed_by(2, state_at(1)));
    CHECK_FALSE(on.newest()->has_value());
    on.add(signed_by(3, state_at(1)));
    REQUIRE(on.newest().has_value());
    certifier alone(four());
    alone.reached(state_at(1));
    alone.add(signed_by(0, state_at(1)));
    alone.add(signed_by(1, state_at(1, 9)));
    CHECK(alone.newest().has_value());  // less than a quorum may have signed: not looked at yet
    alone.add(signed_by(2, state_at(1, 9)));
    const auto stopped = alone.newest();
    REQUIRE_FALSE(stopped.has_value());
    CHECK(stopped.error().code == errc::corrupt);
}

TEST_CASE("what is kept of states and of a member's signatures is bounded") {
    certifier on(four());
    for (std::uint64_t height = 1; height <= certifier::states_max + 10; ++height) on.reached(state_at(height));
    CHECK(on.waiting() == certifier::states_max);
    const auto newest = state_at(certifier::states_max + 10);
    for (unsigned member = 0; member < 3; ++member) on.add(signed_by(member, newest));
    for (std::uint64_t height = 1; height <= certifier::signatures_a_member_max + 10; ++height) on.add({{height}, 3, signature{}});
    on.add({{5}, 17, signature{}});  // a stranger's
    const auto got = on.newest();
    REQUIRE((got && *got));
    CHECK((*got)->body == newest);
}
