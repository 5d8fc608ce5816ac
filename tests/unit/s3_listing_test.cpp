// Listing against a naive model that looks at every key.
#include "listing.hpp"

#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <set>

using namespace cess;
using namespace cess::s3;

namespace {

key_source source_of(const std::set<std::string>& keys, std::size_t& rows) {
    return [&](std::string_view prefix, std::string_view from, std::size_t limit) -> result<std::vector<listed_key>> {
        std::vector<listed_key> out;
        for (auto at = keys.lower_bound(std::string(std::max(prefix, from))); at != keys.end() && at->starts_with(prefix) && out.size() < limit; ++at)
            out.push_back({*at, {}});
        rows += out.size();
        return out;
    };
}

// Every key and common prefix, in order, that the request may list, without limit.
std::vector<std::string> model(const std::set<std::string>& keys, const list_request& what) {
    std::vector<std::string> out;
    const auto rolled = [&](const std::string& key) {
        const auto at = what.delimiter.empty() || !key.starts_with(what.prefix) ? std::string::npos : key.find(what.delimiter, what.prefix.size());
        return at == std::string::npos ? key : key.substr(0, at + what.delimiter.size());
    };
    for (const auto& key : keys) {
        if (!key.starts_with(what.prefix) || !(key > what.after) || key < what.from) continue;
        const auto name = rolled(key);
        if (name != key || (!what.delimiter.empty() && key.ends_with(what.delimiter)))
            if (!what.after.empty() && name == what.after) continue;
        if (out.empty() || out.back() != name) out.push_back(name);
    }
    return out;
}

std::string random_key(random_source& random) {
    constexpr std::string_view letters = "ab/-\xff";
    std::string out;
    for (auto n = 1 + random.below(7); n > 0; --n) out.push_back(letters[random.below(letters.size())]);
    return out;
}

}  // namespace

TEST_CASE("listing: pages of any size, put together, are what a naive model lists") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        INFO("seed " << seed);
        seeded_random random(seed);
        std::set<std::string> keys;
        for (auto n = random.below(120); n > 0; --n) keys.insert(random_key(random));
        list_request what;
        if (random.below(2)) what.prefix = random_key(random).substr(0, random.below(3));
        if (random.below(3)) what.delimiter = random.below(4) ? "/" : "a/";
        if (random.below(2)) what.after = random_key(random);
        const auto expected = model(keys, what);
        what.limit = 1 + random.below(10);
        std::size_t rows = 0;
        const auto source = source_of(keys, rows);
        const bool by_marker = random.below(2) == 0;
        std::vector<std::string> got;
        for (;;) {
            const auto page = list_keys(source, what);
            REQUIRE(page.has_value());
            CHECK(page->entries.size() <= what.limit);
            for (const auto& entry : page->entries) got.push_back(entry.name);
            if (!page->truncated) break;
            REQUIRE_FALSE(page->entries.empty());
            if (by_marker) {
                what.after = page->entries.back().name;
            } else {
                what.after.clear();
                what.from = page->next;
            }
        }
        CHECK(got == expected);
    }
}

TEST_CASE("listing: a common prefix costs a seek, not its keys") {
    std::set<std::string> keys;
    for (int folder = 0; folder < 50; ++folder)
        for (int i = 0; i < 2000; ++i) keys.insert("d" + std::to_string(100 + folder) + "/" + std::to_string(i));
    std::size_t rows = 0;
    list_request what;
    what.delimiter = "/";
    what.limit = 1000;
    const auto page = list_keys(source_of(keys, rows), what);
    REQUIRE(page.has_value());
    CHECK(page->entries.size() == 50);
    CHECK(rows < 5000);
}

TEST_CASE("listing: nothing is asked for nothing, and the end has no next page") {
    std::set<std::string> keys{"a", "b"};
    std::size_t rows = 0;
    list_request what;
    what.limit = 0;
    CHECK_FALSE(list_keys(source_of(keys, rows), what)->truncated);
    CHECK(rows == 0);
    what.limit = 2;
    CHECK_FALSE(list_keys(source_of(keys, rows), what)->truncated);
    what.limit = 1;
    CHECK(list_keys(source_of(keys, rows), what)->truncated);
    CHECK(after_prefix("a\xff\xff") == "b");
    CHECK(after_prefix("\xff").empty());
}
