#include <core/os/file_system.hpp>

#include <atomic>
#include <unistd.h>

namespace cess::os {
namespace {

std::string directory_of(const std::string& path) {
    const auto slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Unique in this process and between processes, so that two writers never share a temporary file.
std::string temporary_name(const std::string& path) {
    static std::atomic<std::uint64_t> next{0};
    return path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(next.fetch_add(1));
}

result<void> write_and_sync(file_system& on, const std::string& path, byte_view data) {
    TRY(auto out, on.open(path, open_mode::create_new));
    CHECK_OK(out->write_at(0, data));
    return out->sync();
}

}  // namespace

result<void> write_file_durably(file_system& on, const std::string& path, byte_view data) {
    const auto temporary = temporary_name(path);
    auto written = write_and_sync(on, temporary, data);
    if (written) written = on.rename(temporary, path);
    if (!written) {
        (void)on.remove(temporary);  // it may not exist; the first failure is what the caller must see
        return written;
    }
    return on.sync_directory(directory_of(path));
}

result<bytes> read_file(file_system& on, const std::string& path, std::uint64_t size_max) {
    TRY(auto in, on.open(path, open_mode::read));
    TRY(const auto size, in->size());
    if (size > size_max) return error(errc::too_large, path + " has " + std::to_string(size) + " bytes, at most " + std::to_string(size_max) + " are read");
    bytes data(static_cast<std::size_t>(size));
    TRY(const auto got, in->read_at(0, data));
    data.resize(got);
    return data;
}

}  // namespace cess::os
