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

namespace {

// A clone, its snapshots, and what all of them hold, which is looked at again and again.
struct history {
    family f;
    std::unique_ptr<volume::volume> c;
    bytes first, second;  // of the head
    std::map<std::string, std::pair<bytes, bytes>> views;
    seeded_random random;
    int named = 0;

    explicit history(std::uint64_t seed) : first(f.first), second(f.second), random(seed) { open(); }
    static volume::settings how() {
        auto out = small();
        out.clean_slack = 128 * KiB;
        out.clean_look = 5ms;
        return out;
    }
    void open() {
        auto out = f.net.open("clone", how());
        if (!out) FAIL(out.error().message());
        c = std::move(*out);
    }
    void write(std::uint64_t most = 60'000) {
        auto& to = random.below(2) == 0 ? first : second;
        modelled on{*c, &to == &first ? volume::blob_id{1} : volume::blob_id{2}, to};
        const auto offset = random.below(size - most);
        on.write(offset, 1 + random.below(most), random.below(1'000'000));
        to = on.content;
    }
    void share() {
        const auto from = random.below(size - 50'000), at = random.below(size - 50'000), length = 1 + random.below(50'000);
        volume::change edit;
        edit.share(1, from, 2, at, length);
        REQUIRE(c->apply(edit).has_value());
        std::copy_n(first.begin() + static_cast<std::ptrdiff_t>(from), length, second.begin() + static_cast<std::ptrdiff_t>(at));
    }
    void drop(volume::blob_id blob = 2) {
        volume::change edit;
        edit.drop(blob);
        REQUIRE(c->apply(edit).has_value());
        auto& content = blob == volume::blob_id{1} ? first : second;
        std::fill(content.begin(), content.end(), std::byte{0});
    }
    std::string snapshot() {
        const auto name = "s" + std::to_string(++named);
        must(c->create_snapshot(name));
        views[name] = {first, second};
        return name;
    }
    std::string any() {
        auto it = views.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random.below(views.size())));
        return it->first;
    }
    bool forget(const std::string& name) {
        const auto done = f.net.delete_snapshot("clone", name);
        if (!done && (done.error().code == errc::not_found || done.error().code == errc::busy)) return false;  // not anchored yet, or cloned
        must(done);
        views.erase(name);
        return true;
    }
    bool rename(const std::string& name) {
        const auto to = "r" + std::to_string(++named);
        if (!c->rename_snapshot(name, to)) return false;
        views[to] = std::move(views[name]);
        views.erase(name);
        return true;
    }
    void crash() {
        must(c->checkpoint());  // so that what is there then is known
        f.net.crash(random.below(4));
        c.reset();
        open();
    }
    // Each view's bytes, and that the ledger has each segment that a root names.
    void check_view(volume::reader& in, const std::pair<bytes, bytes>& expected, bool alone) {
        CHECK(difference(all_of(in, 1), expected.first) == "none");
        CHECK(difference(all_of(in, 2), expected.second) == "none");
        CHECK(to_string(**in.get(as_view("inherited"))) == "value");
        const auto own = f.net.record("clone").id;
        for (const auto blob : {volume::blob_id{1}, volume::blob_id{2}}) {
            const auto ranges = in.locate(blob, 0, size, SIZE_MAX);
            REQUIRE(ranges.has_value());
            for (const auto& each : *ranges) {
                if (alone && each.place.lineage != own) FAIL("it inherits");
                if (&in == c.get()) continue;  // whose segments may be in no root yet
                if (!f.net.has_segment(each.place.lineage, each.place.segment)) FAIL("segment " << each.place.segment.value << " is not in the ledger");
            }
        }
    }
    void check(bool alone = false) {
        check_view(*c, {first, second}, alone);
        for (const auto& [name, expected] : views) {
            auto opened = f.net.open_snapshot("clone", name);
            if (!opened && opened.error().code == errc::not_found) {  // in the journal yet
                must(c->checkpoint());
                opened = f.net.open_snapshot("clone", name);
            }
            if (!opened) FAIL(opened.error().message());
            check_view(**opened, expected, alone);
        }
    }
};

}  // namespace

