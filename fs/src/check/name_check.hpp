// Names: where each leads, how many lead to each inode, and that all begin at the root. For a window of inode numbers at a time:
// what the inodes say of themselves is read, then all names, then the two are compared.
#pragma once

#include "check_run.hpp"

namespace cess::fs {

class name_check {
public:
    name_check(check_run& in, std::size_t window) : m_in(in), m_states(window) {}
    [[nodiscard]] result<void> run();

private:
    struct state {
        std::uint32_t names = 0;        // that lead to it
        std::uint32_t directories = 0;  // in it
        std::uint32_t entries = 0;      // in it
        quota_recount::index quota = 0;
        std::uint8_t type = 0;          // S_IFMT bits, shifted down; 0: there is none
        bool plain : 1 = false;         // one link, and never counted by a quota
        bool below_root : 1 = false;    // as is known
        bool told : 1 = false;          // of names in what is no directory
    };
    static_assert(sizeof(state) == 16);  // as fs/check.hpp says
    struct owner {  // of the listing that is read
        inode_number ino;
        std::optional<format::inode_record> record;
    };

    [[nodiscard]] result<bool> fill();  // the window from m_begin on; false: no inode is left
    [[nodiscard]] state* find(inode_number ino);  // null: not in the window
    [[nodiscard]] bool is_absent(inode_number ino) const noexcept;  // between this window and the next, where there are none
    [[nodiscard]] result<void> read_listings();
    [[nodiscard]] result<void> check_place(const owner& in, entry_cookie cookie, const format::listing_record& entry);
    [[nodiscard]] result<void> follow(const owner& in, const format::listing_record& entry);
    [[nodiscard]] result<void> check_child(const owner& in, const format::listing_record& entry, state& child);
    [[nodiscard]] result<void> read_names();
    [[nodiscard]] result<void> check_listed(inode_number directory, std::string_view name, const bytes& value);
    [[nodiscard]] bool holds_names(inode_number directory);
    [[nodiscard]] result<void> compare();
    [[nodiscard]] result<void> compare(inode_number ino, const format::inode_record& record, state& of);
    [[nodiscard]] result<void> climb(inode_number from, inode_number parent);
    [[nodiscard]] result<inode_number> parent_of(inode_number directory);

    check_run& m_in;
    std::vector<state> m_states;
    inode_number m_begin, m_next_begin;  // the window's, and where the next inode after it is
    inode_number m_told{~std::uint64_t{0}};  // the last that has names and is no directory
};

}  // namespace cess::fs
