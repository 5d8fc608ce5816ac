// What a volume should hold, in the simplest form: compared with the engine after every kind of disaster.
#pragma once

#include <objectstore/volume/volume.hpp>

#include <map>
#include <set>

namespace cess::support {

struct model_blob {
    bytes data;                  // zeros where nothing was written
    std::vector<bool> mapped;
};

class volume_model {
public:
    std::map<std::string, bytes> keys;
    std::map<volume::blob_id, model_blob> blobs;

    void run(const volume::change& what) {
        for (const auto& e : what.edits()) run(e);
    }
    [[nodiscard]] std::uint64_t logical() const {
        std::uint64_t sum = 0;
        for (const auto& [id, blob] : blobs)
            for (const bool bit : blob.mapped) sum += bit;
        return sum;
    }
    // Empty, or what differs.
    [[nodiscard]] std::string compare(volume::reader& with, std::uint64_t blob_size, std::uint64_t blob_count) const {
        auto rows = with.scan({}, {}, SIZE_MAX);
        if (!rows) return "scan: " + rows.error().message();
        if (rows->size() != keys.size()) return "keys: " + std::to_string(rows->size()) + " instead of " + std::to_string(keys.size());
        auto at = keys.begin();
        for (const auto& row : *rows) {
            if (to_string(row.key) != at->first || row.value != at->second) return "key " + at->first;
            ++at;
        }
        for (volume::blob_id id = 1; id <= blob_count; ++id)
            if (auto differs = compare_blob(with, id, blob_size); !differs.empty()) return differs;
        return {};
    }

private:
    void run(const volume::change::edit& e) {
        using volume::edit_kind;
        switch (e.kind) {
            case edit_kind::put: keys[cess::to_string(e.key)] = e.value; break;
            case edit_kind::erase: keys.erase(cess::to_string(e.key)); break;
            case edit_kind::write: set(e.blob, e.offset, e.data); break;
            case edit_kind::zero: unset(e.blob, e.offset, e.length); break;
            case edit_kind::share: {
                const auto from = blobs[e.from];
                unset(e.blob, e.offset, e.length);
                for (std::uint64_t i = 0; i < e.length; ++i) {
                    const auto source = e.from_offset + i;
                    if (source < from.data.size() && from.mapped[source]) set(e.blob, e.offset + i, byte_view(from.data).subspan(source, 1));
                }
                break;
            }
            case edit_kind::drop: blobs.erase(e.blob); break;
        }
    }
    void set(volume::blob_id id, std::uint64_t offset, byte_view data) {
        auto& blob = blobs[id];
        if (blob.data.size() < offset + data.size()) {
            blob.data.resize(offset + data.size(), std::byte{0});
            blob.mapped.resize(offset + data.size(), false);
        }
        std::copy(data.begin(), data.end(), blob.data.begin() + static_cast<std::ptrdiff_t>(offset));
        std::fill_n(blob.mapped.begin() + static_cast<std::ptrdiff_t>(offset), data.size(), true);
    }
    void unset(volume::blob_id id, std::uint64_t offset, std::uint64_t length) {
        auto& blob = blobs[id];
        for (auto i = offset; i < std::min<std::uint64_t>(offset + length, blob.data.size()); ++i) {
            blob.data[i] = std::byte{0};
            blob.mapped[i] = false;
        }
    }
    [[nodiscard]] std::string compare_blob(volume::reader& with, volume::blob_id id, std::uint64_t size) const {
        const auto name = "blob " + std::to_string(id);
        bytes out(size);
        if (auto done = with.read(id, 0, out); !done) return name + ": " + done.error().message();
        const auto it = blobs.find(id);
        const model_blob none;
        const auto& blob = it == blobs.end() ? none : it->second;
        for (std::uint64_t i = 0; i < size; ++i)
            if (out[i] != (i < blob.data.size() ? blob.data[i] : std::byte{0})) return name + " differs at " + std::to_string(i);
        auto ranges = with.map(id, 0, size);
        if (!ranges) return name + ": " + ranges.error().message();
        std::uint64_t at = 0;
        for (const auto& each : *ranges) {
            if (each.offset != at || each.length == 0) return name + ": map has gaps";
            for (auto end = at + each.length; at < end; ++at)
                if (each.data != (at < blob.mapped.size() && blob.mapped[at])) return name + ": map is wrong at " + std::to_string(at);
        }
        return at == size ? std::string() : name + ": map ends early";
    }
};

}  // namespace cess::support
