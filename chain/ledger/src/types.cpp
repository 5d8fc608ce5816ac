#include <chain/ledger/types.hpp>

#include "keys.hpp"

#include <algorithm>

namespace cess::ledger {
namespace {

bytes transaction_message(const transaction& body) {
    auto message = to_bytes("cess transaction v1");
    append(message, wire::encode(body));
    return message;
}

bool lower_or_digit(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string_view to_string(volume_type type) noexcept {
    switch (type) {
        case volume_type::filesystem: return "fs";
        case volume_type::block: return "block";
        case volume_type::bucket: return "bucket";
    }
    return "unknown";
}

signed_transaction sign(const crypto::signing_key& account, transaction body) {
    const auto message = transaction_message(body);
    return {std::move(body), account.sign(message)};
}

bool signature_holds(const signed_transaction& what) {
    return crypto::verify(crypto::key_of(what.body.account), transaction_message(what.body), what.sig);
}

hash256 digest_of(const transaction& body) { return crypto::sha256(transaction_message(body)); }

signature consent_of(const crypto::signing_key& node, const network_id& network, node_record record) {
    return node.sign(consent_message(network, std::move(record)));
}

bytes consent_message(const network_id& network, node_record record) {
    record.committed = 0;
    auto message = to_bytes("cess node v1");
    append(message, network.view());
    append(message, wire::encode(record));
    return message;
}

result<void> check_name(std::string_view name) {
    const auto wrong = [&](const char* why) {
        const bool printable = name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
        return error(errc::invalid, (printable ? "name \"" + std::string(name) + "\" " : std::string("name ")) + why);
    };
    if (name.empty()) return wrong("is empty");
    if (name.size() > 63) return wrong("is longer than 63 characters");
    if (!lower_or_digit(name.front())) return wrong("must begin with a letter a-z or a digit");
    for (const char c : name)
        if (!lower_or_digit(c) && c != '.' && c != '-') return wrong("may have only a-z, 0-9, '.' and '-'");
    if (name.find("..") != std::string_view::npos) return wrong("may not have \"..\"");
    return {};
}

std::uint64_t fragment_length(const segment_record& segment) noexcept {
    if (segment.block_size == 0 || segment.geometry.k == 0) return 0;
    const auto blocks = segment.length / segment.block_size + (segment.length % segment.block_size != 0 ? 1 : 0);
    const auto sealed = segment.length + blocks * crypto::aead_tag_size;
    return (sealed + segment.geometry.k - 1) / segment.geometry.k;
}

namespace key {
namespace {

class builder {
public:
    explicit builder(char kind) { m_key.push_back(static_cast<std::byte>(kind)); }
    template <class Tag, std::size_t Size>
    builder& id(const fixed_id<Tag, Size>& value) {
        append(m_key, value.view());
        return *this;
    }
    builder& number(std::uint64_t value) {
        for (int shift = 56; shift >= 0; shift -= 8) m_key.push_back(static_cast<std::byte>(value >> shift & 0xff));
        return *this;
    }
    builder& text(std::string_view value) {
        append(m_key, as_view(value));
        return *this;
    }
    [[nodiscard]] bytes take() { return std::move(m_key); }

private:
    bytes m_key;
};

}  // namespace

bytes node(const node_id& id) { return builder('n').id(id).take(); }
bytes volume(const volume_id& id) { return builder('v').id(id).take(); }
bytes volume_name(const account_id& owner, std::string_view name) { return builder('a').id(owner).text(name).take(); }
bytes view(const volume_id& volume, std::string_view name) { return builder('w').id(volume).text(name).take(); }
bytes segment(const volume_id& lineage, segment_number number) { return builder('s').id(lineage).number(number.value).take(); }
bytes segment_by_id(const volume_id& lineage, const segment_id& id) { return builder('i').id(lineage).id(id).take(); }
bytes freed(const volume_id& lineage, const segment_id& id) { return builder('f').id(lineage).id(id).take(); }
bytes withdrawn(const volume_id& volume) { return builder('W').id(volume).take(); }
bytes totals() { return builder('t').take(); }
bytes epoch() { return builder('E').take(); }

bytes volume_name_prefix(const account_id& owner) { return builder('a').id(owner).take(); }
bytes view_prefix(const volume_id& volume) { return builder('w').id(volume).take(); }
bytes segment_prefix(const volume_id& lineage) { return builder('s').id(lineage).take(); }
bytes node_prefix() { return builder('n').take(); }

bytes client(const account_id& account, const client_id& client) { return builder('c').id(account).id(client).take(); }
bytes expiry(block_height at, const account_id& account, const client_id& client) {
    return builder('e').number(at.value).id(account).id(client).take();
}
bytes expiry_prefix() { return builder('e').take(); }
bytes pins(const volume_id& lineage) { return builder('p').id(lineage).take(); }
bytes forward(const volume_id& lineage, segment_number from) { return builder('m').id(lineage).number(from.value).take(); }
bytes forward_prefix(const volume_id& lineage) { return builder('m').id(lineage).take(); }
bytes led(const volume_id& lineage, segment_number to, segment_number from) {
    return builder('M').id(lineage).number(to.value).number(from.value).take();
}
bytes led_prefix(const volume_id& lineage, segment_number to) { return builder('M').id(lineage).number(to.value).take(); }
bytes led_prefix(const volume_id& lineage) { return builder('M').id(lineage).take(); }
bytes astray(const volume_id& lineage, segment_number to) { return builder('z').id(lineage).number(to.value).take(); }
bytes astray_prefix(const volume_id& lineage) { return builder('z').id(lineage).take(); }
bytes pinned(const volume_id& lineage, sequence_number by, segment_number number) {
    return builder('d').id(lineage).number(by.value).number(number.value).take();
}
bytes pinned_prefix(const volume_id& lineage, sequence_number by) { return builder('d').id(lineage).number(by.value).take(); }
bytes pinned_prefix(const volume_id& lineage) { return builder('d').id(lineage).take(); }
bytes pending(const volume_id& lineage, sequence_number death, segment_number number) {
    return builder('u').id(lineage).number(death.value).number(number.value).take();
}
bytes pending_prefix(const volume_id& lineage) { return builder('u').id(lineage).take(); }
bytes unpinned(const volume_id& lineage, sequence_number by) { return builder('q').id(lineage).number(by.value).take(); }
bytes unpinned_prefix(const volume_id& lineage) { return builder('q').id(lineage).take(); }
bytes freed_order(const node_id& miner, freed_cursor at) { return builder('o').id(miner).number(at.value).take(); }
bytes freed_order_prefix(const node_id& miner) { return builder('o').id(miner).take(); }
bytes freed_count() { return builder('O').take(); }
bytes tombstone(const volume_id& id) { return builder('x').id(id).take(); }

}  // namespace key
}  // namespace cess::ledger
