// Records with what a stranger needs to believe them: the bytes, their path in the state's tree, and the signatures over its root.
#include "answers.hpp"

namespace cess::chain {
namespace {

constexpr std::size_t key_size_max = 256;

// The record in which a transaction's outcome stands, as long as its client has sent no other.
result<bytes> key_of_transaction(const records& on, const target& what) {
    TRY(const auto id, id_in<hash256>(what, 3, "transaction"));
    TRY(const auto found, on.find(id));
    const auto& entry = found.second;
    const auto key = ledger::key::client(entry.account, entry.client);
    std::optional<bytes> raw;
    CHECK_OK(on.look([&](ledger::state& state) { raw = state.get(key); }));
    const auto record = raw ? wire::decode<ledger::client_record>(*raw) : result<ledger::client_record>(error(errc::not_found));
    if (record && record->digest == id) return key;
    return error(errc::not_found, "transaction " + id.hex() + ": the state keeps the outcome of a client's last transaction alone, and this one's has sent others since, or it never counted");
}

result<bytes> key_of(const records& on, const target& what) {
    const auto& kind = what.path[2];
    if (kind == "totals") return ledger::key::totals();
    if (kind == "transactions") return key_of_transaction(on, what);
    if (kind == "keys") {
        auto key = from_hex(what.path[3]);
        if (!key || key->empty() || key->size() > key_size_max) return error(errc::invalid, "key: expected 1 to 256 bytes in hexadecimal");
        return std::move(*key);
    }
    if (kind == "nodes") {
        TRY(const auto id, id_in<node_id>(what, 3, "node"));
        return ledger::key::node(id);
    }
    if (kind == "names" || kind == "clients") {
        TRY(const auto owner, id_in<account_id>(what, 3, "account"));
        if (kind == "clients") {
            TRY(const auto client, id_in<client_id>(what, 4, "client"));
            return ledger::key::client(owner, client);
        }
        CHECK_OK(ledger::check_name(what.path[4]));
        return ledger::key::volume_name(owner, what.path[4]);
    }
    TRY(const auto volume, id_in<volume_id>(what, 3, "volume"));
    if (kind == "volumes") return ledger::key::volume(volume);
    if (kind == "views") {
        CHECK_OK(ledger::check_name(what.path[4]));
        return ledger::key::view(volume, what.path[4]);
    }
    if (kind == "segments") {
        TRY(const auto number, parse_decimal(what.path[4]));
        return ledger::key::segment(volume, {number});
    }
    TRY(const auto id, id_in<segment_id>(what, 4, "segment"));
    return ledger::key::freed(volume, id);
}

}  // namespace

result<answered> proof(const records& on, const target& what) {
    TRY(const auto key, key_of(on, what));
    TRY(const auto proved, on.prove(key));
    answered out;
    out.body["height"] = proved.certificate.body.height.value;
    out.body["key"] = to_hex(proved.key);
    out.body["value"] = proved.value ? json(to_hex(*proved.value)) : json();
    out.body["proof"] = to_json(proved.proof);
    out.body["certificate"] = to_json(proved.certificate);
    out.body["committee"] = to_json(signers_of(proved.certificate));
    return out;
}

}  // namespace cess::chain
