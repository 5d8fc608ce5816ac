// The difference stream: what is written is read, and nothing else is.
#include <objectstore/client/diff_stream.hpp>

#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using namespace cess::client;

namespace {

diff::header sample_header() {
    diff::header h;
    h.volume = "disk";
    h.from = diff::state{"monday", crypto::sha256(as_view("a"))};
    h.to = {"tuesday", crypto::sha256(as_view("b"))};
    h.from_size = h.to_size = 1 * MiB;
    h.data = 5000;
    return h;
}

bytes written(const std::vector<diff::record>& records) {
    bytes out;
    diff::writer to([&out](byte_view data) -> result<void> {
        append(out, data);
        return {};
    });
    for (const auto& each : records) REQUIRE(to.put(each).has_value());
    return out;
}

std::vector<diff::record> sample() {
    return {sample_header(), diff::data{0, bytes(4000, std::byte{1})}, diff::zero{8192, 4096}, diff::data{500'000, bytes(1000, std::byte{2})}, diff::end{4}};
}

struct outcome {
    errc code = errc::ok;
    std::size_t records = 0;
    bool complete = false;
};

// In pieces of at most `step`.
outcome read_all(byte_view stream, std::size_t step = SIZE_MAX) {
    byte_view rest = stream;
    diff::reader in([&rest, step](byte_span out) -> result<std::size_t> {
        const auto n = std::min({out.size(), rest.size(), step});
        std::copy_n(rest.begin(), n, out.begin());
        rest = rest.subspan(n);
        return n;
    });
    outcome out;
    if (const auto head = in.begin(); !head) return {head.error().code, 0, false};
    for (;;) {
        const auto next = in.next();
        if (!next) return {next.error().code, out.records, false};
        if (!*next) return {errc::ok, out.records, true};
        ++out.records;
    }
}

}  // namespace

TEST_CASE("a difference stream is read as it was written, in pieces of any size") {
    const auto stream = written(sample());
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, SIZE_MAX}) {
        const auto got = read_all(stream, step);
        CHECK(got.complete);
        CHECK(got.records == 3);
    }
}

TEST_CASE("a stream that is cut short anywhere is told from a whole one") {
    const auto stream = written(sample());
    for (std::size_t length = 0; length < stream.size(); ++length) {
        const auto got = read_all(byte_view(stream).first(length));
        REQUIRE_FALSE(got.complete);
        REQUIRE((got.code == errc::corrupt || got.code == errc::protocol));
    }
}

TEST_CASE("one wrong bit anywhere is found before its record is believed") {
    const auto stream = written(sample());
    for (std::size_t at = 0; at < stream.size(); at += at < 300 ? 1 : 13) {
        auto wrong = stream;
        wrong[at] ^= std::byte{0x10};
        REQUIRE_FALSE(read_all(wrong).complete);
    }
}

TEST_CASE("records that are lost, doubled, moved, out of order or out of bounds are refused") {
    const auto refused = [](std::vector<diff::record> records) { CHECK(read_all(written(records)).code == errc::corrupt); };
    auto s = sample();
    refused({s[0], s[1], s[2], s[4]});                    // one is missing
    refused({s[0], s[1], s[1], s[2], s[3], s[4]});        // one twice
    refused({s[0], s[3], s[2], s[1], s[4]});              // out of order
    refused({s[0], s[1], s[2], s[3], diff::end{3}});      // a wrong count
    refused({s[0], s[0], s[1]});                          // two headers
    refused({s[1], s[0]});                                // no header first
    refused({s[0], diff::data{1 * MiB - 10, bytes(11)}});
    refused({s[0], diff::zero{~std::uint64_t{0}, 2}});
    refused({s[0], diff::zero{10, ~std::uint64_t{0}}});
    refused({s[0], diff::zero{10, 0}});
    refused({s[0], diff::data{10, {}}});
    refused({s[0], diff::data{0, bytes(diff::piece_max + 1)}});
    auto more = written(s);
    more.push_back(std::byte{0});
    CHECK(read_all(more).code == errc::corrupt);
    auto named = sample_header();
    named.to.name = "../x";
    refused({named});
    named = sample_header();
    named.to_size = ~std::uint64_t{0};
    refused({named});
}

TEST_CASE("what is no difference stream, or of another version, is said to be so") {
    seeded_random random(1);
    bytes noise(10'000);
    random.fill(noise);
    CHECK(read_all(noise).code == errc::protocol);
    CHECK(read_all({}).code == errc::protocol);
    auto later = written(sample());
    later[8] = std::byte{2};
    CHECK(read_all(later).code == errc::unsupported);
}

TEST_CASE("a failing source or sink ends the stream with its own error") {
    diff::reader in([](byte_span) -> result<std::size_t> { return error(errc::io, "disk"); });
    CHECK(in.begin().error().code == errc::io);
    diff::writer out([](byte_view) -> result<void> { return error(errc::no_space, "full"); });
    CHECK(out.put(sample_header()).error().code == errc::no_space);
}
