// Two kinds of seeds, because crashed, silent and lying members count together: in one third m members lie undetectably
// (truncate, pretend, forget) and no other is lost; in the rest any number crash or are cut off, and up to m lose their
// store or lie detectably.
//
// A random life of a volume: owners come, append, checkpoint, are cut off, die or live on unaware; miners crash and come
// back; up to m of them lie, forget, pretend or lose their store.
#include <support/journal_world.hpp>

#include <algorithm>

namespace cess::simulation {
namespace {

enum class fault_kind : std::uint8_t { wiped, garbles, exaggerates, truncates, forgets, pretends };

class chaos {
public:
    chaos(std::uint64_t seed, layer::recovery_mutations broken) : m_stage(seed, options_of(seed, broken)), m_world(m_stage.in()) {
        for (unsigned i = 0; i < options_of(seed, broken).tolerated; ++i) m_faulty.push_back(i);
        m_liars = seed % 3 == 0;
        auto& sky = m_stage.net().sky();
        sky.loss_permille = static_cast<unsigned>(m_world.below(3) * 30);
        sky.duplicate_permille = static_cast<unsigned>(m_world.below(3) * 40);
        sky.straggle_permille = static_cast<unsigned>(m_world.below(3) * 20);
        m_stage.consensus().lost_permille = static_cast<unsigned>(m_world.below(2) * 100);
        for (std::size_t i = 0; i < m_stage.miners(); ++i)
            if (m_world.chance(200)) m_stage.miner(i).broken.sync_max = 300ms;
    }

    run_report run() {
        newcomer();
        const auto steps = 14 + m_world.below(22);
        for (std::uint64_t i = 0; i < steps; ++i) {
            act();
            m_world.run_for(m_world.chance(300) ? m_world.between(0ms, 5ms) : m_world.between(1ms, 500ms));
        }
        return finish();
    }

private:
    static journal_world::options options_of(std::uint64_t seed, const layer::recovery_mutations& broken) {
        journal_world::options out;
        out.tolerated = seed % 4 == 3 ? 2 : 1;
        out.miners = out.tolerated + 3 + static_cast<unsigned>(seed / 4 % 2);
        if (seed % 7 == 6) out.miners = out.tolerated * 2 + 1;
        out.broken = broken;
        return out;
    }