TEST_CASE("a clone is flattened with its snapshots, and its base may go") {
    history h(1);
    h.snapshot();
    for (int i = 0; i < 20; ++i) h.write();
    h.snapshot();
    h.share();
    h.drop();
    h.snapshot();
    for (int i = 0; i < 20; ++i) h.write();
    h.snapshot();
    const auto before = h.f.net.data_bytes("clone");
    std::uint64_t last = 0, total = 0;
    must(h.c->flatten([&](std::uint64_t done, std::uint64_t of) {
        CHECK(done >= last);
        CHECK(done <= of);
        last = done;
        total = of;
        return true;
    }));
    CHECK(last == total);
    CHECK_FALSE(h.f.net.record("clone").base.has_value());
    CHECK(h.f.net.data_bytes("clone") - before <= 2 * 2 * size);  // once for the head, once for all snapshots
    h.check(true);
    h.f.remove_base();
    h.check(true);
    must(h.c->close());
    h.open();
    h.check(true);
    // What was copied for them goes with the last of them.
    while (!h.views.empty()) {
        REQUIRE(h.forget(h.any()));
        must(h.f.net.reap("clone"));
        h.check(true);
    }
    h.write();
    must(h.c->clean());
    must(h.c->checkpoint());
    CHECK(h.f.net.data_bytes("clone") <= h.c->usage_now().logical * 3 / 2 + 512 * KiB);
}

TEST_CASE("flattening that fails at any step leaves every snapshot as it was, and another goes on") {
    int at = 0, steps = 0;
    for (bool unmet = false; !unmet;) {  // anew when a step that failed was one that is tried again
        history h(2);
        h.snapshot();
        for (int i = 0; i < 10; ++i) h.write();
        h.snapshot();
        for (int i = 0; i < 10; ++i) h.write();
        must(h.c->checkpoint());
        for (bool ended = false; !ended; at += 1 + at / 6) {
            std::atomic<int> left{at};
            std::atomic<bool> met{false};
            h.f.net.set_fault([&](std::string_view what) -> result<void> {
                if ((what == "put" || what == "ledger" || what == "read") && left-- == 0) {
                    met = true;
                    return error(errc::unavailable, "not now");
                }
                return {};
            });
            const auto done = h.c->flatten(go_on);
            h.f.net.set_fault({});
            ended = done.has_value();
            unmet = !met;
            if (!ended && !met) FAIL(done.error().message());
            h.check(ended);
            ++steps;
            if (at % 3 == 2 && !ended) h.crash();
        }
        CHECK_FALSE(h.f.net.record("clone").base.has_value());
        h.f.remove_base();
        h.check(true);
    }
    CHECK(steps > 8);
}

TEST_CASE("a snapshot that is deleted, renamed or taken while its volume is flattened is what it was") {
    for (std::uint64_t seed = 10; seed < 12; ++seed) {
        history h(seed);
        for (int i = 0; i < 5; ++i) {
            h.snapshot();
            for (int k = 0; k < 4; ++k) h.write();
        }
        must(h.c->checkpoint());
        std::uint64_t calls = 0;
        must(h.c->flatten([&](std::uint64_t, std::uint64_t) {
            if (++calls % 3 != 0) return true;
            switch (h.random.below(5)) {
                case 0: if (h.views.size() > 2) (void)h.forget(h.any()); break;
                case 1: (void)h.rename(h.any()); break;
                case 2: if (h.views.size() < 8) h.snapshot(); break;
                default: h.write();
            }
            return true;
        }));
        h.check(true);
        h.f.remove_base();
        h.check(true);
    }
}

TEST_CASE("a snapshot that is deleted while it is read for flattening hinders nothing, whatever was read of it by then") {
    int refused = 0;
    for (int at = 0; at < 60; at += 3) {
        history h(30);
        h.snapshot();
        h.write();
        const auto gone = h.snapshot();
        h.drop(1);
        h.drop(2);
        must(h.c->checkpoint());  // the head inherits nothing: all that is read is the snapshots'
        std::atomic<int> left{at};
        bool done = false;
        h.f.net.set_fault([&](std::string_view what) -> result<void> {
            if (what != "read" || done || left-- > 0) return {};
            done = true;  // what it asks of the ledger comes by here, too
            if (!h.f.net.delete_snapshot("clone", gone)) return {};
            ++refused;
            return error(errc::not_found, "a segment that was freed");
        });
        must(h.c->flatten(go_on));
        h.f.net.set_fault({});
        if (!h.f.net.open_snapshot("clone", gone)) h.views.erase(gone);
        h.check(true);
    }
    CHECK(refused > 5);
}

