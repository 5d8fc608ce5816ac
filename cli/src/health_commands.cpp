#include "context.hpp"
#include "network_health.hpp"

namespace cess::cli {
namespace {

constexpr net::duration patience = std::chrono::seconds(5);

struct arguments {
    std::string name;
};

nlohmann::json to_json(const network_health& h) {
    nlohmann::json out;
    out["healthy"] = h.sound();
    out["consensus"]["answers"] = h.chain.has_value();
    if (h.chain) {
        out["consensus"]["height"] = h.chain->height.value;
        out["consensus"]["transactions"] = h.chain->transactions;
        out["consensus"]["finality_us"] = h.chain->finality_us;
    } else {
        out["consensus"]["problem"] = h.chain_problem;
    }
    out["miners"] = nlohmann::json::array();
    for (const auto& m : h.miners) {
        nlohmann::json row;
        row["id"] = m.record.id.hex();
        row["address"] = m.record.address;
        row["failure_domain"] = m.record.failure_domain;
        row["offered"] = m.record.offered;
        row["committed"] = m.record.committed;
        row["answers"] = m.answers;
        if (m.answers) row["used"] = m.used;
        else row["problem"] = m.problem;
        out["miners"].push_back(row);
    }
    return out;
}

void show(const network_health& h) {
    if (!h.chain) {
        print("consensus: down (" + one_line(h.chain_problem) + ")");
        return;
    }
    print("consensus: up, height " + std::to_string(h.chain->height.value) + ", " + std::to_string(h.chain->transactions) +
          " transactions, final in " + std::to_string(h.chain->finality_us / 1000) + " ms");
    std::vector<std::vector<std::string>> rows{{"MINER", "ADDRESS", "STATE", "OFFERED", "COMMITTED", "USED"}};
    for (const auto& m : h.miners)
        rows.push_back({m.record.id.brief(), m.record.address, m.answers ? "up" : "down", format_size(m.record.offered), format_size(m.record.committed),
                        m.answers ? format_size(m.used) : "-"});
    print_table(rows);
    for (const auto& m : h.miners)
        if (!m.answers) print("miner " + m.record.id.brief() + ": " + one_line(m.problem));
}

result<int> status(context& c) {
    TRY(auto runtime, c.connect());
    const auto health = look(*runtime, patience);
    if (c.json) print_json(to_json(health));
    else show(health);
    return health.sound() ? 0 : 1;
}

nlohmann::json to_json(const client::runtime::check_report& report) {
    nlohmann::json out;
    out["segments"] = report.segments;
    out["fragments"] = report.fragments;
    out["stored_bytes"] = report.stored_bytes;
    out["faults"] = nlohmann::json::array();
    for (const auto& f : report.faults) {
        nlohmann::json row;
        row["miner"] = f.miner.hex();
        row["segment"] = f.segment.hex();
        row["fragment"] = f.index;
        row["fault"] = f.what.message();
        out["faults"].push_back(row);
    }
    return out;
}

result<int> fsck(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    result<client::runtime::check_report> checked = error(errc::canceled);
    {
        progress_line line("cess fsck " + name);
        checked = runtime->check(name, [&](std::uint64_t done, std::uint64_t total) { line.show(done, total); });
    }
    TRY(const auto report, std::move(checked));
    if (c.json) {
        print_json(to_json(report));
    } else {
        for (const auto& f : report.faults)
            print("miner " + f.miner.hex() + ": segment " + f.segment.hex() + " fragment " + std::to_string(f.index) + ": " + one_line(f.what.message()));
        print("volume " + name + ": " + std::to_string(report.segments) + " segments, " + std::to_string(report.fragments) + " fragments, " +
              format_size(report.stored_bytes) + " read, " + std::to_string(report.faults.size()) + " faults");
    }
    return report.faults.empty() ? 0 : 1;
}

}  // namespace

void add_health_commands(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* status_command = add_command(app, c, "status", "Show how the network is", true);
    status_command->callback([&c] { c.action = [&c] { return status(c); }; });

    auto* fsck_command = add_command(app, c, "fsck", "Read and check every fragment of a volume", true);
    fsck_command->add_option("volume", a->name, "The volume")->required()->option_text("VOLUME");
    fsck_command->callback([&c, a] { c.action = [&c, a] { return fsck(c, *a); }; });
}

}  // namespace cess::cli
