// What the certified state has: nodes, volumes, views, segments.
#include "answers.hpp"

namespace cess::chain {
namespace {

constexpr std::size_t scanned_at_once = 8;
constexpr std::size_t page_bytes_max = 1 * MiB;  // of records, after which a page ends: some have hundreds of KiB

struct state_page {
    std::vector<ledger::state_entry> entries;
    bool more = false;
    void scan(ledger::state& state, const bytes& prefix, const bytes& after, std::size_t limit) {
        std::size_t size = 0;
        auto cursor = after;
        while (!more) {
            auto found = state.scan(prefix, cursor, scanned_at_once);
            for (auto& each : found) {
                if (entries.size() == limit || size >= page_bytes_max) {
                    more = true;
                    return;
                }
                size += each.value.size();
                cursor = each.key;
                entries.push_back(std::move(each));
            }
            if (found.size() < scanned_at_once) return;
        }
    }
};

template <class Record>
result<Record> decoded(const bytes& raw) {
    auto record = wire::decode<Record>(raw);
    if (record) return record;
    return std::move(record).error().with_context("a record of the state");
}

// A page of the records behind `prefix`; `cursor_of(record)` is what the next page comes after.
template <class Record, class Form, class Cursor>
result<answered> page_of(const records& on, const target& what, const char* name, const bytes& prefix, const bytes& after, Form form, Cursor cursor_of) {
    state_page page;
    TRY(const auto certificate, on.look([&](ledger::state& state) { page.scan(state, prefix, after, what.page()); }));
    answered out;
    out.body["height"] = certificate.body.height.value;
    auto& rows = out.body[name] = json::array();
    std::string last;
    for (const auto& entry : page.entries) {
        TRY(const auto record, decoded<Record>(entry.value));
        rows.push_back(form(record));
        last = cursor_of(record);
    }
    out.body["next"] = page.more ? next_page(what, "after", last) : json();
    return out;
}

// One record of the state, put into the answer beside the height.
template <class Record, class Form>
result<answered> one(const records& on, const bytes& key, const std::string& name, Form form) {
    std::optional<bytes> raw;
    TRY(const auto certificate, on.look([&](ledger::state& state) { raw = state.get(key); }));
    const auto height = certificate.body.height.value;
    if (!raw) return error(errc::not_found, name + " is not in the ledger at height " + std::to_string(height));
    TRY(const auto record, decoded<Record>(*raw));
    answered out;
    out.body["height"] = height;
    out.body.update(form(record));
    return out;
}

template <class Record>
json whole(const Record& record) { return to_json(record); }

bytes kind_prefix(const bytes& key) { return bytes(key.begin(), key.begin() + 1); }

bytes lineage_prefix(const volume_id& lineage) {
    auto key = ledger::key::segment(lineage, {});
    key.resize(key.size() - sizeof(std::uint64_t));
    return key;
}

result<std::string> view_name(const std::string& text) {
    CHECK_OK(ledger::check_name(text));
    return text;
}

// Owned by `account`, in the order of names.
struct owned_page {
    std::vector<bytes> volumes;
    std::string last;
    bool more = false;
    void scan(ledger::state& state, const account_id& account, const std::string& after, std::size_t limit) {
        const auto prefix = ledger::key::volume_name(account, "");
        state_page names;
        names.scan(state, prefix, after.empty() ? bytes() : ledger::key::volume_name(account, after), limit);
        std::size_t size = 0;
        more = names.more;
        for (const auto& entry : names.entries) {
            if (size >= page_bytes_max) {
                more = true;
                return;
            }
            const auto id = wire::decode<volume_id>(entry.value);
            auto raw = id ? state.get(ledger::key::volume(*id)) : std::nullopt;
            if (!raw) throw std::runtime_error("ledger state: a name without its volume");
            size += raw->size();
            volumes.push_back(std::move(*raw));
            last = cess::to_string(byte_view(entry.key).subspan(prefix.size()));
        }
    }
    result<void> put_rows(json& to) const {
        to = json::array();
        for (const auto& raw : volumes) {
            TRY(const auto record, decoded<ledger::volume_record>(raw));
            to.push_back(summary_of(record));
        }
        return {};
    }
};

// What became of a segment in one lineage.
struct fate {
    volume_id lineage;
    std::optional<bytes> record, freed;
    void look(ledger::state& state, const segment_id& id) {
        const auto ref = state.get(ledger::key::segment_by_id(lineage, id));
        const auto where = ref ? wire::decode<ledger::segment_ref>(*ref) : result<ledger::segment_ref>(error(errc::not_found));
        if (where) record = state.get(ledger::key::segment(where->lineage, where->number));
        if (!record) freed = state.get(ledger::key::freed(lineage, id));
    }
    result<void> put_row(json& to) const {
        if (record) {
            TRY(const auto segment, decoded<ledger::segment_record>(*record));
            to["state"] = segment.death.value == 0 ? "live" : "dead";
            to.update(to_json(segment));
        } else if (freed) {
            TRY(const auto gone, decoded<ledger::freed_record>(*freed));
            to["state"] = "freed";
            to.update(to_json(gone));
        }
        return {};
    }
};

}  // namespace

result<answered> nodes(const records& on, const target& what) {
    bytes after;
    if (!what.after.empty()) {
        const auto id = node_id::parse(what.after);
        if (!id) return error(errc::invalid, "after: expected a node's id");
        after = ledger::key::node(*id);
    }
    return page_of<ledger::node_record>(on, what, "nodes", kind_prefix(ledger::key::node({})), after, whole<ledger::node_record>,
                                        [](const ledger::node_record& node) { return node.id.hex(); });
}

result<answered> node(const records& on, const target& what) {
    TRY(const auto id, id_in<node_id>(what, 2, "node"));
    return one<ledger::node_record>(on, ledger::key::node(id), "node " + id.hex(), whole<ledger::node_record>);
}

result<answered> volumes(const records& on, const target& what) {
    bytes after;
    if (!what.after.empty()) {
        const auto id = volume_id::parse(what.after);
        if (!id) return error(errc::invalid, "after: expected a volume's id");
        after = ledger::key::volume(*id);
    }
    return page_of<ledger::volume_record>(on, what, "volumes", kind_prefix(ledger::key::volume({})), after,
                                          [](const ledger::volume_record& volume) { return summary_of(volume); },
                                          [](const ledger::volume_record& volume) { return volume.id.hex(); });
}

result<answered> volume(const records& on, const target& what) {
    TRY(const auto id, id_in<volume_id>(what, 2, "volume"));
    return one<ledger::volume_record>(on, ledger::key::volume(id), "volume " + id.hex(), whole<ledger::volume_record>);
}

result<answered> views(const records& on, const target& what) {
    TRY(const auto id, id_in<volume_id>(what, 2, "volume"));
    bytes after;
    if (!what.after.empty()) {
        TRY(const auto name, view_name(what.after));
        after = ledger::key::view(id, name);
    }
    return page_of<ledger::view_record>(on, what, "views", ledger::key::view(id, ""), after, whole<ledger::view_record>,
                                        [](const ledger::view_record& view) { return view.name; });
}

result<answered> view(const records& on, const target& what) {
    TRY(const auto id, id_in<volume_id>(what, 2, "volume"));
    TRY(const auto name, view_name(what.path[4]));
    return one<ledger::view_record>(on, ledger::key::view(id, name), "view " + name + " of volume " + id.hex(), whole<ledger::view_record>);
}

result<answered> segments_of_volume(const records& on, const target& what) {
    TRY(const auto id, id_in<volume_id>(what, 2, "volume"));
    bytes after;
    if (!what.after.empty()) {
        TRY(const auto number, parse_decimal(what.after));
        after = ledger::key::segment(id, {number});
    }
    return page_of<ledger::segment_record>(on, what, "segments", lineage_prefix(id), after, whole<ledger::segment_record>,
                                           [](const ledger::segment_record& segment) { return std::to_string(segment.number.value); });
}

result<answered> segment_of_volume(const records& on, const target& what) {
    TRY(const auto id, id_in<volume_id>(what, 2, "volume"));
    TRY(const auto number, parse_decimal(what.path[4]));
    return one<ledger::segment_record>(on, ledger::key::segment(id, {number}), "segment " + what.path[4] + " of volume " + id.hex(), whole<ledger::segment_record>);
}

result<answered> segments(const records& on, const target& what) {
    TRY(const auto id, id_in<segment_id>(what, 2, "segment"));
    std::optional<volume_id> after;
    if (!what.after.empty()) {
        const auto lineage = volume_id::parse(what.after);
        if (!lineage) return error(errc::invalid, "after: expected a volume's id");
        after = *lineage;
    }
    TRY(auto lineages, on.lineages_of(id, after, what.page() + 1));
    TRY(const auto range, on.indexed());
    if (lineages.empty() && !after) return error(errc::not_found, "segment " + id.hex() + " was never committed by a volume");
    const bool more = lineages.size() > what.page();
    if (more) lineages.pop_back();
    std::vector<fate> fates;
    for (const auto& lineage : lineages) fates.push_back({lineage, {}, {}});
    TRY(const auto certificate, on.look([&](ledger::state& state) {
        for (auto& each : fates) each.look(state, id);
    }));
    answered out;
    out.body["height"] = certificate.body.height.value;
    out.body["id"] = id.hex();
    out.body["complete"] = range.from.value <= 1;
    auto& rows = out.body["segments"] = json::array();
    for (const auto& each : fates) {
        json row;
        CHECK_OK(each.put_row(row));
        if (!row.empty()) rows.push_back(std::move(row));
    }
    out.body["next"] = more ? next_page(what, "after", lineages.back().hex()) : json();
    return out;
}

result<answered> account_volumes(const records& on, const target& what) {
    TRY(const auto id, id_in<account_id>(what, 2, "account"));
    if (!what.after.empty()) CHECK_OK(ledger::check_name(what.after));
    owned_page page;
    TRY(const auto certificate, on.look([&](ledger::state& state) { page.scan(state, id, what.after, what.page()); }));
    answered out;
    out.body["height"] = certificate.body.height.value;
    out.body["account"] = id.hex();
    CHECK_OK(page.put_rows(out.body["volumes"]));
    out.body["next"] = page.more ? next_page(what, "after", page.last) : json();
    return out;
}

// The ledger has no record of an account; it is what it owns and what it sent.
result<answered> account_of(const records& on, const target& what) {
    TRY(const auto id, id_in<account_id>(what, 2, "account"));
    auto part = what;
    part.path.emplace_back("volumes");
    TRY(auto owned, account_volumes(on, part));
    part.path.back() = "transactions";
    TRY(auto sent, account_transactions(on, part));
    if (owned.body["volumes"].empty() && sent.body["transactions"].empty())
        return sent.body["complete"] ? error(errc::not_found, "account " + id.hex() + " owns no volume and has sent no transaction")
                                     : error(errc::unavailable, "account " + id.hex() + " owns no volume, and the index does not reach back to the first transactions");
    answered out;
    out.body["height"] = owned.body["height"];
    out.body["id"] = id.hex();
    out.body["volumes"] = std::move(owned.body["volumes"]);
    out.body["volumes_next"] = std::move(owned.body["next"]);
    out.body["transactions"] = std::move(sent.body["transactions"]);
    out.body["complete"] = std::move(sent.body["complete"]);
    out.body["transactions_next"] = std::move(sent.body["next"]);
    return out;
}

}  // namespace cess::chain
