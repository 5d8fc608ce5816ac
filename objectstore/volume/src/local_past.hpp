// What an earlier process left in a volume's local journal, and what becomes of it when the volume is opened.
//
// It goes on where the recovered history ends, or it does not: somebody else has written since, or the disk was away.
// Then it is set aside as FILE.lost, never replayed and never removed. Not thread-safe.
#pragma once

#include "local_log.hpp"

#include <map>

namespace cess::volume::local {

// Where the history that the miners hold ends.
struct history_end {
    entry_name last;           // its last entry; none if the root contains it all
    sequence_number applied;   // its last change
    term_number rooted;        // who wrote the head, 0: there is none
};

class past {
public:
    // Reads everything that is there. What cannot be read is set aside at once.
    [[nodiscard]] static result<past> read(place where, network_id network, volume_id volume);

    // The entries that the miners lack, in order, and the name of the last. Asked once.
    struct missing {
        std::vector<bytes> entries;
        entry_name last;
        sequence_number applied;
    };
    [[nodiscard]] missing after(const history_end& end);
    // Everything that after() told is at the miners now: its files go, and what does not belong to this history is set aside.
    [[nodiscard]] result<void> settle();

private:
    struct leftover {  // of one term
        file_header header;  // of its first file
        std::vector<std::string> files;
        std::vector<std::pair<std::uint64_t, bytes>> entries;
        bool damaged = false;
        bool alien = false;
    };
    explicit past(place where) : m_where(std::move(where)) {}
    [[nodiscard]] result<void> add(const std::string& name, network_id network, volume_id volume);
    [[nodiscard]] result<void> set_aside(const leftover& of);
    [[nodiscard]] result<void> set_aside(const std::string& name);
    void continue_with(leftover& of, const history_end& end, missing& out);

    place m_where;
    std::map<term_number, leftover> m_terms;
    bool m_changed = false;
};

}  // namespace cess::volume::local
