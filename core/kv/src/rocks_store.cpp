#include <core/kv/store.hpp>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

namespace cess::kv {
namespace {

rocksdb::Slice slice(const bytes& b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }
bytes owned(const rocksdb::Slice& s) { return to_bytes(std::string_view(s.data(), s.size())); }

error failure(const char* what, const rocksdb::Status& status) {
    const auto text = std::string(what) + ": " + status.ToString();
    if (status.IsCorruption()) return {errc::corrupt, text};
    if (status.IsNoSpace()) return {errc::no_space, text};
    return {errc::io, text};
}

class rocks_store final : public store {
public:
    explicit rocks_store(std::unique_ptr<rocksdb::DB> db) : m_db(std::move(db)) {}

    result<std::optional<bytes>> get(const bytes& key) override {
        rocksdb::PinnableSlice value;
        const auto status = m_db->Get(rocksdb::ReadOptions(), m_db->DefaultColumnFamily(), slice(key), &value);
        if (status.IsNotFound()) return std::optional<bytes>();
        if (!status.ok()) return failure("read state", status);
        return std::optional(owned(value));
    }

    result<std::vector<entry>> scan(const bytes& prefix, const bytes& after, std::size_t limit) override {
        std::vector<entry> out;
        rocksdb::ReadOptions how;
        const auto end = past(prefix);
        const auto bound = slice(end);
        if (!end.empty()) how.iterate_upper_bound = &bound;
        const std::unique_ptr<rocksdb::Iterator> at(m_db->NewIterator(how));
        if (after < prefix) {
            at->Seek(slice(prefix));
        } else {
            at->Seek(slice(after));
            if (at->Valid() && at->key() == slice(after)) at->Next();
        }
        for (; at->Valid() && out.size() < limit; at->Next()) out.push_back({owned(at->key()), owned(at->value())});
        if (!at->status().ok()) return failure("scan state", at->status());
        return out;
    }

    result<void> commit(const batch& changes) override {
        rocksdb::WriteBatch all;
        for (const auto& [key, value] : changes) {
            const auto status = value ? all.Put(slice(key), slice(*value)) : all.Delete(slice(key));
            if (!status.ok()) return failure("write state", status);
        }
        rocksdb::WriteOptions how;
        how.disableWAL = true;
        const auto status = m_db->Write(how, &all);
        if (!status.ok()) return failure("write state", status);
        return {};
    }

    result<void> flush() override {
        const auto status = m_db->Flush(rocksdb::FlushOptions());
        if (!status.ok()) return failure("flush state", status);
        return {};
    }

private:
    // The first key past all that begin with `prefix`; empty if there is none.
    static bytes past(bytes prefix) {
        while (!prefix.empty() && prefix.back() == std::byte{0xff}) prefix.pop_back();
        if (!prefix.empty()) prefix.back() = static_cast<std::byte>(std::to_integer<unsigned>(prefix.back()) + 1);
        return prefix;
    }

    std::unique_ptr<rocksdb::DB> m_db;
};

}  // namespace

result<std::unique_ptr<store>> open_rocks_store(const std::string& directory, rocks_options how) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = how.memtable;
    options.max_write_buffer_number = 3;
    options.max_open_files = 256;
    options.stats_dump_period_sec = 0;  // idle means idle
    options.stats_persist_period_sec = 0;
    options.info_log_level = rocksdb::WARN_LEVEL;
    options.keep_log_file_num = 4;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(how.cache);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    const auto status = rocksdb::DB::Open(options, directory, &db);
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) return error(errc::busy, "state " + directory + " is open in another process");
    if (!status.ok()) return failure(("open state " + directory).c_str(), status);
    return std::unique_ptr<store>(std::make_unique<rocks_store>(std::unique_ptr<rocksdb::DB>(db)));
}

}  // namespace cess::kv