    void newcomer() {
        auto& owners = m_stage.owners();
        if (owners.size() >= 8) return;
        if (!owners.empty() && m_world.chance(400)) owners.back()->kill();
        m_stage.new_owner().take(m_world.chance(800));
    }
    owner_process& someone() {
        auto& owners = m_stage.owners();
        return m_world.chance(750) ? *owners.back() : *owners[m_world.below(owners.size())];
    }
    void act() {
        switch (m_world.below(23)) {
            case 0: case 1: case 2: case 3: case 4: case 5: case 6: {
                auto& who = someone();
                for (auto n = 1 + m_world.below(6); n-- > 0;) who.append(m_world.below(10) == 0 ? 200 : 12);
                break;
            }
            case 7: case 8: someone().commit(); break;
            case 9: case 10: newcomer(); break;
            case 11: case 12: crash(); break;
            case 13: case 14: come_back(); break;
            case 15: cut(); break;
            case 16: m_stage.net().mend_all(); break;
            case 17: misbehave(); break;
            case 18: if (m_world.chance(300)) m_stage.owners().back()->kill(); break;
            case 19: case 20: case 21: ambush(); break;
            default: m_stage.consensus().down = m_world.chance(400); break;
        }
    }
    // An owner dies in the middle of an append, one miner is lost, one perhaps lies, and whoever takes over is killed
    // over it as well: the next one sees other miners.
    void ambush() {
        m_stage.consensus().down = false;
        auto& victim = *m_stage.owners().back();
        for (auto n = 1 + m_world.below(8); n-- > 0;) victim.append(m_world.below(4) == 0 ? 200 : 12);
        m_world.run_for(m_world.between(0ms, 6ms));
        victim.kill();
        if (m_world.chance(300)) misbehave();
        for (int takeover = 0; takeover < 2; ++takeover) {
            if (m_world.chance(700)) crash();
            if (m_stage.owners().size() >= 8) return;
            auto& heir = m_stage.new_owner();
            heir.take();
            const auto patience = m_world.now() + m_world.between(10ms, 1500ms);
            m_world.drive([&heir] { return !heir.taking(); }, patience);
            if (takeover == 0 && m_world.chance(600)) heir.kill();
            for (std::size_t i = 0; i < m_stage.miners(); ++i)
                if (!m_stage.miner(i).is_up()) m_stage.miner(i).start();
        }
    }
    void crash() {
        if (m_liars) return;
        auto& m = m_stage.miner(m_world.below(m_stage.miners()));
        if (m.is_up()) m.crash();
    }
    void come_back() {
        for (std::size_t i = 0; i < m_stage.miners(); ++i)
            if (!m_stage.miner(i).is_up() && m_world.chance(700)) m_stage.miner(i).start();
    }
    void cut() {
        if (m_liars) return;
        const auto who = someone().id();
        const auto& m = m_stage.miner(m_world.below(m_stage.miners())).id();
        if (m_world.chance(700)) m_stage.net().cut(who, m);
        if (m_world.chance(700)) m_stage.net().cut(m, who);
    }
    void misbehave() {
        auto& m = m_stage.miner(m_faulty[m_world.below(m_faulty.size())]);
        const auto kind = static_cast<fault_kind>(m_world.below(m_liars ? 6 : 3));
        switch (kind) {
            case fault_kind::wiped:
                if (m.is_up()) m.crash();
                m.wipe();
                m.start();
                break;
            case fault_kind::truncates: m_stage.net().set_lie(m.id(), truncate); break;
            case fault_kind::forgets: m.broken.forgetful = true; break;
            case fault_kind::garbles: m_stage.net().set_lie(m.id(), garble); break;
            case fault_kind::pretends: m.broken.pretending = !m.broken.pretending; break;
            case fault_kind::exaggerates: m_stage.net().set_lie(m.id(), exaggerate); break;
        }
    }

    static void alter_state(const net::request& asked, net::reply& answer, void (*how)(storage::journal_state&)) {
        if (asked.method != storage::method::journal_fence && asked.method != storage::method::journal_state) return;
        auto state = wire::decode<storage::journal_state>(answer.head);
        if (!state) return;
        how(*state);
        answer.head = wire::encode(*state);
    }
    static void truncate(const node_id&, const net::request& asked, net::reply& answer) {
        alter_state(asked, answer, [](storage::journal_state& s) {
            s.base = s.end = entry_index{0};
            s.base_chain = s.chain = hash256{};
        });
    }
    static void exaggerate(const node_id&, const net::request& asked, net::reply& answer) {
        alter_state(asked, answer, [](storage::journal_state& s) { s.end.value += 3; });
    }
    static void garble(const node_id&, const net::request& asked, net::reply& answer) {
        if (asked.method == storage::method::journal_read && !answer.body.empty()) answer.body[answer.body.size() / 2] ^= std::byte{1};
    }

    run_report finish() {
        m_stage.heal();
        run_report out;
        for (int attempt = 0; attempt < 4 && out.recovered_last == 0; ++attempt) {
            auto& last = m_stage.new_owner();
            last.take();
            m_world.drive([&last] { return !last.taking(); }, m_world.now() + 60s);
            if (last.serving()) {
                last.append(20);
                m_world.drive([&last] { return last.acknowledged() == 1 || last.failed(); }, m_world.now() + 60s);
                out.recovered_last = last.acknowledged();
            }
        }
        m_world.run_for(15s);
        out.violation = m_stage.violation();
        out.trace = m_world.trace_hash();
        for (const auto& owner : m_stage.owners()) {
            if (owner->taken() != nullptr) ++out.takes;
            out.acknowledged += owner->acknowledged();
        }
        return out;
    }

    journal_world m_stage;
    world& m_world;
    std::vector<std::size_t> m_faulty;
    bool m_liars = false;
};

}  // namespace

run_report random_run(std::uint64_t seed, layer::recovery_mutations broken) {
    chaos run(seed, broken);
    return run.run();
}

}  // namespace cess::simulation
