// Flattening: a clone that stands alone holds what it held, whatever its users do and whoever dies meanwhile.
#include <support/memory_layer.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using support::memory_network;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t size = 3 * MiB;

volume::settings small() {
    volume::settings how;
    how.segment_size = 256 * KiB;
    how.buffers_max = 2 * MiB;
    how.append_idle = 20ms;
    how.checkpoint_idle = 10min;
    how.writer_patience = 5s;
    return how;
}

std::unique_ptr<volume::volume> opened(memory_network& on, const std::string& name) {
    auto out = on.open(name, small());
    if (!out) FAIL(out.error().message());
    return std::move(*out);
}

void must(const result<void>& done) {
    if (!done) FAIL(done.error().message());
}

// A blob of the volume, and what it holds.
struct modelled {
    volume::volume& on;
    volume::blob_id blob;
    bytes content = bytes(size, std::byte{0});

    void write(std::uint64_t offset, std::uint64_t length, std::uint64_t seed) {
        bytes data(length);
        seeded_random(seed).fill(data);
        volume::change edit;
        edit.write(blob, offset, data);
        if (const auto done = on.apply(edit); !done) FAIL(done.error().message());
        std::copy(data.begin(), data.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    void zero(std::uint64_t offset, std::uint64_t length) {
        volume::change edit;
        edit.zero(blob, offset, length);
        REQUIRE(on.apply(edit).has_value());
        std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(offset), length, std::byte{0});
    }
};

bytes all_of(volume::reader& from, volume::blob_id blob) {
    bytes out(size);
    must(from.read(blob, 0, out));
    return out;
}

// Where they differ first, in words; catch would print all of both.
std::string difference(const bytes& got, const bytes& expected) {
    const auto at = std::mismatch(got.begin(), got.end(), expected.begin(), expected.end()).first;
    if (at == got.end() && got.size() == expected.size()) return "none";
    return "at " + std::to_string(at - got.begin()) + " of " + std::to_string(got.size());
}

// A volume with scattered data in two blobs and keys, its snapshot, and a clone of that.
struct family {
    memory_network net;
    bytes first, second;

