#include <core/kv/store.hpp>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <filesystem>

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

rocksdb::Options options_of(const rocks_options& how) {
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
    return options;
}

class rocks_store final : public store {
public:
    rocks_store(std::unique_ptr<rocksdb::DB> db, std::string copies) : m_db(std::move(db)), m_copies(std::move(copies)) {}

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

    // RocksDB makes it under another name first.
    result<void> keep_copy(const std::string& name) override {
        std::error_code failed;
        const auto where = path_of(name);
        if (std::filesystem::exists(where, failed)) return {};
        std::filesystem::create_directories(m_copies, failed);
        if (failed) return error(errc::io, "make folder " + m_copies + ": " + failed.message());
        std::filesystem::remove_all(where.string() + ".tmp", failed);  // of one that a crash interrupted
        rocksdb::Checkpoint* made = nullptr;
        auto status = rocksdb::Checkpoint::Create(m_db.get(), &made);
        const std::unique_ptr<rocksdb::Checkpoint> owner(made);
        if (status.ok()) status = owner->CreateCheckpoint(where.string());
        if (!status.ok()) return failure(("copy state to " + where.string()).c_str(), status);
        return {};
    }

    result<std::unique_ptr<store>> open_copy(const std::string& name) override {
        std::error_code failed;
        const auto where = path_of(name);
        if (!std::filesystem::exists(where, failed)) return error(errc::not_found, "copy " + name + " of the state");
        rocksdb::DB* db = nullptr;
        const auto status = rocksdb::DB::OpenForReadOnly(options_of(rocks_options()), where.string(), &db);
        if (!status.ok()) return failure(("open copy " + where.string() + " of the state").c_str(), status);
        return std::unique_ptr<store>(std::make_unique<rocks_store>(std::unique_ptr<rocksdb::DB>(db), where.string() + "-copies"));
    }

    result<void> drop_copies(const std::string& but) override {
        std::error_code failed;
        if (!std::filesystem::exists(m_copies, failed)) return {};
        for (const auto& entry : std::filesystem::directory_iterator(m_copies, failed)) {
            if (entry.path() == path_of(but)) continue;
            std::filesystem::remove_all(entry.path(), failed);
            if (failed) return error(errc::io, "remove " + entry.path().string() + ": " + failed.message());
        }
        return {};
    }

private:
    [[nodiscard]] std::filesystem::path path_of(const std::string& name) const { return std::filesystem::path(m_copies) / name; }
    // The first key past all that begin with `prefix`; empty if there is none.
    static bytes past(bytes prefix) {
        while (!prefix.empty() && prefix.back() == std::byte{0xff}) prefix.pop_back();
        if (!prefix.empty()) prefix.back() = static_cast<std::byte>(std::to_integer<unsigned>(prefix.back()) + 1);
        return prefix;
    }

    std::unique_ptr<rocksdb::DB> m_db;
    const std::string m_copies;  // their folder
};

}  // namespace

result<std::unique_ptr<store>> open_rocks_store(const std::string& directory, rocks_options how) {
    rocksdb::DB* db = nullptr;
    const auto status = rocksdb::DB::Open(options_of(how), directory, &db);
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) return error(errc::busy, "state " + directory + " is open in another process");
    if (!status.ok()) return failure(("open state " + directory).c_str(), status);
    return std::unique_ptr<store>(std::make_unique<rocks_store>(std::unique_ptr<rocksdb::DB>(db), directory + "-copies"));
}

}  // namespace cess::kv
