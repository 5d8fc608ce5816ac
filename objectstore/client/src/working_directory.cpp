#include "working_directory.hpp"

#include <core/base/log.hpp>

#include <filesystem>
#include <thread>

namespace cess::client {
namespace fs = std::filesystem;

namespace {

// Making and sweeping exclude each other, so that a folder is never swept between its making and its lock.
result<std::unique_ptr<os::directory_lock>> lock_all(const std::string& below) {
    CHECK_OK(os::posix_file_system().make_directories(below));
    for (int attempt = 0;; ++attempt) {
        auto lock = os::directory_lock::take(below);
        if (lock || lock.error().code != errc::busy || attempt >= 100) return lock;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

void remove(const std::string& path) {
    std::error_code failed;
    fs::remove_all(path, failed);
    if (failed) log::warn("client", "remove {}: {}", path, failed.message());
}

}  // namespace

result<std::unique_ptr<working_directory>> working_directory::make(const std::string& below, const volume_id& of, random_source& random) {
    TRY(const auto all, lock_all(below));
    std::array<std::byte, 6> tail{};
    random.fill(tail);
    auto path = below + "/" + of.hex() + "." + to_hex(tail);
    CHECK_OK(os::posix_file_system().make_directories(path));
    auto lock = os::directory_lock::take(path);
    if (!lock) {
        remove(path);
        return std::move(lock).error();
    }
    return std::unique_ptr<working_directory>(new working_directory(std::move(path), std::move(*lock)));
}

working_directory::~working_directory() { remove(m_path); }

void sweep_working_directories(const std::string& below) {
    const auto all = lock_all(below);
    if (!all) return log::warn("client", "sweep {}: {}", below, all.error().message());
    std::error_code failed;
    // Others may remove entries meanwhile: nothing here may throw.
    for (fs::directory_iterator at(below, failed), end; !failed && at != end; at.increment(failed)) {
        std::error_code unknown;
        if (!at->is_directory(unknown)) continue;
        const auto lock = os::directory_lock::take(at->path().string());
        if (lock) remove(at->path().string());
    }
    if (failed) log::warn("client", "sweep {}: {}", below, failed.message());
}

}  // namespace cess::client
