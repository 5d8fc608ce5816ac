// What is in the certified sequence: blocks, transactions, who signs.
#include "answers.hpp"

#include <chain/consensus/block.hpp>
#include <core/crypto/crypto.hpp>

namespace cess::chain {
namespace {

result<ledger::state_certificate> newest(const records& on) {
    auto certificate = on.certificate();
    if (certificate) return std::move(*certificate);
    return error(errc::unavailable, "nothing is certified here yet; come again");
}

json summary_of(block_height height, const block_entry& entry) {
    json out;
    out["height"] = height.value;
    out["digest"] = entry.digest.hex();
    out["epoch"] = entry.epoch;
    out["round"] = entry.round;
    out["author"] = entry.author;
    out["size"] = entry.size;
    out["transaction_count"] = entry.transactions;
    return out;
}

json placed(const transaction_place& at, const transaction_entry& entry) {
    json out;
    out["height"] = at.height.value;
    out["place"] = at.place;
    out.update(to_json(entry));
    return out;
}

result<void> put_rows(json& to, const records& on, const std::vector<transaction_place>& places) {
    to = json::array();
    for (const auto& at : places) {
        TRY(const auto found, on.transactions(at.height, at.place, 1));
        if (found.empty()) return error(errc::corrupt, "index: a transaction of block " + std::to_string(at.height.value) + " has no entry");
        to.push_back(placed(at, found.front()));
    }
    return {};
}

std::string cursor_of(const transaction_place& at) { return std::to_string(at.height.value) + "." + std::to_string(at.place); }

result<transaction_place> parse_place(std::string_view text) {
    const auto dot = text.find('.');
    const error bad(errc::invalid, "before: expected HEIGHT.PLACE, as a page's `next` has it");
    if (dot == std::string_view::npos) return bad;
    const auto height = parse_decimal(text.substr(0, dot)), place = parse_decimal(text.substr(dot + 1));
    if (!height || !place || *place > UINT32_MAX) return bad;
    return transaction_place{{*height}, static_cast<std::uint32_t>(*place)};
}

// The signed transaction itself, from the log.
result<ledger::signed_transaction> transaction_in(const records& on, block_height height, const hash256& id) {
    TRY(const auto encoded, on.encoded_block(height));
    TRY(const auto block, wire::decode<consensus::block>(encoded));
    for (const auto& item : block.body.payload) {
        if (item.size() > ledger::limits::transaction_size_max) continue;
        auto decoded = wire::decode<ledger::signed_transaction>(item);
        if (decoded && ledger::digest_of(decoded->body) == id) return std::move(*decoded);
    }
    return error(errc::corrupt, "block " + std::to_string(height.value) + " of the log lacks transaction " + id.hex());
}

}  // namespace

result<answered> status_of(const records& on, const target&) {
    ledger::totals_record totals;
    TRY(const auto certificate, newest(on));
    const auto looked = on.look([&](ledger::state& state) {
        const auto raw = state.get(ledger::key::totals());
        const auto record = raw ? wire::decode<ledger::totals_record>(*raw) : result<ledger::totals_record>(totals);
        if (record) totals = *record;
    });
    const auto progress = on.now();
    const auto& origin = on.origin();
    const auto signers = signers_of(certificate);
    const auto height = certificate.body.height;
    answered out;
    auto& body = out.body;
    body["network"]["id"] = certificate.body.network.hex();
    body["network"]["name"] = origin.name;
    body["network"]["created_unix"] = origin.created_unix;
    body["network"]["geometry"] = to_json(origin.default_geometry);
    body["height"] = height.value;
    body["applied_height"] = std::max(progress.applied, height).value;
    body["certified"] = looked.has_value();  // else this node catches up, and tells nothing of the state
    body["epoch"] = certificate.body.epoch;
    body["commit_digest"] = certificate.body.commit_digest.hex();
    body["state_root"] = certificate.body.state_root.hex();
    body["transactions"] = progress.transactions;
    body["waiting"] = progress.waiting;
    body["finality_us"] = progress.finality_us;
    body["failure"] = progress.failure.code == errc::ok ? json() : json(progress.failure.message());
    if (looked) {
        body["space"]["offered"] = wide(totals.offered);
        body["space"]["committed"] = wide(totals.committed);
        body["space"]["reserved"] = wide(totals.reserved);
        body["space"]["available"] = wide(totals.available());
    }
    body["members"] = json::array();
    for (std::size_t i = 0; i < signers.members.size(); ++i) {
        json row;
        row["member"] = i;
        row["id"] = crypto::id_of<node_id>(signers.members[i]).hex();
        const auto upto = i < progress.signed_upto.size() ? progress.signed_upto[i] : block_height();
        row["signed_height"] = upto.value == 0 ? json() : json(std::min(upto, height).value);
        row["behind"] = upto.value == 0 ? json() : json(height.value - std::min(upto, height).value);
        body["members"].push_back(std::move(row));
    }
    TRY(const auto range, on.indexed());
    body["indexed"]["from"] = range.from.value;
    body["indexed"]["upto"] = range.upto.value;
    return out;
}

result<answered> genesis_of(const records& on, const target&) {
    const auto& origin = on.origin();
    answered out;
    out.body["network"] = ledger::id_of(origin).hex();
    out.body["name"] = origin.name;
    out.body["created_unix"] = origin.created_unix;
    out.body["geometry"] = to_json(origin.default_geometry);
    out.body["committee"] = to_json(origin.first);
    out.body["encoded"] = to_hex(wire::encode(origin));
    return out;
}

result<answered> committee_of(const records& on, const target&) {
    TRY(const auto certificate, newest(on));
    const auto signers = signers_of(certificate);
    std::vector<std::string> addresses(signers.members.size());
    (void)on.look([&](ledger::state& state) {  // addresses are for people
        for (std::size_t i = 0; i < signers.members.size(); ++i) {
            const auto raw = state.get(ledger::key::node(crypto::id_of<node_id>(signers.members[i])));
            if (!raw) continue;
            if (auto record = wire::decode<ledger::node_record>(*raw)) addresses[i] = std::move(record->address);
        }
    });
    answered out;
    auto& body = out.body;
    body["height"] = certificate.body.height.value;
    body["epoch"] = signers.epoch;
    body["quorum"] = signers.quorum();
    body["faulty_max"] = signers.faulty_max();
    body["members"] = json::array();
    for (std::size_t i = 0; i < signers.members.size(); ++i) {
        json row;
        row["member"] = i;
        row["id"] = crypto::id_of<node_id>(signers.members[i]).hex();
        row["public_key"] = signers.members[i].hex();
        row["address"] = addresses[i].empty() ? json() : json(addresses[i]);
        body["members"].push_back(std::move(row));
    }
    body["certificate"] = to_json(certificate);
    return out;
}

result<answered> blocks(const records& on, const target& what) {
    TRY(const auto range, on.indexed());
    auto above = range.upto.next();
    if (!what.before.empty()) {
        TRY(const auto before, parse_decimal(what.before));
        above = std::min(above, block_height{before});
    }
    answered out;
    out.body["height"] = range.upto.value;
    auto& rows = out.body["blocks"] = json::array();
    auto at = above.value;
    while (at > 1 && rows.size() < what.page()) {
        if (at <= range.from.value && !rows.empty()) break;  // the next page says that the index is being built
        --at;
        TRY(const auto entry, on.block({at}));
        rows.push_back(summary_of({at}, entry));
    }
    out.body["next"] = at > 1 ? next_page(what, "before", std::to_string(at)) : json();
    return out;
}

result<answered> block(const records& on, const target& what) {
    TRY(const auto height, parse_decimal(what.path[2]));
    std::uint64_t from = 0;
    if (!what.after.empty()) {
        TRY(const auto after, parse_decimal(what.after));
        if (after >= UINT32_MAX) return error(errc::invalid, "after: expected a transaction's place in the block");
        from = after + 1;
    }
    TRY(const auto entry, on.block({height}));
    TRY(const auto found, on.transactions({height}, static_cast<std::uint32_t>(from), what.page()));
    answered out;
    out.body = summary_of({height}, entry);
    auto& rows = out.body["transactions"] = json::array();
    auto place = static_cast<std::uint32_t>(from);
    for (const auto& each : found) rows.push_back(placed({{height}, place++}, each));
    out.body["next"] = !found.empty() && place < entry.transactions ? next_page(what, "after", std::to_string(place - 1)) : json();
    out.immutable = true;
    return out;
}

result<answered> transaction(const records& on, const target& what) {
    TRY(const auto id, id_in<hash256>(what, 2, "transaction"));
    TRY(const auto found, on.find(id));
    const auto& [at, entry] = found;
    const auto whole = transaction_in(on, at.height, id);
    if (!whole && whole.error().code != errc::not_found) return whole.error();
    answered out;
    out.body = placed(at, entry);
    out.body["expires"] = whole ? json(whole->body.expires.value) : json();  // the log of its epoch has gone
    out.body["signature"] = whole ? json(whole->sig.hex()) : json();
    out.body["action"] = whole ? to_json(whole->body.what) : json();
    out.immutable = entry.how == standing::counted;
    return out;
}

result<answered> account_transactions(const records& on, const target& what) {
    TRY(const auto id, id_in<account_id>(what, 2, "account"));
    std::optional<transaction_place> before;
    if (!what.before.empty()) {
        TRY(before, parse_place(what.before));
    }
    TRY(const auto range, on.indexed());
    TRY(auto places, on.of_account(id, before, what.page() + 1));
    const bool more = places.size() > what.page();
    if (more) places.pop_back();
    answered out;
    out.body["height"] = range.upto.value;
    out.body["account"] = id.hex();
    out.body["complete"] = range.from.value <= 1;  // else the index is being built, and older ones are missing
    CHECK_OK(put_rows(out.body["transactions"], on, places));
    out.body["next"] = more ? next_page(what, "before", cursor_of(places.back())) : json();
    return out;
}

}  // namespace cess::chain
