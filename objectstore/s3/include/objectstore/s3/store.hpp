// Where a gateway's buckets live: volumes of type bucket, attached when they are first used. Blocking, thread-safe.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cess::client {
class runtime;
}

namespace cess::s3 {

struct bucket_info {
    std::string name;
    std::uint64_t created_unix = 0;
};

// One attached bucket. Destroyed without detach(): as if the process had died.
class attached_bucket {
public:
    virtual ~attached_bucket() = default;
    [[nodiscard]] virtual volume::reader& data() noexcept = 0;
    [[nodiscard]] virtual volume::volume* head() noexcept = 0;  // null: a snapshot
    [[nodiscard]] virtual result<void> detach() = 0;
};

class store {
public:
    virtual ~store() = default;
    [[nodiscard]] virtual result<std::vector<bucket_info>> list() = 0;
    // errc::exists if the account has a volume of this name; errc::unsupported if that is no bucket.
    [[nodiscard]] virtual result<void> create(const std::string& name) = 0;
    [[nodiscard]] virtual result<void> remove(const std::string& name) = 0;
    // errc::not_found; errc::unsupported if it is no bucket; errc::busy, naming the owner, if another process has it.
    [[nodiscard]] virtual result<std::unique_ptr<attached_bucket>> attach(const std::string& name, const std::string& snapshot) = 0;
};

[[nodiscard]] std::unique_ptr<store> make_store(client::runtime& on, volume::durability how);

}  // namespace cess::s3
