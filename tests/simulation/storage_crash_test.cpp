// The miner over a disk that drops and tears what was not synced. After every crash: what was acknowledged is there,
// what was not is whole or absent, fences hold, accounts are right, the store is the same store.
//
// And the test of the test: a lie in place of any one sync must turn the same oracle red.
#include <support/faulty_disk.hpp>
#include <support/storage_world.hpp>

#include <core/base/log.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <iostream>

using namespace cess;
using namespace cess::storage;
using namespace cess::test;

namespace {

std::uint64_t seeds(std::uint64_t usual) {
    const auto* const more = std::getenv("CESS_SEEDS");
    return more ? std::strtoull(more, nullptr, 10) : usual;
}

const bool quiet = [] {
    (void)log::configure({log::level::off, {}});
    return true;
}();

// A miner with one volume, driven step by step, and what it owes.
struct promise {
    explicit promise(std::uint64_t seed) : book(seed), random(seed), bed(disk, book, seed), volume(book, random, bed.how.self) {
        bed.how.limits.journal_file_size = 64 * KiB;
        bed.with_ledger = true;
    }
    // ---- steps; each is noted as owed only if it was acknowledged
    bool open() {
        if (!bed.open()) return false;
        if (incarnation.is_zero()) incarnation = bed.miner->status().incarnation;
        return true;
    }
    void own() {  // the next term, shown to the miner
        volume.take(incarnation);
        writer = {volume.journal(), {}, {}};
        appended = 0;
        if (bed.present(volume)) fence = volume.term();
    }
    void put(bool chunked) {
        const auto s = make_segment(random, 1 + random.below(300 * KiB), {1, 1});
        tried.push_back(s);
        put_in[s.id()] = volume.term();
        const put_request what{volume.record.id, volume.term(), s.identity, 0};
        if (!chunked) {
            if (bed.ask<empty_reply>(owner(), method::put, what, s.fragments[0])) stored.push_back(s);
            return;
        }
        const auto handle = bed.ask<put_handle>(owner(), method::put_begin, plan_of(what));
        if (!handle) return;
        const auto& data = s.fragments[0];
        for (std::uint64_t at = 0; at < data.size(); at += leaf_size) {
            const auto part = byte_view(data).subspan(static_cast<std::size_t>(at), std::min<std::size_t>(leaf_size, data.size() - static_cast<std::size_t>(at)));
            (void)bed.ask<empty_reply>(owner(), method::put_chunk, chunk_request{handle->first.handle, at}, to_bytes(part));
        }
        if (bed.ask<empty_reply>(owner(), method::put_commit, put_end{handle->first.handle, s.identity})) stored.push_back(s);
    }
    void append(std::size_t size_max = 20 * KiB) {
        const auto first = appended;  // what was not acknowledged goes again
        const auto entries = 1 + random.below(3);
        for (std::uint64_t i = 0; i < entries; ++i) {
            bytes payload(random.below(size_max));
            random.fill(payload);
            writer.add(std::move(payload));
        }
        const auto durable = bed.append(volume, writer, first, writer.payloads.size() - 1);
        if (durable) appended = std::max(appended, durable->value);
    }
    void trim() { trim_to(appended == 0 ? 0 : random.below(appended + 1)); }
    void trim_to(std::uint64_t base) {
        volume.commit_root({base});
        // A final root of this term lists what it needs of older ones: the rest is owed no more.
        std::erase_if(stored, [&](const sample_segment& st) { return put_in[st.id()] < volume.term() && !listed.contains(st.id()); });
        if (bed.ask<empty_reply>({}, method::journal_trim, trim_request{volume.proof()})) trimmed = std::max(trimmed, base);
        needed = std::max(needed, base);
    }
    void settle() {
        if (stored.empty()) return;
        const auto& s = stored[static_cast<std::size_t>(random.below(stored.size()))];
        ledger::segment_record record;
        record.lineage = volume.record.id;
        record.number = {listed.size() + 1};
        record.id = s.id();
        record.holders = {bed.how.self};
        const auto key = ledger::key::segment(record.lineage, record.number);
        book.write(key, record);
        book.write(ledger::key::segment_by_id(record.lineage, record.id), ledger::segment_ref{record.lineage, record.number});
        listed.insert(s.id());
        (void)bed.ask<empty_reply>({}, method::settle, settle_request{{book.prove(key)}});
    }
    void free() {
        if (stored.empty()) return;
        const auto at = stored.begin() + static_cast<std::ptrdiff_t>(random.below(stored.size()));
        book.free(volume.record.id, at->id(), bed.how.self);
        stored.erase(at);
        (void)bed.world.run(bed.miner->sweep());
    }
    void step() {
        switch (random.below(10)) {
        case 0: return own();
        case 1: return put(true);
        case 2:
        case 3: return put(false);
        case 4: return trim();
        case 5: return settle();
        case 6: return free();
        default: return append();
        }
    }
    [[nodiscard]] node_id owner() const { return volume.owner(volume.term()); }

