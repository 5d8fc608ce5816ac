// The ledger against a model that keeps everything and frees nothing: whatever random owners do, no segment that a head
// or a view needs is ever freed, what nothing needs is freed in the end, and the sums match.
#include <support/ledger_bench.hpp>

#include <catch2/catch.hpp>

#include <set>

using namespace cess;
using namespace cess::ledger;
using cess::test::ledger_bench;

namespace {

struct model_segment {
    std::uint64_t birth = 0, death = 0;
    bool data = false;         // not a manifest: may be moved
    bool moved = false;        // its record is gone
    std::uint64_t to = 0;      // where it was moved; 0 = to nothing
    std::set<std::uint64_t> origins;  // that lead to it
};
struct model_volume {
    volume_id id;
    std::string name;
    std::uint64_t term = 1;
    std::uint64_t head = 0;
    std::uint64_t head_manifest = 0;
    std::uint64_t next = 1;
    std::map<std::uint64_t, model_segment> segments;                  // ever added
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> views;  // sequence, manifest
    std::uint64_t withdrawn = 0;  // the latest sequence past the head at which a view went, or got another name
    bool deleted = false;
};

class play {
public:
    explicit play(std::uint64_t seed) : on(5, 4096 * GiB), random(seed) {}

    void step() {
        if (volumes.empty() || (volumes.size() < 3 && random.below(20) == 0)) return create();
        auto& v = volumes[random.below(volumes.size())];
        if (v.deleted) return reap_some(v);
        switch (random.below(11)) {
            case 0: return snapshot(v);
            case 1: return drop_view(v);
            case 10: return rename(v);
            case 2: return reap_some(v);
            case 3: return takeover(v);
            case 4: if (random.below(10) == 0) return remove(v); [[fallthrough]];
            default: return checkpoint(v);
        }
    }

    void check() {
        std::uint64_t committed = 0, reserved = 0;
        std::map<node_id, std::uint64_t> held;
        std::set<volume_id> alive;
        for (const auto& [key, value] : on.state.all()) {
            if (key[0] == std::byte{'s'}) {
                const auto s = *wire::decode<segment_record>(value);
                for (const auto& holder : s.holders) held[holder] += fragment_length(s), committed += fragment_length(s);
            } else if (key[0] == std::byte{'v'}) {
                const auto v = *wire::decode<volume_record>(value);
                reserved += v.reserved;
            }
        }
        CHECK(on.totals().committed == committed);
        CHECK(on.totals().reserved == reserved);
        for (const auto& miner : on.miners) CHECK(on.find<node_record>(key::node(miner))->committed == held[miner]);
        for (const auto& v : volumes) check_needed(v);
    }

    // With all views gone and everything reaped, only what the heads need is left.
    void check_end() {
        for (auto& v : volumes) {
            if (!v.deleted)
                while (!v.views.empty()) drop_view(v);
            while (reap_step(v, 7) != 0) {}
            for (const auto& [number, s] : v.segments) {
                if (s.moved) {
                    const auto at = on.find<forward_record>(key::forward(v.id, {number}));
                    CHECK(at.has_value() == (s.to != 0 && has(v, s.to)));
                    continue;
                }
                const bool needed = !v.deleted && (s.death == 0 || s.death > v.head);
                INFO(v.name << " segment " << number << " birth " << s.birth << " death " << s.death << " head " << v.head);
                CHECK(has(v, number) == needed);
            }
        }
        for (const auto& [key, value] : on.state.all()) CHECK((key[0] != std::byte{'z'} && key[0] != std::byte{'d'} && key[0] != std::byte{'q'}));
        check();
    }

private:
    bool has(const model_volume& v, std::uint64_t number) { return on.state.get(key::segment(v.id, {number})).has_value(); }

