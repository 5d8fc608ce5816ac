#include "numbers.hpp"

namespace cess::fs {

void number_source::start(const format::superblock& from) {
    const std::lock_guard lock(m_mutex);
    m_super = from;
    m_next = from.next.value;
}

answer<inode_number> number_source::take() {
    const std::lock_guard lock(m_mutex);
    if (m_next == m_super.next.value) {
        auto super = m_super;
        super.next.value += batch;
        volume::change change;
        change.put(format::superblock_key(), wire::encode(super));
        FS_CHECK(m_store.apply(change));
        m_super = super;
    }
    return inode_number{m_next++};
}

}  // namespace cess::fs
