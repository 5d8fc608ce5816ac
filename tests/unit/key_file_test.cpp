#include <core/keys/key_file.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace cess;

namespace {

struct scratch {
    std::string path;
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "cess-key-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    ~scratch() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("a key is made once, kept private, and read again") {
    scratch dir;
    auto& disk = os::posix_file_system();
    system_random random;
    const auto path = dir.path + "/node.key";
    const auto made = keys::read_or_make(disk, path, keys::node_kind, random);
    REQUIRE(made.has_value());
    CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms(077)) == std::filesystem::perms::none);
    CHECK(keys::read_or_make(disk, path, keys::node_kind, random)->pub() == made->pub());
    CHECK(keys::read(disk, path, keys::account_kind).error() == errc::invalid);
}

TEST_CASE("a key that others can read is refused") {
    scratch dir;
    const auto path = dir.path + "/account.key";
    system_random random;
    REQUIRE(keys::write(os::posix_file_system(), path, keys::account_kind, crypto::secret_key::generate(random)));
    std::filesystem::permissions(path, std::filesystem::perms::group_read, std::filesystem::perm_options::add);
    CHECK(keys::read(os::posix_file_system(), path, keys::account_kind).error() == errc::permission);
}

TEST_CASE("rubbish is no key, and is not repeated in the refusal") {
    for (const std::string text : {"", "cess-node-v1", "cess-node-v1 zz", "cess-node-v1  00", "secretsecret"}) {
        INFO(text);
        const auto parsed = keys::parse_line(text, keys::node_kind);
        REQUIRE(parsed.has_error());
        CHECK(parsed.error().what.find("secretsecret") == std::string::npos);
    }
    const crypto::secret_key seed(bytes(32, std::byte{7}));
    CHECK(*keys::parse_line(keys::to_line(keys::node_kind, seed), keys::node_kind) == seed);
}
