// Buckets in memory, for tests of the gateway without a network.
#pragma once

#include <objectstore/s3/store.hpp>

#include <support/memory_volume.hpp>

#include <map>
#include <mutex>

namespace cess::testing {

class memory_store final : public s3::store {
public:
    explicit memory_store(bool history = true) : m_history(history) {}

    result<std::vector<s3::bucket_info>> list() override;
    result<void> create(const std::string& name) override;
    result<void> remove(const std::string& name) override;
    // "name@frozen" is the bucket itself, read-only.
    result<std::unique_ptr<s3::attached_bucket>> attach(const std::string& name, const std::string& snapshot) override;

    [[nodiscard]] memory_volume& volume_of(const std::string& name);
    [[nodiscard]] std::size_t attached_now() const;
    void own_elsewhere(const std::string& name, bool owned);

private:
    class attached;
    struct bucket {
        std::unique_ptr<memory_volume> volume;
        bool busy = false;
        std::size_t attached = 0;
    };
    const bool m_history;
    mutable std::mutex m_mutex;
    std::map<std::string, bucket> m_buckets;
};

}  // namespace cess::testing
