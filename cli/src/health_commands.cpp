#include "context.hpp"
#include "network_health.hpp"

#include <fs/check.hpp>
#include <objectstore/client/history.hpp>

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
    bool records = false;
};

nlohmann::json to_json(const network_health& h) {
    nlohmann::json out;
    out["healthy"] = h.intact();
    out["consensus"]["answers"] = h.chain.has_value();
    if (h.chain) {
        out["consensus"]["epoch"] = h.chain->epoch;
        out["consensus"]["height"] = h.chain->height.value;
        out["consensus"]["transactions"] = h.chain->transactions;
        out["consensus"]["finality_us"] = h.chain->finality_us;
    } else {
        out["consensus"]["problem"] = h.chain_problem;
    }
    out["validators"] = nlohmann::json::array();
    for (const auto& v : h.validators) {
        nlohmann::json row;
        row["id"] = v.id.hex();
        row["address"] = v.address;
        row["answers"] = v.height.has_value();
        if (const auto lag = behind(h, v)) {
            row["height"] = v.height->value;
            row["behind"] = *lag;
        } else {
            row["problem"] = v.problem;
        }
        out["validators"].push_back(row);
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
    print_committee(h);
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

// What `cess fsck` found, as it finds it: text at once, JSON at the end.
class fsck_report {
public:
    fsck_report(bool json, std::string name) : m_json(json), m_name(std::move(name)) {}

    void add(const client::runtime::check_report& report) {
        m_sound = m_sound && report.faults.empty();
        if (m_json) {
            m_out = to_json(report);
            return;
        }
        for (const auto& f : report.faults)
            print("miner " + f.miner.hex() + ": segment " + f.segment.hex() + " fragment " + std::to_string(f.index) + ": " + one_line(f.what.message()));
        print("volume " + m_name + ": " + std::to_string(report.segments) + " segments, " + std::to_string(report.fragments) + " fragments, " +
              format_size(report.stored_bytes) + " read, " + std::to_string(report.faults.size()) + " faults");
    }
    void add(const fs::flaw& flaw) {
        if (m_flaws.size() >= flaws_max) return;
        nlohmann::json row;
        row["flaw"] = one_line(flaw.what);
        row["repair"] = flaw.repair;
        if (!m_json) print(one_line(flaw.what) + "; repair would " + flaw.repair);
        m_flaws.push_back(std::move(row));
    }
    void add(const fs::checked& all) {
        m_sound = m_sound && all.flaws == 0;
        if (m_json) {
            auto& out = m_out["records"];
            out["inodes"] = all.inodes;
            out["entries"] = all.entries;
            out["orphans"] = all.orphans;
            out["quotas"] = all.quotas;
            out["bytes"] = all.bytes;
            out["flaws"] = all.flaws;
            out["listed"] = m_flaws;
            return;
        }
        if (all.flaws > m_flaws.size()) print("and " + std::to_string(all.flaws - m_flaws.size()) + " more");
        const auto count = [](std::uint64_t n, std::string_view what) { return std::to_string(n) + " " + std::string(what) + ", "; };
        print("records of " + m_name + ": " + count(all.inodes, "inodes") + count(all.entries, "entries") +
              count(all.orphans, "open without a name") + count(all.quotas, "quotas") + format_size(all.bytes) + " of data, " +
              std::to_string(all.flaws) + " flaws");
    }
    int finish() {
        if (m_json) print_json(m_out);
        return m_sound ? 0 : 1;
    }

private:
    static constexpr std::size_t flaws_max = 10'000;  // shown; one cause may have many

    const bool m_json;
    const std::string m_name;
    bool m_sound = true;
    nlohmann::json m_out = nlohmann::json::object(), m_flaws = nlohmann::json::array();
};

result<client::runtime::check_report> check_fragments(client::runtime& on, const std::string& name) {
    progress_line line("cess fsck " + name);
    return on.check(name, [&](std::uint64_t done, std::uint64_t total) { line.show(done, total); });
}

result<int> fsck(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto record, runtime->volume(name));
    const bool is_filesystem = record.type == ledger::volume_type::filesystem;
    if (a.records && !is_filesystem) return error(errc::unsupported, "volume " + name + " is no filesystem: it has no records of its own");
    fsck_report report(c.json, name);
    if (!a.records) {
        TRY(const auto checked, check_fragments(*runtime, name));
        report.add(checked);
    }
    if (is_filesystem) {
        TRY(const auto held, client::held_state::hold(*runtime, {name, {}}, record.type, "fsck"));
        TRY(const auto checked, fs::check(held->data(), [&](const fs::flaw& flaw) { report.add(flaw); }));
        report.add(checked);
    }
    return report.finish();
}

}  // namespace

void add_health_commands(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* status_command = add_command(app, c, "status", "Show how the network is", true);
    status_command->callback([&c] { c.action = [&c] { return status(c); }; });

    auto* fsck_command = add_command(app, c, "fsck", "Read and check every fragment of a volume, and a filesystem's records", true);
    fsck_command->add_option("volume", a->name, "The volume")->required()->option_text("VOLUME");
    fsck_command->add_flag("--records", a->records, "Check only a filesystem's records");
    fsck_command->callback([&c, a] { c.action = [&c, a] { return fsck(c, *a); }; });
}

}  // namespace cess::cli