    // ---- the oracle: what is broken, or nothing. REQUIRES: the miner was killed
    std::string broken() {
        disk.no_faults();
        disk.watch();
        if (auto opened = bed.open(); !opened) return "the store does not open: " + opened.error().message();
        if (bed.miner->status().incarnation != incarnation) return "the incarnation changed";
        if (auto why = broken_fragments(); !why.empty()) return why;
        if (auto why = broken_journal(); !why.empty()) return why;
        return broken_accounts();
    }
    std::string broken_fragments() {
        for (const auto& s : stored)
            if (const auto got = read(s); !got || !equal(*got, s.fragments[0])) return "an acknowledged fragment is gone: " + (got ? std::string("other bytes") : got.error().message());
        for (const auto& s : tried)
            if (const auto got = read(s); got ? !equal(*got, s.fragments[0]) : got.error() != errc::not_found) return "a half fragment: " + (got ? std::string("other bytes") : got.error().message());
        return {};
    }
    result<bytes> read(const sample_segment& s) {
        get_request what;
        what.fragment = {s.id(), 0};
        what.length = static_cast<std::uint32_t>(s.fragments[0].size());
        TRY(auto got, bed.ask<get_reply>({}, method::get, what));
        return std::move(got.second);
    }
    std::string broken_journal() {
        if (fence.value == 0) return {};
        // An owner of an older term, who must be refused without anybody showing the newer lease again.
        for (term_number old{1}; old < fence; old = old.next()) {
            journal_writer deposed{{volume.record.id, old}, {}, {}};
            deposed.add(bytes(5, std::byte{1}));
            const auto refused = bed.append(volume, deposed, 0, 0);
            if (refused || refused.error() != errc::fenced) return "the fence is forgotten: " + (refused ? std::string("appended") : refused.error().message());
        }
        const journal_ref name = volume.journal();
        if (fence == volume.term()) {
            const auto known = bed.ask<journal_state>(owner(), method::journal_state, name);
            if (!known && known.error() == errc::lease_required) return "the lease is forgotten";
        }
        if (auto shown = bed.present(volume); !shown) return "the lease is refused: " + shown.error().message();
        const auto state = bed.ask<journal_state>(owner(), method::journal_state, name);
        if (!state) return "the journal's state: " + state.error().message();
        const auto [base, end] = std::pair(state->first.base.value, state->first.end.value);
        if (end < appended && !(base == 0 && end == 0 && appended < needed)) return "acknowledged entries are gone: " + std::to_string(end) + " of " + std::to_string(appended);
        if (end > writer.payloads.size() || base > std::max(needed, end == base ? end : needed)) return "the journal begins or ends where it cannot";
        if (end > 0 && state->first.chain != writer.before(end)) return "another history";
        return broken_entries(name, base, end);
    }
    std::string broken_entries(const journal_ref& name, std::uint64_t base, std::uint64_t end) {
        for (auto next = base; next < end;) {
            const journal_read_request what{name, {next}, 64 * 1024};
            const auto got = bed.ask<journal_read_reply>(owner(), method::journal_read, what);
            if (!got) return "entry " + std::to_string(next) + ": " + got.error().message();
            if (got->first.previous != writer.before(next)) return "another history before entry " + std::to_string(next);
            byte_view body = got->second;
            for (const auto& group : got->first.groups) {
                for (const auto length : group.lengths) {
                    if (!equal(body.first(length), writer.payloads[next])) return "other bytes in entry " + std::to_string(next);
                    body = body.subspan(length);
                    ++next;
                }
                if (!crypto::verify(volume.session(name.term).pub(), group_digest(name, {next - 1}, writer.before(next)).view(), group.sig)) return "a group lost its signature";
            }
        }
        return {};
    }
    // What is in use is what the files hold; and the miner still works.
    std::string broken_accounts() {
        const auto used = bed.miner->status().used;
        std::uint64_t held = 0;
        for (const auto& path : disk.files()) {
            if (path.find("/fragments/") == std::string::npos && path.find("/journals/") == std::string::npos) continue;
            held += disk.open(path, os::open_mode::read).value()->size().value();
        }
        if (used != held) return "the accounts are wrong: " + std::to_string(used) + " instead of " + std::to_string(held);
        if (fence.value == 0) own();
        const auto s = make_segment(random, 1000, {1, 1});
        const put_request what{volume.record.id, volume.term(), s.identity, 0};
        if (auto done = bed.ask<empty_reply>(owner(), method::put, what, s.fragments[0]); !done) return "the store takes no fragment: " + done.error().message();
        stored.push_back(s);
        tried.push_back(s);
        put_in[s.id()] = volume.term();
        return {};
    }

