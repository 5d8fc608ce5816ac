#include "context.hpp"

namespace cess::fs {
namespace {

constexpr std::size_t batch = 256;

}  // namespace

quota_counter::quota_counter(context& in, bool in_background)
    : m_in(in), m_steps("counting what a quota found", [this] { return step(); }, std::chrono::seconds(0), in_background) {}

void quota_counter::wake() noexcept { m_steps.wake(); }

answer<bool> quota_counter::step() {
    auto project = m_in.projects.first_counting(m_last);
    if (project.value == 0) project = m_in.projects.first_counting({});
    if (project.value == 0) {
        m_places.clear();
        return sweep();
    }
    m_last = project;
    FS_TRY(const auto rows, m_in.volume.data().scan(format::uncounted_prefix(project), {}, 1));
    if (rows.empty()) {
        const auto done = m_in.projects.set_counted(project);
        if (!done && done.error().number != ENODATA) return done.error();  // ENODATA: it ended meanwhile
        return true;
    }
    FS_TRY(const auto directory, format::last_number(rows.front().key));
    FS_CHECK(pass(project, inode_number{directory}));
    return true;
}

// What projects left that ended before they were counted. No project begins meanwhile.
answer<bool> quota_counter::sweep() {
    const std::lock_guard moving(m_in.moving);
    FS_TRY(const auto rows, m_in.volume.data().scan(format::uncounted_prefix(), {}, batch));
    volume::change change;
    for (const auto& row : rows) {
        FS_TRY(const auto project, format::last_number(byte_view(row.key).first(format::uncounted_prefix({}).size())));
        if (m_in.projects.live({project}).value == 0) change.erase(row.key);
    }
    if (!change.empty()) FS_CHECK(m_in.volume.apply(change));
    return !rows.empty();
}

answer<void> quota_counter::pass(project_id project, inode_number directory) {
    auto& at = m_places[project];
    if (at.directory != directory) at = {directory, {}};
    const auto from = format::listing_key(directory, at.after.next());
    FS_TRY(const auto rows, m_in.volume.data().scan(format::listing_prefix(directory), from, batch));
    for (const auto& row : rows) {
        FS_TRY(const auto cookie, format::last_number(row.key));
        FS_TRY(const auto entry, store::decode<format::listing_record>(row.value));
        FS_CHECK(count_entry(directory, entry));
        at.after = {cookie};
    }
    if (rows.size() == batch) return {};
    volume::change change;
    change.erase(format::uncounted_key(project, directory));
    FS_CHECK(m_in.volume.apply(change));
    return {};
}

answer<void> quota_counter::count_entry(inode_number number, const format::listing_record& entry) {
    const auto directory = m_in.inodes.get(number);
    const auto node = directory ? m_in.inodes.get(entry.ino) : directory;
    if (!node && node.error().number == ESTALE) return {};  // removed meanwhile
    if (!node) return node.error();
    const lock_set locks{directory->get(), node->get()};
    if ((*directory)->gone || (*node)->gone) return {};
    // Not through the cache of names: this would push out what others use.
    FS_TRY(const auto still, m_in.volume.load<format::dirent_record>(format::dirent_key(number, entry.name)));
    if (!still || still->ino != entry.ino) return {};
    volume::change change;
    auto next = (*node)->record;
    if (!take_project(m_in, change, **directory, **node, next)) return {};
    put_inode(change, entry.ino, next);
    FS_CHECK(m_in.projects.apply(change, next.project, use_of(next), quota_rule::recorded));
    commit(**node, next);
    return {};
}

bool take_project(context& in, volume::change& change, const inode& directory, const inode& node, format::inode_record& next) {
    const auto project = in.projects.live(directory.record.project);
    if (project.value == 0 || in.projects.live(node.record.project).value != 0) return false;
    next.project = project;
    if (next.is_directory()) change.put(format::uncounted_key(project, node.ino), {});
    return true;
}

}  // namespace cess::fs
