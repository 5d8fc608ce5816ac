#include "volume_snapshots.hpp"

#include <algorithm>

namespace cess::fs::program {

// By now: it may have been renamed while it is mounted, and the name may be another volume's.
result<std::string> volume_snapshots::volume_name() {
    const auto& known = m_head.record();
    if (const auto named = m_on.volume(known.name); named && named->id == known.id) return known.name;
    TRY(const auto all, m_on.volumes());
    const auto it = std::find_if(all.begin(), all.end(), [&](const auto& v) { return v.id == known.id; });
    if (it == all.end()) return error(errc::not_found, "volume " + known.name);
    return it->name;
}

result<std::shared_ptr<volume::reader>> volume_snapshots::open(const std::string& name) {
    TRY(auto volume, volume_name());
    client::attach_options how;
    how.read_only = true;
    how.little_memory = true;
    TRY(std::shared_ptr<client::attachment> attached, m_on.attach({std::move(volume), name}, how));
    if (attached->data().record().id != m_head.record().id) return error(errc::not_found, "snapshot " + name);
    auto& data = attached->data();
    return std::shared_ptr<volume::reader>(std::move(attached), &data);
}

result<void> volume_snapshots::remove(const std::string& name) {
    TRY(auto volume, volume_name());
    return m_on.delete_snapshot({std::move(volume), name});
}

}  // namespace cess::fs::program