    faulty_disk disk;
    paper_ledger book;
    seeded_random random;
    storage_bed bed;
    sample_volume volume;
    journal_writer writer;
    incarnation_id incarnation;
    term_number fence;
    std::vector<sample_segment> stored, tried;
    std::map<segment_id, term_number> put_in;
    std::set<segment_id> listed;
    std::uint64_t appended = 0, trimmed = 0, needed = 0;
};

// Steps, a death in the middle of one, a power cut; several times on the same disk.
std::string live(std::uint64_t seed) {
    promise p(seed);
    if (!p.open()) return "the store does not open at first";
    p.own();
    for (int round = 0; round < 4; ++round) {
        p.disk.die_at(20 + p.random.below(400));
        for (int i = 0; i < 40 && !p.disk.fault_met(); ++i) {
            p.needed = p.volume.record.head.term == p.volume.term() ? p.needed : 0;
            p.step();
        }
        p.bed.kill();
        // A killed process first, now and then: what it left is seen by the next one, and then the power goes.
        if (p.random.below(2) == 0) {
            p.disk.new_process();
            if (auto why = p.broken(); !why.empty()) return "round " + std::to_string(round) + ", after a kill: " + why;
            p.bed.kill();
        }
        p.disk.crash(p.random.next());
        if (auto why = p.broken(); !why.empty()) return "round " + std::to_string(round) + ": " + why;
    }
    return {};
}

}  // namespace

TEST_CASE("after any crash what was acknowledged is there and nothing is half there") {
    const auto from = seeds(1) == 1 ? 1 : seeds(1);
    const auto count = std::getenv("CESS_SEEDS") ? 1 : 60;
    for (std::uint64_t seed = from; seed < from + count; ++seed) {
        INFO("seed " << seed << " (CESS_SEEDS=" << seed << " runs it alone)");
        REQUIRE(live(seed) == "");
    }
}

// ---- every sync matters ----------------------------------------------------------------------------------

