// The files of a root: brought here and verified when a volume is opened, stored as segments at a checkpoint.
#pragma once

#include "reading.hpp"

namespace cess::volume {

// Reads and checks the manifest of a root that is not empty.
[[nodiscard]] result<root_manifest> fetch_manifest(layer::layer& on, const layer::keyring& keys, const ledger::root& of);
// Brings its files into `directory`, which is emptied first. Every file is checked against its hash.
[[nodiscard]] result<void> fetch_files(layer::layer& on, const layer::keyring& keys, const root_manifest& of, const std::string& directory);
[[nodiscard]] result<void> empty_directory(const std::string& directory);

// A local checkpoint, read back.
struct local_files {
    std::vector<std::string> tables;  // names of immutable tables
    std::vector<inline_file> small;
};
[[nodiscard]] result<local_files> list_checkpoint(const std::string& directory);
[[nodiscard]] result<bytes> read_whole(const std::string& path);

}  // namespace cess::volume
