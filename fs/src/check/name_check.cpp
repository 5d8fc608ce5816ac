#include "name_check.hpp"

#include "context.hpp"
#include "row_cursor.hpp"

namespace cess::fs {
namespace {

constexpr unsigned type_shift = 12;
constexpr std::uint8_t directory_type = S_IFDIR >> type_shift;
constexpr std::uint8_t unreadable_type = 0xff;  // it exists: more cannot be said
constexpr inode_number no_inode{~std::uint64_t{0}};

bytes keys_of(char letter) { return {static_cast<std::byte>(letter)}; }

}  // namespace

result<void> name_check::run() {
    for (;;) {
        TRY(const bool any, fill());
        if (!any && m_begin.value > 0) return {};
        CHECK_OK(read_listings());
        CHECK_OK(read_names());
        CHECK_OK(compare());
        if (m_next_begin == no_inode) return {};
        m_begin = m_next_begin;
    }
}

name_check::state* name_check::find(inode_number ino) {
    if (ino < m_begin || ino.value - m_begin.value >= m_states.size()) return nullptr;
    return &m_states[ino.value - m_begin.value];
}

bool name_check::is_absent(inode_number ino) const noexcept {
    return ino >= m_begin && ino < m_next_begin && ino.value - m_begin.value >= m_states.size();
}

result<bool> name_check::fill() {
    std::fill(m_states.begin(), m_states.end(), state());
    m_next_begin = no_inode;
    row_cursor rows(m_in.of, keys_of('i'), format::inode_key(m_begin));
    for (bool any = false;; any = true, rows.pass()) {
        TRY(const auto* const at, rows.peek());
        if (!at) return any;
        const auto number = owner_of(at->key);
        if (!number) continue;
        auto* const to = find({*number});
        if (!to) {
            m_next_begin = {*number};
            return any;
        }
        const auto record = wire::decode<format::inode_record>(at->value);
        to->type = record ? static_cast<std::uint8_t>((record->mode & S_IFMT) >> type_shift) : unreadable_type;
        if (!record) continue;
        to->quota = m_in.quotas.find(record->project);
        to->plain = record->nlink == 1 && record->project.value == 0;
    }
}

// ---- listings: all of them, for what they lead to --------------------------------------------------------------------

result<void> name_check::read_listings() {
    row_cursor rows(m_in.of, keys_of('l'));
    for (owner in{no_inode, {}};; rows.pass()) {
        TRY(const auto* const at, rows.peek());
        if (!at) return {};
        const auto number = owner_of(at->key);
        if (!number) continue;
        if (in.ino.value != *number) {
            in.ino = {*number};
            TRY(in.record, m_in.load<format::inode_record>(format::inode_key(in.ino)));
        }
        const auto entry = wire::decode<format::listing_record>(at->value);
        if (!entry) {
            if (find(in.ino)) m_in.say("erase it", "directory {}: a row of its listing does not decode", in.ino.value);
            continue;
        }
        const entry_cookie cookie{format::last_number(at->key).value()};
        if (find(in.ino) || is_absent(in.ino)) CHECK_OK(check_place(in, cookie, *entry));
        CHECK_OK(follow(in, *entry));
    }
}

// A directory's entry as one of its own.
result<void> name_check::check_place(const owner& in, entry_cookie cookie, const format::listing_record& entry) {
    if (!holds_names(in.ino)) return {};
    const auto n = in.ino.value;
    TRY(const auto named, m_in.of.get(format::dirent_key(in.ino, entry.name)));
    const auto record = named ? wire::decode<format::dirent_record>(*named) : error(errc::not_found);
    if (record && record->cookie != cookie) {  // if the name stands nowhere else in the listing, it is told of as a name
        TRY(const auto other, m_in.of.get(format::listing_key(in.ino, record->cookie)));
        if (other) m_in.say("erase the row that its name does not tell of", "directory {}: \"{}\" is listed twice", n, entry.name);
        return {};
    }
    ++find(in.ino)->entries;
    ++m_in.count.entries;
    if (!check_name(entry.name)) m_in.say("rename it", "directory {}: \"{}\" cannot be a name", n, entry.name);
    if (in.record && (cookie < entry_cookie{3} || cookie >= in.record->next_cookie))
        m_in.say("move the listing's end", "directory {}: \"{}\" has place {} in the listing, which was never given out", n, entry.name,
                 cookie.value);
    if (!named) m_in.say("add the name", "directory {}: \"{}\" is listed, and is no name", n, entry.name);
    else if (record && (record->ino != entry.ino || record->type != entry.type))
        m_in.say("list it anew", "directory {}: \"{}\" leads elsewhere in the listing", n, entry.name);
    return {};
}

// As what leads to an inode of the window.
result<void> name_check::follow(const owner& in, const format::listing_record& entry) {
    auto* const child = find(entry.ino);
    const bool exists = child && child->type != 0;
    if (auto* const own = find(in.ino); own && entry.type == S_IFDIR) ++own->directories;
    if (exists) {
        ++child->names;
        return check_child(in, entry, *child);
    }
    if (child || is_absent(entry.ino))
        m_in.say("remove the name", "directory {}: \"{}\" leads to inode {}, which does not exist", in.ino.value, entry.name,
                 entry.ino.value);
    return {};
}

result<void> name_check::check_child(const owner& in, const format::listing_record& entry, state& child) {
    if (child.type == unreadable_type || !in.record) return {};
    const bool is_directory = child.type == directory_type;
    if (entry.type != static_cast<std::uint32_t>(child.type) << type_shift)
        m_in.say("write the kind", "directory {}: \"{}\" says another kind of file than inode {} is", in.ino.value, entry.name,
                 entry.ino.value);
    if (is_directory) {
        TRY(const auto parent, parent_of(entry.ino));
        if (parent != in.ino && parent != no_inode)
            m_in.say("set the parent", "directory {}: its parent is {}, and its name in {}", entry.ino.value, parent.value, in.ino.value);
    }
    if (!m_in.quotas.any() || in.record->parent == trash_inode) return {};  // what was deleted is counted where it was
    const quota_recount::entry e{in.ino, entry.ino, m_in.quotas.find(in.record->project), child.quota, is_directory, child.plain};
    TRY(const bool allowed, m_in.quotas.allows(m_in, e));
    if (!allowed)
        m_in.say("count it there", "inode {}: is counted by another quota than directory {}, or by none", entry.ino.value, in.ino.value);
    return {};
}

// ---- names, by which entries are found -------------------------------------------------------------------------------

result<void> name_check::read_names() {
    row_cursor rows(m_in.of, keys_of('d'), format::dirent_key(m_begin, {}));
    for (;; rows.pass()) {
        TRY(const auto* const at, rows.peek());
        if (!at) return {};
        const auto number = owner_of(at->key);
        if (!number) continue;
        if (inode_number{*number} >= m_next_begin) return {};
        const inode_number directory{*number};
        if (!holds_names(directory)) continue;
        CHECK_OK(check_listed(directory, as_text(byte_view(at->key).subspan(format::dirent_key(directory, {}).size())), at->value));
    }
}

result<void> name_check::check_listed(inode_number directory, std::string_view name, const bytes& value) {
    const auto record = wire::decode<format::dirent_record>(value);
    if (!record) {
        m_in.say("make it from the listing", "directory {}: \"{}\": its entry does not decode", directory.value, name);
        return {};
    }
    TRY(const auto listed, m_in.of.get(format::listing_key(directory, record->cookie)));
    const auto entry = listed ? wire::decode<format::listing_record>(*listed) : error(errc::not_found);
    if (entry && entry->name == name) return {};
    ++find(directory)->entries;
    // A row that does not decode was told of.
    if (!listed || entry) m_in.say("list it", "directory {}: \"{}\" is a name, and is not listed", directory.value, name);
    return {};
}

// Names of what is no directory: told of once.
bool name_check::holds_names(inode_number directory) {
    auto* const at = find(directory);
    if (at && (at->type == directory_type || at->type == unreadable_type)) return true;
    if (at ? at->told : m_told == directory) return false;
    if (at) at->told = true;
    m_told = directory;
    m_in.say("erase them", "inode {}: is no directory, and names are in it", directory.value);
    return false;
}

// ---- what inodes say of themselves, and what was found ---------------------------------------------------------------

result<void> name_check::compare() {
    row_cursor rows(m_in.of, keys_of('i'), format::inode_key(m_begin));
    for (;; rows.pass()) {
        TRY(const auto* const at, rows.peek());
        if (!at) return {};
        const auto number = owner_of(at->key);
        if (!number) continue;
        auto* const of = find({*number});
        if (!of) return {};
        const auto record = wire::decode<format::inode_record>(at->value);
        if (record) CHECK_OK(compare({*number}, *record, *of));
    }
}

result<void> name_check::compare(inode_number ino, const format::inode_record& record, state& of) {
    const auto n = ino.value;
    const bool is_directory = record.is_directory();
    const std::string_view kind = is_directory ? "directory" : "inode";
    const bool nameless = ino == root_inode || ino == trash_inode || record.nlink == 0;
    const std::uint32_t wanted = !is_directory ? record.nlink : nameless ? 0 : 1;
    if (of.names == 0 && wanted > 0)
        m_in.say("give it one in lost+found", "{} {}: no name leads to it, and it is not queued for deletion", kind, n);
    else if (of.names != wanted && is_directory) m_in.say("leave it one", "directory {}: {} names lead to it", n, of.names);
    else if (of.names != wanted) m_in.say("set the count", "inode {}: counts {} links, {} names lead to it", n, record.nlink, of.names);
    if (!is_directory) return {};
    if (record.nlink > 0 && record.nlink != 2 + of.directories)
        m_in.say("set the count", "directory {}: counts {} links, for {} directories in it", n, record.nlink, of.directories);
    if (record.entries != of.entries)
        m_in.say("set the count", "directory {}: counts {} entries, there are {}", n, record.entries, of.entries);
    if (of.names == 0 || of.below_root) return {};
    return climb(ino, record.parent);
}

// None: it is no directory of the tree, of which others have said what there is to say.
result<inode_number> name_check::parent_of(inode_number directory) {
    TRY(const auto record, m_in.load<format::inode_record>(format::inode_key(directory)));
    if (!record || !record->is_directory() || record->nlink == 0) return no_inode;
    return record->parent;
}

// Up to where it is known to end; Brent's way of noticing a circle, which its least member is told of.
result<void> name_check::climb(inode_number from, inode_number parent) {
    auto at = parent, mark = from;
    const auto ends = [&](inode_number n) {
        const auto* const known = find(n);
        return n == no_inode || n == root_inode || (known && known->below_root);
    };
    for (std::uint64_t steps = 0, power = 1; !ends(at); ++steps) {
        if (at == mark) {
            auto least = at;
            bool member = at == from;
            TRY(auto next, parent_of(at));
            while (next != at) {
                least = std::min(least, next);
                member = member || next == from;
                TRY(next, parent_of(next));
            }
            if (member && least == from) m_in.say("move it to lost+found", "directory {}: stands below itself", from.value);
            return {};
        }
        if (steps == power) {
            mark = at;
            power *= 2;
            steps = 0;
        }
        TRY(at, parent_of(at));
    }
    for (auto n = from; !ends(n);) {
        if (auto* const known = find(n)) known->below_root = true;
        TRY(n, parent_of(n));
    }
    return {};
}

}  // namespace cess::fs
