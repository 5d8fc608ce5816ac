// Random edits over several blobs and keys, with checkpoints, reopenings, crashes of the owner with and without
// surviving entries, consensus down, snapshots and clones, compared with a simple model after each. Every section
// prints its seed when it fails; CESS_SEED and CESS_STEPS choose others.
#include <support/memory_layer.hpp>
#include <support/volume_model.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>

using namespace cess;
using namespace std::chrono_literals;
using support::volume_model;

namespace {

constexpr std::uint64_t blob_size = 96 * KiB;
constexpr std::uint64_t blob_count = 4;
constexpr std::uint64_t slack = 128 * KiB;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

class trial {
public:
    explicit trial(std::uint64_t seed) : m_random(seed) {
        m_net.create_volume("v", ledger::volume_type::filesystem);
        reopen();
    }

    void run(std::uint64_t steps) {
        for (std::uint64_t i = 0; i < steps; ++i) step();
        end();
    }

private:
    std::uint64_t below(std::uint64_t n) { return m_random.below(n); }

    volume::settings how() {
        volume::settings s;
        s.segment_size = 64 * KiB;
        s.buffers_max = 512 * KiB;
        s.memtable = 64 * KiB;
        s.append_idle = std::chrono::milliseconds(1 + below(20));
        s.checkpoint_idle = below(2) ? std::chrono::milliseconds(30) : std::chrono::milliseconds(600'000);
        s.clean_slack = slack;
        s.clean_bandwidth = 16 * GiB;
        s.clean_look = below(2) ? std::chrono::milliseconds(2) : std::chrono::milliseconds(600'000);
        s.journal_checkpoint = below(2) ? 200 * KiB : 64 * MiB;
        return s;
    }

    void reopen() {
        auto v = m_net.open("v", how());
        if (!v) FAIL("open: " + v.error().message());
        m_volume = std::move(*v);
    }

    void check(const volume_model& model, volume::reader& with, const std::string& when) {
        const auto differs = model.compare(with, blob_size, blob_count);
        if (!differs.empty()) FAIL(when + ": " + differs);
    }

    void remember(sequence_number at) { m_history[at] = m_model; }
    void acknowledged() {
        m_acknowledged = m_volume->durable();
        while (m_history.size() > 1 && std::next(m_history.begin())->first <= m_acknowledged) m_history.erase(m_history.begin());
    }

    void edit(volume::change& out, std::vector<bytes>& keep) {
        const auto blob = 1 + below(blob_count);
        const auto offset = below(3) ? below(blob_size) : below(blob_size / 4096) * 4096;
        const auto length = 1 + below(std::min<std::uint64_t>(blob_size - offset, below(4) ? 5000 : blob_size));
        switch (below(12)) {
            case 0: case 1: out.put(to_bytes("key" + std::to_string(below(40))), bytes(below(300), static_cast<std::byte>(below(256)))); break;
            case 2: out.erase(to_bytes("key" + std::to_string(below(40)))); break;
            case 3: out.zero(blob, offset, length); break;
            case 4: {
                const auto to = below(blob_size - length + 1);
                out.share(1 + below(blob_count), below(blob_size - length + 1), blob, to, length);
                break;
            }
            case 5:
                if (below(4) == 0) out.drop(blob);
                break;
            default: {
                bytes data(length);
                m_random.fill(data);
                keep.push_back(std::move(data));
                out.write(blob, offset, keep.back());
            }
        }
    }

    void apply() {
        volume::change what;
        std::vector<bytes> keep;
        keep.reserve(8);
        for (auto n = 1 + below(4); n > 0; --n) edit(what, keep);
        if (what.empty()) return;
        auto at = m_volume->apply(what);
        if (!at) FAIL("apply: " + at.error().message());
        m_model.run(what);
        remember(*at);
    }

    void sync() {
        const auto before = m_volume->applied();
        if (auto done = m_volume->sync(); !done) FAIL("sync: " + done.error().message());
        if (m_volume->durable() < before) FAIL("sync returned before it was durable");
        acknowledged();
    }

    void snapshot() {
        if (m_snapshots.size() > 4) {
            const auto victim = std::next(m_snapshots.begin(), static_cast<std::ptrdiff_t>(below(m_snapshots.size())));
            if (auto deleted = m_net.delete_snapshot("v", victim->first); !deleted) return;  // pending
            m_snapshots.erase(victim);
        }
        const auto name = "s" + std::to_string(++m_named);
        if (auto done = m_volume->create_snapshot(name); !done) FAIL("snapshot: " + done.error().message());
        m_snapshots[name] = m_model;
        acknowledged();
    }

    void crash() {
        sync_maybe();
        m_net.hold_appends(true);
        for (auto n = below(6); n > 0; --n) apply();
        if (below(2)) std::this_thread::sleep_for(std::chrono::milliseconds(below(25)));
        m_net.crash(below(8));
        consensus(true);
        m_volume.reset();
        m_net.hold_appends(false);
        reopen();
        const auto at = m_volume->applied();
        if (at < m_acknowledged) FAIL("recovered to before what was acknowledged");
        // An opening may add changes of its own that edit nothing, so the state is that of some change up to `at`.
        std::string differs = "nothing known";
        for (auto it = m_history.upper_bound(at); it != m_history.begin() && !differs.empty();) {
            --it;
            m_model = it->second;
            differs = m_model.compare(*m_volume, blob_size, blob_count);
        }
        if (!differs.empty()) FAIL("after a crash: " + differs);
        if (m_volume->usage_now().logical != m_model.logical() && below(2)) settle_usage();
        m_history.clear();
        remember(at);
        m_acknowledged = at;
    }

    void sync_maybe() {
        if (below(2)) sync();
    }

    // Dropped blobs are cleared behind, so the count follows.
    void settle_usage() {
        for (int i = 0; i < 200 && m_volume->usage_now().logical != m_model.logical(); ++i) std::this_thread::sleep_for(5ms);
        if (m_volume->usage_now().logical != m_model.logical())
            FAIL("usage is " + std::to_string(m_volume->usage_now().logical) + " instead of " + std::to_string(m_model.logical()));
    }

    void close_and_open() {
        consensus(true);
        if (auto done = m_volume->close(); !done) FAIL("close: " + done.error().message());
        m_volume.reset();
        reopen();
        check(m_model, *m_volume, "after a clean reopening");
        m_history.clear();
        remember(m_volume->applied());
        acknowledged();
    }

    void consensus(bool up) {
        m_up = up;
        if (up)
            m_net.set_fault(nullptr);
        else
            m_net.set_fault([](std::string_view what) -> result<void> {
                if (what == "ledger") return error(errc::unavailable, "consensus is down");
                return {};
            });
    }

    void check_snapshots() {
        if (!m_up) return;
        if (auto done = m_volume->checkpoint(); !done && done.error().code != errc::unavailable) FAIL("checkpoint: " + done.error().message());
        for (const auto& [name, model] : m_snapshots) {
            for (int i = 0; i < 400; ++i) {  // a failed attempt is tried again a little later
                auto list = m_volume->snapshots();
                bool pending = false;
                for (const auto& each : *list) pending |= each.pending;
                if (!pending) break;
                std::this_thread::sleep_for(10ms);
            }
            auto opened = m_net.open_snapshot("v", name);
            if (!opened) FAIL("snapshot " + name + ": " + opened.error().message());
            check(model, **opened, "snapshot " + name);
        }
    }

    void clone() {
        if (!m_up || m_snapshots.empty()) return;
        const auto& [name, model] = *std::next(m_snapshots.begin(), static_cast<std::ptrdiff_t>(below(m_snapshots.size())));
        const auto to = "c" + std::to_string(++m_named);
        if (!m_net.clone("v", name, to)) return;  // pending
        auto mine = model;
        ++m_clones;
        for (int round = 0; round < 2; ++round) {
            auto opened = m_net.open(to, how());
            if (!opened) FAIL("clone: " + opened.error().message());
            check(mine, **opened, "clone of " + name);
            volume::change what;
            std::vector<bytes> keep;
            keep.reserve(8);
            for (int i = 0; i < 4; ++i) edit(what, keep);
            if (auto done = (*opened)->apply(what); !done) FAIL("apply to clone: " + done.error().message());
            mine.run(what);
            if (auto done = (*opened)->close(); !done) FAIL("close clone: " + done.error().message());
        }
        m_pinned += model.logical();
        m_snapshots.erase(name);  // it is pinned by the clone now: leave it alone
    }

    // Whoever opened a snapshot before keeps reading it, though its segments go.
    void clean() {
        if (!m_up) return;
        std::unique_ptr<volume::reader> before;
        volume_model expected;
        if (!m_snapshots.empty() && below(2)) {
            const auto& [name, model] = *std::next(m_snapshots.begin(), static_cast<std::ptrdiff_t>(below(m_snapshots.size())));
            if (auto opened = m_net.open_snapshot("v", name)) {
                before = std::move(*opened);
                expected = model;
            }
        }
        if (auto done = m_volume->clean(); !done && done.error().code != errc::timeout) FAIL("clean: " + done.error().message());
        if (before) check(expected, *before, "a snapshot opened before cleaning");
        check(m_model, *m_volume, "cleaned");
    }

    // Once all is settled, no more is stored than the bound allows: locally, and at the miners.
    void check_space() {
        const auto bound = [&] {
            auto needed = m_model.logical() + m_pinned;
            for (const auto& [name, model] : m_snapshots) needed += model.logical();
            return needed + needed / 2 + slack;
        };
        const auto settle = [&](const std::string& when) {
            settle_usage();
            if (auto done = m_volume->checkpoint(); !done) FAIL("checkpoint: " + done.error().message());
            if (auto done = m_volume->clean(); !done) FAIL("clean: " + done.error().message());
            const auto use = m_volume->usage_now();
            if (use.stored > bound()) FAIL(when + ": " + std::to_string(use.stored) + " are stored, " + std::to_string(bound()) + " allowed");
            if (use.needed > use.stored) FAIL(when + ": more is needed than stored");
        };
        settle("with snapshots");
        check_snapshots();
        while (!m_snapshots.empty()) {
            if (auto deleted = m_net.delete_snapshot("v", m_snapshots.begin()->first); !deleted) FAIL("delete: " + deleted.error().message());
            m_snapshots.erase(m_snapshots.begin());
            settle("a snapshot less");
        }
        check(m_model, *m_volume, "with the snapshots gone");
        if (m_pinned == 0 && m_clones == 0 && m_net.data_bytes("v") > bound()) FAIL("miners hold " + std::to_string(m_net.data_bytes("v")) + ", allowed are " + std::to_string(bound()));
    }

    void step() {
        const auto dice = below(200);
        if (dice < 150) return apply();
        if (dice < 165) return sync();
        if (dice < 172) return check(m_model, *m_volume, "live");
        if (dice < 180) return static_cast<void>(m_volume->checkpoint());
        if (dice < 185) return snapshot();
        if (dice < 187) return check_snapshots();
        if (dice < 188) return clone();
        if (dice < 190) return consensus(below(3) != 0);
        if (dice < 192) return close_and_open();
        if (dice < 195) return crash();
        if (dice < 198) return clean();
        settle_usage();
    }

    void end() {
        consensus(true);
        check_snapshots();
        check(m_model, *m_volume, "at the end");
        check_space();
    }

    support::memory_network m_net;
    seeded_random m_random;
    std::unique_ptr<volume::volume> m_volume;
    volume_model m_model;
    std::map<sequence_number, volume_model> m_history{{sequence_number{}, volume_model()}};
    sequence_number m_acknowledged;
    std::map<std::string, volume_model> m_snapshots;
    std::uint64_t m_pinned = 0;  // bytes of snapshots that clones stand on
    unsigned m_clones = 0;
    bool m_up = true;
    unsigned m_named = 0;
};

}  // namespace

TEST_CASE("a volume equals its model through checkpoints, crashes, snapshots and clones") {
    const auto first = from_environment("CESS_SEED", 1);
    const auto count = std::getenv("CESS_SEED") ? 1 : from_environment("CESS_TRIALS", 12);
    for (auto seed = first; seed < first + count; ++seed) {
        INFO("CESS_SEED=" << seed);
        trial(seed).run(from_environment("CESS_STEPS", 400));
    }
}