TEST_CASE("snapshots, cleaning, crashes and flattening come in any order, and every snapshot is what it was") {
    for (std::uint64_t seed = 100; seed < 103; ++seed) {
        INFO("seed " << seed);
        history h(seed);
        bool alone = false;
        for (int i = 0; i < 40; ++i) {
            switch (h.random.below(12)) {
                case 0: case 1: if (h.views.size() < 6) h.snapshot(); break;
                case 2: if (h.views.size() > 1) (void)h.forget(h.any()); break;
                case 3: must(h.c->clean()); break;
                case 4: h.crash(); break;
                case 5: h.share(); break;
                case 6: if (h.random.below(4) == 0) h.drop(); break;
                case 7: {
                    if (alone) break;
                    const auto calls = h.random.below(12);
                    std::uint64_t call = 0;
                    const auto done = h.c->flatten([&](std::uint64_t, std::uint64_t) {
                        if (h.random.below(4) == 0) h.write();
                        if (h.random.below(8) == 0) must(h.c->clean());
                        return call++ < calls;
                    });
                    if (done) alone = true;
                    else REQUIRE(done.error().code == errc::canceled);
                    h.check(alone);
                    break;
                }
                case 8: if (!h.views.empty()) (void)h.rename(h.any()); break;
                case 9: must(h.f.net.reap("clone")); break;
                default: for (int k = 0; k < 6; ++k) h.write();
            }
            if (i % 8 == 7) h.check(alone);
        }
        if (!alone) must(h.c->flatten(go_on));
        h.check(true);
        h.f.remove_base();
        for (int k = 0; k < 30; ++k) h.write();
        must(h.c->clean());
        h.check(true);
    }
}

TEST_CASE("snapshots with clones are flattened after those, and may be cloned then") {
    history h(3);
    const auto kept = h.snapshot();
    for (int i = 0; i < 10; ++i) h.write();
    const auto cloned = h.snapshot();
    must(h.c->checkpoint());
    const auto expected = h.views.at(cloned);
    REQUIRE(h.f.net.clone("clone", cloned, "child").has_value());
    std::uint64_t calls = 0;
    const auto refused = h.c->flatten([&](std::uint64_t, std::uint64_t) { return ++calls != 0; });
    CHECK(refused.error().code == errc::busy);
    CHECK(calls == 0);  // before anything is copied
    CHECK(refused.error().what.find("clone@" + cloned) != std::string::npos);
    CHECK(h.f.net.record("clone").base.has_value());
    // A child that stands alone holds nothing up.
    {
        const auto child = opened(h.f.net, "child");
        must(child->flatten(go_on));
        CHECK(difference(all_of(*child, 1), expected.first) == "none");
        must(child->close());
    }
    // One that comes while it goes on.
    bool made = false;
    const auto late = h.c->flatten([&](std::uint64_t, std::uint64_t) {
        if (!std::exchange(made, true)) REQUIRE(h.f.net.clone("clone", kept, "late").has_value());
        return true;
    });
    CHECK(late.error().code == errc::busy);
    CHECK(h.f.net.record("clone").base.has_value());
    h.check();
    must(h.f.net.delete_volume("late"));
    must(h.c->flatten(go_on));
    h.f.remove_base();
    h.check(true);
    // Of a rewritten one: it inherits what was copied.
    REQUIRE(h.f.net.clone("clone", kept, "grandchild").has_value());
    const auto old = h.views.at(kept);
    for (int i = 0; i < 40; ++i) h.write();
    must(h.c->clean());
    const auto grandchild = opened(h.f.net, "grandchild");
    CHECK(difference(all_of(*grandchild, 1), old.first) == "none");
    must(grandchild->create_snapshot("own"));
    must(grandchild->flatten(go_on));
    must(grandchild->close());
    while (!h.views.empty()) REQUIRE(h.forget(h.any()));
    must(h.f.net.reap("clone"));
    const auto own = h.f.net.open_snapshot("grandchild", "own");
    REQUIRE(own.has_value());
    CHECK(difference(all_of(**own, 1), old.first) == "none");
    CHECK(difference(all_of(**own, 2), old.second) == "none");
}

TEST_CASE("what is no clone is not flattened") {
    family f;
    const auto base = opened(f.net, "base");
    CHECK(base->flatten(go_on).error().code == errc::unsupported);
}
