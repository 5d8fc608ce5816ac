#include <core/config/config.hpp>

#include <catch2/catch.hpp>

using namespace cess;
using namespace std::chrono_literals;

namespace {

struct sample {
    std::string listen = "127.0.0.1:0";
    bool fast = false;
    std::uint64_t threads = 2;
    std::uint64_t memory = 512 * MiB;
    std::chrono::nanoseconds read = 10s;
    std::vector<std::string> peers{"a"};
    config::schema schema;

    sample() {
        schema.text("listen", listen, "where to listen");
        schema.flag("fast", fast, "be fast");
        schema.number("workers.threads", threads, 1, 64, "threads");
        schema.size("memory", memory, 16 * MiB, 1 * TiB, "bytes of everything");
        schema.time("deadlines.read", read, "of a read");
        schema.texts("peers", peers, "who");
    }
    std::string refusal(std::string_view toml) {
        const auto judged = schema.parse(toml, "x.toml");
        return judged ? std::string() : judged.error().what;
    }
};

}  // namespace

TEST_CASE("a file sets what it names and leaves the other defaults") {
    sample s;
    REQUIRE(s.schema.parse("listen = \"[::1]:80\"\nmemory = \"1GiB\"\npeers = [\"x\", \"y\"]\n[deadlines]\nread = \"150ms\"\n", "x.toml"));
    CHECK(s.listen == "[::1]:80");
    CHECK(s.memory == 1 * GiB);
    CHECK(s.read == 150ms);
    CHECK(s.peers == std::vector<std::string>{"x", "y"});
    CHECK(s.threads == 2);
}

TEST_CASE("what is unknown, mistyped or out of range is refused by name and line, and nothing is set") {
    sample s;
    CHECK(s.refusal("\nlisten_on = \"x\"\n") == "x.toml:2: unknown key listen_on");
    CHECK(s.refusal("[deadline]\nread = \"1s\"\n") == "x.toml:1: unknown table [deadline]");
    CHECK(s.refusal("fast = \"yes\"\n") == "x.toml:1: fast: must be true or false");
    CHECK(s.refusal("[workers]\nthreads = 0\n") == "x.toml:2: workers.threads: must be between 1 and 64");
    CHECK(s.refusal("[workers]\nthreads = -1\n") == "x.toml:2: workers.threads: must not be negative");
    CHECK(s.refusal("memory = \"1KiB\"\n") == "x.toml:1: memory: must be between 16MiB and 1TiB");
    CHECK(s.refusal("memory = 1.5\n") == "x.toml:1: memory: must be a size such as \"512MiB\" or a number of bytes");
    CHECK(s.refusal("peers = [1]\n") == "x.toml:1: peers: must be text in quotes");
    CHECK(s.refusal("[deadlines]\nread = 5\n") == "x.toml:2: deadlines.read: must be a duration such as \"150ms\" or \"5s\"");
    CHECK_FALSE(s.refusal("listen = \n").empty());
    CHECK_FALSE(s.refusal("listen = \"a\"\nlisten = \"b\"\n").empty());
    CHECK_FALSE(s.refusal("fast = true\nnope = 1\n").empty());
    CHECK_FALSE(s.fast);
}

TEST_CASE("what is dumped loads to the same configuration") {
    sample s;
    s.listen = "a\"b\\c\n\x7f";
    s.memory = 17 * MiB + 1;
    s.read = 1500ms;
    s.peers = {"é", ""};
    const auto text = s.schema.dump();
    INFO(text);
    CHECK(text.find("# bytes of everything\n") != std::string::npos);
    sample t;
    const auto loaded = t.schema.parse(text, "dump");
    INFO((loaded ? std::string() : loaded.error().what));
    REQUIRE(loaded);
    CHECK(t.listen == s.listen);
    CHECK(t.memory == s.memory);
    CHECK(t.read == s.read);
    CHECK(t.peers == s.peers);
    CHECK(t.schema.dump() == text);
}

TEST_CASE("a missing file and a directory are named") {
    sample s;
    CHECK(s.schema.load("/nonexistent/cess.toml").error() == errc::not_found);
    CHECK_FALSE(s.schema.load("/tmp"));
}

TEST_CASE("durations parse with their unit and refuse rubbish") {
    CHECK(*config::parse_duration("150ms") == 150ms);
    CHECK(*config::parse_duration("2h") == 2h);
    CHECK(*config::parse_duration("0s") == 0s);
    for (const char* wrong : {"", "5", "-1s", "s", "1.5s", "1 s", "99999999999999999999s", "9999999999999h", "1d"}) {
        INFO(wrong);
        CHECK_FALSE(config::parse_duration(wrong).has_value());
    }
    CHECK(config::format_duration(90s) == "90s");
    CHECK(config::format_duration(2h) == "2h");
    CHECK(*config::parse_duration(config::format_duration(1234567891ns)) == 1234567891ns);
}
