#include "json.hpp"

#include <array>

namespace cess::chain {
namespace {

constexpr std::array<std::string_view, std::variant_size_v<ledger::action>> kinds{
    "register_node", "create_volume", "rename_volume", "resize_volume", "delete_volume", "take_lease", "release_lease", "extend_reservation", "add_segments",
    "commit_root", "create_view", "delete_view", "reap", "seal_leases", "rename_view", "drop_base", "rewrite_view"};

// By the numbers of errc, which never change.
constexpr std::array<std::string_view, 27> codes{
    "ok", "invalid", "not_found", "exists", "permission", "no_space", "io", "corrupt", "fenced", "lease_required", "unavailable", "timeout", "canceled", "protocol",
    "too_large", "busy", "conflict", "read_only", "unsupported", "not_empty", "is_directory", "not_directory", "name_too_long", "quota", "out_of_range", "exhausted", "no_attribute"};
static_assert(static_cast<std::size_t>(errc::no_attribute) + 1 == codes.size());

std::string_view code_name(errc code) noexcept {
    const auto at = static_cast<std::size_t>(code);
    return at < codes.size() ? codes[at] : "unknown";
}

constexpr std::size_t listed_max = 64;  // of a list in an action, which may have thousands; its length is always told

template <class List, class F>
void put_list(json& to, const char* name, const List& list, F form) {
    to[std::string(name) + "_count"] = list.size();
    auto& rows = to[name] = json::array();
    for (std::size_t i = 0; i < list.size() && i < listed_max; ++i) rows.push_back(form(list[i]));
}

void put_segments(json& to, const char* name, const std::vector<ledger::segment_record>& list) {
    put_list(to, name, list, [](const ledger::segment_record& segment) {
        json row;
        row["number"] = wide(segment.number.value);
        row["id"] = segment.id.hex();
        row["length"] = wide(segment.length);
        return row;
    });
}

void put(json& to, const ledger::register_node& what) { to["node"] = to_json(what.node); }
void put(json& to, const ledger::create_volume& what) {
    to["volume"] = what.id.hex();
    to["name"] = what.name;
    to["type"] = ledger::to_string(what.type);
    to["size"] = wide(what.size);
    to["block_size"] = what.block_size;
    to["geometry"] = to_json(what.geometry);
    to["created_unix"] = what.created_unix;
    if (!what.base) return;
    to["base"]["volume"] = what.base->volume.hex();
    to["base"]["view"] = what.base->name;
}
void put(json& to, const ledger::rename_volume& what) { to["volume"] = what.volume.hex(), to["name"] = what.name; }
void put(json& to, const ledger::resize_volume& what) { to["volume"] = what.volume.hex(), to["size"] = wide(what.size); }
void put(json& to, const ledger::delete_volume& what) { to["volume"] = what.volume.hex(); }
void put(json& to, const ledger::take_lease& what) {
    to["volume"] = what.volume.hex();
    to["expected_term"] = what.expected.value;
    to["session"] = what.session.hex();
    to["endpoint"] = what.endpoint;
    to["reservation"] = wide(what.reservation);
    put_list(to, "members", what.members, [](const ledger::journal_member& member) { return json(member.miner.hex()); });
}
void put(json& to, const ledger::release_lease& what) { to["volume"] = what.volume.hex(), to["term"] = what.term.value; }
void put(json& to, const ledger::extend_reservation& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["reservation"] = wide(what.reservation);
}
void put(json& to, const ledger::add_segments& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    put_segments(to, "segments", what.segments);
}
void put(json& to, const ledger::commit_root& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["root"] = to_json(what.head);
    put_segments(to, "added", what.added);
    put_list(to, "moved", what.moved, [](const ledger::segment_move& move) {
        json row;
        row["from"] = wide(move.from.value);
        row["to"] = wide(move.to.value);
        return row;
    });
    put_list(to, "dead", what.dead, [](const ledger::segment_death& dead) {
        json row;
        row["number"] = wide(dead.number.value);
        row["death"] = wide(dead.death.value);
        return row;
    });
}
void put(json& to, const ledger::create_view& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["name"] = what.name;
    to["kind"] = what.kind == ledger::view_kind::snapshot ? "snapshot" : "clone_base";
    to["size"] = wide(what.size);
    to["created_unix"] = what.created_unix;
    to["root"] = to_json(what.at);
    put_segments(to, "added", what.added);
}
void put(json& to, const ledger::delete_view& what) { to["volume"] = what.volume.hex(), to["name"] = what.name; }
void put(json& to, const ledger::reap& what) { to["volume"] = what.volume.hex(), to["limit"] = what.limit; }
void put(json& to, const ledger::seal_leases& what) { to["volume"] = what.volume.hex(), to["term"] = what.term.value; }
void put(json& to, const ledger::rename_view& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["name"] = what.name;
    to["to"] = what.to;
}
void put(json& to, const ledger::drop_base& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["at"] = wide(what.at.value);
}
void put(json& to, const ledger::rewrite_view& what) {
    to["volume"] = what.volume.hex();
    to["term"] = what.term.value;
    to["name"] = what.name;
    to["root"] = to_json(what.at);
}

std::string_view to_string(standing how) noexcept {
    switch (how) {
        case standing::counted: return "counted";
        case standing::repeated: return "repeated";
        case standing::passed_over: return "passed_over";
    }
    return "unknown";
}

}  // namespace

std::string_view kind_name(std::size_t index) noexcept { return index < kinds.size() ? kinds[index] : "unknown"; }

json to_json(const ledger::action& what) {
    auto out = json::object();
    std::visit([&](const auto& of) { put(out, of); }, what);
    return out;
}

json to_json(const transaction_entry& entry) {
    json out;
    out["id"] = entry.id.hex();
    out["kind"] = kind_name(entry.kind);
    out["sender"] = entry.account.hex();
    out["client"] = entry.client.hex();
    out["number"] = wide(entry.number);
    out["standing"] = to_string(entry.how);
    out["result"]["code"] = code_name(entry.code);
    if (!entry.words.empty()) out["result"]["words"] = entry.words;
    if (!entry.value.empty()) out["result"]["value"] = to_hex(entry.value);
    return out;
}

}  // namespace cess::chain