    family() {
        net.create_volume("base", ledger::volume_type::filesystem);
        const auto v = opened(net, "base");
        modelled one{*v, 1}, two{*v, 2};
        seeded_random random(5);
        for (int i = 0; i < 150; ++i) {
            auto& to = random.below(2) == 0 ? one : two;
            const auto offset = random.below(size - 40'000);
            to.write(offset, 1 + random.below(40'000), 100 + static_cast<std::uint64_t>(i));
        }
        one.zero(700'000, 100'000);
        volume::change keys;
        keys.put(to_bytes("inherited"), to_bytes("value"));
        REQUIRE(v->apply(keys).has_value());
        must(v->create_snapshot("s"));
        must(v->close());
        first = one.content;
        second = two.content;
        REQUIRE(net.clone("base", "s", "clone").has_value());
    }

    // Everything of the base goes, at the miners, too.
    void remove_base() {
        must(net.delete_snapshot("base", "s"));
        const auto v = opened(net, "base");
        for (const auto blob : {volume::blob_id{1}, volume::blob_id{2}}) {
            volume::change all;
            all.drop(blob);
            REQUIRE(v->apply(all).has_value());
        }
        for (int i = 0; i < 100 && net.data_bytes("base") != 0; ++i) {
            must(v->checkpoint());
            std::this_thread::sleep_for(20ms);
            volume::change more;
            more.put(to_bytes("k"), to_bytes(std::to_string(i)));
            REQUIRE(v->apply(more).has_value());
        }
        CHECK(net.data_bytes("base") == 0);
        must(v->close());
    }
};

const auto go_on = [](std::uint64_t, std::uint64_t) { return true; };

}  // namespace

TEST_CASE("a flattened clone holds what it held, and its base may go") {
    family f;
    {
        const auto c = opened(f.net, "clone");
        std::uint64_t last = 0, total = 0;
        CHECK(f.net.delete_snapshot("base", "s").error().code == errc::busy);
        must(c->flatten([&](std::uint64_t done, std::uint64_t of) {
            CHECK(done >= last);
            last = done;
            total = of;
            return true;
        }));
        CHECK(last == total);
        CHECK(total > 1 * MiB);
        CHECK_FALSE(f.net.record("clone").base.has_value());
        CHECK(c->flatten(go_on).error().code == errc::unsupported);
        CHECK(difference(all_of(*c, 1), f.first) == "none");
        must(c->create_snapshot("own"));
        must(c->close());
    }
    f.remove_base();
    {
        const auto c = opened(f.net, "clone");
        CHECK(difference(all_of(*c, 1), f.first) == "none");
        CHECK(difference(all_of(*c, 2), f.second) == "none");
        CHECK(to_string(**c->get(as_view("inherited"))) == "value");
    }
    const auto own = f.net.open_snapshot("clone", "own");
    REQUIRE(own.has_value());
    CHECK(difference(all_of(**own, 2), f.second) == "none");
}

TEST_CASE("a clone is flattened while it is written, read, shared and dropped") {
    family f;
    const auto c = opened(f.net, "clone");
    modelled one{*c, 1, f.first}, copy{*c, 3};
    std::atomic<bool> end{false};
    std::thread user([&] {
        seeded_random random(9);
        for (std::uint64_t i = 0; i < 20 || !end; ++i) {
            const auto offset = random.below(size - 30'000), length = 1 + random.below(30'000);
            switch (random.below(4)) {
                case 0: one.zero(offset, length); break;
                case 1: {  // what is inherited may come to where the walk has been
                    volume::change edit;
                    edit.share(1, offset, 3, offset, length);
                    REQUIRE(c->apply(edit).has_value());
                    std::copy_n(one.content.begin() + static_cast<std::ptrdiff_t>(offset), length, copy.content.begin() + static_cast<std::ptrdiff_t>(offset));
                    break;
                }
                default: one.write(offset, length, 1000 + i);
            }
            if (i == 10) {
                volume::change edit;
                edit.drop(2);
                REQUIRE(c->apply(edit).has_value());
            }
        }
    });
    const auto done = c->flatten(go_on);
    end = true;
    user.join();
    must(done);
    CHECK(difference(all_of(*c, 1), one.content) == "none");
    CHECK(difference(all_of(*c, 3), copy.content) == "none");
    CHECK(difference(all_of(*c, 2), bytes(size, std::byte{0})) == "none");
    must(c->close());
    f.remove_base();
    const auto again = opened(f.net, "clone");
    CHECK(difference(all_of(*again, 1), one.content) == "none");
    CHECK(difference(all_of(*again, 3), copy.content) == "none");
}

TEST_CASE("an owner that dies while it flattens loses nothing, and the next one goes on") {
    for (int round = 0; round < 4; ++round) {
        family f;
        {
            const auto c = opened(f.net, "clone");
            const auto stopped = c->flatten([&](std::uint64_t done, std::uint64_t total) { return done * 5 < total * static_cast<std::uint64_t>(round + 1); });
            CHECK(stopped.error().code == errc::canceled);
            if (round % 2 == 0) must(c->sync());
            if (round == 3) must(c->checkpoint());
            f.net.crash(static_cast<std::uint64_t>(round));
        }
        CHECK(f.net.delete_snapshot("base", "s").error().code == errc::busy);
        const auto c = opened(f.net, "clone");
        CHECK(difference(all_of(*c, 1), f.first) == "none");
        must(c->flatten(go_on));
        CHECK(difference(all_of(*c, 2), f.second) == "none");
        must(c->close());
        f.remove_base();
        const auto again = opened(f.net, "clone");
        CHECK(difference(all_of(*again, 1), f.first) == "none");
        CHECK(difference(all_of(*again, 2), f.second) == "none");
    }
}

TEST_CASE("a clone with snapshots is not flattened, and what is no clone neither") {
    family f;
    const auto c = opened(f.net, "clone");
    must(c->create_snapshot("own"));
    const auto refused = c->flatten(go_on);
    CHECK(refused.error().code == errc::not_empty);
    CHECK(refused.error().what.find("clone@own") != std::string::npos);
    must(c->checkpoint());
    CHECK(c->flatten(go_on).error().code == errc::not_empty);
    must(f.net.delete_snapshot("clone", "own"));
    // One that is taken while it goes on needs what it inherited.
    bool taken = false;
    const auto late = c->flatten([&](std::uint64_t, std::uint64_t) {
        if (!std::exchange(taken, true)) must(c->create_snapshot("late"));
        return true;
    });
    CHECK(late.error().code == errc::not_empty);
    CHECK(f.net.record("clone").base.has_value());
    CHECK(difference(all_of(**f.net.open_snapshot("clone", "late"), 1), f.first) == "none");
    must(f.net.delete_snapshot("clone", "late"));
    must(c->flatten(go_on));
    const auto base = opened(f.net, "base");
    CHECK(base->flatten(go_on).error().code == errc::unsupported);
}
