// A store in memory, for tests that change what some of its calls do.
#pragma once

#include <core/kv/store.hpp>

namespace cess::test {

class store_around : public kv::store {
public:
    result<std::optional<bytes>> get(const bytes& key) override { return below.get(key); }
    result<std::vector<kv::entry>> scan(const bytes& prefix, const bytes& after, std::size_t limit) override { return below.scan(prefix, after, limit); }
    result<void> commit(const kv::batch& changes) override { return below.commit(changes); }
    result<void> flush() override { return below.flush(); }
    result<void> keep_copy(const std::string& name) override { return below.keep_copy(name); }
    result<std::unique_ptr<kv::store>> open_copy(const std::string& name) override { return below.open_copy(name); }
    result<void> drop_copies(const std::string& but) override { return below.drop_copies(but); }
    kv::memory_store below;
};

}  // namespace cess::test
