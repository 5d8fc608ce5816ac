// The files of a root: brought here and verified when they are asked for, stored as segments at a checkpoint.
#pragma once

#include "reading.hpp"
#include "remote_files.hpp"

namespace cess::volume {

inline constexpr std::uint32_t metadata_block = 32 * KiB;  // of what is stored of metadata

// Reads and checks the manifest of a root that is not empty.
[[nodiscard]] result<root_manifest> fetch_manifest(layer::layer& on, const layer::keyring& keys, const ledger::root& of);
// One table, whole and verified.
[[nodiscard]] result<bytes> fetch_file(layer::layer& on, const layer::keyring& keys, const stored_file& file);
// A fresh directory with the root's small files; its tables come when they are asked for. `on` must outlive what it answers.
[[nodiscard]] result<std::shared_ptr<remote_files>> lay_out(layer::layer& on, const layer::keyring& keys, const root_manifest& of, const std::string& directory);
[[nodiscard]] result<void> empty_directory(const std::string& directory);

// A local checkpoint, read back.
struct local_files {
    std::vector<std::string> tables;  // names of immutable tables
    std::vector<inline_file> small;
};
[[nodiscard]] result<local_files> list_checkpoint(const std::string& directory);
[[nodiscard]] result<bytes> read_whole(const std::string& path);
[[nodiscard]] result<void> write_whole(const std::string& path, byte_view content);

}  // namespace cess::volume