namespace {

struct scenario {
    std::string name;
    std::function<void(promise&)> before;  // honest
    std::function<void(promise&)> act;     // with one sync a lie
    bool by_place = false;                 // lie at all syncs of one place: they are one line of code
};

void answer_for(promise& p);
void die_somewhere(promise& p);

const std::vector<scenario>& scenarios() {
    static const auto ready = [](promise& p) {
        (void)p.open();
        p.own();
    };
    static const auto with_journal = [](promise& p) {
        ready(p);
        for (int i = 0; i < 3; ++i) p.append();
    };
    static const std::vector<scenario> all = {
        {"format", [](promise&) {}, [](promise& p) { (void)p.open(); }, true},
        {"lease record", [](promise& p) { (void)p.open(); }, [](promise& p) { p.own(); }, false},
        {"fence", with_journal, [](promise& p) {
             p.volume.take(p.incarnation);
             const fence_request what{p.volume.proof(), p.volume.term(), p.writer.name};
             if (p.bed.ask<journal_state>(p.owner(), method::journal_fence, what)) p.fence = p.volume.term();
             p.writer = {p.volume.journal(), {}, {}};
             p.appended = 0;
         }, false},
        {"put", ready, [](promise& p) { p.put(false); }, false},
        {"put in chunks", ready, [](promise& p) { p.put(true); }, false},
        {"first append", ready, [](promise& p) { p.append(); }, false},
        {"append", with_journal, [](promise& p) { p.append(); }, false},
        {"append into the next file", [](promise& p) {
             ready(p);
             for (int i = 0; i < 2; ++i) p.append(8 * KiB);
             while (p.writer.payloads.size() < 200 && p.disk.files().size() < 4) p.append(2 * KiB);  // just before or after a rotation
         }, [](promise& p) { p.append(60 * KiB); p.append(60 * KiB); }, false},
    };
    return all;
}

// What a new process sees of a killed one, and answers for.
void answer_for_opened(promise& p) {
    if (!p.bed.miner || p.volume.term().value == 0) return;
    if (p.bed.present(p.volume)) p.fence = p.volume.term();
    const auto state = p.bed.ask<journal_state>(p.owner(), method::journal_state, p.volume.journal());
    if (state) p.appended = state->first.end.value;
    for (const auto& s : p.tried) {
        const put_request what{p.volume.record.id, p.volume.term(), s.identity, 0};
        if (p.put_in[s.id()] == p.volume.term() && p.bed.ask<empty_reply>(p.owner(), method::put, what, s.fragments[0])) p.stored.push_back(s);
    }
    if (!p.writer.payloads.empty() && p.appended < p.writer.payloads.size()) {
        const auto durable = p.bed.append(p.volume, p.writer, p.appended, p.writer.payloads.size() - 1);
        if (durable) p.appended = std::max(p.appended, durable->value);
    }
}

void answer_for(promise& p) {
    (void)p.open();
    answer_for_opened(p);
}

// A process that dies at any operation of its first moments, or of some work.
void die_somewhere(promise& p) {
    const bool early = p.random.below(4) == 0;
    if (early) p.disk.die_at(p.random.below(2) == 0 ? p.random.below(4) : p.random.below(550));
    if (p.open()) {
        p.own();
        if (!early) p.disk.die_at(p.random.below(60));
        const auto what = p.random.below(4);
        for (int i = 0; i < 6 && !p.disk.fault_met(); ++i) {
            if (what == 0) p.put(i % 2 == 0);
            if (what == 1) p.append();
            if (what == 2) p.own();
            if (what == 3) p.step();
        }
    }
    p.bed.kill();
    p.disk.new_process();
}

// The syncs of a scenario when nobody lies.
std::vector<faulty_disk::sync_point> syncs_of(const scenario& s, std::uint64_t seed) {
    promise p(seed);
    s.before(p);
    p.disk.watch();
    s.act(p);
    return p.disk.watched();
}

// The first seed whose crash shows that this sync was a lie.
std::optional<std::uint64_t> caught(const scenario& s, const faulty_disk::lie& lie, std::uint64_t budget) {
    for (std::uint64_t seed = 1; seed <= budget; ++seed) {
        promise p(seed);
        s.before(p);
        p.disk.watch(lie);
        s.act(p);
        p.bed.kill();
        p.disk.crash(seed * 7919);
        if (!p.broken().empty()) return seed;
    }
    return std::nullopt;
}

constexpr std::uint64_t budget = 60;
constexpr std::uint64_t long_budget = 800;  // where the crash must meet one moment

// A journal of several files, all of it unneeded: oldest first they go, then the last makes room for an empty one. The
// process dies somewhere on the way, so that no later sync makes up for the lie.
const scenario& trimming() {
    static const scenario s{"trim", [](promise& p) {
                                (void)p.open();
                                p.own();
                                for (int i = 0; i < 5 || p.bed.miner->status().used < 200 * KiB; ++i) p.append(40 * KiB);
                            },
                            [](promise& p) {
                                p.disk.die_at(p.random.below(22));
                                p.trim_to(p.appended);
                            }, false};
    return s;
}
// One file, and no spare that could take its place.
const scenario& trimming_one() {
    static const scenario s{"trim one file", [](promise& p) {
                                (void)p.open();
                                p.own();
                                while (p.appended < 3) p.append(20 * KiB);
                                bytes enough(20 * KiB);
                                p.random.fill(enough);
                                p.writer.add(std::move(enough));
                                p.append(1 * KiB);
                            },
                            [](promise& p) {
                                p.disk.die_at(p.random.below(22));
                                p.trim_to(p.appended);
                            }, false};
    return s;
}
// A trimmed journal has left spare files; the next ones are made of them.
const scenario& reusing() {
    static const scenario s{"append into a spare file", [](promise& p) {
                                trimming().before(p);
                                p.trim_to(p.appended);
                            },
                            [](promise& p) {
                                p.disk.die_at(p.random.below(24));
                                for (int i = 0; i < 4; ++i) p.append(60 * KiB);
                            }, false};
    return s;
}
const scenario& reopening() {
    static const scenario s{"reopen", die_somewhere, answer_for, true};
    return s;
}

}  // namespace

TEST_CASE("with every sync honest no crash shows anything") {
    for (const auto& s : scenarios()) {
        INFO(s.name);
        CHECK_FALSE(caught(s, {}, budget).has_value());
    }
}

