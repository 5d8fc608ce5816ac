// The bucket over a volume in memory: what readers see, what crashes leave, what is reclaimed.
#include "bucket.hpp"
#include "committer.hpp"

#include <support/memory_volume.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <set>

using namespace cess;
using namespace cess::s3;

namespace {

struct world {
    explicit world(bool history = true) : volume(history) {}
    testing::memory_volume volume;
    system_random random;
    std::unique_ptr<bucket> objects = open();

    std::unique_ptr<bucket> open() {
        auto opened = bucket::open(volume, &volume, random);
        REQUIRE(opened.has_value());
        return std::move(*opened);
    }
    void reopen() {
        objects.reset();
        objects = open();
    }
    void tidy() {
        for (;;) {
            const auto more = objects->reclaim();
            REQUIRE(more.has_value());
            if (!*more) return;
        }
    }
};

bytes filled(std::size_t size, char with) { return bytes(size, static_cast<std::byte>(with)); }

object_record meta(std::string etag = "e") {
    object_record out;
    out.etag = std::move(etag);
    return out;
}

void put(bucket& in, const std::string& key, const bytes& data) {
    blob_writer body(in);
    REQUIRE(in.put(key, body, data, meta(), header_list()).has_value());
}

std::string read_all(bucket& in, const object_reader& from) {
    bytes out(from.record.size);
    REQUIRE(in.read(from, 0, out).has_value());
    return to_string(byte_view(out));
}

std::string get(bucket& in, const std::string& key) {
    auto found = in.find(key);
    return found ? read_all(in, *found) : std::string("(none)");
}

part_record part_meta(const bytes& data) {
    part_record out;
    out.etag = to_hex(md5(data));
    return out;
}

completed_part upload(bucket& in, const std::string& key, const std::string& id, std::uint32_t number, const bytes& data) {
    blob_writer body(in);
    REQUIRE(in.put_part(key, id, number, body, data, part_meta(data)).has_value());
    return {number, part_meta(data).etag, {}};
}

std::string begin(bucket& in, const std::string& key) {
    auto made = in.create_upload(key, {});
    REQUIRE(made.has_value());
    return made->first;
}

}  // namespace

TEST_CASE("bucket: a reader keeps the bytes it began with while the object is replaced and deleted") {
    world w;
    put(*w.objects, "k", filled(1000, 'a'));
    auto reader = w.objects->find("k");
    REQUIRE(reader.has_value());
    put(*w.objects, "k", filled(500, 'b'));
    CHECK(read_all(*w.objects, *reader) == std::string(1000, 'a'));
    CHECK(get(*w.objects, "k") == std::string(500, 'b'));
    REQUIRE(w.objects->remove("k").has_value());
    w.tidy();
    CHECK(read_all(*w.objects, *reader) == std::string(1000, 'a'));
    CHECK(get(*w.objects, "k") == "(none)");
    reader->pin.reset();
    w.tidy();
    CHECK(w.volume.blob_count() == 0);
}

TEST_CASE("bucket: what is half written is never seen, and reclaimed by its end or the next open") {
    world w;
    {
        blob_writer body(*w.objects);
        REQUIRE(body.write(filled(1000, 'x')).has_value());
    }
    CHECK(w.objects->has_garbage());
    w.tidy();
    CHECK(w.volume.blob_count() == 0);
    auto dying = std::make_unique<blob_writer>(*w.objects);
    REQUIRE(dying->write(filled(1000, 'x')).has_value());
    dying.reset();  // the committer never runs: the process dies here
    w.reopen();
    put(*w.objects, "k", filled(10, 'y'));
    w.tidy();
    CHECK(get(*w.objects, "k") == std::string(10, 'y'));
    CHECK(w.volume.blob_count() == 1);
}

TEST_CASE("bucket: conditions are judged with the write") {
    world w;
    header_list absent, match;
    absent.add("if-none-match", "*");
    match.add("if-match", "\"other\"");
    blob_writer first(*w.objects), second(*w.objects), third(*w.objects);
    CHECK(w.objects->put("k", first, filled(1, 'a'), meta(), absent).has_value());
    CHECK(w.objects->put("k", second, filled(1, 'b'), meta(), absent).error().which == code::precondition_failed);
    CHECK(w.objects->put("k", third, filled(1, 'c'), meta(), match).error().which == code::precondition_failed);
    CHECK(get(*w.objects, "k") == "a");
}

TEST_CASE("bucket: a delete that names a tag deletes that version or nothing") {
    world w;
    put(*w.objects, "k", filled(1, 'a'));
    CHECK(w.objects->remove("k", "\"other\"").error().which == code::precondition_failed);
    CHECK(get(*w.objects, "k") == "a");
    CHECK(w.objects->remove("none", "*").error().which == code::no_such_key);
    CHECK(w.objects->remove("none").has_value());
    CHECK(w.objects->remove("k", "\"e\"").has_value());
    CHECK(get(*w.objects, "k") == "(none)");
}

TEST_CASE("bucket: copies share bytes and live on their own") {
    world w;
    put(*w.objects, "a", filled(5000, 'a'));
    {
        auto source = w.objects->find("a");
        REQUIRE(w.objects->copy(*source, "b", meta(), header_list()).has_value());
        REQUIRE(w.objects->copy(*source, "a", meta("new"), header_list()).has_value());  // onto itself
    }
    w.tidy();
    REQUIRE(w.objects->remove("a").has_value());
    w.tidy();
    CHECK(get(*w.objects, "b") == std::string(5000, 'a'));
    CHECK(w.volume.blob_count() == 1);
}

