#include "context.hpp"

#include <core/net/blocking.hpp>

namespace cess::cli {
namespace {

struct arguments {
    std::string name, to, type, size, geometry;
    bool shrink = false;
};

nlohmann::json to_json(const ledger::volume_record& v) {
    nlohmann::json out;
    out["name"] = v.name;
    out["id"] = v.id.hex();
    out["type"] = ledger::to_string(v.type);
    out["size"] = v.size;
    out["used"] = v.used;
    out["geometry"] = to_string(v.geometry);
    out["block_size"] = v.block_size;
    out["created"] = v.created_unix;
    out["term"] = v.term.value;
    out["sequence"] = v.head.sequence.value;
    const bool attached = !v.leases.empty() && !v.leases.back().endpoint.empty();
    out["owner"] = attached ? nlohmann::json(v.leases.back().endpoint) : nlohmann::json(nullptr);
    out["base"] = v.base ? nlohmann::json(v.base->volume.hex() + "@" + v.base->name) : nlohmann::json(nullptr);
    return out;
}

std::string size_text(const ledger::volume_record& v) { return v.size == 0 ? "-" : format_size(v.size); }

// More fragments than miners could never be stored; better said now than at the first write.
result<void> check_geometry(client::runtime& on, const ledger::shape& geometry) {
    const auto deadline = on.world().now() + on.configuration().limits.ledger;
    TRY(const auto nodes, net::wait(on.world(), on.layer().ledger().nodes(deadline)));
    std::size_t miners = 0;
    for (const auto& n : nodes) miners += n.role == ledger::node_role::storage ? 1 : 0;
    const std::size_t needed = geometry.k + geometry.m;
    if (miners >= needed) return {};
    return error(errc::unsupported, "--ec " + to_string(geometry) + " needs " + std::to_string(needed) + " storage miners; the network has " +
                                        std::to_string(miners));
}

result<int> create(context& c, const arguments& a) {
    client::volume_spec spec;
    TRY(spec.name, volume_name(a.name));
    TRY(spec.type, parse_type(a.type));
    if (a.size.empty() && spec.type == ledger::volume_type::block) return error(errc::invalid, "a block volume needs a --size, such as 10G");
    if (!a.size.empty()) {
        TRY(spec.size, device_size(a.size, spec.type));
    }
    if (!a.geometry.empty()) {
        TRY(spec.geometry, parse_geometry(a.geometry));
    }
    TRY(auto runtime, c.connect());
    if (spec.geometry) CHECK_OK(check_geometry(*runtime, *spec.geometry));
    TRY(const auto made, runtime->create_volume(spec));
    if (c.json) print_json(to_json(made));
    else print("volume " + made.name + ": " + std::string(ledger::to_string(made.type)) + ", " + size_text(made) + ", " + to_string(made.geometry));
    return 0;
}

result<int> list(context& c) {
    TRY(auto runtime, c.connect());
    TRY(const auto volumes, runtime->volumes());
    if (c.json) {
        auto out = nlohmann::json::array();
        for (const auto& v : volumes) out.push_back(to_json(v));
        print_json(out);
        return 0;
    }
    std::vector<std::vector<std::string>> rows{{"NAME", "TYPE", "SIZE", "STORED", "EC", "CREATED", "ATTACHED AT"}};
    for (const auto& v : volumes) {
        const bool attached = !v.leases.empty() && !v.leases.back().endpoint.empty();
        rows.push_back({v.name, std::string(ledger::to_string(v.type)), size_text(v), format_size(v.used), to_string(v.geometry), utc(v.created_unix),
                        attached ? v.leases.back().endpoint : "-"});
    }
    print_table(rows);
    return 0;
}

result<int> info(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto v, runtime->volume(name));
    TRY(const auto snapshots, runtime->snapshots(name));
    TRY(const auto use, runtime->usage_of(name));
    auto out = to_json(v);
    out["limits"] = nullptr;  // known to who has it attached
    if (v.type == ledger::volume_type::block) {
        TRY(const auto limits, runtime->limits_in_force(v));
        if (limits) out["limits"] = limits_json(*limits);
    }
    // Its owner counts these; the ledger's `used` has metadata too, and nothing that only snapshots hold.
    out["mapped"] = use ? nlohmann::json(use->logical) : nlohmann::json(nullptr);
    out["stored"] = use ? nlohmann::json(use->stored) : nlohmann::json(nullptr);
    out["needed"] = use ? nlohmann::json(use->needed) : nlohmann::json(nullptr);
    out["reclaimable"] = use ? nlohmann::json(use->stored - use->needed) : nlohmann::json(nullptr);
    out["snapshots"] = nlohmann::json::array();
    for (const auto& s : snapshots) out["snapshots"].push_back(s.name);
    if (c.json) {
        print_json(out);
        return 0;
    }
    for (const auto& [key, value] : out.items()) {
        auto text = value.is_string() ? value.get<std::string>() : value.dump();
        const bool bytes = key == "size" || key == "used" || key == "mapped" || key == "stored" || key == "needed" || key == "reclaimable";
        if (bytes && !value.is_null()) text = format_size(value.get<std::uint64_t>()) + " (" + text + ")";
        if (key == "created") text = utc(value.get<std::uint64_t>());
        if (value.is_null()) text = "-";
        if (key == "limits" && v.type == ledger::volume_type::block) text = limits_text(value, name);
        if (value.is_array()) {
            text.clear();
            for (const auto& item : value) text += (text.empty() ? "" : " ") + item.get<std::string>();
            if (text.empty()) text = "-";
        }
        print(key + ": " + text);
    }
    return 0;
}

result<int> resize(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto before, runtime->volume(name));
    TRY(const auto size, device_size(a.size, before.type));
    CHECK_OK(runtime->resize_volume(name, size, a.shrink));
    print("volume " + name + ": " + format_size(size));
    return 0;
}

