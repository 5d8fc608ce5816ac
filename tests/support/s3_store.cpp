#include "s3_store.hpp"

namespace cess::testing {

class memory_store::attached final : public s3::attached_bucket {
public:
    attached(memory_store& from, std::string name, memory_volume& data, bool writable)
        : m_from(from), m_name(std::move(name)), m_data(data), m_writable(writable) {}
    ~attached() override {
        const std::lock_guard hold(m_from.m_mutex);
        --m_from.m_buckets.at(m_name).attached;
    }
    volume::reader& data() noexcept override { return m_data; }
    volume::volume* head() noexcept override { return m_writable ? &m_data : nullptr; }
    result<void> detach() override { return m_writable ? m_data.sync() : result<void>(); }

private:
    memory_store& m_from;
    const std::string m_name;
    memory_volume& m_data;
    const bool m_writable;
};

result<std::vector<s3::bucket_info>> memory_store::list() {
    const std::lock_guard hold(m_mutex);
    std::vector<s3::bucket_info> out;
    for (const auto& [name, one] : m_buckets) out.push_back({name, 1700000000});
    return out;
}

result<void> memory_store::create(const std::string& name) {
    const std::lock_guard hold(m_mutex);
    if (m_buckets.count(name) > 0) return error(errc::exists, "volume " + name);
    m_buckets[name].volume = std::make_unique<memory_volume>(m_history);
    return {};
}

result<void> memory_store::remove(const std::string& name) {
    const std::lock_guard hold(m_mutex);
    if (m_buckets.erase(name) == 0) return error(errc::not_found, "volume " + name);
    return {};
}

result<std::unique_ptr<s3::attached_bucket>> memory_store::attach(const std::string& name, const std::string& snapshot) {
    const std::lock_guard hold(m_mutex);
    const auto found = m_buckets.find(name);
    if (found == m_buckets.end() || (!snapshot.empty() && snapshot != "frozen")) return error(errc::not_found, "volume " + name);
    if (found->second.busy) return error(errc::busy, "volume " + name + " is attached by a process at 127.0.0.1:1");
    ++found->second.attached;
    return std::unique_ptr<s3::attached_bucket>(std::make_unique<attached>(*this, name, *found->second.volume, snapshot.empty()));
}

memory_volume& memory_store::volume_of(const std::string& name) {
    const std::lock_guard hold(m_mutex);
    return *m_buckets.at(name).volume;
}

std::size_t memory_store::attached_now() const {
    const std::lock_guard hold(m_mutex);
    std::size_t out = 0;
    for (const auto& [name, one] : m_buckets) out += one.attached;
    return out;
}

void memory_store::own_elsewhere(const std::string& name, bool owned) {
    const std::lock_guard hold(m_mutex);
    m_buckets.at(name).busy = owned;
}

}  // namespace cess::testing
