// The directory of a store: where things are, what it is formatted for, and small files with a checksum.
#pragma once

#include <core/os/file_system.hpp>
#include <core/base/random.hpp>
#include <node/storage/protocol.hpp>

namespace cess::storage {

// Text names of the parts of a store (docs/formats/storage.md).
class store_paths {
public:
    explicit store_paths(std::string directory) : m_root(std::move(directory)) {}
    [[nodiscard]] const std::string& root() const noexcept { return m_root; }
    [[nodiscard]] std::string identity() const { return m_root + "/store"; }
    [[nodiscard]] std::string cursor() const { return m_root + "/freed-cursor"; }
    [[nodiscard]] std::string scrub() const { return m_root + "/scrub"; }
    [[nodiscard]] std::string unfinished() const { return m_root + "/tmp"; }
    [[nodiscard]] std::string fragments() const { return m_root + "/fragments"; }
    [[nodiscard]] std::string fragments(const segment_id& id) const { return fragments() + "/" + id.hex().substr(0, 2); }
    [[nodiscard]] std::string journals() const { return m_root + "/journals"; }
    [[nodiscard]] std::string journal(const journal_ref& journal) const;
    [[nodiscard]] std::string volumes() const { return m_root + "/volumes"; }
    [[nodiscard]] std::string volume(const volume_id& id) const { return volumes() + "/" + id.hex(); }

private:
    std::string m_root;
};

[[nodiscard]] std::string hex_number(std::uint64_t n);                           // 16 digits
[[nodiscard]] std::optional<std::uint64_t> parse_hex_number(std::string_view s);  // nothing else
[[nodiscard]] std::optional<journal_ref> parse_journal_name(std::string_view name);

// content ‖ sha256(content); written atomically and durably.
result<void> write_checked(os::file_system& disk, const std::string& path, byte_view content);
result<bytes> read_checked(os::file_system& disk, const std::string& path);  // errc::corrupt
template <class T>
result<T> read_record(os::file_system& disk, const std::string& path) {
    TRY(const auto content, read_checked(disk, path));
    auto decoded = wire::decode<T>(content);
    if (!decoded) return error(errc::corrupt, path + ": " + decoded.error().what);
    return decoded;
}

// What a store is: made once, at format.
struct store_identity {
    static constexpr std::uint8_t wire_version = 2;  // of the whole layout
    std::string magic = "cess storage miner";
    incarnation_id incarnation;
    node_id self;
    network_id network;
    template <class S, class C> static void describe(S& s, C& c) { c(s.magic, s.incarnation, s.self, s.network); }
};

// Formats an empty or missing directory, refuses one that is something else, empties tmp.
result<store_identity> open_store(os::file_system& disk, const store_paths& paths, node_id self, network_id network, random_source& random);

// Removes a file, or a directory with all it contains.
result<void> remove_tree(os::file_system& disk, const std::string& path);

}  // namespace cess::storage
