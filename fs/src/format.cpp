#include "format.hpp"

namespace cess::fs::format {
namespace {

enum letter : char {
    super = 's', inode = 'i', dirent = 'd', listing = 'l', symlink = 'y', xattr = 'x', orphan = 'o', quota = 'q', uncounted = 'u', snapshot = 'n',
    trash = 't'
};

bytes begin(letter of, std::size_t reserve = 0) {
    bytes key;
    key.reserve(1 + 16 + reserve);
    key.push_back(static_cast<std::byte>(of));
    return key;
}

void add_number(bytes& key, std::uint64_t n) {
    for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<std::byte>((n >> shift) & 0xff));
}

bytes numbered(letter of, std::uint64_t n, std::string_view name = {}) {
    auto key = begin(of, name.size());
    add_number(key, n);
    append(key, as_view(name));
    return key;
}

}  // namespace

bytes superblock_key() { return begin(letter::super); }
bytes inode_key(inode_number ino) { return numbered(letter::inode, ino.value); }
bytes dirent_key(inode_number directory, std::string_view name) { return numbered(letter::dirent, directory.value, name); }
bytes listing_prefix(inode_number directory) { return numbered(letter::listing, directory.value); }
bytes listing_key(inode_number directory, entry_cookie cookie) {
    auto key = listing_prefix(directory);
    add_number(key, cookie.value);
    return key;
}
bytes symlink_key(inode_number ino) { return numbered(letter::symlink, ino.value); }
bytes xattr_prefix(inode_number ino) { return numbered(letter::xattr, ino.value); }
bytes xattr_key(inode_number ino, std::string_view name) { return numbered(letter::xattr, ino.value, name); }
bytes orphan_prefix() { return begin(letter::orphan); }
bytes orphan_key(inode_number ino) { return numbered(letter::orphan, ino.value); }
bytes quota_prefix() { return begin(letter::quota); }
bytes quota_key(project_id project) { return numbered(letter::quota, project.value); }
bytes uncounted_prefix() { return begin(letter::uncounted); }
bytes uncounted_prefix(project_id project) { return numbered(letter::uncounted, project.value); }
bytes uncounted_key(project_id project, inode_number directory) {
    auto key = uncounted_prefix(project);
    add_number(key, directory.value);
    return key;
}
bytes trash_key() { return begin(letter::trash); }
bytes snapshot_prefix() { return begin(letter::snapshot); }
bytes snapshot_key(sequence_number at) { return numbered(letter::snapshot, at.value); }

result<std::uint64_t> last_number(byte_view key) {
    if (key.size() < 8) return error(errc::corrupt, "a key of the filesystem is too short");
    std::uint64_t n = 0;
    for (const auto b : key.last(8)) n = n << 8 | std::to_integer<std::uint64_t>(b);
    return n;
}

}  // namespace cess::fs::format
