#include "transition.hpp"

#include <algorithm>

namespace cess::ledger {
namespace {

constexpr std::size_t clients_dropped = 4;  // more than one transaction can add

outcome refusal(errc code, std::string why) { return {code, std::move(why), {}}; }

void drop_expired(transition& in) {
    static constexpr std::size_t height_at = 1, account_at = height_at + 8, client_at = account_at + account_id::size;
    for (const auto& entry : in.scan(key::expiry_prefix(), {}, clients_dropped)) {
        const byte_view raw(entry.key);
        block_height queued;
        for (std::size_t i = height_at; i < account_at; ++i) queued.value = queued.value << 8 | std::to_integer<std::uint64_t>(raw[i]);
        if (queued >= in.at().height) return;
        const auto account = account_id::from(raw.subspan(account_at));
        const auto client = client_id::from(raw.subspan(client_at));
        in.erase(entry.key);
        const auto record = in.find<client_record>(key::client(account, client));
        if (!record) throw std::runtime_error("ledger state: an expiry without its client");
        if (record->expires >= in.at().height) in.mark(key::expiry(record->expires, account, client));
        else in.erase(key::client(account, client));
    }
}

outcome perform(state& on, const transaction& body, const context& at) {
    buffered_state draft(on);
    transition in(draft, at, body.account);
    auto got = std::visit([&](const auto& what) { return execute(in, what); }, body.what);
    if (!got) return {got.error().code, got.error().what, {}};
    in.finish();
    draft.pass_on();
    return {errc::ok, {}, std::move(*got)};
}

}  // namespace

outcome apply(state& on, const signed_transaction& what, const context& at, signature_is sig) {
    const auto& body = what.body;
    if (body.network != at.network) return refusal(errc::permission, "transaction for another network");
    if (body.number == 0) return refusal(errc::invalid, "transaction numbers begin at 1");
    if (sig == signature_is::unknown && !signature_holds(what)) return refusal(errc::permission, "transaction: the account's signature does not hold");
    transition in(on, at, body.account);
    const auto where = key::client(body.account, body.client);
    const auto digest = digest_of(body);
    auto known = in.find<client_record>(where);
    if (known && body.number == known->number) {
        if (digest == known->digest) return known->result;
        return refusal(errc::conflict, "transaction: its number was used for another one");
    }
    if (known && body.number < known->number) return refusal(errc::conflict, "transaction: older than its client's last one");
    if (body.expires < at.height) return refusal(errc::timeout, "transaction expired at height " + std::to_string(body.expires.value));
    if (body.expires.value - at.height.value > limits::lifetime_max) return refusal(errc::out_of_range, "transaction: expires too far ahead");
    drop_expired(in);
    known = in.find<client_record>(where);  // it may just have expired
    client_record now;
    now.number = body.number;
    now.digest = digest;
    now.height = at.height;
    now.expires = known ? std::max(known->expires, body.expires) : body.expires;
    auto got = perform(on, body, at);
    now.result = {got.code, {}, got.value};  // words are not part of the state, or rewording one would be a fork
    in.save(where, now);
    if (!known) in.mark(key::expiry(now.expires, body.account, body.client));
    return got;
}

committee end_epoch(state& on, const committee& now, block_height at, std::uint64_t transactions) {
    committee next{now.epoch + 1, now.members};
    on.put(key::epoch(), wire::encode(epoch_record{next, at, transactions}));
    return next;
}

std::uint64_t weight_of(const transaction& what, std::size_t encoded_size) {
    static constexpr std::uint64_t a_segment = 512;
    std::uint64_t segments = 0;
    if (const auto* step = std::get_if<reap>(&what.what)) segments = std::min(step->limit, limits::reap_max);
    if (const auto* moved = std::get_if<commit_root>(&what.what)) segments = std::min(moved->dead.size() + moved->moved.size(), 2 * limits::segments_max) + 128;
    if (std::holds_alternative<delete_volume>(what.what)) segments = 256;
    return encoded_size + segments * a_segment;
}

namespace list {
namespace {

template <class Record>
std::vector<Record> decoded(const std::vector<state_entry>& entries) {
    std::vector<Record> out;
    out.reserve(entries.size());
    for (const auto& entry : entries) out.push_back(transition::decoded<Record>(entry.value));
    return out;
}

}  // namespace

std::vector<node_record> nodes(state& on, const std::optional<node_id>& after, std::size_t limit) {
    return decoded<node_record>(on.scan(key::node_prefix(), after ? key::node(*after) : bytes{}, limit));
}

std::vector<volume_record> volumes(state& on, const account_id& of, const std::string& after_name, std::size_t limit) {
    std::vector<volume_record> out;
    for (const auto& entry : on.scan(key::volume_name_prefix(of), after_name.empty() ? bytes{} : key::volume_name(of, after_name), limit)) {
        const auto raw = on.get(key::volume(transition::decoded<volume_id>(entry.value)));
        if (!raw) throw std::runtime_error("ledger state: a name without its volume");
        out.push_back(transition::decoded<volume_record>(*raw));
    }
    return out;
}

std::vector<view_record> views(state& on, const volume_id& of, const std::string& after_name, std::size_t limit) {
    return decoded<view_record>(on.scan(key::view_prefix(of), after_name.empty() ? bytes{} : key::view(of, after_name), limit));
}

std::vector<segment_record> segments(state& on, const volume_id& lineage, segment_number after, std::size_t limit) {
    return decoded<segment_record>(on.scan(key::segment_prefix(lineage), after.value == 0 ? bytes{} : key::segment(lineage, after), limit));
}

std::vector<freed_entry> freed(state& on, const node_id& miner, freed_cursor after, std::size_t limit) {
    std::vector<freed_entry> out;
    for (const auto& entry : on.scan(key::freed_order_prefix(miner), after.value == 0 ? bytes{} : key::freed_order(miner, after), limit)) {
        freed_cursor at;
        for (std::size_t i = entry.key.size() - 8; i < entry.key.size(); ++i) at.value = at.value << 8 | std::to_integer<std::uint64_t>(entry.key[i]);
        const auto [lineage, id] = transition::decoded<std::pair<volume_id, segment_id>>(entry.value);
        out.push_back({at, key::freed(lineage, id)});
    }
    return out;
}

}  // namespace list
}  // namespace cess::ledger
