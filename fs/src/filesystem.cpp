#include "context.hpp"

#include <core/base/log.hpp>

namespace cess::fs {
namespace {

format::inode_record root_record(const settings& how, timestamp now, std::uint64_t generation) {
    format::inode_record r;
    r.mode = S_IFDIR | 0755;
    r.uid = how.root_owner.uid;
    r.gid = how.root_owner.gid;
    r.nlink = 2;
    r.atime = r.mtime = r.ctime = r.btime = now;
    r.generation = generation;
    r.parent = root_inode;
    return r;
}

// A volume that holds nothing yet becomes an empty filesystem; a snapshot of one shows an empty directory.
answer<void> make_filesystem(context& in) {
    const auto now = in.now();
    const format::superblock super{now, first_inode};
    const auto root = root_record(in.how, now, in.volume.data().record().term.value);
    if (!in.volume.writable()) {
        in.inodes.insert(root_inode, root);
        return {};
    }
    volume::change change;
    change.put(format::superblock_key(), wire::encode(super));
    put_inode(change, root_inode, root);
    FS_CHECK(in.volume.apply(change));
    in.inodes.insert(root_inode, root);
    in.numbers.start(super);
    return {};
}

// What had no name but was open when the last mount ended, but for what the kernel still holds of a mount taken over.
answer<void> reclaim_orphans(context& in) {
    constexpr std::size_t batch = 1000;
    std::size_t total = 0;
    bytes from;
    for (;;) {
        FS_TRY(const auto rows, in.volume.data().scan(format::orphan_prefix(), from, batch));
        for (const auto& row : rows) {
            FS_TRY(const auto ino, format::last_number(row.key));
            in.orphans.add(inode_number{ino});
            if (in.references.any(inode_number{ino})) continue;
            reclaim_if_unused(in, inode_number{ino});
            ++total;
        }
        if (rows.size() < batch) break;
        from = rows.back().key;
        from.push_back(std::byte{0});
    }
    if (total > 0) log::info("fs", "reclaimed {} files that were open without a name", total);
    return {};
}

answer<void> start(context& in) {
    FS_TRY(const auto super, in.volume.load<format::superblock>(format::superblock_key()));
    if (!super) return make_filesystem(in);
    in.numbers.start(*super);
    FS_CHECK(in.projects.load());
    FS_CHECK(in.trash.load());
    if (!in.volume.writable()) return {};
    FS_CHECK(reclaim_orphans(in));
    in.trash.start();
    FS_TRY(const auto uncounted, in.volume.data().scan(format::uncounted_prefix(), {}, 1));
    if (!uncounted.empty() || in.projects.first_counting({}).value != 0) in.counter.wake();
    return {};
}

}  // namespace

struct filesystem::parts {
    context in;
    inode_ptr root;  // pinned

    parts(volume::reader& data, volume::volume* head, settings how) : in(data, head, std::move(how)) {}
};

filesystem::filesystem(std::unique_ptr<parts> all)
    : m_parts(std::move(all)), lookups(m_parts->in), attributes(m_parts->in), creation(m_parts->in), removal(m_parts->in),
      renaming(m_parts->in), listings(m_parts->in), files(m_parts->in), xattrs(m_parts->in), quotas(m_parts->in), trash(m_parts->in) {}

filesystem::~filesystem() = default;

result<std::unique_ptr<filesystem>> filesystem::open(volume::reader& data, volume::volume* head, settings how,
                                                     const kernel_state& held) {
    auto all = std::make_unique<parts>(data, head, std::move(how));
    for (const auto& each : held.inodes) all->in.references.add(each.ino, each.references);
    all->in.snapshots.restore(held.snapshots);
    if (const auto started = start(all->in); !started)
        return error(from_errno(started.error().number), "the volume does not hold a readable filesystem");
    auto root = all->in.inodes.get(root_inode);
    if (!root) return error(errc::corrupt, "the filesystem has no root directory");
    all->root = *root;
    return std::unique_ptr<filesystem>(new filesystem(std::move(all)));
}

bool filesystem::writable() const noexcept { return m_parts->in.volume.writable(); }

std::vector<inode_number> filesystem::written_files() const { return m_parts->in.inodes.written(); }

answer<void> filesystem::sync_all() { return m_parts->in.volume.sync(); }

answer<std::vector<snapshot_number>> filesystem::number_snapshots(const std::vector<sequence_number>& all, bool keep) {
    return m_parts->in.snapshots.of(all, keep);
}

kernel_state filesystem::held() const { return {m_parts->in.references.list(), {}, m_parts->in.snapshots.list()}; }

void filesystem::set_write_back(std::function<answer<void>(inode_number)> write_back) { m_parts->in.how.write_back = std::move(write_back); }

void filesystem::set_attributes_changed(std::function<void(inode_number)> tell) { m_parts->in.how.attributes_changed = std::move(tell); }

void filesystem::set_name_removed(std::function<void(inode_number, const std::string&, inode_number)> tell) {
    m_parts->in.trash.on_removed(std::move(tell));
}

void filesystem::set_acls(bool enforced) { m_parts->in.how.acls = enforced; }

}  // namespace cess::fs
