#include "context.hpp"

namespace cess::cli {
namespace {

struct arguments {
    std::string name, to;
    bool abandon = false;
    std::vector<std::string> names;
};

result<int> create(context& c, const arguments& a) {
    std::vector<volume::target> what;
    for (const auto& name : a.names) {
        TRY(auto parsed, snapshot_name(name));
        what.push_back(std::move(parsed));
    }
    TRY(auto runtime, c.connect());
    CHECK_OK(runtime->create_snapshots(what));
    for (const auto& name : a.names) print("snapshot " + name);
    return 0;
}

result<int> list(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto all, runtime->snapshots(name));
    if (c.json) {
        auto out = nlohmann::json::array();
        for (const auto& s : all) {
            nlohmann::json row;
            row["name"] = s.name;
            row["created"] = s.created_unix;
            row["sequence"] = s.at.value;
            row["pending"] = s.pending;
            out.push_back(row);
        }
        print_json(out);
        return 0;
    }
    std::vector<std::vector<std::string>> rows{{"SNAPSHOT", "CREATED", "STATE"}};
    for (const auto& s : all) rows.push_back({name + "@" + s.name, utc(s.created_unix), s.pending ? "pending" : "anchored"});
    print_table(rows);
    return 0;
}

result<int> info(context& c, const arguments& a) {
    TRY(const auto what, snapshot_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto found, runtime->snapshot(what));
    const auto& s = found.info;
    if (c.json) {
        nlohmann::json out;
        out["volume"] = what.name;
        out["name"] = s.name;
        out["created"] = s.created_unix;
        out["sequence"] = s.at.value;
        out["size"] = s.size;
        out["pending"] = s.pending;
        out["clones"] = found.clones;
        print_json(out);
        return 0;
    }
    std::string clones;
    for (const auto& name : found.clones) clones += (clones.empty() ? "" : " ") + name;
    print("name: " + a.name);
    print("created: " + utc(s.created_unix));
    print("sequence: " + std::to_string(s.at.value));
    print("size: " + (s.size == 0 ? "-" : format_size(s.size) + " (" + std::to_string(s.size) + ")"));
    print(std::string("state: ") + (s.pending ? "pending" : "anchored"));
    print("clones: " + (clones.empty() ? "-" : clones));
    return 0;
}

result<int> rename(context& c, const arguments& a) {
    TRY(const auto what, snapshot_name(a.name));
    TRY(const auto to, volume_name(a.to));
    TRY(auto runtime, c.connect());
    CHECK_OK(runtime->rename_snapshot(what, to));
    print("snapshot " + a.name + " is " + what.name + "@" + to + " now");
    return 0;
}

result<int> rollback(context& c, const arguments& a) {
    TRY(const auto to, snapshot_name(a.name));
    TRY(auto runtime, c.connect());
    if (a.abandon) {
        CHECK_OK(runtime->abandon_rollback(to.name));
        print("volume " + to.name + ": a mixture of what it was and " + a.name);
        return 0;
    }
    {
        progress_line line("rollback to " + a.name);
        CHECK_OK(runtime->roll_back(to, [&](std::uint64_t done, std::uint64_t total) { line.show(done, total); }));
    }
    print("volume " + to.name + ": as it was at " + a.name);
    return 0;
}

result<int> remove(context& c, const arguments& a) {
    TRY(const auto what, snapshot_name(a.name));
    TRY(auto runtime, c.connect());
    CHECK_OK(runtime->delete_snapshot(what));
    print("snapshot " + a.name + " deleted");
    return 0;
}

result<int> clone(context& c, const arguments& a) {
    TRY(const auto from, snapshot_name(a.name));
    TRY(const auto to, volume_name(a.to));
    TRY(auto runtime, c.connect());
    TRY(const auto made, runtime->clone(from, to));
    print("volume " + made.name + ": a clone of " + a.name);
    return 0;
}

}  // namespace

void add_snapshot_commands(CLI::App& app, context& c) {
    auto* snapshot = app.add_subcommand("snapshot", "Make and manage snapshots");
    snapshot->require_subcommand(1);
    const auto a = std::make_shared<arguments>();
    const auto act = [&c](CLI::App* command, auto what) { command->callback([&c, what] { c.action = what; }); };

    auto* create_command = add_command(*snapshot, c, "create", "Keep a volume's present state, or that of several at one instant", false);
    create_command->add_option("name", a->names, "Volume and name of each snapshot")->required()->option_text("VOLUME@SNAPSHOT...");
    act(create_command, [&c, a] { return create(c, *a); });

    auto* list_command = add_command(*snapshot, c, "list", "List a volume's snapshots", true);
    list_command->add_option("volume", a->name, "The volume")->required()->option_text("VOLUME");
    act(list_command, [&c, a] { return list(c, *a); });

    auto* info_command = add_command(*snapshot, c, "info", "Show a snapshot", true);
    info_command->add_option("name", a->name, "Volume and name of the snapshot")->required()->option_text("VOLUME@SNAPSHOT");
    act(info_command, [&c, a] { return info(c, *a); });

    auto* rename_command = add_command(*snapshot, c, "rename", "Rename a snapshot", false);
    rename_command->add_option("name", a->name, "Volume and name of the snapshot")->required()->option_text("VOLUME@SNAPSHOT");
    rename_command->add_option("to", a->to, "The new name, without the volume")->required()->option_text("NEW");
    act(rename_command, [&c, a] { return rename(c, *a); });

    auto* rollback_command = add_command(*snapshot, c, "rollback", "Make a volume that is not attached what a snapshot of it is", false);
    rollback_command->add_option("name", a->name, "The snapshot")->required()->option_text("VOLUME@SNAPSHOT");
    rollback_command->add_flag("--abandon", a->abandon, "Take the mixture that an interrupted rollback left");
    act(rollback_command, [&c, a] { return rollback(c, *a); });

    auto* delete_command = add_command(*snapshot, c, "delete", "Delete a snapshot", false);
    delete_command->add_option("name", a->name, "Volume and name of the snapshot")->required()->option_text("VOLUME@SNAPSHOT");
    act(delete_command, [&c, a] { return remove(c, *a); });

    auto* clone_command = add_command(app, c, "clone", "Make a volume that starts as a snapshot and shares what it holds", false);
    clone_command->add_option("from", a->name, "The snapshot")->required()->option_text("VOLUME@SNAPSHOT");
    clone_command->add_option("to", a->to, "Name of the new volume")->required()->option_text("NEW");
    act(clone_command, [&c, a] { return clone(c, *a); });
}

}  // namespace cess::cli
