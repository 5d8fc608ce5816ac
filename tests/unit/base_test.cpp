#include <core/base/bytes.hpp>
#include <core/base/ids.hpp>
#include <core/base/memory.hpp>
#include <core/base/metrics.hpp>
#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <cerrno>

using namespace cess;

TEST_CASE("sizes parse in binary units and refuse rubbish") {
    CHECK(*parse_size("10G") == 10 * GiB);
    CHECK(*parse_size("10GiB") == 10 * GiB);
    CHECK(*parse_size("4096") == 4096);
    CHECK(*parse_size("1k") == 1024);
    for (const char* wrong : {"", "-1", "G", "10GB", "10 G", "1.5G", "20E", "99999999999999999999", "0x10"}) {
        INFO(wrong);
        CHECK_FALSE(parse_size(wrong).has_value());
    }
}

TEST_CASE("sizes print for people") {
    CHECK(format_size(0) == "0 B");
    CHECK(format_size(1536) == "1.5 KiB");
    CHECK(format_size(10 * GiB) == "10 GiB");
}

TEST_CASE("hexadecimal goes there and back and refuses other text") {
    const auto id = hash256::from(bytes(32, std::byte{0xa5}));
    CHECK(*hash256::parse(id.hex()) == id);
    CHECK_FALSE(hash256::parse("a5").has_value());
    CHECK_FALSE(from_hex("zz").has_value());
    CHECK_FALSE(from_hex("abc").has_value());
}

TEST_CASE("an error says what failed first, then why") {
    auto e = error(errc::not_found, "volume \"x\"").with_context("mount");
    CHECK(e.message() == "mount: volume \"x\": not found");
    CHECK(to_errno(errc::no_space) == ENOSPC);
    CHECK(from_errno(ENOENT) == errc::not_found);
}

TEST_CASE("the seeded generator gives the same sequence for ever") {
    seeded_random random(42);
    CHECK(random.next() == 1546998764402558742ULL);
    CHECK(random.next() == 6990951692964543102ULL);
    for (int i = 0; i < 1000; ++i) CHECK(random.below(7) < 7);
}

TEST_CASE("metrics render in Prometheus' format") {
    metrics all;
    all.make_counter("cess_x_total", "things", "op=\"put\"").add(3);
    all.make_counter("cess_x_total", "things", "op=\"get\"").add(1);
    all.make_histogram("cess_t_seconds", "time").observe_us(3);
    const auto text = all.render();
    CHECK(text.find("# TYPE cess_x_total counter\ncess_x_total{op=\"put\"} 3\ncess_x_total{op=\"get\"} 1\n") != std::string::npos);
    CHECK(text.find("cess_t_seconds_bucket{le=\"2e-06\"} 0\n") != std::string::npos);
    CHECK(text.find("cess_t_seconds_bucket{le=\"4e-06\"} 1\n") != std::string::npos);
    CHECK(text.find("cess_t_seconds_count 1\n") != std::string::npos);
}

TEST_CASE("registries of several nodes render as one, each with its label") {
    metrics all;
    metrics a;
    metrics b;
    a.make_counter("cess_x_total", "things", "op=\"put\"").add(3);
    b.make_gauge("cess_y", "level").set(7);
    b.make_counter("cess_x_total", "things", "op=\"put\"").add(4);
    all.include(a, "node=\"a\"");
    all.include(b, "node=\"b\"");
    const auto text = all.render();
    CHECK(text.find("# TYPE cess_x_total counter\ncess_x_total{op=\"put\",node=\"a\"} 3\ncess_x_total{op=\"put\",node=\"b\"} 4\n") != std::string::npos);
    CHECK(text.find("cess_y{node=\"b\"} 7\n") != std::string::npos);
}

TEST_CASE("a sampled gauge is asked when it is rendered, for as long as its handles live") {
    metrics all;
    std::int64_t level = 3;
    int asked = 0;
    auto one = all.sample("cess_level", "level", {}, [&] { return ++asked, level; });
    CHECK(asked == 0);
    CHECK(all.render().find("# TYPE cess_level gauge\ncess_level 3\n") != std::string::npos);
    level = 5;
    {
        const auto other = all.sample("cess_level", "level", {}, [] { return 10; });
        CHECK(all.render().find("cess_level 15\n") != std::string::npos);
    }
    CHECK(all.render().find("cess_level 5\n") != std::string::npos);
    auto moved = std::move(one);
    CHECK(all.render().find("cess_level 5\n") != std::string::npos);
    moved = metrics::sampled();
    const auto before = asked;
    CHECK(all.render().find("cess_level 0\n") != std::string::npos);
    CHECK(asked == before);
}

TEST_CASE("large buffers come back, as many as are kept, the smallest that fits first") {
    buffer_recycler memory(2);
    auto small = memory.take(8 * MiB), large = memory.take(16 * MiB), third = memory.take(8 * MiB);
    const auto* const small_at = small.data();
    const auto* const large_at = large.data();
    memory.give(std::move(large));
    memory.give(std::move(small));
    memory.give(std::move(third));  // one more than is kept
    const auto again = memory.take(6 * MiB);
    CHECK(again.data() == small_at);
    CHECK(again.size() == 6 * MiB);
    const auto rest = memory.take(9 * MiB);
    CHECK(rest.data() == large_at);
    CHECK(memory.take(10).size() == 10);
}

TEST_CASE("tables in huge pages are vectors like others, of any size") {
    for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, 2 * MiB / 8, 5 * MiB / 8 + 1}) {
        std::vector<std::uint64_t, huge_page_allocator<std::uint64_t>> table(size);
        CHECK(table.size() == size);
        CHECK(table.front() == 0);
        CHECK(table.back() == 0);
        if (size * 8 >= 2 * MiB) CHECK(reinterpret_cast<std::uintptr_t>(table.data()) % (2 * MiB) == 0);
        table.resize(size * 2);
        CHECK(table[size] == 0);
        CHECK(table.back() == 0);
    }
    std::vector<std::uint64_t, huge_page_allocator<std::uint64_t>> table;
    CHECK_THROWS_AS(table.resize(std::size_t{1} << 60), std::exception);
}
