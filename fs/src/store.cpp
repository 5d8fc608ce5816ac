#include "store.hpp"

#include <core/base/log.hpp>

namespace cess::fs {

store::store(volume::reader& data, volume::volume* head) : m_data(data), m_head(head) {
    if (!m_head) return;
    m_head->on_failure([failed = m_failed](const error& why) {
        failed->store(true, std::memory_order_release);
        log::error("fs", "the volume takes no more changes: {}", why.message());
    });
}

answer<sequence_number> store::apply(const volume::change& what) {
    if (!m_head) return refuse(EROFS);
    FS_TRY(const auto at, m_head->apply(what));
    return at;
}

answer<void> store::sync(sequence_number upto) {
    if (!m_head) return {};
    FS_CHECK(m_head->sync(upto));
    return {};
}

answer<void> store::sync() {
    if (!m_head) return {};
    FS_CHECK(m_head->sync());
    return {};
}

sequence_number store::applied() const noexcept { return m_head ? m_head->applied() : sequence_number{}; }

bool store::lost(sequence_number change) const noexcept {
    return m_head && m_failed->load(std::memory_order_acquire) && change > m_head->durable();
}

}  // namespace cess::fs