TEST_CASE("removing any one sync of format, lease, fence, put or append is caught") {
    for (const auto& s : scenarios()) {
        const auto points = syncs_of(s, 1);
        REQUIRE_FALSE(points.empty());
        std::set<faulty_disk::sync_point> places(points.begin(), points.end());
        if (s.by_place) {
            for (const auto& place : places) {
                INFO(s.name << ": all syncs of " << (place.directory ? "directory " : "file ") << place.place);
                CHECK(caught(s, [&](std::size_t, const auto& at) { return at == place; }, budget).has_value());
            }
            continue;
        }
        for (std::size_t n = 0; n < points.size(); ++n) {
            INFO(s.name << ": sync " << n << " of " << points.size() << ", " << (points[n].directory ? "directory " : "file ") << points[n].place);
            CHECK(caught(s, [n](std::size_t i, const auto&) { return i == n; }, budget).has_value());
        }
    }
}

TEST_CASE("removing any one sync of trimming is caught") {
    CHECK_FALSE(caught(trimming(), {}, budget).has_value());
    CHECK_FALSE(caught(trimming_one(), {}, budget).has_value());
    const std::pair<const scenario&, faulty_disk::sync_point> lines[] = {
        {trimming(), {true, "/m/journals/* after a removal"}}, {trimming(), {true, "/m/journals/*"}}, {trimming_one(), {false, "/m/journals/*/*"}}};
    for (const auto& [how, line] : lines) {
        INFO(how.name << ": all syncs of " << (line.directory ? "directory " : "file ") << line.place);
        const auto lie = [&point = line](std::size_t, const faulty_disk::sync_point& at) { return at == point; };
        CHECK(caught(how, lie, long_budget).has_value());
    }
}

TEST_CASE("removing any one sync of writing a trimmed file again is caught") {
    CHECK_FALSE(caught(reusing(), {}, budget).has_value());
    const faulty_disk::sync_point lines[] = {{false, "/m/tmp/spare"}, {true, "/m/journals/*"}, {false, "/m/journals/*/*"}};
    for (const auto& line : lines) {
        INFO("all syncs of " << (line.directory ? "directory " : "file ") << line.place);
        CHECK(caught(reusing(), [&](std::size_t, const auto& at) { return at == line; }, long_budget).has_value());
    }
}

TEST_CASE("removing any one sync of opening after a killed process is caught") {
    CHECK_FALSE(caught(reopening(), {}, budget).has_value());
    std::set<faulty_disk::sync_point> places;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        promise p(seed);
        die_somewhere(p);
        p.disk.watch();
        if (p.open()) {
            const auto points = p.disk.watched();
            // One line of code syncs a journal's directory here, whatever happened to it before.
            for (const auto& point : points)
                if (!point.place.ends_with("after a removal")) places.insert(point);
        }
    }
    CHECK(places.size() >= 5);
    for (const auto& place : places) {
        INFO("all syncs of " << (place.directory ? "directory " : "file ") << place.place);
        // Only while opening: what the answers after it sync is another line.
        bool opening = true;
        const scenario s{"reopen", die_somewhere, [&](promise& p) {
                             opening = true;
                             (void)p.open();
                             opening = false;
                             answer_for_opened(p);
                         }, true};
        CHECK(caught(s, [&](std::size_t, const auto& at) { return opening && at == place; }, long_budget).has_value());
    }
}

TEST_CASE("an error at any operation is answered as one, and nothing acknowledged is lost") {
    for (const auto with : {errc::io, errc::no_space}) {
        for (std::uint64_t n = 0;; ++n) {
            promise p(5);
            REQUIRE(p.open());
            p.disk.fail_at(n, with);
            p.own();
            p.put(false);
            p.put(true);
            for (int i = 0; i < 5; ++i) p.append(30 * KiB);
            p.settle();
            p.trim();
            p.append(30 * KiB);
            p.own();
            p.append();
            p.free();
            const bool met = p.disk.fault_met();
            INFO("operation " << n);
            // It goes on without a restart.
            p.disk.no_faults();
            if (p.fence != p.volume.term() && p.bed.present(p.volume)) p.fence = p.volume.term();
            const auto stored = p.stored.size();
            p.put(false);
            CHECK(p.stored.size() == stored + 1);
            p.append();
            CHECK(p.appended == p.writer.payloads.size());
            p.bed.kill();
            p.disk.crash(n);
            REQUIRE(p.broken() == "");
            if (!met) break;
        }
    }
}
