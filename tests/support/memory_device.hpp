// A small device on a network in memory, beside an image of what it must read as: nothing is cleaned and no checkpoint is
// made but when a test asks for it. Volume "d" unless named; the device is blob 1.
#pragma once

#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

namespace cess::support {

inline void sound(const result<void>& done) {
    if (!done) FAIL(done.error().message());
}

class memory_device {
public:
    static constexpr std::uint64_t segment = 64 * KiB;
    static constexpr std::uint64_t size = 1 * MiB;

    static volume::settings settings(std::uint64_t clean_slack) {
        volume::settings how;
        how.segment_size = segment;
        how.buffers_max = 1 * MiB;
        how.append_idle = std::chrono::milliseconds(20);
        how.checkpoint_idle = std::chrono::minutes(10);
        how.writer_patience = std::chrono::seconds(5);
        how.clean_slack = clean_slack;
        how.clean_bandwidth = 64 * GiB;
        how.clean_look = std::chrono::minutes(10);
        return how;
    }
    static bytes contents(volume::reader& of) {
        bytes out(size);
        sound(of.read(1, 0, out));
        return out;
    }
    static bytes snapshot_contents(memory_network& net, const std::string& name, const std::string& of = "d") {
        auto opened = net.open_snapshot(of, name);
        if (!opened) FAIL(opened.error().message());
        return contents(**opened);
    }

    memory_device(memory_network& net, volume::settings how, const std::string& name = "d") : m_net(net), m_how(std::move(how)), m_name(name) { open(); }
    void open() { open(m_how); }
    void open(volume::settings how) {
        auto opened = m_net.open(m_name, std::move(how));
        if (!opened) FAIL(opened.error().message());
        on = std::move(*opened);
    }
    void write(std::uint64_t offset, std::size_t length, std::uint64_t seed) {
        bytes data(length);
        seeded_random(seed).fill(data);
        volume::change edit;
        edit.write(1, offset, data);
        apply(edit);
        std::copy(data.begin(), data.end(), image.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    void apply(const volume::change& edit) {
        if (auto done = on->apply(edit); !done) FAIL(done.error().message());
    }
    void checkpoint() { sound(on->checkpoint()); }
    void clean() { sound(on->clean()); }
    bool sane() { return contents(*on) == image; }

    std::unique_ptr<volume::volume> on;
    bytes image = bytes(size, std::byte{0});

private:
    memory_network& m_net;
    const volume::settings m_how;
    const std::string m_name;
};

}  // namespace cess::support
