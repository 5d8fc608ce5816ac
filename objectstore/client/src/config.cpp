#include <core/config/config.hpp>
#include <objectstore/client/client.hpp>

#include <cstdlib>
#include <filesystem>

namespace cess::client {
namespace fs = std::filesystem;
namespace toml = ::cess::config;  // `config` is ours here

namespace {

constexpr std::uint64_t memory_min = 64 * MiB;

std::string beside(const std::string& path, const std::string& file) {
    if (path.empty() || fs::path(path).is_absolute()) return path;
    return (fs::absolute(file).parent_path() / path).lexically_normal().string();
}

result<net::peer> parse_validator(const std::string& text) {
    const error wrong(errc::invalid, "validators: \"" + text.substr(0, 100) + "\" is not ID@HOST:PORT");
    const auto at = text.find('@');
    if (at == std::string::npos || text.find(':', at) == std::string::npos) return wrong;
    const auto id = node_id::parse(std::string_view(text).substr(0, at));
    if (!id) return wrong;
    return net::peer{*id, text.substr(at + 1)};
}

result<chain::network_config> parse_network(const std::string& genesis, const std::vector<std::string>& validators) {
    const auto encoded = from_hex(genesis);
    if (!encoded) return error(errc::invalid, "genesis: not hexadecimal");
    auto origin = wire::decode<ledger::genesis>(*encoded);
    if (!origin) return std::move(origin).error().with_context("genesis; a network that another version made is served by that version, or made anew");
    chain::network_config out;
    out.origin = std::move(*origin);
    for (const auto& text : validators) {
        TRY(auto who, parse_validator(text));
        out.validators.push_back(std::move(who));
    }
    if (out.validators.empty()) return error(errc::invalid, "validators: none");
    return out;
}

// The file's keys, over the variables that hold them.
struct file_keys {
    std::string genesis;
    std::vector<std::string> validators;

    toml::schema schema(client::config& c) {
        toml::schema s;
        s.text("directory", c.directory, "working state of attached volumes; after a crash only `local` in it is needed, the journals of durability=local");
        s.text("account", c.account_file, "the account's key, without which its volumes cannot be read");
        s.text("genesis", genesis, "the network's genesis, encoded, in hexadecimal");
        s.texts("validators", validators, "consensus nodes, each ID@HOST:PORT");
        s.text("owner_listen", c.owner_listen, "where this process answers for the volumes it has attached");
        s.size("memory", c.memory, memory_min, 1 * TiB, "of the whole process: caches, buffers, readahead");
        s.text("cache.disk_directory", c.cache_directory, "of the disk tier of the block cache; the default is `cache` in `directory`");
        s.size("cache.disk_size", c.cache_disk_size, 0, 1 * TiB, "bytes on disk, never more than half of what is free there, for each process that has volumes attached at the same time; 0: none");
        auto& d = c.limits;
        s.time("deadlines.read", d.read, "of a range, hedges and decoding included");
        s.time("deadlines.put", d.put, "of a segment, other miners tried included");
        s.time("deadlines.append", d.append, "of a journal entry, until enough miners have it");
        s.time("deadlines.ledger", d.ledger, "of a transaction or a proved read");
        s.time("deadlines.recovery", d.recovery, "until enough members of a journal must have answered");
        s.time("deadlines.owner_silence", d.owner_silence, "after it a silent owner may be replaced");
        s.time("deadlines.request", d.request, "of one request to one miner");
        s.time("deadlines.hedge", d.hedge, "until another fragment is asked as well");
        return s;
    }
};

result<void> check(const config& c) {
    if (c.directory.empty()) return error(errc::invalid, "directory is missing");
    if (c.cache_disk_size != 0 && c.cache_disk_size < cache_disk_min)
        return error(errc::invalid, "cache.disk_size is 0 or at least " + format_size(cache_disk_min));
    if (c.account_file.empty()) return error(errc::invalid, "account is missing");
    const auto& d = c.limits;
    for (const auto each : {d.read, d.put, d.append, d.ledger, d.recovery, d.owner_silence, d.request, d.hedge})
        if (each <= net::duration::zero() || each > std::chrono::hours(24)) return error(errc::invalid, "deadlines are between 1ns and 24h");
    return {};
}

}  // namespace

result<std::string> find_config(const std::string& given) {
    if (!given.empty()) return given;
    if (const char* set = std::getenv("CESS_CONF"); set != nullptr && *set != '\0') return std::string(set);
    std::vector<std::string> places;
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') places.push_back(std::string(home) + "/.config/cess/client.toml");
    places.emplace_back("/etc/cess/client.toml");
    std::string tried;
    for (const auto& place : places) {
        std::error_code ignored;
        if (fs::exists(place, ignored)) return place;
        tried += (tried.empty() ? "" : ", ") + place;
    }
    return error(errc::not_found, "no configuration: --conf and $CESS_CONF are not set, and there is none at " + tried +
                                      "; `cess dev up` starts a network on this machine and writes one");
}

result<config> load_config(const std::string& path) {
    config out;
    out.path = path;
    file_keys keys;
    CHECK_OK(keys.schema(out).load(path));
    if (auto good = check(out); !good) return std::move(good).error().with_context(path);
    auto network = parse_network(keys.genesis, keys.validators);
    if (!network) return std::move(network).error().with_context(path);
    out.network = std::move(*network);
    out.directory = beside(out.directory, path);
    out.cache_directory = out.cache_directory.empty() ? out.directory + "/cache" : beside(out.cache_directory, path);
    out.account_file = beside(out.account_file, path);
    return out;
}

}  // namespace cess::client
