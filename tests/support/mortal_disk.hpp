// A disk as one process sees it: from its death on nothing it does there happens any more. What it did stays, synced or
// not, on the disk behind, which outlives it.
#pragma once

#include <core/os/file_system.hpp>

#include <functional>

namespace cess::test {

class mortal_disk final : public os::file_system {
public:
    mortal_disk(os::file_system& behind, std::function<bool()> dead) : m_behind(behind), m_dead(std::move(dead)) {}

    result<std::unique_ptr<os::file>> open(const std::string& path, os::open_mode mode) override {
        TRY(auto file, alive([&] { return m_behind.open(path, mode); }));
        return std::unique_ptr<os::file>(std::make_unique<mortal_file>(*this, std::move(file)));
    }
    result<void> rename(const std::string& from, const std::string& to) override {
        return alive([&] { return m_behind.rename(from, to); });
    }
    result<void> remove(const std::string& path) override {
        return alive([&] { return m_behind.remove(path); });
    }
    result<void> make_directories(const std::string& path) override {
        return alive([&] { return m_behind.make_directories(path); });
    }
    result<void> sync_directory(const std::string& path) override {
        return alive([&] { return m_behind.sync_directory(path); });
    }
    result<std::vector<os::directory_entry>> list(const std::string& path) override {
        return alive([&] { return m_behind.list(path); });
    }
    result<os::space> statistics(const std::string& path) override { return m_behind.statistics(path); }
    bool exists(const std::string& path) override { return m_behind.exists(path); }

private:
    class mortal_file final : public os::file {
    public:
        mortal_file(const mortal_disk& of, std::unique_ptr<os::file> behind) : m_of(of), m_behind(std::move(behind)) {}
        result<std::size_t> read_at(std::uint64_t offset, byte_span out) override {
            return m_of.alive([&] { return m_behind->read_at(offset, out); });
        }
        result<void> write_at(std::uint64_t offset, byte_view data) override {
            return m_of.alive([&] { return m_behind->write_at(offset, data); });
        }
        result<void> truncate(std::uint64_t size) override {
            return m_of.alive([&] { return m_behind->truncate(size); });
        }
        result<void> sync() override {
            return m_of.alive([&] { return m_behind->sync(); });
        }
        result<std::uint64_t> size() override {
            return m_of.alive([&] { return m_behind->size(); });
        }

    private:
        const mortal_disk& m_of;
        std::unique_ptr<os::file> m_behind;
    };

    // Looks before and after: who dies in between is told of nothing that it did.
    template <class Step>
    [[nodiscard]] auto alive(const Step& step) const -> decltype(step()) {
        if (m_dead()) return gone();
        auto done = step();
        if (m_dead()) return gone();
        return done;
    }
    [[nodiscard]] static error gone() { return error(errc::io, "the process is dead"); }

    os::file_system& m_behind;
    const std::function<bool()> m_dead;
};

}  // namespace cess::test
