#include "index.hpp"

#include <algorithm>

namespace cess::chain::index {
namespace {

// In the state store, a family of its own beside the state's (machine.cpp).
constexpr char family = 'X';
constexpr std::size_t value_max = 64;      // of a result that is kept; a lease is in the volume's record
constexpr std::size_t not_certified_max = 16;  // places looked past
constexpr std::size_t copied_at_once = 2048;

class key {
public:
    explicit key(char kind) { m_key.push_back(static_cast<std::byte>(family)), m_key.push_back(static_cast<std::byte>(kind)); }
    template <class Tag, std::size_t Size>
    key& id(const fixed_id<Tag, Size>& value) {
        append(m_key, value.view());
        return *this;
    }
    template <class Number>
    key& number(Number value) {
        for (int shift = 8 * (sizeof(Number) - 1); shift >= 0; shift -= 8) m_key.push_back(static_cast<std::byte>(value >> shift & 0xff));
        return *this;
    }
    key& place(const transaction_place& at) { return number(at.height.value).number(at.place); }
    key& place_backwards(const transaction_place& at) { return number(~at.height.value).number(static_cast<std::uint32_t>(~at.place)); }
    [[nodiscard]] bytes take() { return std::move(m_key); }

private:
    bytes m_key;
};

std::uint64_t number_at(byte_view raw, std::size_t size) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < size; ++i) out = out << 8 | std::to_integer<std::uint64_t>(raw[i]);
    return out;
}

// The last twelve bytes of a key.
transaction_place place_of(const bytes& key) {
    const auto tail = byte_view(key).last(12);
    return {{number_at(tail, 8)}, static_cast<std::uint32_t>(number_at(tail.subspan(8), 4))};
}

bytes range_key() { return key('r').take(); }

const std::vector<ledger::segment_record>* added_by(const ledger::action& what) {
    if (const auto* of = std::get_if<ledger::add_segments>(&what)) return &of->segments;
    if (const auto* of = std::get_if<ledger::commit_root>(&what)) return &of->added;
    if (const auto* of = std::get_if<ledger::create_view>(&what)) return &of->added;
    return nullptr;
}

volume_id volume_of(const ledger::action& what) {
    if (const auto* of = std::get_if<ledger::add_segments>(&what)) return of->volume;
    if (const auto* of = std::get_if<ledger::commit_root>(&what)) return of->volume;
    return std::get<ledger::create_view>(what).volume;
}

}  // namespace

standing standing_of(ledger::state& in, const ledger::transaction& body, const hash256& id, block_height height) {
    const auto raw = in.get(ledger::key::client(body.account, body.client));
    const auto record = raw ? wire::decode<ledger::client_record>(*raw) : result<ledger::client_record>(error(errc::not_found));
    if (!record || record->digest != id || record->number != body.number) return standing::passed_over;
    return record->height == height ? standing::counted : standing::repeated;
}

void add(kv::batch& to, transaction_place where, const ledger::signed_transaction& what, const hash256& id, const ledger::outcome& outcome, standing how) {
    transaction_entry entry;
    entry.id = id;
    entry.account = what.body.account;
    entry.client = what.body.client;
    entry.number = what.body.number;
    entry.kind = static_cast<std::uint8_t>(what.body.what.index());
    entry.how = how;
    entry.code = outcome.code;
    entry.words = outcome.what.substr(0, transaction_entry::words_max);
    if (outcome.value.size() <= value_max) entry.value = outcome.value;
    to.insert_or_assign(key('h').place(where).take(), wire::encode(entry));
    to.insert_or_assign(key('t').id(id).number(static_cast<std::uint8_t>(how)).place(where).take(), bytes());
    if (how != standing::counted) return;
    to.insert_or_assign(key('a').id(what.body.account).place_backwards(where).take(), bytes());
    if (outcome.code != errc::ok) return;
    if (const auto* segments = added_by(what.body.what))
        for (const auto& segment : *segments) to.insert_or_assign(key('s').id(segment.id).id(volume_of(what.body.what)).take(), bytes());
}

