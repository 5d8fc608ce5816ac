// What comes from sockets and logs of the chain: whatever decodes must encode to the same bytes, no proof may show what
// was not signed, and the ledger must refuse without a trace what is not the account's.
#include <chain/ledger/ledger.hpp>
#include <chain/ledger/tree.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::ledger;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

template <class T>
std::optional<T> same_again(byte_view input) {
    auto decoded = wire::decode<T>(input);
    if (!decoded) return std::nullopt;
    require(equal(wire::encode(*decoded), input));
    return std::move(*decoded);
}

void try_transaction(byte_view input) {
    const auto what = same_again<signed_transaction>(input);
    if (!what) return;
    memory_state state;
    (void)apply(state, *what, {what->body.network, {1}});
    require(state.all().empty());  // no fuzzer forges a signature
    // As if it were signed: every action's checks see hostile contents; applied twice it answers the same.
    const auto first = apply(state, *what, {what->body.network, {1}}, signature_is::verified);
    const auto after = state.all();
    const auto second = apply(state, *what, {what->body.network, {2}}, signature_is::verified);
    if (!after.empty()) require(first.code == second.code && first.value == second.value && state.all() == after);
}

void try_record(byte_view input) {
    const auto record = same_again<proved_record>(input);
    if (!record) return;
    committee nobody;
    nobody.members = {public_key{}};
    require(!trust(record->certificate.body.network, nobody).check(*record));
    (void)follow(record->proof, record->certificate.body.state_root, crypto::sha256(record->key));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto input = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 3) {
        case 0: try_transaction(input); break;
        case 1: try_record(input); break;
        default: (void)same_again<genesis>(input); break;
    }
    return 0;
}
