// The comparison of two states against a model that compares bytes: nothing that differs is left out, nothing that was
// not touched is told, and no data is read.
#include <support/memory_layer.hpp>

#include <objectstore/volume/comparison.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using support::memory_network;
using volume::range;

namespace {

constexpr std::uint64_t size = 256 * KiB;
constexpr volume::blob_id blob = 1;

volume::settings small() {
    volume::settings how;
    how.segment_size = 64 * KiB;
    how.buffers_max = 1 * MiB;
    return how;
}

// Which change wrote a byte last; 0 = a hole.
using model = std::vector<std::uint32_t>;

struct world {
    explicit world(std::uint64_t seed) : random(seed), now(size, 0) {
        net.create_volume("v", ledger::volume_type::block, size);
        open();
    }
    void open() {
        auto opened = net.open("v", small());
        REQUIRE(opened.has_value());
        head = std::move(*opened);
    }
    void edit(volume::volume& on, model& state) {
        const auto offset = random.below(size);
        const auto length = 1 + random.below(std::min<std::uint64_t>(size - offset, random.below(5) ? 6000 : size));
        volume::change what;
        bytes data(length);
        const bool hole = random.below(4) == 0;
        ++stamp;
        if (hole) {
            what.zero(blob, offset, length);
        } else {
            random.fill(data);
            what.write(blob, offset, data);
        }
        REQUIRE(on.apply(what).has_value());
        std::fill_n(state.begin() + static_cast<std::ptrdiff_t>(offset), length, hole ? 0 : stamp);
    }
    void snapshot(const std::string& name) {
        REQUIRE(head->create_snapshot(name).has_value());
        states.emplace_back(name, now);
        REQUIRE(head->checkpoint().has_value());
    }

    memory_network net;
    seeded_random random;
    std::unique_ptr<volume::volume> head;
    model now;
    std::uint32_t stamp = 0;
    std::vector<std::pair<std::string, model>> states;
};

std::vector<range> all(volume::reader* from, volume::reader& to, std::uint64_t offset = 0, std::uint64_t end = size) {
    volume::comparison walk(from, to, blob, offset, end);
    std::vector<range> out;
    for (;;) {
        auto next = walk.next();
        REQUIRE(next.has_value());
        if (!*next) return out;
        out.push_back(**next);
    }
}

std::vector<range> expected(const model& from, const model& to, std::uint64_t offset = 0, std::uint64_t end = size) {
    std::vector<range> out;
    for (auto at = offset; at < end; ++at) {
        if (from[at] == to[at]) continue;
        const bool data = to[at] != 0;
        if (!out.empty() && out.back().offset + out.back().length == at && out.back().data == data) ++out.back().length;
        else out.push_back({at, 1, data});
    }
    return out;
}

bool equal(const std::vector<range>& a, const std::vector<range>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const range& x, const range& y) { return x.offset == y.offset && x.length == y.length && x.data == y.data; });
}

}  // namespace

TEST_CASE("any two snapshots differ exactly where something was written between them") {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        INFO("seed " << seed);
        world w(seed);
        for (int s = 0; s < 4; ++s) {
            for (auto n = 1 + w.random.below(12); n > 0; --n) w.edit(*w.head, w.now);
            w.snapshot("s" + std::to_string(s));
            if (w.random.below(3) == 0) {
                REQUIRE(w.head->close().has_value());
                w.open();
            }
        }
        std::vector<std::unique_ptr<volume::reader>> opened;
        for (const auto& [name, state] : w.states) {
            auto reader = w.net.open_snapshot("v", name);
            REQUIRE(reader.has_value());
            opened.push_back(std::move(*reader));
        }
        w.net.set_fault([](std::string_view what) -> result<void> {  // and no data is read
            return what == "read" ? result<void>(error(errc::unavailable, "nobody reads here")) : result<void>();
        });
        for (std::size_t a = 0; a < opened.size(); ++a) {
            CHECK(equal(all(nullptr, *opened[a]), expected(model(size, 0), w.states[a].second)));
            for (std::size_t b = 0; b < opened.size(); ++b) {
                CHECK(equal(all(opened[a].get(), *opened[b]), expected(w.states[a].second, w.states[b].second)));
                const auto from = w.random.below(size), end = from + w.random.below(size - from + 1);
                CHECK(equal(all(opened[a].get(), *opened[b], from, end), expected(w.states[a].second, w.states[b].second, from, end)));
            }
        }
    }
}

TEST_CASE("a clone differs from its base exactly where it was written") {
    world w(20);
    for (int i = 0; i < 10; ++i) w.edit(*w.head, w.now);
    w.snapshot("s");
    REQUIRE(w.net.clone("v", "s", "c").has_value());
    auto clone = w.net.open("c", small());
    REQUIRE(clone.has_value());
    auto base = w.net.open_snapshot("v", "s");
    REQUIRE(base.has_value());
    CHECK(all(base->get(), **clone).empty());
    auto state = w.now;
    for (int i = 0; i < 10; ++i) w.edit(**clone, state);
    CHECK(equal(all(base->get(), **clone), expected(w.now, state)));
    CHECK(equal(all(clone->get(), **base), expected(state, w.now)));
}

TEST_CASE("a map of many extents is walked in batches") {
    memory_network net;
    net.create_volume("v", ledger::volume_type::block, 64 * MiB);
    auto opened = net.open("v", {});
    REQUIRE(opened.has_value());
    auto& head = **opened;
    const bytes data(512, std::byte{7});
    const auto write_each = [&](std::uint64_t first, std::uint64_t step, std::uint64_t count) {
        volume::change what;
        for (std::uint64_t i = 0; i < count; ++i) what.write(blob, first + i * step, data);
        REQUIRE(head.apply(what).has_value());
    };
    write_each(0, 4096, 3000);
    REQUIRE(head.create_snapshot("a").has_value());
    write_each(0, 8192, 1500);
    write_each(60 * MiB, 4096, 1);
    REQUIRE(head.create_snapshot("b").has_value());
    REQUIRE(head.checkpoint().has_value());
    auto a = net.open_snapshot("v", "a"), b = net.open_snapshot("v", "b");
    REQUIRE(a.has_value());
    REQUIRE(b.has_value());
    const auto found = all(a->get(), **b, 0, 64 * MiB);
    REQUIRE(found.size() == 1501);
    for (std::uint64_t i = 0; i < 1500; ++i) {
        REQUIRE(found[i].offset == i * 8192);
        REQUIRE(found[i].length == 512);
    }
    CHECK(found.back().offset == 60 * MiB);
    CHECK(all(nullptr, **a, 0, 64 * MiB).size() == 3000);
}
