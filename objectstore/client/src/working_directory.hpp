// Where one attached volume keeps its local state while it is attached. Every attachment has a folder of its own, with
// a lock on it, so that two processes that want one volume never touch each other's files; folders of processes that
// died are swept when the next one starts.
#pragma once

#include <core/base/ids.hpp>
#include <core/base/random.hpp>
#include <core/os/file_system.hpp>

#include <memory>
#include <string>

namespace cess::client {

class working_directory {
public:
    static result<std::unique_ptr<working_directory>> make(const std::string& below, const volume_id& of, random_source& random);
    ~working_directory();  // removes it
    working_directory(const working_directory&) = delete;
    working_directory& operator=(const working_directory&) = delete;
    [[nodiscard]] std::string state() const { return m_path + "/state"; }

private:
    working_directory(std::string path, std::unique_ptr<os::directory_lock> lock) : m_path(std::move(path)), m_lock(std::move(lock)) {}
    std::string m_path;
    std::unique_ptr<os::directory_lock> m_lock;
};

// Removes what dead processes left below. What cannot be removed stays, with a line in the log.
void sweep_working_directories(const std::string& below);

}  // namespace cess::client