void add(kv::batch& to, block_height height, const consensus::named_block& what, std::uint32_t transactions) {
    block_entry entry;
    entry.digest = what.ref.digest;
    entry.epoch = what.body().epoch;
    entry.round = what.ref.round;
    entry.author = what.ref.author;
    for (const auto& item : what.body().payload) entry.size += item.size();
    entry.transactions = transactions;
    to.insert_or_assign(key('b').number(height.value).take(), wire::encode(entry));
}

void add(kv::batch& to, const indexed_range& now) { to.insert_or_assign(range_key(), wire::encode(now)); }

result<indexed_range> range_of(kv::store& in, block_height state) {
    TRY(const auto raw, in.get(range_key()));
    const indexed_range fresh{state.next(), state};
    if (!raw) return fresh;
    TRY(const auto range, wire::decode<indexed_range>(*raw));
    return range.upto == state ? range : fresh;  // it was off for a while
}

result<block_entry> block(kv::store& in, block_height height) {
    TRY(const auto raw, in.get(key('b').number(height.value).take()));
    if (!raw) return error(errc::not_found, "block " + std::to_string(height.value) + " is not in the index");
    return wire::decode<block_entry>(*raw);
}

result<std::vector<transaction_entry>> transactions(kv::store& in, block_height height, std::uint32_t from, std::size_t limit) {
    const auto prefix = key('h').number(height.value).take();
    const auto after = from == 0 ? bytes() : key('h').place({height, from - 1}).take();
    TRY(const auto found, in.scan(prefix, after, limit));
    std::vector<transaction_entry> out;
    for (const auto& each : found) {
        TRY(auto entry, wire::decode<transaction_entry>(each.value));
        out.push_back(std::move(entry));
    }
    return out;
}

result<std::pair<transaction_place, transaction_entry>> find(kv::store& in, const hash256& id, block_height certified) {
    // The one that counted comes first, however often a liar put it into blocks.
    TRY(const auto found, in.scan(key('t').id(id).take(), {}, not_certified_max + 1));
    const auto at = std::find_if(found.begin(), found.end(), [&](const kv::entry& each) { return place_of(each.key).height <= certified; });
    if (at == found.end()) return error(errc::not_found, "transaction " + id.hex() + " stands in no certified block");
    const auto place = place_of(at->key);
    TRY(const auto raw, in.get(key('h').place(place).take()));
    if (!raw) return error(errc::corrupt, "index: transaction " + id.hex() + " has no entry");
    TRY(auto entry, wire::decode<transaction_entry>(*raw));
    return std::pair(place, std::move(entry));
}

result<std::vector<transaction_place>> of_account(kv::store& in, const account_id& account, const std::optional<transaction_place>& before, std::size_t limit, block_height certified) {
    const transaction_place newest{certified.next(), 0};  // before it: up to the end of `certified`
    const auto from = before && *before < newest ? *before : newest;
    TRY(const auto found, in.scan(key('a').id(account).take(), key('a').id(account).place_backwards(from).take(), limit));
    std::vector<transaction_place> out;
    for (const auto& each : found) {
        const auto mirrored = place_of(each.key);
        out.push_back({{~mirrored.height.value}, static_cast<std::uint32_t>(~mirrored.place)});
    }
    return out;
}

result<std::vector<volume_id>> lineages_of(kv::store& in, const segment_id& segment, const std::optional<volume_id>& after, std::size_t limit) {
    const auto prefix = key('s').id(segment).take();
    TRY(const auto found, in.scan(prefix, after ? key('s').id(segment).id(*after).take() : bytes(), limit));
    std::vector<volume_id> out;
    for (const auto& each : found) out.push_back(volume_id::from(byte_view(each.key).subspan(prefix.size())));
    return out;
}

result<bytes> copy_some(kv::store& from, kv::store& to, const bytes& after) {
    TRY(auto found, from.scan(bytes(1, static_cast<std::byte>(family)), after, copied_at_once));
    if (found.empty()) return bytes();
    kv::batch all;
    auto last = found.back().key;
    for (auto& each : found)
        if (each.key != range_key()) all.insert_or_assign(std::move(each.key), std::move(each.value));
    CHECK_OK(to.commit(all));
    return last;
}

}  // namespace cess::chain::index
