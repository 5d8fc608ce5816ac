#include "context.hpp"
#include "network_health.hpp"

#include <algorithm>
#include <chrono>

namespace cess::cli {
namespace {

constexpr net::duration patience = std::chrono::seconds(5);

// "2 h ago", "never, 37 % done"
std::string scrubbed(const storage::health_reply& of) {
    if (of.scrub_period_s == 0) return "off";
    if (of.last_pass_s == 0) return "never, " + std::to_string(of.permille / 10) + " % done";
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const auto age = static_cast<std::uint64_t>(now) - std::min(of.last_pass_s, static_cast<std::uint64_t>(now));
    if (age < 120) return std::to_string(age) + " s ago";
    if (age < 2 * 3600) return std::to_string(age / 60) + " min ago";
    if (age < 48 * 3600) return std::to_string(age / 3600) + " h ago";
    return std::to_string(age / 86400) + " days ago";
}

nlohmann::json to_json(const storage::health_reply& of) {
    nlohmann::json out;
    out["scrub_period_s"] = of.scrub_period_s;
    out["passes"] = of.passes;
    out["last_pass_s"] = of.last_pass_s;
    out["permille"] = of.permille;
    out["faults"] = of.faults;
    out["listed"] = nlohmann::json::array();
    for (const auto& f : of.listed) {
        nlohmann::json row;
        row["fault"] = std::string(storage::to_string(static_cast<storage::fault_kind>(f.kind)));
        row["volume"] = f.volume.hex();
        if (static_cast<storage::fault_kind>(f.kind) == storage::fault_kind::journal) {
            row["term"] = f.term.value;
        } else {
            row["segment"] = f.segment.hex();
            row["fragment"] = f.index;
            row["leaves"] = f.leaves;
        }
        row["found_s"] = f.found_s;
        out["listed"].push_back(row);
    }
    return out;
}

struct arguments {
    std::string name;
};

nlohmann::json to_json(const network_health& h) {
    nlohmann::json out;
    out["healthy"] = h.intact();
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
        if (m.store) row["store"] = to_json(*m.store);
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
    std::vector<std::vector<std::string>> rows{{"MINER", "ADDRESS", "STATE", "OFFERED", "COMMITTED", "USED", "FAULTS", "CHECKED"}};
    for (const auto& m : h.miners)
        rows.push_back({m.record.id.brief(), m.record.address, m.answers ? "up" : "down", format_size(m.record.offered), format_size(m.record.committed),
                        m.answers ? format_size(m.used) : "-", m.store ? std::to_string(m.store->faults) : "-", m.store ? scrubbed(*m.store) : "-"});
    print_table(rows);
    for (const auto& m : h.miners)
        if (!m.answers) print("miner " + m.record.id.brief() + ": " + one_line(m.problem));
    for (const auto& m : h.miners) {
        if (!m.store) continue;
        for (const auto& f : m.store->listed) print("miner " + m.record.id.brief() + ": " + storage::describe(f));
        if (m.store->faults > m.store->listed.size()) print("miner " + m.record.id.brief() + ": and " + std::to_string(m.store->faults - m.store->listed.size()) + " faults more");
    }
}

result<int> status(context& c) {
    TRY(auto runtime, c.connect());
    const auto health = look(*runtime, patience);
    if (c.json) print_json(to_json(health));
    else show(health);
    return health.intact() ? 0 : 1;
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
