#include "store_files.hpp"

#include <core/base/log.hpp>
#include <core/crypto/crypto.hpp>

namespace cess::storage {
namespace {

constexpr std::uint64_t record_size_max = 1 * MiB;
constexpr unsigned fragment_directories = 256;

// Anything but what a format that did not finish leaves behind.
result<bool> holds_something(os::file_system& disk, const store_paths& paths) {
    TRY(const auto entries, disk.list(paths.root()));
    for (const auto& entry : entries) {
        if (entry.name == "lock" || entry.name == "lost+found" || entry.name.starts_with("store.tmp-")) continue;
        const auto path = paths.root() + "/" + entry.name;
        const bool ours = path == paths.fragments() || path == paths.journals() || path == paths.volumes() || path == paths.unfinished();
        if (!ours || !entry.is_directory) return true;
        TRY(const auto inside, disk.list(path));
        for (const auto& part : inside)
            if (path != paths.fragments() || !part.is_directory) return true;
    }
    return false;
}

result<void> make_layout(os::file_system& disk, const store_paths& paths) {
    CHECK_OK(disk.make_directories(paths.unfinished()));
    CHECK_OK(disk.make_directories(paths.journals()));
    CHECK_OK(disk.make_directories(paths.volumes()));
    segment_id at;
    for (unsigned i = 0; i < fragment_directories; ++i) {
        at.raw[0] = static_cast<std::byte>(i);
        CHECK_OK(disk.make_directories(paths.fragments(at)));
    }
    return {};
}

result<store_identity> format(os::file_system& disk, const store_paths& paths, node_id self, network_id network, random_source& random) {
    TRY(const bool occupied, holds_something(disk, paths));
    if (occupied) return error(errc::corrupt, paths.root() + " is not empty and not a CESS store: choose another directory");
    CHECK_OK(make_layout(disk, paths));
    store_identity identity;
    identity.incarnation = random.id<incarnation_id>();
    identity.self = self;
    identity.network = network;
    CHECK_OK(write_checked(disk, paths.identity(), wire::encode(identity)));
    log::info("storage", "store formatted directory={} incarnation={}", paths.root(), identity.incarnation.brief());
    return identity;
}

result<store_identity> identify(os::file_system& disk, const store_paths& paths, node_id self, network_id network) {
    TRY(const auto content, read_checked(disk, paths.identity()));
    const auto version = content.empty() ? 0U : std::to_integer<unsigned>(content.front());
    if (version != store_identity::wire_version)
        return error(errc::unsupported, paths.root() + " is a store of version " + std::to_string(version) + ", and this program's is " +
                                            std::to_string(store_identity::wire_version) + ": run the release that made it, or choose an empty directory");
    auto identity = wire::decode<store_identity>(content);
    if (!identity || identity->magic != store_identity{}.magic) return error(errc::corrupt, paths.identity() + " is not the identity of a store");
    if (identity->self != self) return error(errc::invalid, paths.root() + " belongs to miner " + identity->self.brief() + ", not to " + self.brief());
    if (identity->network != network) return error(errc::invalid, paths.root() + " belongs to another network");
    return identity;
}

}  // namespace

std::string hex_number(std::uint64_t n) {
    std::string text(16, '0');
    for (std::size_t i = 16; i-- > 0; n >>= 4) text[i] = "0123456789abcdef"[n & 0xf];
    return text;
}

std::optional<std::uint64_t> parse_hex_number(std::string_view s) {
    if (s.size() != 16) return std::nullopt;
    std::uint64_t n = 0;
    for (const char c : s) {
        const bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
        n = n << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return n;
}

std::string store_paths::journal(const journal_ref& journal) const {
    return journals() + "/" + journal.volume.hex() + "." + hex_number(journal.term.value);
}

std::optional<journal_ref> parse_journal_name(std::string_view name) {
    const auto dot = name.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto volume = volume_id::parse(name.substr(0, dot));
    const auto term = parse_hex_number(name.substr(dot + 1));
    if (!volume || !term) return std::nullopt;
    return journal_ref{*volume, {*term}};
}

result<void> write_checked(os::file_system& disk, const std::string& path, byte_view content) {
    bytes data = to_bytes(content);
    append(data, crypto::sha256(content).view());
    return os::write_file_durably(disk, path, data);
}

result<bytes> read_checked(os::file_system& disk, const std::string& path) {
    TRY(auto data, os::read_file(disk, path, record_size_max));
    if (data.size() < hash256::size) return error(errc::corrupt, path + " is cut short");
    const auto content = byte_view(data).first(data.size() - hash256::size);
    if (crypto::sha256(content) != hash256::from(byte_view(data).last(hash256::size))) return error(errc::corrupt, path + " does not match its checksum");
    data.resize(content.size());
    return data;
}

result<store_identity> open_store(os::file_system& disk, const store_paths& paths, node_id self, network_id network, random_source& random) {
    CHECK_OK(disk.make_directories(paths.root()));
    if (!disk.exists(paths.identity())) return format(disk, paths, self, network, random);
    TRY(auto identity, identify(disk, paths, self, network));
    // A process that died between a rename and its sync left a name that is seen but not durable yet.
    CHECK_OK(disk.sync_directory(paths.root()));
    TRY(const auto leftovers, disk.list(paths.unfinished()));
    for (const auto& leftover : leftovers) CHECK_OK(remove_tree(disk, paths.unfinished() + "/" + leftover.name));
    return identity;
}

result<void> remove_tree(os::file_system& disk, const std::string& path) {
    const auto inside = disk.list(path);
    if (!inside && inside.error() != errc::not_directory) return inside.error();
    if (inside) {
        for (const auto& entry : *inside) CHECK_OK(remove_tree(disk, path + "/" + entry.name));
    }
    return disk.remove(path);
}

}  // namespace cess::storage
