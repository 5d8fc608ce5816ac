// cess volume lost.
#include "context.hpp"

#include <objectstore/client/lost.hpp>

#include <unistd.h>

namespace cess::cli {
namespace {

struct arguments {
    std::string name;
    std::optional<std::uint64_t> term;
    bool ranges = false, stream = false;
};

const char* text_of(volume::lost_range::kind what) {
    switch (what) {
        case volume::lost_range::kind::data: return "data";
        case volume::lost_range::kind::zeros: return "zero";
        case volume::lost_range::kind::elsewhere: break;
    }
    return "elsewhere";
}

struct sums {
    std::uint64_t data = 0, zeros = 0, elsewhere = 0;
};

sums sums_of(const volume::lost_journal& j) {
    sums out;
    for (const auto& each : j.ranges) {
        using kind = volume::lost_range::kind;
        (each.what == kind::data ? out.data : each.what == kind::zeros ? out.zeros : out.elsewhere) += each.length;
    }
    return out;
}

// Neighbours of one kind as one: data stands in pieces as it was written.
template <class Each>
void each_range(const volume::lost_journal& j, Each each) {
    for (std::size_t i = 0; i < j.ranges.size();) {
        auto now = j.ranges[i];
        for (++i; i < j.ranges.size() && j.ranges[i].blob == now.blob && j.ranges[i].what == now.what && j.ranges[i].offset == now.offset + now.length; ++i)
            now.length += j.ranges[i].length;
        each(now);
    }
}

nlohmann::json to_json(const volume::lost_journal& j, bool ranges) {
    const auto sum = sums_of(j);
    nlohmann::json out;
    out["term"] = j.term.value;
    out["files"] = j.files;
    out["until"] = j.until_unix;
    out["entries"] = j.entries;
    out["first_change"] = j.first.value;
    out["last_change"] = j.last.value;
    out["data"] = sum.data;
    out["elsewhere"] = sum.elsewhere;
    out["keys"] = j.keys;
    out["damage"] = j.damage.empty() ? nlohmann::json(nullptr) : nlohmann::json(j.damage);
    if (!ranges) return out;
    out["ranges"] = nlohmann::json::array();
    each_range(j, [&](const volume::lost_range& r) {
        nlohmann::json row;
        row["blob"] = r.blob;
        row["offset"] = r.offset;
        row["length"] = r.length;
        row["content"] = text_of(r.what);
        out["ranges"].push_back(std::move(row));
    });
    return out;
}

void show(const volume::lost_journal& j, bool ranges) {
    if (j.entries == 0) return print(j.files.front() + ": cannot be read: " + j.damage);
    const auto sum = sums_of(j);
    print("term " + std::to_string(j.term.value) + ": until " + utc(j.until_unix) + ", " + std::to_string(j.entries) + " entries, changes " +
          std::to_string(j.first.value) + " to " + std::to_string(j.last.value) + ", " + format_size(sum.data) + " written, " + std::to_string(j.keys) + " keys" +
          (sum.elsewhere == 0 ? "" : ", " + format_size(sum.elsewhere) + " not in it") + (j.damage.empty() ? "" : "; damaged: " + j.damage));
    if (!ranges) return;
    each_range(j, [](const volume::lost_range& r) {
        print("  blob " + std::to_string(r.blob) + " " + std::to_string(r.offset) + " " + std::to_string(r.length) + " " + text_of(r.what));
    });
}

// Whether something of it cannot be had, which standard error hears of.
bool tell_damage(const volume::lost_journal& j, const std::string& volume) {
    if (j.damage.empty()) return false;
    const auto said = "volume " + volume + ": the local journal of term " + std::to_string(j.term.value) + " is incomplete: " + j.damage;
    std::fprintf(stderr, "cess: %s\n", one_line(said).c_str());
    return true;
}

result<int> write_stream(client::runtime& on, const ledger::volume_record& of, const std::vector<volume::lost_journal>& all, const arguments& a) {
    std::vector<const volume::lost_journal*> chosen;
    bool incomplete = false;
    for (const auto& each : all) {
        if (a.term ? each.term.value == *a.term : each.entries != 0) chosen.push_back(&each);
        else if (!a.term) incomplete |= tell_damage(each, of.name);
    }
    if (chosen.empty()) return error(errc::not_found, "volume " + of.name + " has no journal here that was set aside" + (a.term ? " in term " + std::to_string(*a.term) : ""));
    if (chosen.size() > 1) return error(errc::invalid, "volume " + of.name + " has several journals here that were set aside; choose one with --term");
    if (::isatty(STDOUT_FILENO) == 1) return error(errc::invalid, "the stream goes to standard output, which is a terminal; send it to a file or a pipe");
    auto data = client::data_of(on, of, *chosen.front());
    TRY(const auto missing, client::export_lost(of, *chosen.front(), data, write_output));
    if (missing.elsewhere != 0) std::fprintf(stderr, "cess: %s of what was written is not in the journal, and not in the stream\n", format_size(missing.elsewhere).c_str());
    if (missing.past_end != 0)
        std::fprintf(stderr, "cess: %s of what was written lies past the end of volume %s, which was shrunk since, and is not in the stream; cess volume resize makes room for it\n",
                     format_size(missing.past_end).c_str(), of.name.c_str());
    incomplete |= tell_damage(*chosen.front(), of.name);
    return incomplete || missing.elsewhere != 0 || missing.past_end != 0 ? 1 : 0;
}

result<int> lost(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    TRY(auto runtime, c.connect());
    TRY(const auto record, runtime->volume(name));
    TRY(const auto all, client::lost_journals(*runtime, record));
    if (a.stream) return write_stream(*runtime, record, all, a);
    auto rows = nlohmann::json::array();
    bool incomplete = false;
    for (const auto& each : all) {
        if (a.term && each.term.value != *a.term) continue;
        if (c.json) rows.push_back(to_json(each, a.ranges));
        else show(each, a.ranges);
        incomplete |= tell_damage(each, name);
    }
    if (c.json) print_json(rows);
    return incomplete ? 1 : 0;
}

}  // namespace

void add_lost_command(CLI::App& volume, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* command = add_command(volume, c, "lost", "Show what durability=local acknowledged here and the volume went on without", true);
    command->add_option("name", a->name, "Its name")->required()->option_text("NAME");
    command->add_option("--term", a->term, "Only of this term")->option_text("TERM");
    command->add_flag("--ranges", a->ranges, "Tell every range that was written");
    command->add_flag("--stream", a->stream, "Write it to standard output, for cess import-diff");
    command->callback([&c, a] { c.action = [&c, a] { return lost(c, *a); }; });
}

}  // namespace cess::cli
