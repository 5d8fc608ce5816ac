#include <support/write_history.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace cess::test;

namespace {

constexpr std::uint64_t sectors = 16;

struct disk {
    write_history history{sectors};
    bytes image = bytes(sectors * write_history::sector, std::byte{0});  // else they are what was there
    sequence_number at;

    stamp write(std::uint64_t first, std::uint64_t count, bool survives = true) {
        const auto which = history.next_stamp();
        at = at.next();
        history.wrote(at, which, first, count);
        if (survives) put(which, first, count);
        return which;
    }
    void zero(std::uint64_t first, std::uint64_t count) {
        at = at.next();
        history.wrote(at, 0, first, count);
        std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(first * write_history::sector), count * write_history::sector, std::byte{0});
    }
    void put(stamp which, std::uint64_t first, std::uint64_t count) {
        write_history::fill(which, first, byte_span(image).subspan(first * write_history::sector, count * write_history::sector));
    }
    [[nodiscard]] bool sound() { return history.check(image, at).empty(); }
};

}  // namespace

TEST_CASE("any prefix of the writes is sound, one with a hole is not") {
    for (int survivors = 0; survivors <= 4; ++survivors) {
        disk d;
        for (int i = 0; i < 4; ++i) d.write(static_cast<std::uint64_t>(i), 4, i < survivors);
        CHECK(d.sound());
    }
    disk d;
    d.write(0, 4, false);
    d.write(6, 2);
    CHECK_FALSE(d.sound());
}

TEST_CASE("what was acknowledged must be there, and nothing past what was recovered") {
    disk d;
    d.write(0, 4, false);
    d.history.acknowledged(d.at);
    CHECK_FALSE(d.sound());
    disk e;
    e.write(0, 4);
    CHECK_FALSE(e.history.check(e.image, {}).empty());
    disk f;
    f.write(0, 1);
    f.history.acknowledged({5});
    CHECK_FALSE(f.history.check(f.image, {4}).empty());
}

TEST_CASE("half a write, a write elsewhere and bytes of nobody are noticed") {
    disk d;
    const auto which = d.write(0, 4, false);
    d.put(which, 0, 2);
    CHECK_FALSE(d.sound());
    disk e;
    const auto other = e.write(0, 4);
    write_history::fill(other, 0, byte_span(e.image).subspan(8 * write_history::sector, write_history::sector));
    CHECK_FALSE(e.sound());
    disk f;
    f.write(0, 4);
    f.image[700] ^= std::byte{1};
    CHECK_FALSE(f.sound());
}

TEST_CASE("zeros belong where something was zeroed or never written") {
    disk d;
    d.write(0, 8);
    d.zero(2, 2);
    d.write(3, 1);
    CHECK(d.sound());
    d.write(0, 1);
    d.zero(0, 16);
    d.history.acknowledged(d.at);
    CHECK(d.sound());
    disk e;
    e.write(0, 8);
    e.history.acknowledged(e.at);
    std::fill_n(e.image.begin(), write_history::sector, std::byte{0});
    CHECK_FALSE(e.sound());
}

TEST_CASE("what was dropped by one crash does not come back after the next") {
    disk d;
    d.write(0, 4);
    const auto dropped = d.write(4, 4, false);
    CHECK(d.sound());
    d.write(8, 2);
    d.put(dropped, 4, 4);
    CHECK_FALSE(d.sound());
}

TEST_CASE("an image of the past is what it was") {
    disk d;
    d.write(0, 4);
    const auto then = d.image;
    const auto at = d.at.next();
    d.write(2, 8);
    CHECK(write_history::compare(then, d.history.before(at)).empty());
    CHECK_FALSE(write_history::compare(d.image, d.history.before(at)).empty());
    CHECK(write_history::compare(d.image, d.history.now()).empty());
}
