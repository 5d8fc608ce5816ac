#include "context.hpp"

namespace cess::fs {

bool trash::exists() const noexcept { return m_in.trash.exists(); }
std::uint32_t trash::days() const noexcept { return m_in.trash.days(); }
answer<void> trash::set_days(std::uint32_t days) { return m_in.trash.set_days(days); }
answer<bool> trash::holds(inode_number directory) const { return m_in.trash.holds(directory); }
answer<bool> trash::expire() { return m_in.trash.expire(); }

}  // namespace cess::fs