    void check_needed(const model_volume& v) {
        if (v.deleted) return;
        std::uint64_t used = 0;
        for (const auto& [number, s] : v.segments) {
            bool needed = s.death == 0 || (s.birth <= v.head && v.head < s.death);
            for (const auto& [name, view] : v.views) needed = needed || (s.birth <= view.first && view.first < s.death) || view.second == number;
            INFO(v.name << " segment " << number << " birth " << s.birth << " death " << s.death << " head " << v.head);
            if (s.moved) {
                CHECK_FALSE(has(v, number));
                const auto at = on.find<forward_record>(key::forward(v.id, {number}));
                if (at) CHECK(at->to.value == s.to);
                if (needed && s.to != 0) CHECK((at && has(v, s.to)));
                continue;
            }
            if (needed) CHECK(has(v, number));
            if (s.death == 0) used += MiB;
        }
        CHECK(on.volume(v.id).used == used);
    }

    segment_record record(const model_volume& v, std::uint64_t number, const model_segment& s) const {
        return on.segment(v.id, number & ((std::uint64_t{1} << 40) - 1), s.birth, s.death, number >> 40);
    }
    std::uint64_t add(model_volume& v, std::vector<segment_record>& to, model_segment s) {
        const auto number = v.term << 40 | v.next++;
        v.segments[number] = s;
        to.push_back(record(v, number, s));
        return number;
    }

    void create() {
        model_volume v;
        v.name = "v" + std::to_string(volumes.size());
        v.id = on.opened(v.name);
        volumes.push_back(v);
    }

    void checkpoint(model_volume& v) {
        auto after = v;
        const auto sequence = v.head + random.below(6);
        commit_root what;
        what.volume = v.id;
        what.term = {v.term};
        what.head.sequence = {sequence};
        what.head.term = {v.term};
        for (auto n = random.below(4); n > 0; --n) {
            const auto birth = v.head + random.below(sequence - v.head + 3);
            add(after, what.added, {birth, random.below(4) == 0 ? std::max<std::uint64_t>(1, birth + random.below(4)) : 0, true});
        }
        const auto manifest = add(after, what.added, {sequence, 0});
        what.head.manifest = record(after, manifest, {sequence, 0});
        for (auto& [number, s] : after.segments) {
            if (s.death != 0 || s.moved || number == manifest || (number != v.head_manifest && random.below(4) != 0)) continue;
            if (s.birth > sequence || sequence == 0) continue;
            s.death = std::max<std::uint64_t>(1, s.birth + random.below(sequence - s.birth + 1));
            if (number == v.head_manifest) s.death = std::max<std::uint64_t>(1, sequence);
            for (const auto origin : s.origins) s.death = std::max(s.death, after.segments[origin].death);  // it holds them
            what.dead.push_back({{number}, {s.death}});
            for (const auto origin : s.origins)
                if (auto& o = after.segments[origin]; o.death == 0) o.death = s.death;
        }
        after.head = sequence;
        after.head_manifest = manifest;
        if (random.below(3) == 0) clean(v, after, what);
        const auto got = on.run(what);
        REQUIRE(got.what == "");
        v = after;
        if (v.withdrawn <= v.head) v.withdrawn = 0;
        CHECK(withdrawn_in_ledger(v) == v.withdrawn);
    }

    // Some segments, and those that lead to them, go into a new one, or to nothing, before others die.
    void clean(const model_volume& before, model_volume& after, commit_root& what) {
        std::vector<std::uint64_t> from;
        for (const auto& [number, s] : before.segments)
            if (s.data && !s.moved && has(before, number) && random.below(3) == 0) from.push_back(number);
        if (from.empty()) return;
        model_segment made{~std::uint64_t{0}, 0, true};
        bool alive = false;
        for (const auto number : from) {
            const auto& s = before.segments.at(number);
            made.birth = std::min(made.birth, s.birth);
            made.death = std::max(made.death, s.death);
            alive = alive || s.death == 0;
        }
        if (alive) made.death = 0;
        const auto to = add(after, what.added, {made.birth, 0, true});
        after.segments[to].death = made.death;
        const auto lead = [&](std::uint64_t number, std::uint64_t where) {
            auto& s = after.segments[number];
            s.moved = true;
            s.to = where;
            if (where != 0) after.segments[where].origins.insert(number);
            what.moved.push_back({{number}, {where}});
        };
        for (const auto number : from) {
            for (const auto origin : before.segments.at(number).origins) lead(origin, random.below(4) == 0 ? 0 : to);
            const auto death = before.segments.at(number).death;
            lead(number, death != 0 && death <= after.head && random.below(4) == 0 ? 0 : to);
        }
        std::erase_if(what.dead, [&](const segment_death& d) { return after.segments[d.number.value].moved && random.below(2) == 0; });
        if (made.death != 0) what.dead.push_back({{to}, {made.death}});
    }

