// The few bridges between our types and RocksDB's. Private to the engine's translation units that speak to it.
#pragma once

#include <core/base/bytes.hpp>

#include <rocksdb/db.h>
#include <rocksdb/utilities/write_batch_with_index.h>
#include <rocksdb/write_batch.h>

namespace cess::volume {

inline rocksdb::Slice slice(byte_view view) noexcept { return {reinterpret_cast<const char*>(view.data()), view.size()}; }
inline byte_view view(const rocksdb::Slice& slice) noexcept { return as_view(std::string_view(slice.data(), slice.size())); }
[[nodiscard]] error rocks_error(const rocksdb::Status& status, std::string_view what);

}  // namespace cess::volume
