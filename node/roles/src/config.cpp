#include <core/config/config.hpp>
#include <node/roles/config.hpp>

#include <filesystem>

namespace cess::roles {
namespace {

constexpr std::size_t nodes_max = 256;

config::schema describe(process_config& p, node_config& n) {
    config::schema s;
    s.text("role", n.role, "\"storage\" or \"consensus\"");
    s.text("directory", n.directory, "where the node keeps its key and its data");
    s.text("listen", n.listen, "host:port; port 0 picks one");
    s.text("address", n.address, "host:port told to others; empty: where it listens");
    s.text("genesis", n.genesis, "the network's genesis, encoded, in hexadecimal");
    s.texts("validators", n.validators, "consensus nodes, each \"ID@host:port\"");
    s.text("account", n.account, "key file of the account that owns the node; empty: the node's own key is the account");
    s.size("capacity", n.capacity, 0, std::uint64_t{1} << 50, "storage: bytes offered to the network");
    s.size("disk_reserve", n.disk_reserve, 0, 1 * TiB, "storage: bytes left free on the disk whatever the capacity says");
    s.text("failure_domain", n.failure_domain, "storage: nodes of one domain never hold two fragments of a segment; empty: each for itself");
    s.time("free_horizon", n.free_horizon, "storage: time between an order to free a fragment and its deletion");
    s.time("scrub_period", n.scrub_period, "storage: in it everything is read and checked once; \"0s\": never");
    s.size("scrub_bandwidth", n.scrub_bandwidth, 64 * KiB, 1 * TiB, "storage: bytes a second that checking reads at most; a store with more than period times bandwidth takes longer");
    s.number("epoch_rounds", n.epoch_rounds, 100, 1'000'000'000, "consensus, in a committee: after so many rounds this member wishes for a new epoch, with a log of its own");
    s.number("closed_epochs", n.closed_epochs, 1, 1'000'000'000, "consensus, in a committee: logs of so many epochs that have ended are kept");
    s.text("explorer", n.explorer, "consensus: host:port of the JSON API for block explorers; empty: none, and no index is kept");
    s.texts("nodes", p.nodes, "files like this one, whose nodes this process hosts; then nothing above is set here");
    s.text("metrics", p.metrics, "host:port of the Prometheus endpoint; empty: none");
    s.number("network_threads", p.network_threads, 1, 64, "threads for connections, shared by all nodes of the process");
    s.number("workers", p.workers, 1, 64, "threads for bulk disk work, shared by all nodes of the process");
    s.number("journal_workers", p.journal_workers, 1, 64, "threads for journal appends, shared by all nodes of the process");
    s.text("log_level", p.log_level, "debug, info, warn, error or off");
    s.text("log_file", p.log_file, "empty: standard error");
    s.time("stop_grace", p.stop_grace, "how long requests under way may take when the process is asked to end");
    return s;
}

void make_absolute(std::string& path, const std::string& conf) {
    if (path.empty() || conf.empty()) return;
    const auto folder = std::filesystem::absolute(conf).parent_path();
    path = (folder / path).lexically_normal().string();  // an absolute path stays what it is
}

void apply(const overrides& over, process_config& p, node_config& n) {
    if (!over.role.empty()) n.role = over.role;
    if (!over.directory.empty()) n.directory = std::filesystem::absolute(over.directory).string();
    if (!over.listen.empty()) n.listen = over.listen;
    if (!over.metrics.empty()) p.metrics = over.metrics;
}

result<void> read_one(const std::string& conf, process_config& p, node_config& n) {
    if (conf.empty()) return {};
    CHECK_OK(describe(p, n).load(conf));
    make_absolute(n.directory, conf);
    make_absolute(n.account, conf);
    make_absolute(p.log_file, conf);
    for (auto& file : p.nodes) make_absolute(file, conf);
    return {};
}

error missing(const std::string& conf, const std::string& what) {
    return {errc::invalid, (conf.empty() ? std::string("no configuration given") : conf) + ": " + what};
}

result<void> judge(const std::string& conf, const node_config& n) {
    if (n.role.empty()) return missing(conf, "role is missing; set role = \"storage\" or give --role");
    TRY(const auto what, parse_role(n.role));
    if (n.directory.empty()) return missing(conf, "directory is missing; set it or give --dir");
    if (n.genesis.empty()) return missing(conf, "genesis is missing; copy it from another node of the network");
    if (n.validators.empty()) return missing(conf, "validators are missing; copy them from another node of the network");
    if (what == role::storage && n.capacity == 0) return missing(conf, "capacity is missing; say how much this node offers, such as \"100GiB\"");
    if (what != role::consensus && !n.explorer.empty()) return missing(conf, "explorer is for consensus nodes; take it out");
    CHECK_OK(network_of(n));
    return {};
}

}  // namespace

result<role> parse_role(std::string_view text) {
    if (text == "storage") return role::storage;
    if (text == "consensus") return role::consensus;
    return error(errc::invalid, "role \"" + std::string(text.substr(0, 40)) + "\": expected storage or consensus");
}

std::string_view to_string(role what) noexcept { return what == role::storage ? "storage" : "consensus"; }

result<loaded> load(const std::string& conf, const overrides& over) {
    loaded out;
    node_config own;
    CHECK_OK(read_one(conf, out.process, own));
    if (out.process.nodes.empty()) {
        apply(over, out.process, own);
        CHECK_OK(judge(conf, own));
        out.nodes.push_back(std::move(own));
        return out;
    }
    if (!over.role.empty() || !over.directory.empty() || !over.listen.empty())
        return error(errc::invalid, conf + " lists several nodes: --role, --dir and --listen are for one");
    if (!own.role.empty() || !own.directory.empty()) return error(errc::invalid, conf + ": either `nodes` or a `role` and its `directory`");
    if (out.process.nodes.size() > nodes_max) return error(errc::invalid, conf + ": more than 256 nodes");
    apply(over, out.process, own);
    for (const auto& file : out.process.nodes) {
        process_config ignored;
        node_config n;
        CHECK_OK(read_one(file, ignored, n));
        if (!ignored.nodes.empty()) return error(errc::invalid, file + ": `nodes` within `nodes`");
        CHECK_OK(judge(file, n));
        out.nodes.push_back(std::move(n));
    }
    return out;
}

result<std::string> dump(const std::string& conf, const overrides& over) {
    process_config p;
    node_config own;
    CHECK_OK(read_one(conf, p, own));
    apply(over, p, own);
    return describe(p, own).dump();
}

result<net::peer> parse_peer(std::string_view text) {
    const auto wrong = error(errc::invalid, "validator \"" + std::string(text.substr(0, 100)) + "\": expected ID@host:port");
    const auto at = text.find('@');
    if (at == std::string_view::npos || text.find(':', at) == std::string_view::npos) return wrong;
    const auto id = node_id::parse(text.substr(0, at));
    if (!id) return wrong;
    net::peer out;
    out.id = *id;
    out.address = std::string(text.substr(at + 1));
    return out;
}

std::string format_peer(const net::peer& who) { return who.id.hex() + "@" + who.address; }

result<chain::network_config> network_of(const node_config& of) {
    const auto encoded = from_hex(of.genesis);
    if (!encoded) return error(errc::invalid, "genesis: not hexadecimal");
    auto origin = wire::decode<ledger::genesis>(*encoded);
    if (!origin) return std::move(origin).error().with_context("genesis; a network that another version made is served by that version, or made anew");
    chain::network_config out;
    out.origin = std::move(*origin);
    for (const auto& text : of.validators) {
        TRY(auto who, parse_peer(text));
        out.validators.push_back(std::move(who));
    }
    return out;
}

}  // namespace cess::roles
