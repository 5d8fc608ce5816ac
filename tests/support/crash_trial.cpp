#include <support/crash_trial.hpp>

#include <support/mortal_disk.hpp>
#include <support/write_history.hpp>

#include <filesystem>
#include <thread>

namespace cess::test {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr std::uint64_t device_size = 1 * MiB;
constexpr std::uint64_t device_sectors = device_size / write_history::sector;
constexpr std::uint64_t hot_sectors = 32;
constexpr volume::blob_id device_blob = 1;
constexpr unsigned miners_count = 4, cycles = 3;
constexpr auto recovery_patience = 150s;
constexpr unsigned corrupt_max = 4;  // openings in a row that find nonsense in calm weather
constexpr auto first_of_writing = crash_point::change_placed;

struct violation {
    std::string what;
};

struct snapshot {
    bool acknowledged = false;
    bool resolved = false;              // `image` holds
    std::optional<sequence_number> at;
    write_history::image_stamps image;
};

std::uint64_t squeezed_by(const metrics& count) {
    const auto text = count.render();
    const auto at = text.find("\ncess_volume_squeezed_bytes_total{");
    return at == std::string::npos ? 0 : std::stoull(text.substr(text.find(' ', at) + 1));
}

std::string scratch() {
    const auto in = std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    auto pattern = (in / "cess-crash-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw violation{"no temporary directory"};
    return pattern;
}

// A volume that is open, in the process that has it open.
struct owner {
    std::unique_ptr<crash_house::process> who;
    std::unique_ptr<mortal_disk> disk;  // of its local journals
    std::unique_ptr<volume::volume> what;
    owner() = default;
    owner(owner&&) = default;
    owner& operator=(owner&& other) noexcept {
        end();
        who = std::move(other.who);
        disk = std::move(other.disk);
        what = std::move(other.what);
        return *this;
    }
    ~owner() { end(); }
    void end() {
        if (who) who->fate.kill();
        what.reset();
        disk.reset();
        who.reset();
    }
};

class trial {
public:
    trial(std::uint64_t seed, const broken_rules& broken, crash_report& report)
        : m_random(seed), m_seed(seed), m_broken(broken), m_report(report), m_directory(scratch()), m_house(seed, miners_count),
          m_record(m_house.create_volume("v", device_size)), m_local(seed % 3 == 0 || broken.lying_local_disk) {
        if (m_broken.lying_syncs) m_house.lie_about_syncs();
        if (m_broken.lying_local_disk) m_disk.watch([](std::size_t, const faulty_disk::sync_point&) { return true; });
        const auto bad = below(8);
        if (bad == 0) m_house.set_liar(below(miners_count));
        m_liar = bad == 0;
        m_wipes = bad == 1 || bad == 2;
    }
    ~trial() {
        std::error_code ignored;
        m_owner.end();
        std::filesystem::remove_all(m_directory, ignored);
    }

    void run() {
        recover();
        for (unsigned cycle = 0; cycle < cycles; ++cycle) {
            crash_while_working(cycle);
            if (below(3) == 0) check_snapshots();
        }
        calm();
        write_again();
        make_root_final();
        check_fragments();
        check_snapshots();
        if (below(2)) check_clone();
        close_and_open();
    }

private:
    std::uint64_t below(std::uint64_t n) { return m_random.below(n); }
    static void fail(const std::string& what) { throw violation{what}; }
    void pause(std::uint64_t us_max) { std::this_thread::sleep_for(std::chrono::microseconds(below(us_max + 1))); }

    // ---- opening -----------------------------------------------------------------------------------------

    // All openings are on one machine, whose disk keeps what was synced there; some owners acknowledge from it.
    void go_local(volume::settings& s, os::file_system& disk, const volume_id& of) {
        if (!m_local) return;
        s.acknowledge = below(4) ? volume::durability::local : volume::durability::remote;
        s.local_directory = "/local/" + of.hex();
        s.local_disk = &disk;
    }

    // Its power goes, and comes back.
    void cut_local_power() {
        if (!m_local) return;
        m_disk.crash(m_random.next());
        if (m_broken.lying_local_disk) return;
        for (const auto& file : m_disk.files())
            if (file.ends_with(".lost")) fail("a local journal was set aside, though nobody else wrote: " + file);
    }

    volume::settings settings(crash_house::process& who) {
        volume::settings s;
        s.segment_size = 64 * KiB;
        s.buffers_max = below(2) ? 256 * KiB : 1 * MiB;
        s.memtable = 64 * KiB;
        s.metadata_cache = 1 * MiB;
        s.append_idle = std::chrono::milliseconds(1 + below(10));
        s.checkpoint_idle = below(2) ? std::chrono::milliseconds(10) : std::chrono::milliseconds(600'000);
        s.journal_checkpoint = below(2) ? 100 * KiB : 64 * MiB;
        s.writer_patience = 4s;
        s.directory = m_directory + "/" + std::to_string(++m_opened);
        s.force = true;
        s.crashes = &who.fate;
        s.broken = m_broken.engine;
        return s;
    }

    std::unique_ptr<crash_house::process> new_process() {
        const bool slow = m_failed_openings > 3;  // in a row: short deadlines are this test's wish, not the product's promise
        return m_house.new_process(m_liar || slow ? crash_house::patient() : crash_house::quick(), m_broken.layer);
    }

    result<owner> open(const ledger::volume_record& which, bool doomed) {
        owner out;
        out.who = new_process();
        if (doomed) {
            const auto last = below(2) ? static_cast<std::uint64_t>(first_of_writing) : static_cast<std::uint64_t>(crash_point::count);
            out.who->fate.dies_at(static_cast<crash_point>(below(last)), 1);
        }
        out.disk = std::make_unique<mortal_disk>(m_disk, [&fate = out.who->fate] { return fate.dead(); });
        auto how = settings(*out.who);
        go_local(how, *out.disk, which.id);
        auto got = volume::open(*out.who->layer, m_house.account(), which, out.who->session, std::move(how), out.who->count);
        if (!got) note(out.who->fate);
        if (!got) {
            ++m_failed_openings;
            return std::move(got).error();
        }
        m_failed_openings = 0;
        out.what = std::move(*got);
        return out;
    }

    void note(const doom& fate) {
        m_report.seen |= fate.seen();
        if (!fate.met()) return;
        ++m_report.crashes;
        ++m_report.died_at[static_cast<std::size_t>(fate.at())];
    }

    // Opens until it succeeds; openers die as well. Miners that are down come back sooner or later.
    void recover() {
        const auto deadline = clock::now() + recovery_patience;
        unsigned corrupt = 0;
        if (m_liar || (!m_stranded && below(2))) m_house.start_all();
        for (unsigned attempt = 0;; ++attempt) {
            const bool doomed = attempt < 3 && below(3) == 0;
            if (attempt == 2) calm();
            auto got = open(m_record, doomed);
            if (!got && below(2)) cut_local_power();
            if (got && doomed && below(2)) pause(20'000);  // it serves a little before it dies
            if (got) got->who->fate.spare();
            if (got && !got->who->fate.dead()) {
                m_owner = std::move(*got);
                return;
            }
            if (got) {
                note(got->who->fate);
                continue;
            }
            const auto& why = got.error();
            if (!doomed && attempt > 2 && why.code == errc::corrupt && ++corrupt == corrupt_max) fail("cannot be opened: " + why.message());
            if (clock::now() > deadline) fail("cannot be opened in time: " + why.message());
            m_house.start_all();
            pause(10'000);
        }
    }

    void calm() {
        m_house.set_sky({});
        m_house.mend_all();
        m_house.set_consensus(true);
        m_house.start_all();
    }

    // ---- writing -----------------------------------------------------------------------------------------

    struct shape {  // of one cycle
        unsigned writers = 1, operations = 20;
        unsigned snapshots_permille = 20, checkpoints_permille = 20, syncs_permille = 120;
    };

    void draw_range(seeded_random& random, std::uint64_t& first, std::uint64_t& count) const {
        const auto kind = random.below(20);
        if (kind < 10) count = 1 + random.below(16);
        else if (kind < 16) count = 8 * (1 + random.below(16));
        else if (kind < 19) count = 1 + random.below(256);
        else count = 1 + random.below(device_sectors);
        first = random.below(device_sectors - count + 1);
        if (kind < 7) first %= hot_sectors;  // overwritten while it is in a buffer, again and again
        if (kind >= 10 && kind < 16) first -= first % 8;
    }

    // Until it is told to stop or the volume fails it.
    void work(seeded_random random, shape how) {
        for (unsigned i = 0; i < how.operations && !m_stop; ++i) {
            const auto dice = random.below(1000);
            if (dice < how.syncs_permille) {
                if (!sync()) return;
            } else if (dice < how.syncs_permille + how.snapshots_permille) {
                if (!take_snapshot()) return;
            } else if (dice < how.syncs_permille + how.snapshots_permille + how.checkpoints_permille) {
                (void)m_owner.what->checkpoint();
            } else if (dice > 990) {
                resize(random);
            } else if (!write(random)) {
                return;
            }
            if (random.below(8) == 0) std::this_thread::sleep_for(std::chrono::microseconds(random.below(3000)));
        }
    }

    bool write(seeded_random& random) {
        std::uint64_t first = 0, count = 0;
        draw_range(random, first, count);
        const bool zero = random.below(8) == 0;
        const auto which = zero ? stamp{0} : m_history.next_stamp();
        volume::change change;
        bytes data(zero ? 0 : count * write_history::sector);
        if (zero) {
            if (random.below(16) == 0) {
                first = 0;
                count = device_sectors;
            }
            change.zero(device_blob, first * write_history::sector, count * write_history::sector);
        } else {
            write_history::fill(which, first, data);
            change.write(device_blob, first * write_history::sector, data);
        }
        const auto at = m_owner.what->apply(change);
        if (!at) return false;
        m_history.wrote(*at, which, first, count);
        ++m_writes;
        if (random.below(12) != 0) return true;
        if (!m_owner.what->sync(*at)) return false;  // FUA
        m_history.acknowledged(*at);
        ++m_acknowledged;
        return true;
    }

    bool sync() {
        const auto upto = m_owner.what->applied();
        if (!m_owner.what->sync()) return false;
        m_history.acknowledged(upto);
        ++m_acknowledged;
        return true;
    }

    bool take_snapshot() {
        std::string name;
        {
            const std::lock_guard lock(m_mutex);
            if (m_snapshots.size() >= 12) return true;
            name = "s" + std::to_string(++m_named);
            m_snapshots[name];
        }
        const auto before = m_owner.what->applied();
        const bool done = m_owner.what->create_snapshot(name).has_value();
        auto list = done ? m_owner.what->snapshots() : result<std::vector<volume::snapshot_info>>(error(errc::canceled));
        const std::lock_guard lock(m_mutex);
        auto& mine = m_snapshots[name];
        mine.acknowledged = done;
        if (!done) return false;
        m_history.acknowledged(before);
        if (list)
            for (const auto& each : *list)
                if (each.name == name) mine.at = each.at;
        if (mine.at) m_history.acknowledged(*mine.at);
        return true;
    }

    // The blob stays as it is; only the record is looked at.
    void resize(seeded_random& random) {
        const std::lock_guard lock(m_resizing);
        const auto size = device_size * (1 + random.below(64));
        m_sizes.push_back(size);
        if (m_owner.what->resize(size)) m_sizes = {size};
    }

    // ---- a cycle -----------------------------------------------------------------------------------------

    void crash_while_working(unsigned cycle) {
        shape how;
        how.writers = 1 + static_cast<unsigned>(below(3));
        how.operations = 8 + static_cast<unsigned>(below(30));
        // A deposed owner may acknowledge to its own disk until it hears of it: that is not promised there.
        const bool rival = below(6) == 0 && !m_local;
        m_stranded = !rival && !m_liar && below(8) == 0;
        if (m_stranded || rival) {  // it must be writing and flushing when that happens
            how.operations = 1000;
            how.syncs_permille = 300;
        } else {
            arm(cycle, how);
        }
        weather();
        m_stop = false;
        std::vector<std::thread> threads;
        m_working = how.writers;
        for (unsigned i = 0; i < how.writers; ++i)
            threads.emplace_back([this, how, random = seeded_random(m_random.next())] {
                work(random, how);
                --m_working;
            });
        m_stranded ? strand() : disturb();
        if (m_stranded || rival || below(3) == 0) pause(60'000);  // it is killed in the middle
        else wait_for_end();
        if (rival) return replaced_by_rival(threads);
        m_owner.who->fate.kill();
        kill_miners();
        m_stop = true;
        for (auto& t : threads) t.join();
        m_report.squeezed += squeezed_by(m_owner.who->count);
        ended();
        pause(below(2) ? 0 : 30'000);
        m_house.mend_all();
        m_house.set_consensus(true);
        recover();
        judge(read_image(*m_owner.what, "the volume"), m_owner.what->applied());
    }

    // Which step the owner dies at, and a workload that gets there.
    void arm(unsigned cycle, shape& how) {
        if (below(5) == 0) return;
        const auto writing = static_cast<std::uint64_t>(crash_point::count) - static_cast<std::uint64_t>(first_of_writing);
        const auto at = static_cast<crash_point>(static_cast<std::uint64_t>(first_of_writing) + (m_seed * cycles + cycle) % writing);
        m_owner.who->fate.dies_at(at, 1 + static_cast<unsigned>(below(at < crash_point::cut_begun ? 12 : 3)));
        if (at >= crash_point::cut_begun) how.checkpoints_permille = 100;
        if (at == crash_point::snapshot_cut || at == crash_point::view_anchored) how.snapshots_permille = 150;
    }

    void weather() {
        sky how;
        const auto kind = below(4);
        if (kind > 0) how.delay_us_max = 1 + static_cast<unsigned>(below(1500));
        if (kind > 1) how.straggling_permille = 20;
        if (kind > 2 && !m_liar) {
            how.lost_permille = static_cast<unsigned>(below(15));
            how.doubled_permille = static_cast<unsigned>(below(30));
        }
        m_house.set_sky(how);
        if (below(5) == 0) m_house.set_consensus(false);
    }

    // While it works: a miner loses its power and comes back, consensus comes back.
    void disturb() {
        if (m_liar || below(3) != 0) return;
        pause(20'000);
        const auto victim = below(miners_count);
        m_house.cut_power(victim, m_random.next());
        pause(20'000);
        if (m_wipes && below(2)) wipe_once(victim);
        if (below(2)) m_house.start(victim);
        if (below(2)) m_house.set_consensus(true);
    }

    void wipe_once(std::size_t victim) {
        if (m_house.up(victim) || m_wiped) return;
        m_wiped = true;
        m_wiped_miner = m_house.id_of(victim);
        m_house.wipe(victim);
    }

    // The owner reaches one miner only, and goes on flushing: what it sends there must not count, since that one dies too.
    void strand() {
        pause(10'000);
        m_only = below(miners_count);
        for (std::size_t i = 0; i < miners_count; ++i)
            if (i != m_only) m_house.cut(m_owner.who->id, i);
    }

    // All is written, and what goes on behind had a moment; or it died on the way.
    void wait_for_end() {
        const auto& fate = m_owner.who->fate;
        auto until = clock::now() + 5s;
        while (!fate.dead() && m_working && clock::now() < until) std::this_thread::sleep_for(300us);
        until = clock::now() + std::chrono::microseconds(below(100'000));
        while (!fate.dead() && clock::now() < until) std::this_thread::sleep_for(300us);
    }

    void kill_miners() {
        if (m_stranded) {
            m_house.cut_power(m_only, m_random.next());
            if (m_wipes) wipe_once(m_only);
            return;
        }
        const auto how_many = std::array<unsigned, 6>{0, 0, 1, 1, 2, miners_count}[below(6)];
        const auto first = below(miners_count);
        for (unsigned i = 0; i < how_many; ++i) m_house.cut_power((first + i) % miners_count, m_random.next());
        if (m_wipes && how_many && below(2)) wipe_once(first);
    }

    // Somebody takes the volume by force while its owner writes on; then the old one is looked at once more.
    void replaced_by_rival(std::vector<std::thread>& threads) {
        m_house.set_consensus(true);
        owner next;
        const auto deadline = clock::now() + recovery_patience;
        for (;;) {
            m_house.start_all();
            auto got = open(m_record, false);
            if (got) {
                next = std::move(*got);
                break;
            }
            if (got.error().code != errc::unavailable) calm();
            if (clock::now() > deadline) {
                join(threads);
                fail("cannot be taken over: " + got.error().message());
            }
        }
        // Read before anything else is written, judged when nothing is acknowledged any more.
        bytes image;
        std::string unread;
        try {
            image = read_image(*next.what, "the volume after its owner was deposed");
        } catch (const violation& v) {
            unread = v.what;
        }
        const auto recovered = next.what->applied();
        pause(10'000);
        join(threads);
        if (!unread.empty()) fail(unread);
        ended();
        m_owner = std::move(next);
        judge(image, recovered);
    }

    void join(std::vector<std::thread>& threads) {
        m_stop = true;
        for (auto& t : threads) t.join();
    }

    void ended() {
        note(m_owner.who->fate);
        if (!m_owner.who->fate.met()) ++m_report.crashes;
        m_report.writes += m_writes.exchange(0);
        m_report.acknowledged += m_acknowledged.exchange(0);
        m_owner.end();
        cut_local_power();
    }

    // ---- judging -----------------------------------------------------------------------------------------

    bytes read_image(volume::reader& from, const std::string& which) {
        bytes image(device_size);
        const auto deadline = clock::now() + 30s;
        for (;;) {
            const auto done = from.read(device_blob, 0, image);
            if (done) return image;
            m_house.start_all();
            m_house.set_sky({});
            if (clock::now() > deadline) fail(which + " cannot be read: " + done.error().message());
            std::this_thread::sleep_for(5ms);
        }
    }

    void judge(const bytes& image, sequence_number recovered) {
        resolve_snapshots(recovered);
        if (auto wrong = m_history.check(image, recovered); !wrong.empty()) fail(wrong);
        check_size();
    }

    void resolve_snapshots(sequence_number recovered) {
        const auto deadline = clock::now() + 20s;
        for (;;) {
            auto list = m_owner.what->snapshots();
            if (list && settle(*list, recovered, clock::now() > deadline)) return;
            std::this_thread::sleep_for(10ms);
        }
    }

    // False if one that must be there is not: the ledger may not have answered.
    bool settle(const std::vector<volume::snapshot_info>& list, sequence_number recovered, bool last) {
        for (auto it = m_snapshots.begin(); it != m_snapshots.end();) {
            auto& [name, mine] = *it;
            const auto found = std::find_if(list.begin(), list.end(), [&n = name](const auto& each) { return each.name == n; });
            if (found == list.end() && mine.acknowledged) {
                if (last) fail("the acknowledged snapshot " + name + " is gone");
                return false;
            }
            if (found == list.end()) {
                it = m_snapshots.erase(it);
                continue;
            }
            if (mine.at && *mine.at != found->at) fail("snapshot " + name + " has moved");
            if (found->at > recovered) fail("snapshot " + name + " is newer than the volume");
            if (!mine.resolved) mine.image = m_history.before(found->at);
            mine.at = found->at;
            mine.resolved = mine.acknowledged = true;
            ++it;
        }
        return true;
    }

    void check_size() {
        const auto size = m_house.record(m_record.id).size;
        if (std::find(m_sizes.begin(), m_sizes.end(), size) == m_sizes.end()) fail("the size is " + std::to_string(size) + ", which nobody asked for");
    }

    // Each is anchored in the end, and opens with its own image.
    void check_snapshots() {
        calm();
        for (auto it = m_snapshots.begin(); it != m_snapshots.end();) {
            auto& [name, mine] = *it;
            if (!mine.resolved) resolve_snapshots(m_owner.what->applied());
            auto image = read_snapshot(name);
            if (auto wrong = write_history::compare(image, mine.image); !wrong.empty()) fail("snapshot " + name + ": " + wrong);
            ++m_report.snapshots;
            if (below(3) == 0 && m_house.submit(ledger::delete_view{m_record.id, name})) {
                (void)m_house.submit(ledger::reap{m_record.id, 1000});
                it = m_snapshots.erase(it);
            } else {
                ++it;
            }
        }
    }

    bytes read_snapshot(const std::string& name) {
        const auto deadline = clock::now() + recovery_patience;
        for (;;) {
            auto how = settings(*m_owner.who);
            auto opened = volume::open_snapshot(*m_owner.who->layer, m_house.account(), m_record, name, how, m_owner.who->count);
            if (opened) return read_image(**opened, "snapshot " + name);
            if (clock::now() > deadline) fail("snapshot " + name + " cannot be opened: " + opened.error().message());
            if (!m_owner.what->writable()) {  // it anchors nothing any more
                end_and_recover();
                continue;
            }
            std::this_thread::sleep_for(10ms);
        }
    }

    void end_and_recover() {
        ended();
        recover();
        judge(read_image(*m_owner.what, "the volume"), m_owner.what->applied());
    }

    void write_again() {
        for (int attempt = 0; attempt < 5; ++attempt) {
            m_stop = false;
            seeded_random random(m_random.next());
            if (write(random) && write(random) && sync()) return;
            end_and_recover();
        }
        fail("it cannot be written any more");
    }

    void make_root_final() {
        const auto deadline = clock::now() + recovery_patience;
        for (;;) {
            const auto done = m_owner.what->checkpoint();
            if (done) return;
            if (clock::now() > deadline) fail("no root becomes final: " + done.error().message());
            if (!m_owner.what->writable()) end_and_recover();
        }
    }

    // What the ledger lists is at its holders, all of it: who loses as much as the code allows, loses nothing.
    void check_fragments() {
        if (m_liar || m_broken.lying_syncs) return;
        const auto deadline = clock::now() + 30s;
        for (int looks = 1;; ++looks) {
            const auto missing = missing_fragments();
            if (missing.empty()) return;
            if (looks > 3 && clock::now() > deadline) fail("a fragment is not where the ledger lists it: " + missing);
            std::this_thread::sleep_for(20ms);
        }
    }

    std::string missing_fragments() {
        auto& layer = *m_owner.who->layer;
        const auto soon = [&] { return m_house.world().now() + layer.limits().ledger; };
        segment_number after;
        for (;;) {
            const auto page = net::wait(m_house.world(), layer.ledger().segments(m_record.id, after, 100, soon()));
            if (!page) return page.error().message();
            if (page->empty()) return {};
            after = page->back().number;
            for (const auto& each : *page) {
                if (each.death.value != 0) continue;  // it may be deleted while we look
                for (const auto& fault : layer.verify(each))
                    if (fault.miner != m_wiped_miner) return "segment " + std::to_string(each.number.value) + " miner " + fault.miner.brief() + ": " + fault.what.message();
            }
        }
    }

    void close_and_open() {
        m_history.acknowledged(m_owner.what->applied());
        if (auto closed = m_owner.what->close(); !closed) fail("close: " + closed.error().message());
        ended();
        recover();
        judge(read_image(*m_owner.what, "the volume"), m_owner.what->applied());
        note(m_owner.who->fate);
    }

    // A clone starts as its snapshot, and is a volume like any other.
    void check_clone() {
        if (m_snapshots.empty()) return;
        const auto& [name, base] = *std::next(m_snapshots.begin(), static_cast<std::ptrdiff_t>(below(m_snapshots.size())));
        auto made = m_house.clone(m_record, name, "c" + std::to_string(m_seed));
        if (!made) fail("clone of " + name + ": " + made.error().message());
        owner mine = open_calmly(*made);
        if (auto wrong = write_history::compare(read_image(*mine.what, "a clone"), base.image); !wrong.empty()) fail("clone of " + name + ": " + wrong);
        auto expected = base.image;
        for (int i = 0; i < 3; ++i) {
            const auto which = m_history.next_stamp();
            const auto first = below(device_sectors - 8);
            bytes data(8 * write_history::sector);
            write_history::fill(which, first, data);
            volume::change change;
            change.write(device_blob, first * write_history::sector, data);
            if (auto done = mine.what->apply(change); !done) fail("write to a clone: " + done.error().message());
            std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(first), 8, which);
        }
        if (auto done = mine.what->sync(); !done) fail("flush of a clone: " + done.error().message());
        mine.end();
        mine = open_calmly(*made);
        if (auto wrong = write_history::compare(read_image(*mine.what, "a clone"), expected); !wrong.empty()) fail("clone of " + name + " after a crash: " + wrong);
    }

    owner open_calmly(const ledger::volume_record& which) {
        const auto deadline = clock::now() + recovery_patience;
        for (;;) {
            auto got = open(which, false);
            if (got) return std::move(*got);
            if (clock::now() > deadline) fail("volume " + which.name + " cannot be opened: " + got.error().message());
        }
    }

    seeded_random m_random;
    const std::uint64_t m_seed;
    const broken_rules m_broken;
    crash_report& m_report;
    const std::string m_directory;
    crash_house m_house;
    const ledger::volume_record m_record;
    const bool m_local;
    faulty_disk m_disk;  // of the owners' machine
    owner m_owner;
    write_history m_history{device_sectors};
    std::atomic<bool> m_stop{false};
    std::atomic<unsigned> m_working{0};
    std::atomic<std::uint64_t> m_writes{0}, m_acknowledged{0};
    std::mutex m_mutex;  // of the snapshots
    std::map<std::string, snapshot> m_snapshots;
    unsigned m_named = 0, m_opened = 0, m_failed_openings = 0;
    std::mutex m_resizing;
    std::vector<std::uint64_t> m_sizes{device_size};  // one of them is the volume's
    node_id m_wiped_miner;
    bool m_liar = false, m_wipes = false, m_wiped = false, m_stranded = false;
    std::size_t m_only = 0;
};

}  // namespace

crash_report crash_trial(std::uint64_t seed, const broken_rules& broken) {
    crash_report report;
    try {
        trial(seed, broken, report).run();
    } catch (const violation& v) {
        report.violation = v.what;
    } catch (const std::exception& e) {
        report.violation = e.what();
    }
    return report;
}

}  // namespace cess::test
