#include <core/base/random.hpp>
#include <core/wire/codec.hpp>

#include <catch2/catch.hpp>

using namespace cess;

namespace {

enum class colour : std::uint8_t { red, green };
colour wire_enum_max(colour) { return colour::green; }

struct inner {
    std::uint16_t number = 0;
    std::string text;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) { codec(self.number, self.text); }
    friend bool operator==(const inner&, const inner&) = default;
};

struct outer {
    static constexpr std::uint8_t wire_version = 3;
    hash256 id;
    term_number term;
    bool flag = false;
    colour paint = colour::red;
    std::vector<inner> list;
    std::optional<bytes> run;
    std::variant<std::uint8_t, inner> either;
    std::map<std::string, std::uint64_t> table;
    template <class Self, class Codec>
    static void describe(Self& self, Codec& codec) {
        codec(self.id, self.term, self.flag, self.paint, self.list, self.run, self.either, self.table);
    }
    friend bool operator==(const outer&, const outer&) = default;
};

outer sample() {
    outer o;
    o.id = hash256::from(bytes(32, std::byte{7}));
    o.term = {99};
    o.flag = true;
    o.paint = colour::green;
    o.list = {{1, "one"}, {2, ""}};
    o.run = bytes(5, std::byte{1});
    o.either = inner{9, "nine"};
    o.table = {{"a", 1}, {"b", 2}};
    return o;
}

}  // namespace

TEST_CASE("a message comes back as it went") { CHECK(*wire::decode<outer>(wire::encode(sample())) == sample()); }

TEST_CASE("every cut of a message is refused") {
    const auto whole = wire::encode(sample());
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(wire::decode<outer>(byte_view(whole).first(n)).has_value());
}

TEST_CASE("trailing bytes, other versions, bad flags and unknown enumerators are refused") {
    auto whole = wire::encode(sample());
    whole.push_back(std::byte{0});
    CHECK_FALSE(wire::decode<outer>(whole).has_value());
    whole = wire::encode(sample());
    whole[0] = std::byte{4};
    CHECK_FALSE(wire::decode<outer>(whole).has_value());
    whole = wire::encode(sample());
    whole[1 + 32 + 8] = std::byte{2};
    CHECK_FALSE(wire::decode<outer>(whole).has_value());
    whole = wire::encode(sample());
    whole[1 + 32 + 8 + 1] = std::byte{2};
    CHECK_FALSE(wire::decode<outer>(whole).has_value());
}

TEST_CASE("a forged count costs no memory") {
    const bytes forged(8, std::byte{0xff});
    CHECK_FALSE(wire::decode<std::vector<std::uint64_t>>(forged).has_value());
    CHECK_FALSE(wire::decode<bytes>(forged).has_value());
}

TEST_CASE("random bytes never decode into something that encodes otherwise") {
    seeded_random random(1);
    auto seed = wire::encode(sample());
    for (int i = 0; i < 20000; ++i) {
        auto mutant = seed;
        for (auto n = 1 + random.below(4); n-- > 0;) mutant[random.below(mutant.size())] = static_cast<std::byte>(random.next());
        if (auto decoded = wire::decode<outer>(mutant)) CHECK(wire::encode(*decoded) == mutant);
    }
}