    void snapshot(model_volume& v) {
        auto after = v;
        create_view what;
        what.volume = v.id;
        what.term = {v.term};
        what.name = "s" + std::to_string(v.next);
        const auto sequence = v.head + random.below(8) - std::min<std::uint64_t>(v.head, random.below(3));
        what.at.sequence = {sequence};
        what.at.term = {v.term};
        const auto manifest = add(after, what.added, {sequence, sequence + 1});
        what.at.manifest = what.added[0];
        const bool late = sequence < on.volume(v.id).freed_upto.value;
        const auto got = on.run(what);
        const bool again = sequence > v.head && sequence <= v.withdrawn;
        CHECK((got.code == errc::conflict) == (late || again));
        if (got.code != errc::ok) return;
        after.views[what.name] = {sequence, manifest};
        v = after;
    }

    void drop_view(model_volume& v) {
        if (v.views.empty()) return;
        const auto at = std::next(v.views.begin(), static_cast<std::ptrdiff_t>(random.below(v.views.size())));
        REQUIRE(on.run(delete_view{v.id, at->first}).code == errc::ok);
        withdraw(v, at->second.first);
        v.views.erase(at);
    }

    void rename(model_volume& v) {
        if (v.views.empty()) return;
        const auto at = std::next(v.views.begin(), static_cast<std::ptrdiff_t>(random.below(v.views.size())));
        const auto to = random.below(3) == 0 ? v.views.begin()->first : "r" + std::to_string(v.next++);
        const auto got = on.run(rename_view{v.id, {v.term}, at->first, to});
        if (to == at->first) {
            CHECK(got.code == errc::ok);
            return;
        }
        CHECK((got.code == errc::exists) == v.views.contains(to));
        if (got.code != errc::ok) return;
        withdraw(v, at->second.first);
        v.views[to] = at->second;
        v.views.erase(at);
        CHECK(on.find<view_record>(key::view(v.id, to)).value().at.sequence.value == v.views[to].first);
    }

    void withdraw(model_volume& v, std::uint64_t sequence) {
        if (sequence > v.head) v.withdrawn = std::max(v.withdrawn, sequence);
        CHECK(withdrawn_in_ledger(v) == v.withdrawn);
    }
    std::uint64_t withdrawn_in_ledger(const model_volume& v) { return on.find<sequence_number>(key::withdrawn(v.id)).value_or(sequence_number{}).value; }

    std::uint64_t reap_step(const model_volume& v, std::uint32_t limit) {
        const auto got = on.run(reap{v.id, limit});
        REQUIRE(got.code == errc::ok);
        return *wire::decode<std::uint64_t>(got.value);
    }
    void reap_some(const model_volume& v) { reap_step(v, static_cast<std::uint32_t>(1 + random.below(5))); }

    void takeover(model_volume& v) {
        const auto got = on.run(on.taking(v.id, v.term, random.below(GiB)));
        if (got.code == errc::exhausted) {
            REQUIRE(on.run(seal_leases{v.id, {v.term}}).code == errc::ok);
            return;
        }
        REQUIRE(got.code == errc::ok);
        ++v.term;
    }

    void remove(model_volume& v) {
        const auto got = on.run(delete_volume{v.id});
        CHECK((got.code == errc::not_empty) == !v.views.empty());
        v.deleted = got.code == errc::ok;
    }

    ledger_bench on;
    seeded_random random;
    std::vector<model_volume> volumes;
};

}  // namespace

TEST_CASE("nothing that a head or a view needs is freed, and everything else is in the end") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        play game(seed);
        for (int i = 0; i < 150; ++i) {
            game.step();
            if (i % 10 == 0) game.check();
        }
        game.check_end();
    }
}
