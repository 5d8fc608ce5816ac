// The volume as the filesystem's operations see it: typed records and changes, errors as errnos.
// Thread-safe; calls block as the engine's do.
#pragma once

#include "format.hpp"

#include <core/wire/codec.hpp>
#include <objectstore/volume/volume.hpp>

namespace cess::fs {

class store {
public:
    // `head` is null where nothing may be written: a snapshot.
    store(volume::reader& data, volume::volume* head);

    [[nodiscard]] bool writable() const noexcept { return m_head != nullptr; }
    [[nodiscard]] volume::reader& data() noexcept { return m_data; }

    template <class Record>
    [[nodiscard]] answer<std::optional<Record>> load(byte_view key) {
        FS_TRY(auto found, m_data.get(key));
        if (!found) return std::optional<Record>();
        FS_TRY(auto record, decode<Record>(*found));
        return std::optional<Record>(std::move(record));
    }
    template <class Record>
    [[nodiscard]] static result<Record> decode(byte_view value) {
        auto record = wire::decode<Record>(value);
        if (!record) return error(errc::corrupt, "a record of the filesystem does not decode: " + record.error().message());
        return record;
    }

    // The change is visible when it returns and takes its place in history; EROFS for a snapshot.
    [[nodiscard]] answer<void> apply(const volume::change& what);
    [[nodiscard]] answer<void> sync();

private:
    volume::reader& m_data;
    volume::volume* m_head;
};

}  // namespace cess::fs
