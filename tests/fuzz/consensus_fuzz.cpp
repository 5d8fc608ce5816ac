// What comes from other members' sockets: a block that decodes encodes to the same bytes, and whatever it names, the step
// machine takes it or refuses it within its bounds, then goes on.
#include <chain/consensus/cks_coin.hpp>
#include <chain/consensus/replica.hpp>
#include <support/consensus_standins.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::consensus;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

struct nothing_older final : archive {
    [[nodiscard]] bool holds(const block_ref&) const override { return false; }
};

epoch_context epoch_of_four() {
    epoch_context out;
    out.by = rules::of(4);
    out.by.coin_interval = 8;
    return out;
}

// As if the member had signed it, so that the checks behind the signature see hostile contents too.
void try_blocks(byte_view input) {
    const auto of = epoch_of_four();
    const simulation::cheap_keys own(0);
    const simulation::cheap_coin shares(1, 0, 2);
    const nothing_older older;
    replica machine(of, 0, {}, older, own, shares);
    (void)machine.start(1);
    wire::decoder from(input);
    for (instant now = 2; !from.rest().empty() && now < 50; ++now) {
        block what;
        from(what);
        if (from.failed()) return;
        const auto text = wire::encode(what);
        require(equal(wire::encode(wire::decode<block>(text).value()), text));
        if (what.body.author < 0xf000) what.body.author = static_cast<author_index>(what.body.author % 4);  // else a stranger
        what.sig = simulation::cheap_keys(what.body.author).sign(digest_of(what.body));
        (void)machine.on_block(now, static_cast<author_index>(now % 4), named(std::move(what)));
        require(machine.waiting() <= 4 * pending::blocks_an_author);
    }
}

void try_share(byte_view input) {
    seeded_random random(1);
    static const auto dealt = deal_coin(random, 4, 2);
    static const cks_coin coin({}, 0, 0, dealt.secrets[0], dealt.verification, 2);
    require(!coin.holds(1, 1, input));  // no fuzzer proves a logarithm it does not know
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto input = std::as_bytes(std::span(data + 1, size - 1));
    if (data[0] % 4 == 0) try_share(input);
    else try_blocks(input);
    return 0;
}