result<int> rename(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(const auto to, volume_name(a.to));
    TRY(auto runtime, c.connect());
    CHECK_OK(runtime->rename_volume(name, to));
    print("volume " + name + " is " + to + " now");
    return 0;
}

result<int> flatten(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    {
        progress_line line("flatten " + name);
        CHECK_OK(runtime->flatten(name, [&](std::uint64_t done, std::uint64_t total) { line.show(done, total); }));
    }
    print("volume " + name + " stands alone now");
    return 0;
}

result<int> remove(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    CHECK_OK(runtime->delete_volume(name));
    print("volume " + name + " deleted");
    return 0;
}

}  // namespace

void add_volume_commands(CLI::App& app, context& c) {
    auto* volume = app.add_subcommand("volume", "Make and manage volumes");
    volume->require_subcommand(1);
    const auto a = std::make_shared<arguments>();
    const auto act = [&c](CLI::App* command, auto what) { command->callback([&c, what] { c.action = what; }); };

    auto* create_command = add_command(*volume, c, "create", "Make a volume", true);
    create_command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    create_command->add_option("--type", a->type, "fs, block or bucket")->required()->option_text("TYPE");
    create_command->add_option("--size", a->size, "Size of a block device, limit of the others, such as 10G")->option_text("SIZE");
    create_command->add_option("--ec", a->geometry, "Data and parity fragments of its segments; default: the network's")->option_text("K+M");
    act(create_command, [&c, a] { return create(c, *a); });

    auto* list_command = add_command(*volume, c, "list", "List the account's volumes", true);
    act(list_command, [&c] { return list(c); });

    auto* info_command = add_command(*volume, c, "info", "Show a volume", true);
    info_command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    act(info_command, [&c, a] { return info(c, *a); });

    auto* resize_command = add_command(*volume, c, "resize", "Change a volume's size, also while it is attached", false);
    resize_command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    resize_command->add_option("size", a->size, "The new size, such as 20G")->required()->option_text("SIZE");
    resize_command->add_flag("--force,--shrink", a->shrink, "Allow a smaller size; what lies past it is lost");
    act(resize_command, [&c, a] { return resize(c, *a); });

    auto* rename_command = add_command(*volume, c, "rename", "Rename a volume", false);
    rename_command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    rename_command->add_option("to", a->to, "The new name")->required()->option_text("NEW");
    act(rename_command, [&c, a] { return rename(c, *a); });

    auto* flatten_command = add_command(*volume, c, "flatten", "Copy what a clone shares with its snapshot, until it stands alone", false);
    flatten_command->add_option("name", a->name, "The clone")->required()->option_text("NAME");
    act(flatten_command, [&c, a] { return flatten(c, *a); });

    auto* delete_command = add_command(*volume, c, "delete", "Delete a volume and everything in it", false);
    delete_command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    act(delete_command, [&c, a] { return remove(c, *a); });

    add_limit_command(*volume, c);
    add_lost_command(*volume, c);
}

}  // namespace cess::cli
