#include "store.hpp"

#include <core/base/log.hpp>

namespace cess::fs {

store::store(volume::reader& data, volume::volume* head) : m_data(data), m_head(head) {
    if (m_head) m_head->on_failure([](const error& why) { log::error("fs", "the volume takes no more changes: {}", why.message()); });
}

answer<void> store::apply(const volume::change& what) {
    if (!m_head) return refuse(EROFS);
    FS_CHECK(m_head->apply(what));
    return {};
}

answer<void> store::sync() {
    if (!m_head) return {};
    FS_CHECK(m_head->sync());
    return {};
}

}  // namespace cess::fs
