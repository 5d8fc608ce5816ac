#include "root_files.hpp"

#include <filesystem>
#include <fstream>

namespace cess::volume {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t small_file_max = 8 * MiB;

bool plain_file_name(const std::string& name) {
    return !name.empty() && name.size() < 256 && name != "." && name != ".." && name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

result<void> write_whole(const std::string& path, byte_view content) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    out.close();
    if (!out) return errno_error("write " + path, errno);
    return {};
}

result<bytes> fetch_file(layer::layer& on, const layer::keyring& keys, const stored_file& file) {
    std::uint64_t sum = 0;
    for (const auto& part : file.parts) sum += part.length;
    if (sum != file.size || file.size > 4 * GiB) return error(errc::corrupt, "file " + file.name + " of the root has parts of the wrong size");
    bytes content(file.size);
    std::vector<layer::piece> pieces;
    std::uint64_t at = 0;
    for (const auto& part : file.parts) {
        pieces.push_back({&part, 0, byte_span(content).subspan(at, part.length)});
        at += part.length;
    }
    CHECK_OK(on.read(keys, pieces));
    if (crypto::sha256(content) != file.hash) return error(errc::corrupt, "file " + file.name + " of the root does not match its hash");
    return content;
}

result<bytes> read_whole(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    if (!in) return errno_error("open " + path, errno);
    bytes content(static_cast<std::size_t>(in.tellg()));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(content.size()));
    if (!in) return errno_error("read " + path, errno);
    return content;
}

result<void> empty_directory(const std::string& directory) {
    std::error_code failed;
    fs::remove_all(directory, failed);
    if (failed) return errno_error("empty " + directory, failed.value());
    fs::create_directories(directory, failed);
    if (failed) return errno_error("create " + directory, failed.value());
    return {};
}

result<root_manifest> fetch_manifest(layer::layer& on, const layer::keyring& keys, const ledger::root& of) {
    if (!of.manifest || of.manifest->length > segment_length_max) return error(errc::corrupt, "root without a sound manifest");
    bytes content(of.manifest->length);
    std::vector<layer::piece> pieces{{&*of.manifest, 0, content}};
    CHECK_OK(on.read(keys, pieces));
    auto manifest = wire::decode<root_manifest>(content);
    if (!manifest) return error(errc::corrupt, "manifest of the root: " + manifest.error().what);
    if (manifest->sequence != of.sequence || manifest->volume != of.manifest->lineage)
        return error(errc::corrupt, "manifest belongs to another root");
    return std::move(*manifest);
}

result<std::shared_ptr<remote_files>> lay_out(layer::layer& on, const layer::keyring& keys, const root_manifest& of, const std::string& directory) {
    CHECK_OK(empty_directory(directory));
    for (const auto& file : of.files)
        if (!plain_file_name(file.name)) return error(errc::corrupt, "root with an impossible file name");
    for (const auto& file : of.small) {
        if (!plain_file_name(file.name)) return error(errc::corrupt, "root with an impossible file name");
        CHECK_OK(write_whole(directory + "/" + file.name, file.content));
    }
    return std::make_shared<remote_files>(directory, of.files, [&on, keys](const stored_file& file) { return fetch_file(on, keys, file); });
}

result<local_files> list_checkpoint(const std::string& directory) {
    local_files out;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator(directory, failed)) {
        const auto name = entry.path().filename().string();
        if (entry.path().extension() == ".sst") {
            out.tables.push_back(name);
        } else if (entry.path().extension() != ".log") {
            if (entry.file_size() > small_file_max) return error(errc::too_large, "file " + name + " of the local checkpoint");
            TRY(auto content, read_whole(entry.path().string()));
            out.small.push_back({name, std::move(content)});
        }
    }
    if (failed) return errno_error("list " + directory, failed.value());
    std::sort(out.tables.begin(), out.tables.end());
    return out;
}

}  // namespace cess::volume
