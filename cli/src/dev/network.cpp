#include "network.hpp"

#include "context.hpp"
#include "ports.hpp"
#include "process.hpp"

#include <chain/consensus/cks_coin.hpp>
#include <core/config/config.hpp>
#include <core/keys/key_file.hpp>
#include <node/roles/config.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include <pwd.h>
#include <unistd.h>

namespace cess::cli::dev {
namespace {

constexpr std::uint64_t storage_max = 64;
constexpr std::uint64_t consensus_min = 4, consensus_max = 16;  // of a committee
constexpr std::uint64_t capacity_min = 64 * MiB;
constexpr std::string_view note = "# Written by `cess dev up`.\n";

config::schema describe(choices& c) {
    config::schema s;
    s.number("storage", c.storage, 1, storage_max, "storage miners");
    s.number("consensus", c.consensus, 1, consensus_max, "consensus nodes");
    s.text("geometry", c.geometry, "data+parity fragments of segments, where a volume does not say otherwise");
    s.size("capacity", c.capacity, 0, ledger::limits::offer_max, "bytes offered by a miner");
    return s;
}

result<void> write_text(const std::string& path, const std::string& text) {
    return os::write_file_durably(os::posix_file_system(), path, as_view(std::string(note) + text));
}

std::string home() {
    if (const char* set = std::getenv("HOME"); set && *set == '/') return set;
    const auto* entry = ::getpwuid(::geteuid());
    return entry && entry->pw_dir ? entry->pw_dir : "";
}

// Four fifths of what is free, shared among the miners, in whole GiB where there are any.
result<std::uint64_t> capacity_of(const std::string& directory, std::uint64_t miners) {
    TRY(const auto space, os::posix_file_system().statistics(directory));
    const auto share = space.available / 5 * 4 / miners;
    const auto rounded = share >= 1 * GiB ? share / GiB * GiB : share / MiB * MiB;
    if (rounded >= capacity_min) return rounded;
    return error(errc::no_space, directory + " has " + format_size(space.available) + " free; " + std::to_string(miners) + " miners need more");
}

// A directory of somebody else's files is not made a network.
result<void> check_empty(const std::string& directory) {
    TRY(const auto entries, os::posix_file_system().list(directory));
    for (const auto& e : entries) {
        static constexpr std::string_view ours[] = {"account.key", "client.toml", "process.toml", "nodes", "run", "log", "client", "lock", ".lock"};
        if (std::find(std::begin(ours), std::end(ours), e.name) == std::end(ours) && e.name.find("lock") == std::string::npos)
            return error(errc::not_empty, directory + " is no network and not empty (" + e.name + "); choose another --dir");
    }
    return {};
}

std::string absolute(const std::string& directory) {
    auto out = std::filesystem::absolute(directory).lexically_normal().string();
    while (out.size() > 1 && out.back() == '/') out.pop_back();
    return out;
}

}  // namespace

result<std::string> network::default_directory() {
    if (::geteuid() == 0) return std::string("/var/lib/cess");
    if (const char* set = std::getenv("XDG_DATA_HOME"); set && *set == '/') return std::string(set) + "/cess";
    const auto at = home();
    if (at.empty()) return error(errc::not_found, "no home directory; give --dir");
    return at + "/.local/share/cess";
}

result<network> network::open(const std::string& directory) {
    network out;
    out.m_directory = absolute(directory);
    if (!os::posix_file_system().exists(out.path("network.toml")))
        return error(errc::not_found, "no development network in " + out.m_directory + "; make one with cess dev up");
    CHECK_OK(describe(out.m_chosen).load(out.path("network.toml")));
    std::vector<std::string> names;
    for (std::uint64_t i = 1; i <= out.m_chosen.consensus; ++i) names.push_back("consensus-" + std::to_string(i));
    for (std::uint64_t i = 1; i <= out.m_chosen.storage; ++i) names.push_back("storage-" + std::to_string(i));
    for (const auto& name : names) {
        TRY(const auto there, out.read_node(name));
        if (!there) return error(errc::not_found, out.path("nodes/" + name + "/node.toml") + "; cess dev up makes it anew");
    }
    return out;
}

result<network> network::make(const std::string& directory, const wishes& how) {
    auto& disk = os::posix_file_system();
    network out;
    out.m_directory = absolute(directory);
    out.m_new = !disk.exists(out.path("network.toml"));
    if (out.m_new) {
        CHECK_OK(check_empty(out.m_directory));
    } else {
        CHECK_OK(describe(out.m_chosen).load(out.path("network.toml")));
    }
    CHECK_OK(out.choose(how));
    for (const auto* folder : {"nodes", "run", "log", "client"}) CHECK_OK(disk.make_directories(out.path(folder)));
    CHECK_OK(out.write_all());
    return out;
}

result<void> network::choose(const wishes& how) {
    const auto before = m_chosen;
    m_chosen.separate = how.separate;
    if (how.storage) m_chosen.storage = *how.storage;
    if (how.consensus) m_chosen.consensus = *how.consensus;
    if (how.geometry) m_chosen.geometry = *how.geometry;
    if (how.capacity) m_chosen.capacity = *how.capacity;
    TRY(const auto geometry, parse_geometry(m_chosen.geometry));
    if (m_chosen.storage < 1 || m_chosen.storage > storage_max) return error(errc::invalid, "--storage: expected 1 to 64 miners");
    if (m_chosen.consensus != 1 && (m_chosen.consensus < consensus_min || m_chosen.consensus > consensus_max))
        return error(errc::invalid, "--consensus: expected 1, or a committee of 4 to 16");
    const std::size_t needed = geometry.k + geometry.m;
    if (m_chosen.storage < needed)
        return error(errc::invalid, "--ec " + m_chosen.geometry + " needs at least " + std::to_string(needed) + " storage miners, not " +
                                        std::to_string(m_chosen.storage));
    if (how.capacity && m_chosen.capacity < capacity_min) return error(errc::invalid, "--capacity: expected at least 64 MiB");
    if (m_new) {
        if (m_chosen.capacity == 0) {
            TRY(m_chosen.capacity, capacity_of(m_directory, m_chosen.storage));
        }
        return {};
    }
    if (m_chosen.geometry != before.geometry)
        return error(errc::invalid, "the network in " + m_directory + " was made with --ec " + before.geometry + "; give a volume its own with cess volume create --ec");
    if (m_chosen.consensus != before.consensus)
        return error(errc::invalid, "the network in " + m_directory + " was made with --consensus " + std::to_string(before.consensus) + "; its committee cannot change yet");
    if (m_chosen.storage < before.storage)
        return error(errc::invalid, "the network in " + m_directory + " has " + std::to_string(before.storage) + " storage miners; they cannot be taken away");
    if (m_chosen.capacity != before.capacity && m_chosen.storage == before.storage)
        return error(errc::invalid, "the miners in " + m_directory + " offer " + format_size(before.capacity) + " each; change `capacity` in their node.toml");
    return {};
}

result<void> network::write_all() {
    CHECK_OK(write_consensus());
    std::vector<std::uint64_t> missing;
    for (std::uint64_t i = 1; i <= m_chosen.storage; ++i) {
        TRY(const auto there, read_node("storage-" + std::to_string(i)));
        if (!there) missing.push_back(i);
    }
    if (!missing.empty() && running(pid_file("network")) != 0)
        return error(errc::busy, "the network in " + m_directory + " runs in one process; cess dev down it before miners are added");
    for (const auto i : missing) CHECK_OK(write_storage(i));
    // What runs already keeps its mode.
    for (const auto& n : m_nodes)
        if (running(pid_file(n.name)) != 0) m_chosen.separate = true;
    CHECK_OK(write_client());
    CHECK_OK(write_process());
    // Last: what has this file is a network.
    return write_text(path("network.toml"), describe(m_chosen).dump());
}

result<bool> network::read_node(const std::string& name) {
    const auto file = path("nodes/" + name + "/node.toml");
    if (!os::posix_file_system().exists(file)) return false;
    TRY(const auto with, roles::load(file, roles::overrides()));
    const auto& n = with.nodes.at(0);
    m_genesis = n.genesis;
    m_validators = n.validators;
    for (const auto& address : {n.listen, with.process.metrics}) {
        TRY(const auto port, port_of(address));
        m_ports.insert(port);
    }
    if (!n.explorer.empty()) {
        TRY(const auto port, port_of(n.explorer));
        m_ports.insert(port);
    }
    m_nodes.push_back({name, n.role, n.directory, n.listen, with.process.metrics, n.explorer});
    return true;
}

result<void> network::write_consensus() {
    std::uint64_t there = 0;
    for (std::uint64_t i = 1; i <= m_chosen.consensus; ++i) {
        TRY(const auto found, read_node("consensus-" + std::to_string(i)));
        there += found ? 1 : 0;
    }
    if (there == m_chosen.consensus) return {};
    if (there != 0 && !m_new) return error(errc::not_found, "node.toml of a consensus node in " + path("nodes") + " is gone; the others' tell what was in it");
    m_nodes.clear();  // of an attempt that did not end
    return make_committee();
}

// Keys, the coin's shares and addresses of all first: they make the genesis, which each node's file has.
result<void> network::make_committee() {
    auto& disk = os::posix_file_system();
    system_random random;
    const auto members = m_chosen.consensus;
    const auto folder = [&](std::uint64_t i) { return path("nodes/consensus-" + std::to_string(i + 1)); };
    ledger::genesis origin;
    origin.name = "development";
    TRY(origin.default_geometry, parse_geometry(m_chosen.geometry));
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    origin.created_unix = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
    std::vector<std::string> addresses;
    m_validators.clear();
    for (std::uint64_t i = 0; i < members; ++i) {
        CHECK_OK(disk.make_directories(folder(i)));
        TRY(const auto key, keys::read_or_make(disk, folder(i) + "/node.key", keys::node_kind, random));
        origin.first.members.push_back(key.pub());
        net::peer who;
        who.id = crypto::id_of<node_id>(key.pub());
        TRY(who.address, take_port(first_port(m_directory), m_ports));
        m_validators.push_back(roles::format_peer(who));
        addresses.push_back(who.address);
    }
    if (members > 1) {
        const auto dealt = consensus::deal_coin(random, members, origin.first.faulty_max() + 1);
        origin.coin = dealt.verification;
        for (std::uint64_t i = 0; i < members; ++i) {
            CHECK_OK(keys::write(disk, folder(i) + "/coin.key", keys::coin_kind, dealt.secrets[i]));
            CHECK_OK(disk.make_directories(folder(i) + "/data/log/epoch-0"));  // without it a member believes that its disk was lost
        }
    }
    m_genesis = to_hex(wire::encode(origin));
    for (std::uint64_t i = 0; i < members; ++i) {
        TRY(auto explorer, take_port(first_port(m_directory), m_ports));
        CHECK_OK(write_node("consensus-" + std::to_string(i + 1), "consensus", addresses[i], std::move(explorer)));
    }
    return {};
}

result<void> network::write_storage(std::uint64_t index) {
    TRY(const auto listen, take_port(first_port(m_directory), m_ports));
    return write_node("storage-" + std::to_string(index), "storage", listen);
}

result<void> network::write_node(const std::string& name, const std::string& role, const std::string& listen, std::string explorer) {
    node_place place;
    place.name = name;
    place.role = role;
    place.directory = path("nodes/" + name);
    place.listen = listen;
    place.explorer = std::move(explorer);
    TRY(place.metrics, take_port(first_port(m_directory), m_ports));
    CHECK_OK(os::posix_file_system().make_directories(place.directory));
    auto genesis = m_genesis;
    auto validators = m_validators;
    auto capacity = m_chosen.capacity;
    config::schema s;
    s.text("role", place.role, "");
    s.text("directory", place.directory, "");
    s.text("listen", place.listen, "");
    s.text("metrics", place.metrics, "");
    if (!place.explorer.empty()) s.text("explorer", place.explorer, "");
    s.text("genesis", genesis, "");
    s.texts("validators", validators, "");
    if (role == "storage") s.size("capacity", capacity, 0, ledger::limits::offer_max, "");
    CHECK_OK(write_text(place.directory + "/node.toml", s.dump()));
    m_nodes.push_back(std::move(place));
    return {};
}

result<void> network::write_client() {
    auto& disk = os::posix_file_system();
    system_random random;
    CHECK_OK(keys::read_or_make(disk, path("account.key"), keys::account_kind, random));
    if (disk.exists(client_config())) return {};
    auto directory = path("client");
    auto account = path("account.key");
    auto genesis = m_genesis;
    auto validators = m_validators;
    config::schema s;
    s.text("directory", directory, "working state of open volumes");
    s.text("account", account, "the account's key; back it up with cess account export");
    s.text("genesis", genesis, "the network's genesis, encoded, in hexadecimal");
    s.texts("validators", validators, "consensus nodes, each \"ID@host:port\"");
    return write_text(client_config(), s.dump());
}

result<void> network::write_process() {
    std::vector<std::string> files;
    for (const auto& n : m_nodes) files.push_back("nodes/" + n.name + "/node.toml");
    auto metrics = m_nodes.front().metrics;
    config::schema s;
    s.texts("nodes", files, "nodes of this process");
    s.text("metrics", metrics, "Prometheus endpoint");
    return write_text(path("process.toml"), s.dump());
}

std::vector<std::string> network::pid_files() const {
    std::vector<std::string> out{pid_file("network")};
    for (const auto& n : m_nodes) out.push_back(pid_file(n.name));
    return out;
}

std::vector<network::process> network::processes() const {
    std::vector<process> out;
    if (!m_chosen.separate) {
        process all{"network", path("process.toml"), {}};
        for (const auto& n : m_nodes) all.hosts.push_back(&n);
        out.push_back(std::move(all));
        return out;
    }
    for (const auto& n : m_nodes) out.push_back({n.name, n.directory + "/node.toml", {&n}});
    return out;
}

result<bool> install_client_config(const network& of) {
    auto& disk = os::posix_file_system();
    const auto at = home();
    if (at.empty()) return false;
    const auto folder = at + "/.config/cess";
    const auto installed = folder + "/client.toml";
    TRY(const auto ours, os::read_file(disk, of.client_config(), 1 * MiB));
    if (disk.exists(installed)) {
        const auto present = os::read_file(disk, installed, 1 * MiB);
        return present && equal(*present, ours);
    }
    CHECK_OK(disk.make_directories(folder));
    CHECK_OK(os::write_file_durably(disk, installed, ours));
    return true;
}

}  // namespace cess::cli::dev
