// What a bucket's key-value space holds; docs/formats/bucket.md is its description for people.
//
//     'o' key                     object_record
//     'u' key NUL upload-id       upload_record       (upload-id: 32 hex digits, the first 12 its time)
//     'p' upload-id number        part_record         (number: 4 bytes, big-endian)
//     'x' upload-id               empty: the upload is over, its parts are still to be dropped
//     'd' blob                    empty: the blob (8 bytes, big-endian) belongs to nothing and is to be dropped
//     'n'                         u64: blob ids from here on are unused
#pragma once

#include "checksum.hpp"

#include <objectstore/volume/volume.hpp>

#include <core/wire/codec.hpp>

#include <map>
#include <string>

namespace cess::s3 {

using header_map = std::map<std::string, std::string>;  // content-type, cache-control, …, x-amz-meta-*

struct stored_checksum {
    checksum_kind kind = checksum_kind::none;
    std::string value;       // base64, as clients see it; "-N" behind a composite one
    bool composite = false;  // of the parts' checksums
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.kind, self.value, self.composite); }
};

struct object_record {
    static constexpr std::uint8_t wire_version = 1;
    volume::blob_id blob = 0;  // 0: no bytes
    std::uint64_t size = 0;
    std::string etag;          // without quotes
    std::uint64_t modified_ms = 0;
    header_map headers;
    stored_checksum checksum;
    std::string upload;        // that made it; a repeated Complete is answered from it
    std::uint32_t parts = 0;   // 0: a single put
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.blob, self.size, self.etag, self.modified_ms, self.headers, self.checksum, self.upload, self.parts);
    }
};

struct upload_record {
    static constexpr std::uint8_t wire_version = 1;
    std::uint64_t started_ms = 0;
    header_map headers;
    checksum_kind checksum = checksum_kind::none;
    bool composite = true;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.started_ms, self.headers, self.checksum, self.composite); }
};

struct part_record {
    static constexpr std::uint8_t wire_version = 1;
    volume::blob_id blob = 0;
    std::uint64_t size = 0;
    std::string etag;
    std::uint64_t modified_ms = 0;
    stored_checksum checksum;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.blob, self.size, self.etag, self.modified_ms, self.checksum); }
};

namespace at {
[[nodiscard]] bytes object(std::string_view key);
[[nodiscard]] bytes upload(std::string_view key, std::string_view id);
[[nodiscard]] bytes parts(std::string_view id);
[[nodiscard]] bytes part(std::string_view id, std::uint32_t number);
[[nodiscard]] bytes ended_upload(std::string_view id);
[[nodiscard]] bytes dropped_blob(volume::blob_id blob);
[[nodiscard]] bytes next_blob();
[[nodiscard]] bytes prefix(char family);
}  // namespace at

// The number at the end of a part's or a dropped blob's key.
[[nodiscard]] std::uint32_t part_number_of(byte_view key) noexcept;
[[nodiscard]] volume::blob_id blob_of(byte_view key) noexcept;

}  // namespace cess::s3
