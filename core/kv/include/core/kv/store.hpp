// Ordered keys and values with atomic batches: in RocksDB, or in memory for tests and simulation.
//
// Not its own log: a batch is atomic and ordered at once, but survives a crash only once flushed (by flush(), or by the
// store in the background); a crash leaves the effect of a prefix of the batches. Owners replay their own log from there.
// Thread-safe. Readers who need several reads of one moment hold a lock of their own against commit().
#pragma once

#include <core/base/bytes.hpp>

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace cess::kv {

struct entry {
    bytes key;
    bytes value;
};
using batch = std::map<bytes, std::optional<bytes>>;  // none = erase

class store {
public:
    virtual ~store() = default;
    virtual result<std::optional<bytes>> get(const bytes& key) = 0;
    // Up to `limit` entries whose key begins with `prefix` and lies past `after` (empty: from the first), in bytewise order.
    virtual result<std::vector<entry>> scan(const bytes& prefix, const bytes& after, std::size_t limit) = 0;
    virtual result<void> commit(const batch& changes) = 0;
    virtual result<void> flush() = 0;

    // A copy of all that is in it now, durable, under a name; it shares files, so that it costs little until these are rewritten. Does
    // nothing if that name is there.
    virtual result<void> keep_copy(const std::string& name) = 0;
    // For reading. errc::not_found
    virtual result<std::unique_ptr<store>> open_copy(const std::string& name) = 0;
    // All copies but that one go; those that are open stay as long.
    virtual result<void> drop_copies(const std::string& but) = 0;
};

// crash() is for tests: it leaves what the last flush() had.
class memory_store final : public store {
public:
    memory_store();
    ~memory_store() override;
    result<std::optional<bytes>> get(const bytes& key) override;
    result<std::vector<entry>> scan(const bytes& prefix, const bytes& after, std::size_t limit) override;
    result<void> commit(const batch& changes) override;
    result<void> flush() override;
    result<void> keep_copy(const std::string& name) override;
    result<std::unique_ptr<store>> open_copy(const std::string& name) override;
    result<void> drop_copies(const std::string& but) override;
    void crash();  // back to the last flush

private:
    struct contents;
    std::unique_ptr<contents> m_contents;
};

struct rocks_options {
    std::uint64_t cache = 32 * MiB;
    std::uint64_t memtable = 16 * MiB;
};
// Copies lie beside it, in `<directory>-copies`. errc::busy when another process has it open, errc::corrupt when it does not open.
[[nodiscard]] result<std::unique_ptr<store>> open_rocks_store(const std::string& directory, rocks_options how);

}  // namespace cess::kv
