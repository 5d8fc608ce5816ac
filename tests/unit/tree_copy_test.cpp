// cess copy beside others who move, make and remove names meanwhile, on whatever filesystem temporary files are in. That it
// copies everything, and no bytes, is tests/integration/fs_copy.sh.
#include "copy/tree_copy.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace files = std::filesystem;
using namespace cess;
using namespace cess::cli;

namespace {

struct place {
    files::path at;

    place() {
        std::string name = (files::temp_directory_path() / "cess-copy-test-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        at = name;
    }
    ~place() { files::remove_all(at); }

    void write(const std::string& name, const std::string& text) const {
        files::create_directories((at / name).parent_path());
        std::ofstream(at / name) << text;
    }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ifstream in(at / name);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    [[nodiscard]] std::set<std::string> names(const std::string& below = {}) const {
        std::set<std::string> out;
        for (const auto& e : files::recursive_directory_iterator(at / below)) out.insert(e.path().lexically_relative(at / below).string());
        return out;
    }
    [[nodiscard]] result<copied> copy(const std::string& from, const std::string& to, std::function<bool(const copied&)> go_on = nullptr) const {
        return copy_tree((at / from).string(), (at / to).string(), go_on ? go_on : [](const copied&) { return true; });
    }
    // A small tree "from" with files, directories, links of both kinds and a directory that refuses its owner.
    void fill() const {
        write("from/a", "a");
        write("from/d/b", "bb");
        write("from/d/e/c", "ccc");
        files::create_hard_link(at / "from/d/b", at / "from/hard");
        files::create_symlink("a", at / "from/soft");
        REQUIRE(::chmod((at / "from/d/e").c_str(), 0555) == 0);
    }
};

}  // namespace

TEST_CASE("a copy is beside its place under another name until it is whole") {
    const place p;
    p.fill();
    std::uint64_t calls = 0;
    const auto done = p.copy("from", "to", [&](const copied& so_far) {
        CHECK(so_far.entries == calls++);
        CHECK(!files::exists(p.at / "to"));
        return true;
    });
    REQUIRE(done.has_value());
    CHECK(done->entries == calls);
    CHECK(p.names("from") == p.names("to"));
    CHECK(p.read("to/d/e/c") == "ccc");
    CHECK(files::equivalent(p.at / "to/hard", p.at / "to/d/b"));
    CHECK(!files::equivalent(p.at / "to/hard", p.at / "from/hard"));
    CHECK(p.names() == [&] {
        std::set<std::string> out{"from", "to"};
        for (const std::string top : {"from", "to"})
            for (const auto& name : p.names(top)) out.insert(top + "/" + name);
        return out;
    }());
}

TEST_CASE("a copy that ends at any entry leaves nothing") {
    const place p;
    p.fill();
    const auto before = p.names();
    const auto entries = p.names("from").size() + 1;
    for (std::size_t stop = 0; stop < entries; ++stop) {
        const auto done = p.copy("from", "to", [&](const copied& so_far) { return so_far.entries < stop; });
        REQUIRE(!done.has_value());
        CHECK(done.error() == errc::canceled);
        CHECK(p.names() == before);
    }
}

TEST_CASE("a name that somebody else takes meanwhile is his") {
    const place p;
    p.fill();
    const auto done = p.copy("from", "to", [&](const copied& so_far) {
        if (so_far.entries == 2) p.write("to", "another's");
        return true;
    });
    REQUIRE(!done.has_value());
    CHECK(done.error() == errc::exists);
    CHECK(p.read("to") == "another's");
    for (const auto& name : p.names()) CHECK(!name.starts_with(".cess-copy"));
}

TEST_CASE("what is removed meanwhile is missing in the copy, and nothing else") {
    const place p;
    for (const std::string name : {"one", "two", "three"}) p.write("from/" + name, name);
    const auto done = p.copy("from", "to", [&](const copied& so_far) {
        if (so_far.entries == 0) files::remove(p.at / "from/two");
        return true;
    });
    REQUIRE(done.has_value());
    CHECK(p.names("to") == std::set<std::string>{"one", "three"});
}

TEST_CASE("a target that is moved into the source meanwhile ends the copy") {
    const place p;
    p.fill();
    files::create_directory(p.at / "box");
    const auto done = p.copy("from", "box/to", [&](const copied& so_far) {
        if (so_far.entries == 0) files::rename(p.at / "box", p.at / "from/box");
        return true;
    });
    REQUIRE(!done.has_value());
    CHECK(done.error().what.find("came to lie within") != std::string::npos);
    CHECK(p.names("from/box").empty());
}

TEST_CASE("a symbolic link that takes a directory's place meanwhile is copied as a link") {
    const place p;
    p.write("from/d/inside", "inside");
    p.write("secret/outside", "outside");
    const auto done = p.copy("from", "to", [&](const copied& so_far) {
        if (so_far.entries > 0) return true;
        files::rename(p.at / "from/d", p.at / "away");
        files::create_symlink("../secret", p.at / "from/d");
        return true;
    });
    REQUIRE(done.has_value());
    CHECK(files::read_symlink(p.at / "to/d") == "../secret");
    CHECK(p.names("to") == std::set<std::string>{"d"});
}

TEST_CASE("a directory that is moved away while it is copied is copied") {
    const place p;
    p.write("from/d/x", "x");
    p.write("from/d/y", "y");
    const auto done = p.copy("from", "to", [&](const copied& so_far) {
        if (so_far.entries == 2) files::rename(p.at / "from/d", p.at / "away");
        return true;
    });
    REQUIRE(done.has_value());
    CHECK(p.names("to") == std::set<std::string>{"d", "d/x", "d/y"});
}

TEST_CASE("a tree that is too deep is refused, and leaves nothing") {
    const place p;
    files::create_directory(p.at / "from");
    int at = ::open((p.at / "from").c_str(), O_PATH);
    for (int level = 0; level < 1100; ++level) {
        REQUIRE(::mkdirat(at, "d", 0755) == 0);
        const int below = ::openat(at, "d", O_PATH);
        REQUIRE(below >= 0);
        ::close(at);
        at = below;
    }
    ::close(at);
    const auto done = p.copy("from", "to");
    REQUIRE(!done.has_value());
    CHECK(done.error() == errc::too_large);
    CHECK(done.error().what.starts_with("nothing is copied"));
    CHECK(files::directory_iterator(p.at) != files::directory_iterator());
    CHECK(std::distance(files::directory_iterator(p.at), files::directory_iterator()) == 1);
}

TEST_CASE("a copy's place is as cp has it, but for what is there") {
    const place p;
    p.fill();
    files::create_directory(p.at / "box");
    files::create_directory_symlink("box", p.at / "link");
    CHECK(p.copy("from", "box").has_value());
    CHECK(p.names("box/from") == p.names("from"));
    CHECK(p.copy("from/", "box/other/").has_value());
    CHECK(p.names("box/other") == p.names("from"));
    CHECK(p.copy("from/a", "link").has_value());
    CHECK(p.read("box/a") == "a");
    CHECK(p.copy("from", "box").error() == errc::exists);
    CHECK(p.copy("from", "link").error() == errc::exists);
    CHECK(p.copy("from/a", "box/a").error() == errc::exists);
    CHECK(p.copy("from/.", "box").error() == errc::invalid);
    CHECK(p.copy("from", "from/d").error() == errc::invalid);
    CHECK(p.copy("from", "none/to").error() == errc::not_found);
    CHECK(p.copy("none", "to").error() == errc::not_found);
}

TEST_CASE("what a directory's setgid bit gives is not taken over") {
    if (::geteuid() != 0) return;
    const place p;
    p.fill();
    files::create_directory(p.at / "box");
    REQUIRE(::chown((p.at / "box").c_str(), 0, 4321) == 0);
    REQUIRE(::chmod((p.at / "box").c_str(), 02777) == 0);
    REQUIRE(p.copy("from", "box/to").has_value());
    for (const std::string name : {"", "/a", "/d", "/d/e"}) {
        struct stat was {}, is {};
        REQUIRE(::stat((p.at / ("from" + name)).c_str(), &was) == 0);
        REQUIRE(::stat((p.at / ("box/to" + name)).c_str(), &is) == 0);
        CHECK(is.st_gid == was.st_gid);
        CHECK(is.st_mode == was.st_mode);
        CHECK(is.st_mtim.tv_nsec == was.st_mtim.tv_nsec);
    }
}
