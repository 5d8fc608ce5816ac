// A disk that notes how much is read of the one under it at once.
#pragma once

#include <core/os/file_system.hpp>

#include <algorithm>

namespace cess::test {

class watched_disk final : public os::file_system {
public:
    explicit watched_disk(os::file_system& under) : m_under(under) {}
    std::size_t largest = 0;

    result<std::unique_ptr<os::file>> open(const std::string& path, os::open_mode mode) override {
        TRY(auto file, m_under.open(path, mode));
        return std::unique_ptr<os::file>(std::make_unique<watched_file>(*this, std::move(file)));
    }
    result<void> rename(const std::string& from, const std::string& to) override { return m_under.rename(from, to); }
    result<void> remove(const std::string& path) override { return m_under.remove(path); }
    result<void> make_directories(const std::string& path) override { return m_under.make_directories(path); }
    result<void> sync_directory(const std::string& path) override { return m_under.sync_directory(path); }
    result<std::vector<os::directory_entry>> list(const std::string& path) override { return m_under.list(path); }
    result<os::space> statistics(const std::string& path) override { return m_under.statistics(path); }
    bool exists(const std::string& path) override { return m_under.exists(path); }

private:
    class watched_file final : public os::file {
    public:
        watched_file(watched_disk& of, std::unique_ptr<os::file> under) : m_of(of), m_under(std::move(under)) {}
        result<std::size_t> read_at(std::uint64_t offset, byte_span out) override {
            m_of.largest = std::max(m_of.largest, out.size());
            return m_under->read_at(offset, out);
        }
        result<void> write_at(std::uint64_t offset, byte_view data) override { return m_under->write_at(offset, data); }
        result<void> truncate(std::uint64_t size) override { return m_under->truncate(size); }
        result<void> sync() override { return m_under->sync(); }
        result<std::uint64_t> size() override { return m_under->size(); }

    private:
        watched_disk& m_of;
        std::unique_ptr<os::file> m_under;
    };
    os::file_system& m_under;
};

}  // namespace cess::test