TEST_CASE("bucket: parts become an object, once, and their tags and order are checked") {
    world w;
    const auto id = begin(*w.objects, "k");
    const auto big = filled(part_size_min, 'p');
    const auto one = upload(*w.objects, "k", id, 1, big), two = upload(*w.objects, "k", id, 2, filled(7, 'q'));
    upload(*w.objects, "k", id, 9, filled(3, 'z'));  // uploaded, not wanted
    CHECK(w.objects->complete_upload("k", id, {two, one}, {}).error().which == code::invalid_part_order);
    CHECK(w.objects->complete_upload("k", id, {one, {3, "x", {}}}, {}).error().which == code::invalid_part);
    CHECK(w.objects->complete_upload("k", id, {one, {2, "x", {}}}, {}).error().which == code::invalid_part);
    CHECK(w.objects->complete_upload("other", id, {one, two}, {}).error().which == code::no_such_upload);
    const auto small = begin(*w.objects, "s");
    const auto s1 = upload(*w.objects, "s", small, 1, filled(7, 'q')), s2 = upload(*w.objects, "s", small, 2, filled(7, 'q'));
    CHECK(w.objects->complete_upload("s", small, {s1, s2}, {}).error().which == code::entity_too_small);
    const auto done = w.objects->complete_upload("k", id, {one, two}, {});
    REQUIRE(done.has_value());
    CHECK(done->record.etag.ends_with("-2"));
    CHECK(get(*w.objects, "k") == std::string(part_size_min, 'p') + std::string(7, 'q'));
    CHECK(w.objects->complete_upload("k", id, {one, two}, {})->record.etag == done->record.etag);  // the answer was lost
    REQUIRE(w.objects->abort_upload("s", small).has_value());
    w.tidy();
    CHECK(w.volume.blob_count() == 1);
    CHECK(get(*w.objects, "k").size() == part_size_min + 7);
}

TEST_CASE("bucket: an upload of many parts survives a restart, and one that ended is dismantled after it") {
    world w(false);
    const auto id = begin(*w.objects, "k");
    const auto big = filled(part_size_min, 'p');
    std::vector<completed_part> parts;
    parts.push_back(upload(*w.objects, "k", id, 1, big));
    {
        put(*w.objects, "source", big);
        auto source = w.objects->find("source");
        for (std::uint32_t n = 2; n <= 40; ++n) {
            auto part = part_meta(big);
            REQUIRE(w.objects->copy_part("k", id, n, *source, {0, big.size()}, part).has_value());
            parts.push_back({n, part.etag, {}});
        }
    }
    REQUIRE(w.volume.sync().has_value());
    w.reopen();
    CHECK(w.objects->list_parts("k", id, 38, 10)->size() == 2);
    SECTION("aborted") {
        REQUIRE(w.objects->abort_upload("k", id).has_value());
        w.reopen();
        CHECK(w.objects->has_garbage());
        w.tidy();
        CHECK(w.volume.blob_count() == 1);
        CHECK(w.objects->find_upload("k", id).has_error());
    }
    SECTION("aborted while a condition fails") {
        header_list absent;
        absent.add("if-none-match", "*");
        put(*w.objects, "k", filled(1, 'o'));
        CHECK(w.objects->complete_upload("k", id, parts, absent).error().which == code::precondition_failed);
        CHECK(get(*w.objects, "k") == "o");
        w.tidy();
        CHECK(w.volume.blob_count() == 42);  // source, k, and every part still there to complete with
    }
}

TEST_CASE("bucket: after a crash at any change, objects are whole, old or new, and nothing leaks") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        seeded_random random(seed);
        world w;
        std::map<std::string, std::set<std::string>> possible;  // what each key may hold after a crash
        std::map<std::string, std::string> now;
        for (int step = 0; step < 40; ++step) {
            const auto key = "k" + std::to_string(random.below(4));
            auto& may = possible[key];
            if (may.empty()) may.insert("(none)");
            const auto what = random.below(5);
            if (what == 0) {
                REQUIRE(w.objects->remove(key).has_value());
                now[key] = "(none)";
            } else if (what < 4) {
                const bytes data = filled(1 + random.below(3000), static_cast<char>('a' + random.below(26)));
                blob_writer body(*w.objects);
                const auto first = random.below(data.size() + 1);
                REQUIRE(body.write(byte_view(data).first(first)).has_value());
                if (random.below(5) == 0) continue;  // the client went away
                REQUIRE(w.objects->put(key, body, byte_view(data).subspan(first), meta(), {}).has_value());
                now[key] = to_string(byte_view(data));
            } else {
                REQUIRE(w.volume.sync().has_value());
                for (const auto& [name, value] : now) possible[name] = {value};
                continue;
            }
            may.insert(now[key]);
            if (random.below(3) == 0) REQUIRE(w.objects->reclaim().has_value());
        }
        w.objects.reset();
        w.volume.crash(random);
        w.objects = w.open();
        w.tidy();
        std::size_t alive = 0;
        for (const auto& [key, may] : possible) {
            const auto found = get(*w.objects, key);
            CHECK(may.count(found) == 1);
            alive += found != "(none)";
        }
        CHECK(w.volume.blob_count() == alive);
    }
}
