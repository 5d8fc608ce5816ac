#include "record_check.hpp"

#include "stored_acls.hpp"

#include <linux/xattr.h>

namespace cess::fs {
namespace {

constexpr std::size_t xattr_batch = 32;  // values are up to 64 KiB
constexpr std::size_t extent_batch = 1024;

bool is_known_kind(std::uint32_t mode) {
    for (const std::uint32_t kind : {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK})
        if ((mode & S_IFMT) == kind) return true;
    return false;
}

std::string_view name_of(acl_kind which) { return which == acl_kind::access ? "access ACL" : "default ACL"; }

}  // namespace

record_check::record_check(check_run& in)
    : m_in(in), m_inodes(in.of, to_bytes("i")), m_xattrs(in.of, to_bytes("x"), {}, xattr_batch), m_targets(in.of, to_bytes("y")),
      m_orphans(in.of, format::orphan_prefix()), m_blobs(in.of) {}

result<void> record_check::run() {
    TRY(const auto super, m_in.load<format::superblock>(format::superblock_key()));
    if (super) m_number_end = super->next;
    for (;;) {
        TRY(const auto next, next_owner());
        if (!next) return {};
        CHECK_OK(look_at(inode_number{*next}));
    }
}

result<std::optional<std::uint64_t>> record_check::next_owner() {
    std::optional<std::uint64_t> least;
    for (auto* const rows : {&m_inodes, &m_xattrs, &m_targets, &m_orphans}) {
        for (;;) {
            TRY(const auto* const at, rows->peek());
            if (!at) break;
            if (const auto owner = owner_of(at->key)) {
                least = std::min(least.value_or(*owner), *owner);
                break;
            }
            m_in.say("erase it", "a row \"{}\" names no inode", as_text(at->key));
            rows->pass();
        }
    }
    TRY(const auto blob, m_blobs.peek());
    if (blob) least = std::min(least.value_or(*blob), *blob);
    return least;
}

// Whether there were any.
result<bool> record_check::take(row_cursor& from, inode_number ino, const std::function<void(const volume::key_value&)>& with) {
    for (bool any = false;; any = true) {
        TRY(const auto* const at, from.peek());
        if (!at || owner_of(at->key) != ino.value) return any;
        with(*at);
        from.pass();
    }
}

result<void> record_check::look_at(inode_number ino) {
    findings found;
    std::optional<format::inode_record> record;
    TRY(const bool exists, take(m_inodes, ino, [&](const volume::key_value& row) {
        if (auto decoded = wire::decode<format::inode_record>(row.value)) record = *decoded;
    }));
    const auto name_at = format::xattr_prefix(ino).size();
    const auto on_xattr = [&](const volume::key_value& row) {
        ++found.xattrs;
        check_acl(ino, as_text(byte_view(row.key).subspan(name_at)), row.value, record, found);
    };
    CHECK_OK(take(m_xattrs, ino, on_xattr));
    CHECK_OK(take(m_targets, ino, [&](const volume::key_value& row) { found.target = row.value.size(); }));
    TRY(found.orphan, take(m_orphans, ino, [](const volume::key_value&) {}));
    TRY(const auto blob, m_blobs.peek());
    if (blob == ino.value) {
        found.data = true;
        m_blobs.pass();
    }
    if (!exists) {
        check_rest(ino, found);
        return {};
    }
    ++m_in.count.inodes;
    if (!record) {
        m_in.say("take it out of the tree", "inode {}: its record does not decode", ino.value);
        return {};
    }
    m_in.quotas.add(*record);
    check_record(ino, *record, found);
    return check_data(ino, *record, found.data);
}

void record_check::check_rest(inode_number ino, const findings& found) {
    std::string what;
    const auto add = [&](bool there, std::string_view name) {
        if (there) what += (what.empty() ? "" : ", ") + std::string(name);
    };
    add(found.xattrs > 0, "extended attributes");
    add(found.target.has_value(), "a link's target");
    add(found.orphan, "the mark of an orphan");
    add(found.data, "data");
    m_in.say("erase that", "inode {}: does not exist, but has {}", ino.value, what);
}

void record_check::check_acl(inode_number ino, std::string_view name, byte_view value, const std::optional<format::inode_record>& record,
                             findings& found) {
    const auto which = acl_kind_of(name);
    if (!which) return;
    found.acls |= static_cast<std::uint8_t>(*which);
    const auto list = acl::parse(value);
    if (!list || !*list) return m_in.say("remove it", "inode {}: its {} is not valid", ino.value, name_of(*which));
    if (!record) return;
    if (*which == acl_kind::directory_default) {
        if (!record->is_directory()) m_in.say("remove it", "inode {}: has a default ACL and is no directory", ino.value);
    } else if ((*list)->equals_mode()) {
        m_in.say("remove it", "inode {}: its access ACL says no more than its mode", ino.value);
    } else if ((*list)->applied_to(record->mode) != record->mode) {
        m_in.say("take the permissions from the mode", "inode {}: its access ACL contradicts its mode", ino.value);
    }
}

void record_check::check_record(inode_number ino, const format::inode_record& record, const findings& found) {
    const auto n = ino.value;
    if (m_number_end <= ino) m_in.say("move that end", "inode {}: was never given out: the superblock ends at {}", n, m_number_end.value);
    if (!is_known_kind(record.mode)) m_in.say("take it out of the tree", "inode {}: its mode is of no kind of file", n);
    if (record.size > file_size_max) m_in.say("cut it at its data", "inode {}: its size {} is too large", n, record.size);
    if (record.data_end > record.size)
        m_in.say("set the size to that", "inode {}: has data up to {}, past its size {}", n, record.data_end, record.size);
    if (found.data && !record.is_regular()) m_in.say("drop the data", "inode {}: has data and is no file", n);
    if (found.orphan) ++m_in.count.orphans;
    if (record.nlink == 0 && !found.orphan) m_in.say("queue it", "inode {}: has no name and is not queued for deletion", n);
    if (record.nlink > 0 && found.orphan)
        m_in.say("take it from the queue", "inode {}: is queued for deletion and counts {} links", n, record.nlink);
    if (ino == root_inode && (!record.is_directory() || record.parent != root_inode || record.nlink == 0))
        m_in.say("make it that", "inode {}: is not the root directory that it should be", n);
    if (ino == trash_inode && (!record.is_directory() || record.parent != root_inode || record.nlink == 0))
        m_in.say("make it that", "inode {}: is not the trash that it should be", n);
    check_attributes(ino, record, found);
    check_target(ino, record, found);
}

void record_check::check_attributes(inode_number ino, const format::inode_record& record, const findings& found) {
    if (record.xattrs != found.xattrs)
        m_in.say("set the count", "inode {}: counts {} extended attributes, there are {}", ino.value, record.xattrs, found.xattrs);
    for (const auto which : {acl_kind::access, acl_kind::directory_default}) {
        const bool is_there = found.acls & static_cast<std::uint8_t>(which);
        if (is_there && !has_acl(record, which))
            m_in.say("note it", "inode {}: its record says no {}, and there is one", ino.value, name_of(which));
        if (!is_there && has_acl(record, which))
            m_in.say("note none", "inode {}: its record says {}, and there is none", ino.value, name_of(which));
    }
}

void record_check::check_target(inode_number ino, const format::inode_record& record, const findings& found) {
    if (!S_ISLNK(record.mode)) {
        if (found.target) m_in.say("erase the target", "inode {}: has a link's target and is none", ino.value);
    } else if (!found.target) {
        m_in.say("remove it", "inode {}: is a symbolic link without a target", ino.value);
    } else if (*found.target != record.size || *found.target > symlink_max || *found.target == 0) {
        m_in.say("set the size", "inode {}: is a symbolic link of size {} with a target of {}", ino.value, record.size, *found.target);
    }
}

result<void> record_check::check_data(inode_number ino, const format::inode_record& record, bool any) {
    if (!record.is_regular()) return {};
    std::uint64_t mapped = 0, end = 0;
    for (bool told = false; any;) {
        TRY(const auto ranges, m_in.of.locate(ino.value, end, file_size_max + 1, extent_batch));
        for (const auto& range : ranges) {
            mapped += range.place.length;
            end = range.place.end();
            if (range.in || m_in.of.writable() || std::exchange(told, true)) continue;  // of a head it may be in memory
            m_in.say("make them a hole", "inode {}: its bytes from {} on are in a segment that the volume does not know", ino.value,
                     range.place.offset);
        }
        any = ranges.size() == extent_batch;
    }
    m_in.count.bytes += mapped;
    if (mapped != record.allocated)
        m_in.say("set the count", "inode {}: counts {} bytes of data, there are {}", ino.value, record.allocated, mapped);
    if (end > record.data_end)
        m_in.say("set that", "inode {}: has data up to {}, past {} as its record says", ino.value, end, record.data_end);
    return {};
}

// ---- rows of no inode ------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view known_letters = "dilnoqstuxy";
constexpr unsigned char engine_letter = 0xff;  // of the engine's own rows, behind all others

result<bool> check_letters(check_run& in) {
    bool any = false;
    for (bytes from;;) {
        TRY(const auto rows, in.of.scan({}, from, 1));
        if (rows.empty() || rows.front().key.empty()) return any;
        const auto letter = std::to_integer<unsigned char>(rows.front().key.front());
        if (letter == engine_letter) return any;
        any = true;
        if (known_letters.find(static_cast<char>(letter)) == known_letters.npos)
            in.say("erase it and its like", "a row \"{}\" is of no known kind", as_text(rows.front().key));
        from = {static_cast<std::byte>(letter + 1)};
    }
}

result<void> check_snapshot_numbers(check_run& in) {
    snapshot_number end;
    std::map<snapshot_number, std::uint64_t> given;
    row_cursor rows(in.of, format::snapshot_prefix());
    for (;; rows.pass()) {
        TRY(const auto* const at, rows.peek());
        if (!at) return {};
        const auto of = owner_of(at->key);
        const auto record = wire::decode<format::snapshot_record>(at->value);
        if (!of || !record) {
            in.say("erase it", "a snapshot's number does not decode");
        } else if (*of == 0) {
            end = record->number;
        } else if (record->number.value == 0 || record->number >= end) {
            in.say("erase it", "snapshot of change {}: its number was never given out", *of);
        } else if (const auto [other, is_new] = given.emplace(record->number, *of); !is_new) {
            in.say("erase it", "snapshot of change {}: has the number of that of change {}", *of, other->second);
        }
    }
}

// Its record and its directory are made together, for ever.
result<void> check_trash(check_run& in) {
    TRY(const auto row, in.of.get(format::trash_key()));
    TRY(const auto directory, in.of.get(format::inode_key(trash_inode)));
    if (row && !wire::decode<format::trash_record>(*row)) in.say("write how long it keeps", "the trash's record does not decode");
    if (row && !directory) in.say("make it", "the trash has no directory, inode {}", trash_inode.value);
    if (!row && directory) in.say("write one", "the trash has no record");
    return {};
}

}  // namespace

result<void> check_volume_rows(check_run& in) {
    TRY(const bool any, check_letters(in));
    TRY(const auto super, in.load<format::superblock>(format::superblock_key()));
    if (any && !super) in.say("write one", "there is no superblock that decodes");
    TRY(const auto root, in.of.get(format::inode_key(root_inode)));
    if (any && !root) in.say("make one", "there is no root directory");
    CHECK_OK(check_trash(in));
    return check_snapshot_numbers(in);
}

}  // namespace cess::fs
