#include "inode.hpp"
#include "open_files.hpp"
#include "support/memory_volume.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace cess;
using namespace cess::fs;

namespace {

filesystem& any_filesystem() {
    static testing::memory_volume volume;
    static const auto files = filesystem::open(volume, &volume, {});
    return **files;
}

std::unique_ptr<mounted_file> file_of(std::uint64_t ino) {
    auto file = std::make_unique<open_file>();
    file->node = std::make_shared<inode>(inode_number{ino});
    return std::make_unique<mounted_file>(inode_number{ino}, any_filesystem(), nullptr, std::move(file));
}

std::uint64_t add(open_file_table& to, std::uint64_t ino) {
    auto file = file_of(ino);
    const auto handle = to.add(file);
    REQUIRE(handle.has_value());
    return *handle;
}

std::uint64_t ino_of(const open_file_table& in, std::uint64_t handle) {
    const auto* file = in.find(handle);
    return file ? file->ino.value : 0;
}

}  // namespace

TEST_CASE("a handle names its file until it is taken, and another one afterwards") {
    open_file_table files;
    const auto a = add(files, 10), b = add(files, 11);
    CHECK(a != 0);
    CHECK(a != b);
    CHECK(ino_of(files, a) == 10);
    CHECK(ino_of(files, b) == 11);
    REQUIRE(files.take(a));
    CHECK(files.find(a) == nullptr);
    CHECK_FALSE(files.take(a));
    CHECK(add(files, 12) == a);
    CHECK(ino_of(files, a) == 12);
}

TEST_CASE("what is no handle finds nothing") {
    open_file_table files;
    const auto pointer = file_of(1);
    add(files, 10);
    for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{5000}, open_file_table::handle_max,
                                      open_file_table::handle_max + 1, ~std::uint64_t{0}, reinterpret_cast<std::uint64_t>(pointer.get())}) {
        INFO(wrong);
        CHECK(files.find(wrong) == nullptr);
        CHECK_FALSE(files.take(wrong));
    }
}

TEST_CASE("a table that is restored knows the same handles, and gives none of them out again") {
    open_file_table before, after;
    std::set<std::uint64_t> open;
    for (std::uint64_t i = 1; i <= 3000; ++i) open.insert(add(before, i));
    for (const std::uint64_t released : {1, 17, 1024, 1025, 2999}) {
        REQUIRE(before.take(released));
        open.erase(released);
    }
    before.find(3)->file->reads = before.find(3)->file->keeps_access_time = true;
    const auto list = before.list();
    REQUIRE(list.size() == open.size());
    for (const auto& each : list) {
        auto file = file_of(each.ino.value);
        file->file->reads = each.reads;
        file->file->keeps_access_time = each.keeps_access_time;
        REQUIRE(after.restore(each.handle, std::move(file)).has_value());
    }
    CHECK(after.list() == list);
    for (int i = 0; i < 100; ++i) CHECK(open.insert(add(after, 5000)).second);
    for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{2}, open_file_table::handle_max + 1})
        CHECK_FALSE(after.restore(wrong, file_of(1)).has_value());
    CHECK(after.restore(2999 + 1000, file_of(1)).has_value());
    CHECK(open.insert(add(after, 1)).second);
}

TEST_CASE("files are opened, found and released by many threads at once") {
    open_file_table files;
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (std::uint64_t i = 0; i < 2000; ++i) {
                auto file = file_of(t * 10000 + i + 1);
                const auto handle = files.add(file);
                if (!handle || ino_of(files, *handle) != t * 10000 + i + 1) ++wrong;
                if (i % 3 != 0 && handle && !files.take(*handle)) ++wrong;
            }
        });
    for (auto& each : threads) each.join();
    CHECK(wrong == 0);
    CHECK(files.list().size() == 4 * 667);
}
