// .stats in a mount's root: the metrics of the process, as text, as they are when somebody opens it. It says what others do here, so
// it is for who mounted, and for root. Thread-safe.
#pragma once

#include <core/base/metrics.hpp>
#include <fs/types.hpp>

namespace cess::fs {

class stats_file {
public:
    stats_file(const metrics& of, caller owner, timestamp since) : m_of(of), m_owner(owner), m_since(since) {}

    // The same for ever: the size is 0, as that of /proc's files, whose readers read on until there is no more.
    [[nodiscard]] attributes attributes_now() const;
    [[nodiscard]] std::string text() const { return m_of.render(); }

private:
    const metrics& m_of;
    const caller m_owner;
    const timestamp m_since;
};

}  // namespace cess::fs
