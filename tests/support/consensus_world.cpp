#include <support/consensus_standins.hpp>
#include <support/consensus_world.hpp>

#include <algorithm>
#include <queue>
#include <set>

namespace cess::simulation {
namespace {

using namespace consensus;
constexpr auto delta = one_way_delay;
constexpr std::size_t rounds_an_answer = 16;

enum class happening : std::uint8_t { delivery, asked, durable, timer, restart };

struct event {
    instant at = 0;
    std::uint64_t order = 0;
    happening what = happening::delivery;
    std::uint16_t to = 0, from = 0;  // processes
    std::uint32_t life = 0;          // of `to`, for what happens inside it
    instant sent = 0;
    block_ptr block;
    std::shared_ptr<const request> question;
    friend bool operator<(const event& a, const event& b) { return std::pair(b.at, b.order) < std::pair(a.at, a.order); }  // for a heap
};

// What has been accepted; of a liar also what it made up.
struct known_blocks final : archive {
    std::map<block_ref, block_ptr> all;
    mutable std::size_t lookups = 0;
    [[nodiscard]] bool holds(const block_ref& what) const override {
        ++lookups;
        return all.contains(what);
    }
};

// A checkpoint, and when it counts.
struct kept_checkpoint {
    checkpoint what;
    std::size_t sequenced = 0;  // position in the one sequence
    std::size_t records = 0;    // of the log, that have to be synced
};

// A member's process, its disk and its clock.
struct process {
    author_index author = 0;
    liar_kind kind = liar_kind::none;
    std::unique_ptr<cheap_keys> keys;
    std::unique_ptr<cheap_coin> coin;
    std::unique_ptr<replica> machine;  // null: down
    std::vector<block_ptr> log;
    std::size_t synced = 0;            // records
    std::unique_ptr<known_blocks> archive = std::make_unique<known_blocks>();  // what it answers requests from
    block_ptr persisting;
    std::optional<kept_checkpoint> kept, coming;  // durable; and the next one
    std::uint32_t life = 0;
    instant ahead = 0;                 // its clock
    std::uint64_t rate_permille = 1000;
    instant timer = 0;                 // the earliest one that is set, 0 = none
    std::size_t sequenced = 0;         // position in the one sequence
    std::uint64_t payload = 0;
    std::map<std::pair<round_number, author_index>, std::size_t> copies;  // in its log
    std::vector<block_ptr> shown;      // a flooder's newest copies
    [[nodiscard]] bool honest() const noexcept { return kind == liar_kind::none; }
};

class committee_world {
public:
    explicit committee_world(const committee_plan& plan);
    committee_report run();

private:
    // ---- time
    [[nodiscard]] instant local(const process& p) const { return p.ahead + m_now * p.rate_permille / 1000; }
    void at(instant when, event what);
    bool step();

    // ---- members
    void boot(std::uint16_t index);
    void crash(std::uint16_t index);
    void feed(std::uint16_t index);
    void act(std::uint16_t index, actions what);
    void deliver(const event& what);
    void ask(std::uint16_t from, const request& what);
    void answer(const event& what);
    void keep_checkpoint(process& p);
    void set_timer(std::uint16_t index, std::optional<instant> wake);

    // ---- network
    void broadcast(std::uint16_t from, const block_ptr& block);
    void transmit(std::uint16_t from, std::uint16_t to, const block_ptr& block);
    [[nodiscard]] instant delay(std::uint16_t from, std::uint16_t to, const block_ref& what);
    [[nodiscard]] instant around_delta();
    [[nodiscard]] instant hostile_delay(std::uint16_t from, std::uint16_t to, const block_ref& what);
    [[nodiscard]] bool isolated(std::uint16_t index) const;
    [[nodiscard]] bool leads(const block_ref& what) const;
    [[nodiscard]] bool held(const event& what);
    void weather_changes();

    // ---- liars
    void lie(std::uint16_t from, const block_ptr& block);
    void flood(std::uint16_t from, const block_ptr& block);
    [[nodiscard]] block_ptr marked(const process& p, const block_ptr& block, std::size_t mark, const block_ptr& parent) const;
    [[nodiscard]] block_ptr baseless(const process& p, const block_ptr& block);
    [[nodiscard]] block_ptr fork(const process& p, const block_ptr& block);
    [[nodiscard]] block_ptr mangle(const process& p, const block_ptr& block);

    // ---- oracles
    void check_sent(const process& p, const block_ptr& block);
    void heard(const block_ref& ref);
    void check_ceilings(process& p, const actions& what);
    void check_payload(const block_ptr& block);
    void check_decided(const process& p, const settled& what);
    void check_commit(process& p, const committed& what);
    void check_close(const process& p, const committed& what);
    void check_handed_on();
    [[nodiscard]] bool is_behind(const process& p) const;
    void append(const committed& what, const block_ptr& block);
    void check_end();
    void violated(std::string what);
    [[nodiscard]] round_number best_round() const;

    [[nodiscard]] bool chance(unsigned permille) { return m_random.below(1000) < permille; }
    [[nodiscard]] bool calm() const noexcept { return m_calm; }
    [[nodiscard]] std::string name(const process& p) const { return "member " + std::to_string(p.author); }

    const committee_plan m_plan;
    seeded_random m_random;
    epoch_context m_of;
    pacing m_pace;
    instant m_now = 0;
    std::uint64_t m_order = 0;
    std::priority_queue<event> m_events;
    std::vector<process> m_processes;
    std::set<std::pair<std::uint16_t, std::uint16_t>> m_cut;
    std::map<std::pair<std::uint16_t, round_number>, std::uint64_t> m_late;  // directed: who is late for whom, by bits,
    std::map<std::pair<std::uint16_t, round_number>, bool> m_shy;            // and who is for everybody
    std::map<coin_number, std::set<author_index>> m_shares_seen;              // by the enemy
    std::map<coin_number, author_index> m_coins_seen;
    bool m_calm = false;
    round_number m_calm_from = 0;
    std::optional<std::pair<block_ref, std::size_t>> m_closed;  // the last leader, and the length of the sequence

    std::map<slot, std::optional<hash256>> m_decided;
    std::vector<block_ref> m_sequence;
    std::set<block_ref> m_in_sequence;
    round_number m_last_leader = 0;
    std::map<std::pair<round_number, author_index>, hash256> m_said;
    std::map<block_ref, std::size_t> m_heard;         // of honest members' blocks, by how many others
    std::map<block_ref, round_number> m_heard_by_all; // and from which round on every leader has them in its history
    std::set<round_number> m_leaders;                 // rounds of committed ones
    std::map<block_ref, instant> m_made_at;
    std::set<bytes> m_items;      // of honest members' payload, in the sequence
    std::set<bytes> m_owed;       // durable, and not there yet
    bool m_owing = true;          // what becomes durable is owed: until the calm
    committee_report m_report;
};

committee_world::committee_world(const committee_plan& plan) : m_plan(plan), m_random(plan.seed * 2 + 1) {
    m_of.by = plan.by;
    m_of.genesis.raw[0] = std::byte{7};
    m_pace = {delta / 10, plan.leader_wait, 20 * delta, 6 * delta, 6 * delta};
    const auto faulty = plan.by.faulty_max();
    for (std::size_t i = 0; i < plan.by.members; ++i) {
        const bool liar = i < faulty - std::min(faulty, plan.crashed) && plan.liars != liar_kind::none;
        for (int copy = 0; copy < (liar && plan.liars == liar_kind::twin ? 2 : 1); ++copy) {
            auto& p = m_processes.emplace_back();
            // Liars sit anywhere in the permutation.
            p.author = static_cast<author_index>((i + plan.seed) % plan.by.members);
            p.kind = liar ? plan.liars : i >= plan.by.members - plan.crashed ? liar_kind::silent : liar_kind::none;
            p.keys = std::make_unique<cheap_keys>(p.author);
            p.coin = std::make_unique<cheap_coin>(plan.seed, p.author, plan.by.faulty_max() + 1);
            p.ahead = m_random.below(100 * delta);
            p.rate_permille = 950 + m_random.below(101);
        }
    }
}

void committee_world::at(instant when, event what) {
    what.at = when;
    what.order = ++m_order;
    m_events.push(std::move(what));
}

// ---- members --------------------------------------------------------------------------------------------

void committee_world::boot(std::uint16_t index) {
    auto& p = m_processes[index];
    const auto from = p.life % 2 == 1 && !m_plan.forget_own ? p.kept : std::nullopt;
    p.machine = std::make_unique<replica>(m_of, p.author, m_pace, *p.archive, *p.keys, *p.coin, payload_bounds{}, from ? std::optional(from->what) : std::nullopt);
    p.sequenced = from ? from->sequenced : 0;
    if (from) ++m_report.resumed;
    p.timer = 0;
    p.persisting = nullptr;
    if (m_plan.forget_own) std::erase_if(p.log, [&](const block_ptr& b) { return b->ref.author == p.author; });
    if (!m_plan.start_unsynced) p.synced = p.log.size();
    p.copies.clear();
    for (const auto& block : p.log) ++p.copies[{block->ref.round, block->ref.author}];
    for (const auto& block : p.log) {
        if (m_report.violation) return;
        if (!from || block->ref.round >= from->what.replay_from(m_of.by)) act(index, p.machine->replay(block));
    }
    if (!p.machine->resumed()) return violated(name(p) + " cannot go on from its checkpoint: the log lacks what it names");
    feed(index);
    act(index, p.machine->start(local(p)));
}

void committee_world::crash(std::uint16_t index) {
    auto& p = m_processes[index];
    ++p.life;
    p.machine.reset();
    const auto kept = p.synced + m_random.below(p.log.size() - p.synced + 1);
    m_report.lost_records += p.log.size() - kept;
    ++m_report.crashes;
    p.log.resize(kept);
    p.coming.reset();
    p.archive->all.clear();
    for (const auto& block : p.log) p.archive->all.emplace(block->ref, block);
    event back;
    back.what = happening::restart;
    back.to = index;
    back.life = p.life;
    at(m_now + delta + m_random.below(m_plan.outage_max * delta), back);
}

// Every block has something to carry.
void committee_world::feed(std::uint16_t index) {
    auto& p = m_processes[index];
    (void)p.machine->submit(wire::encode(std::pair<std::uint64_t, std::uint64_t>(index, ++p.payload)));
}

void committee_world::act(std::uint16_t index, actions what) {
    auto& p = m_processes[index];
    if (m_plan.close_at > 0 && p.machine->own_round() >= m_plan.close_at + p.author % 3) p.machine->wish_close();
    if (p.honest()) check_ceilings(p, what);
    for (const auto& block : what.log) {
        p.log.push_back(block);
        p.archive->all.emplace(block->ref, block);
        if (p.honest()) heard(block->ref);
    }
    if (what.persist) {
        ++m_report.blocks;
        m_made_at.emplace(what.persist->ref, m_now);
        p.persisting = what.persist;
        p.log.push_back(what.persist);
        event done;
        done.what = happening::durable;
        done.to = index;
        done.life = p.life;
        at(m_now + m_random.below(m_plan.sync_max), done);
        if (m_plan.send_early) broadcast(index, what.persist);
        if (m_plan.answer_early) p.archive->all.emplace(what.persist->ref, what.persist);
        feed(index);
    }
    for (const auto& block : what.send) broadcast(index, block);
    for (const auto& question : what.requests) ask(index, question);
    if (p.honest()) {
        for (const auto& d : what.decided) check_decided(p, d);
        for (const auto& c : what.commits) check_commit(p, c);
    }
    keep_checkpoint(p);
    set_timer(index, what.wake);
}

// The next one is looked for when the last one counts.
void committee_world::keep_checkpoint(process& p) {
    if (!p.coming)
        if (auto here = p.machine->here()) p.coming = {std::move(*here), p.sequenced, p.log.size()};
    if (!p.coming || (p.synced < p.coming->records && !m_plan.unsynced_checkpoint)) return;
    p.kept = std::exchange(p.coming, std::nullopt);
}

void committee_world::set_timer(std::uint16_t index, std::optional<instant> wake) {
    auto& p = m_processes[index];
    if (!wake) return;
    const auto when = std::max(m_now + 1, *wake <= p.ahead ? 0 : (*wake - p.ahead) * 1000 / p.rate_permille + 1);
    if (p.timer != 0 && p.timer <= when) return;
    p.timer = when;
    event e;
    e.what = happening::timer;
    e.to = index;
    e.life = p.life;
    at(when, e);
}

void committee_world::deliver(const event& what) {
    auto& p = m_processes[what.to];
    if (!p.machine) return;
    p.archive->lookups = 0;
    auto got = p.machine->on_block(local(p), m_processes[what.from].author, what.block);
    if (got) return act(what.to, std::move(*got));
    ++m_report.refused;
    if (m_processes[what.from].honest()) violated(name(p) + " refused a block that an honest member sent: " + got.error().message());
}

void committee_world::ask(std::uint16_t from, const request& what) {
    const auto shared = std::make_shared<const request>(what);
    for (std::uint16_t to = 0; to < m_processes.size(); ++to) {
        if (m_processes[to].author != what.peer || to == from || m_cut.contains({from, to}) || isolated(from) || isolated(to) || (!calm() && chance(m_plan.loss_permille))) continue;
        event e;
        e.what = happening::asked;
        e.to = to;
        e.from = from;
        e.question = shared;
        at(m_now + around_delta(), std::move(e));
    }
}

// The one asked may be down, or a liar who does not feel like it.
void committee_world::answer(const event& what) {
    const auto& p = m_processes[what.to];
    if (!p.machine || (!p.honest() && chance(500))) return;
    const auto give = [&](const block_ptr& block) {
        if (p.honest() && block->ref.author == p.author) check_sent(p, block);
        transmit(what.to, what.from, block);
    };
    for (const auto& ref : what.question->blocks)
        if (const auto found = p.archive->all.find(ref); found != p.archive->all.end()) give(found->second);
    if (!what.question->from) return;
    const block_ref first{*what.question->from, 0, {}}, end{*what.question->from + rounds_an_answer, 0, {}};
    for (auto at = p.archive->all.lower_bound(first); at != p.archive->all.end() && at->first < end; ++at) give(at->second);
}

// ---- network --------------------------------------------------------------------------------------------

void committee_world::broadcast(std::uint16_t from, const block_ptr& block) {
    auto& p = m_processes[from];
    p.archive->all.emplace(block->ref, block);
    if (const auto coin = m_of.by.coin_revealed_in(block->ref.round)) {
        auto& seen = m_shares_seen[*coin];
        seen.insert(p.author);
        if (seen.size() >= m_of.by.coin_quorum && !m_coins_seen.contains(*coin)) {
            std::map<author_index, bytes> shares;
            for (const auto& q : m_processes)
                if (seen.contains(q.author)) shares.emplace(q.author, q.coin->share(*coin));
            m_coins_seen.emplace(*coin, leader_by(p.coin->combine(*coin, shares), m_of.by.members));
        }
    }
    if (p.honest()) check_sent(p, block);
    if (p.kind == liar_kind::mutator) return lie(from, block);
    if (p.kind == liar_kind::flooder) return flood(from, block);
    for (std::uint16_t to = 0; to < m_processes.size(); ++to) transmit(from, to, block);
}

void committee_world::transmit(std::uint16_t from, std::uint16_t to, const block_ptr& block) {
    const auto& sender = m_processes[from];
    if (sender.author == m_processes[to].author) return;  // twins are apart
    if (m_cut.contains({from, to}) || isolated(from) || isolated(to) || (!calm() && chance(m_plan.loss_permille))) return;
    const unsigned copies = !calm() && chance(m_plan.duplicate_permille) ? 2 : 1;
    for (unsigned i = 0; i < copies; ++i) {
        event e;
        e.to = to;
        e.from = from;
        e.block = block;
        e.sent = m_now;
        at(m_now + delay(from, to, block->ref), std::move(e));
    }
}

// The last process, from a while after the start until the calm.
bool committee_world::isolated(std::uint16_t index) const {
    return m_plan.isolate && !calm() && index + 1U == m_processes.size() && m_processes[index].machine && m_processes[index].machine->own_round() >= 4;
}

bool committee_world::leads(const block_ref& what) const {
    if (m_of.by.has_deterministic_slots(what.round))
        for (std::size_t rank = 1; rank <= m_of.by.leaders; ++rank)
            if (m_of.by.leader_of({what.round, static_cast<std::uint16_t>(rank)}) == what.author) return true;
    return false;
}

instant committee_world::around_delta() {
    const auto jitter = delta * m_plan.jitter_percent / 100;
    return delta - jitter + m_random.below(2 * jitter + 1);
}

// Half of the members hear a leader in time, the others long after they have voted: neither a quorum for it nor against.
instant committee_world::hostile_delay(std::uint16_t from, std::uint16_t to, const block_ref& what) {
    const auto usual = around_delta();
    if (!leads(what)) return usual;
    const auto distance = (m_processes[to].author + m_of.by.members - m_processes[from].author) % m_of.by.members;
    return distance <= m_of.by.members / 2 - 1 ? usual : usual + 5 * delta;
}

// Whom a coin names is cut off until its wave is over; so blocks that it could name wait a while for the coin to be seen.
bool committee_world::held(const event& what) {
    const auto& ref = what.block->ref;
    const auto coin = ref.round / m_of.by.coin_interval;
    if (m_plan.sky != weather_kind::hostile || coin == 0 || ref.round % m_of.by.coin_interval + 1 >= rules::coin_wave) return false;
    const auto known = m_coins_seen.find(coin);
    const auto until = known == m_coins_seen.end() ? what.sent + (m_of.by.has_coin_slot(ref.round) ? 2 * delta : 0)
                       : known->second == ref.author ? what.sent + 8 * delta : 0;
    if (m_now >= until) return false;
    at(std::min(until, m_now + delta / 4), what);
    return true;
}

instant committee_world::delay(std::uint16_t from, std::uint16_t to, const block_ref& what) {
    const auto usual = around_delta();
    if (m_plan.sky == weather_kind::hostile) return hostile_delay(from, to, what);
    if (calm()) return usual;
    if (m_plan.sky == weather_kind::stormy) {
        if (chance(5)) return usual + m_random.below(60 * delta);
        return chance(80) ? usual + m_random.below(8 * delta) : usual;
    }
    if (m_plan.sky == weather_kind::directed) {
        auto& late = m_late.try_emplace({to, what.round}, m_random.next() & m_random.next()).first->second;
        const bool shy = m_shy.try_emplace({from, what.round}, chance(120)).first->second;
        return shy || (late >> from & 1) ? usual + 2 * delta + m_random.below(8 * delta) : delta / 2 + m_random.below(delta / 4);
    }
    return usual;
}

// Links are cut one way and mended, members crash, at random moments of the run.
void committee_world::weather_changes() {
    const auto someone = [this] { return static_cast<std::uint16_t>(m_random.below(m_processes.size())); };
    if (m_plan.cuts > 0 && chance(m_plan.cuts)) {
        if (m_cut.size() > m_processes.size() || chance(300)) m_cut.clear();
        else m_cut.insert({someone(), someone()});
    }
    if (m_plan.crashes > 0 && chance(m_plan.crashes)) {
        const auto who = someone();
        if (m_processes[who].honest() && m_processes[who].machine) crash(who);
    }
}

// ---- liars ----------------------------------------------------------------------------------------------

block_ptr committee_world::fork(const process& p, const block_ptr& block) {
    auto other = block->what;
    other.body.payload.push_back(to_bytes("fork"));
    // Other parents than the block has, where there are any.
    auto& parents = other.body.parents;
    const auto own = [&](const block_ref& ref) { return ref.author == p.author; };
    while (parents.size() > m_of.by.parent_quorum && chance(700)) {
        const auto at = parents.begin() + static_cast<std::ptrdiff_t>(m_random.below(parents.size()));
        if (!own(*at)) parents.erase(at);
    }
    for (auto& parent : parents) {
        const block_ref first{parent.round, parent.author, {}};
        for (auto at = p.archive->all.lower_bound(first); at != p.archive->all.end() && at->first.round == parent.round && at->first.author == parent.author; ++at)
            if (chance(500)) parent = at->first;
    }
    other.sig = p.keys->sign(digest_of(other.body));
    return named(std::move(other));
}

block_ptr committee_world::mangle(const process& p, const block_ptr& block) {
    auto other = block->what;
    auto& parents = other.body.parents;
    switch (m_random.below(5)) {
        case 0:  // too few
            while (parents.size() >= m_of.by.parent_quorum) parents.erase(parents.begin() + static_cast<std::ptrdiff_t>(m_random.below(parents.size())));
            break;
        case 1: {  // its own named often enough
            while (parents.size() > m_of.by.faulty_max() + 1) {
                const auto at = parents.begin() + static_cast<std::ptrdiff_t>(m_random.below(parents.size()));
                if (at->author != p.author) parents.erase(at);
            }
            const auto own = std::find_if(parents.begin(), parents.end(), [&](const block_ref& ref) { return ref.author == p.author; });
            if (own != parents.end()) parents.insert(own, m_of.by.parent_quorum - parents.size(), block_ref(*own));
            break;
        }
        case 2:  // one that is nowhere
            parents.back().digest = m_random.id<hash256>();
            break;
        case 3: {  // one that was nowhere, from so long ago that only some would look for it: as if it had jumped from there
            const auto age = m_of.by.depth + m_random.below(20);
            if (block->ref.round <= age + 1 || parents.size() == m_of.by.parent_quorum) break;
            std::erase_if(parents, [&](const block_ref& ref) { return ref.author == p.author; });
            other.body.weak.insert(other.body.weak.begin(), {block->ref.round - age, p.author, m_random.id<hash256>()});
            break;
        }
        default:
            if (other.body.coin_share.empty()) other.body.coin_share.push_back(std::byte{1});
            else other.body.coin_share[0] ^= std::byte{1};
    }
    other.sig = p.keys->sign(digest_of(other.body));
    return named(std::move(other));
}

void committee_world::lie(std::uint16_t from, const block_ptr& block) {
    auto& p = m_processes[from];
    block_ptr second = block;
    if (chance(600)) {
        second = fork(p, block);
        p.archive->all.emplace(second->ref, second);
        ++m_report.forks;
    } else if (chance(200) || (!block->body().coin_share.empty() && chance(500))) {
        second = mangle(p, block);
    }
    const auto first_for = static_cast<unsigned>(m_random.below(1001));
    for (std::uint16_t to = 0; to < m_processes.size(); ++to) {
        if (chance(150)) continue;  // withheld
        transmit(from, to, chance(first_for) ? block : second);
        if (chance(100)) transmit(from, to, second);
        if (chance(50)) transmit(from, to, std::next(p.archive->all.begin(), static_cast<std::ptrdiff_t>(m_random.below(p.archive->all.size())))->second);
    }
}

block_ptr committee_world::marked(const process& p, const block_ptr& block, std::size_t mark, const block_ptr& parent) const {
    auto other = block->what;
    other.body.payload.push_back(wire::encode(mark));
    for (auto& ref : other.body.parents)
        if (parent && ref.author == p.author) ref = parent->ref;
    other.sig = p.keys->sign(digest_of(other.body));
    return named(std::move(other));
}

// Names what never was, as much of it as may be.
block_ptr committee_world::baseless(const process& p, const block_ptr& block) {
    auto other = block->what;
    other.body.weak.clear();
    const auto round = block->ref.round;
    for (auto r = round > m_of.by.depth ? round - m_of.by.depth : 1; r + 1 < round; ++r)
        for (author_index author = 0; author < m_of.by.members && other.body.weak.size() < limits::weak_links; ++author)
            other.body.weak.push_back({r, author, m_random.id<hash256>()});
    other.sig = p.keys->sign(digest_of(other.body));
    return named(std::move(other));
}

// Copies of which nothing is sent, then copies upon those: many on one, and one on each of the others, so that whoever takes
// what waits, or what is needed, without counting has them all.
void committee_world::flood(std::uint16_t from, const block_ptr& block) {
    constexpr std::size_t copies = 40;
    auto& p = m_processes[from];
    const bool upon = !p.shown.empty() && p.shown.front()->ref.round + 1 == block->ref.round;
    std::vector<block_ptr> made{block};
    for (std::size_t i = 1; i < copies; ++i) made.push_back(marked(p, block, i, upon && i >= copies / 2 ? p.shown[i] : nullptr));
    for (const auto& copy : made) p.archive->all.emplace(copy->ref, copy);
    m_report.forks += copies - 1;
    if (upon) made.push_back(baseless(p, block));
    for (std::uint16_t to = 0; upon && to < m_processes.size(); ++to)
        for (const auto& copy : made) transmit(from, to, copy);
    p.shown = upon ? std::vector<block_ptr>() : made;
}

// ---- oracles --------------------------------------------------------------------------------------------

void committee_world::violated(std::string what) {
    if (!m_report.violation) m_report.violation = std::move(what);
}

void committee_world::check_sent(const process& p, const block_ptr& block) {
    const auto& ref = block->ref;
    const auto said = m_said.emplace(std::pair(ref.round, ref.author), ref.digest).first;
    if (said->second != ref.digest) violated(name(p) + " said two things in round " + std::to_string(ref.round));
}

// What all honest members have heard is linked to by each of their next blocks: those of the next round but one at the latest,
// since one may be on its way to the disk. (Crashes would make members forget what they heard.)
void committee_world::heard(const block_ref& ref) {
    const auto said = m_said.find({ref.round, ref.author});
    if (m_plan.crashes > 0 || said == m_said.end() || said->second != ref.digest) return;
    const auto honest = static_cast<std::size_t>(std::count_if(m_processes.begin(), m_processes.end(), [](const process& p) { return p.honest(); }));
    if (++m_heard[ref] == honest - 1) m_heard_by_all.emplace(ref, best_round() + 3);
}

// Of a liar's copies an honest member takes two, and what others need: with one liar alone what other honest members took.
void committee_world::check_ceilings(process& p, const actions& what) {
    const auto n = m_of.by.members, f = m_of.by.faulty_max();
    const auto copies_max = replica::copies_max * (f <= 1 ? n - f : (n - f) * n);
    for (const auto& block : what.log)
        if (++p.copies[{block->ref.round, block->ref.author}] > copies_max)
            violated(name(p) + " took more than " + std::to_string(copies_max) + " copies of a block of round " + std::to_string(block->ref.round));
    std::size_t asked = 0;
    for (const auto& request : what.requests) asked += request.blocks.size();
    if (asked > pending::blocks_a_request * (n - 1)) violated(name(p) + " asks for too much at once");
    if (p.archive->lookups > n + limits::weak_links) violated(name(p) + " looks too much up in the archive");
    p.archive->lookups = 0;
    const auto& graph = p.machine->graph();
    if (p.machine->waiting() > n * pending::blocks_an_author || p.machine->wanted() > n * pending::names_an_author)
        violated(name(p) + " lets too much wait");
    if (graph.size() > (graph.highest() - graph.floor() + 1) * (n - f + f * copies_max)) violated(name(p) + " has too large a DAG");
}

void committee_world::check_payload(const block_ptr& block) {
    const auto by_honest = [&](const process& p) { return p.author == block->ref.author && p.honest(); };
    if (std::none_of(m_processes.begin(), m_processes.end(), by_honest)) return;
    for (const auto& item : block->body().payload) {
        if (!m_items.insert(item).second) violated("payload of member " + std::to_string(block->ref.author) + " is in the sequence twice");
        m_owed.erase(item);
    }
}

void committee_world::check_decided(const process& p, const settled& what) {
    const auto verdict = what.leader ? std::optional(what.leader->digest) : std::nullopt;
    const auto [known, fresh] = m_decided.emplace(what.where, verdict);
    if (known->second != verdict)
        violated(name(p) + " decided slot " + std::to_string(what.where.round) + "." + std::to_string(what.where.rank) + " otherwise than another");
    if (fresh) ++(what.leader ? m_report.committed : m_report.skipped);
}

void committee_world::check_commit(process& p, const committed& what) {
    if (what.blocks.empty() || what.blocks.back()->ref != what.leader) violated(name(p) + " committed a leader that does not end what it adds");
    for (const auto& block : what.blocks) {
        if (m_report.violation) return;
        if (p.sequenced == m_sequence.size()) append(what, block);
        else if (m_sequence[p.sequenced] != block->ref) violated(name(p) + " has another block at " + std::to_string(p.sequenced) + " of the sequence");
        ++p.sequenced;
        const auto made = m_made_at.find(block->ref);
        if (block->ref.author != p.author || made == m_made_at.end()) continue;
        m_report.latency.push_back(static_cast<std::uint32_t>((m_now - made->second) * 100 / delta));
        m_made_at.erase(made);
    }
    check_close(p, what);
}

void committee_world::check_close(const process& p, const committed& what) {
    const std::pair here(what.leader, p.sequenced);
    if (m_closed && p.sequenced > m_closed->second) violated(name(p) + " has committed something past the epoch's end");
    if (what.closes && m_closed && *m_closed != here) violated(name(p) + " ends the epoch elsewhere than another");
    if (!what.closes && m_closed && m_closed->first == what.leader) violated(name(p) + " goes on where the epoch has ended for another");
    if (what.closes) m_closed = here;
}

void committee_world::append(const committed& what, const block_ptr& block) {
    if (!m_in_sequence.insert(block->ref).second) violated("a block is in the sequence twice");
    if (what.leader.round < m_last_leader) violated("leaders go back in the sequence");
    m_last_leader = what.leader.round;
    m_leaders.insert(what.leader.round);
    const auto horizon = what.leader.round > m_of.by.depth ? what.leader.round - m_of.by.depth : 0;
    const auto in_order = [&](const block_ref& ref) { return ref.round == 0 || ref.round < horizon || m_in_sequence.contains(ref); };
    const auto& b = block->body();
    if (!std::all_of(b.parents.begin(), b.parents.end(), in_order) || !std::all_of(b.weak.begin(), b.weak.end(), in_order))
        violated("a block is in the sequence before what it refers to");
    check_payload(block);
    m_sequence.push_back(block->ref);
    m_report.trace = crypto::sha256({m_report.trace.view(), block->ref.digest.view()});
}

// What crashed before its payload was durable is owed nothing.
void committee_world::check_handed_on() {
    for (const auto& p : m_processes) {
        if (!p.honest()) continue;
        for (const auto& item : p.machine->unsequenced()) {
            if (m_items.contains(item)) violated(name(p) + " hands on what is in the sequence");
            m_owed.erase(item);
        }
    }
}

bool committee_world::is_behind(const process& p) const {
    if (!p.honest()) return false;
    if (!p.machine) return true;
    return m_plan.close_at > 0 ? !p.machine->closed() : p.machine->order().committed_round() <= m_calm_from + 8;
}

void committee_world::check_end() {
    for (const auto& p : m_processes) {
        if (!p.honest()) continue;
        if (m_plan.close_at > 0 && (!p.machine || !p.machine->closed())) return violated("the epoch does not end for " + name(p));
        if (m_plan.close_at == 0 && p.machine->order().committed_round() <= m_calm_from) return violated(name(p) + " has committed nothing of what came after the storm");
    }
    m_report.closed = m_closed.has_value();
    if (m_closed) check_handed_on();
    if (!m_owed.empty()) return violated(std::to_string(m_owed.size()) + " items of payload that were durable in the storm are not sequenced");
    for (const auto& [ref, from] : m_heard_by_all) {
        const auto leader = m_leaders.lower_bound(from);
        if (leader != m_leaders.end() && *leader <= ref.round + m_of.by.depth && !m_in_sequence.contains(ref))
            return violated("a block of round " + std::to_string(ref.round) + " by honest member " + std::to_string(ref.author) + " is not sequenced");
    }
}

round_number committee_world::best_round() const {
    round_number out = 0;
    for (const auto& p : m_processes)
        if (p.honest() && p.machine) out = std::max(out, p.machine->own_round());
    return out;
}

// ---- the run --------------------------------------------------------------------------------------------

bool committee_world::step() {
    if (m_events.empty()) return false;
    const auto e = m_events.top();
    m_events.pop();
    m_now = e.at;
    auto& p = m_processes[e.to];
    if (e.what == happening::delivery || e.what == happening::asked) {
        if (e.what == happening::asked) answer(e);
        else if (!held(e)) deliver(e);
        return true;
    }
    if (e.life != p.life) return true;
    switch (e.what) {
        case happening::durable:
            p.synced = static_cast<std::size_t>(std::find(p.log.begin(), p.log.end(), p.persisting) - p.log.begin()) + 1;
            p.archive->all.emplace(p.persisting->ref, p.persisting);
            if (m_owing && p.honest())
                for (const auto& item : p.persisting->body().payload)
                    if (!m_items.contains(item)) m_owed.insert(item);
            act(e.to, p.machine->on_durable(local(p)));
            break;
        case happening::timer:
            if (e.at != p.timer) break;
            p.timer = 0;
            act(e.to, p.machine->on_timer(local(p)));
            break;
        default: boot(e.to);
    }
    return true;
}

committee_report committee_world::run() {
    for (std::uint16_t i = 0; i < m_processes.size(); ++i)
        if (m_processes[i].kind != liar_kind::silent) boot(i);
    instant next_change = delta;
    const auto storm_limit = m_plan.calm_round * 60 * delta;
    while (!m_report.violation && best_round() < m_plan.calm_round && m_now < storm_limit && step()) {
        for (; m_now >= next_change; next_change += delta) weather_changes();
    }
    m_calm = true;
    m_owing = false;
    m_cut.clear();
    m_calm_from = best_round();
    const auto calm_at = m_now;
    const auto limit = m_now + m_plan.recovery_max * delta;
    while (!m_report.violation && m_now < limit && step()) {
        const auto behind = [&](const process& p) { return is_behind(p); };
        if ((m_owed.empty() || m_closed) && std::none_of(m_processes.begin(), m_processes.end(), behind)) break;
    }
    m_report.recovery = (m_now - calm_at) / delta;
    if (!m_report.violation) check_end();
    m_report.rounds = best_round();
    for (const auto& p : m_processes)
        if (p.honest() && p.machine) m_report.undecided = std::max<std::uint64_t>(m_report.undecided, p.machine->order().undecided());
    return std::move(m_report);
}

}  // namespace

committee_report run_committee(const committee_plan& plan) { return committee_world(plan).run(); }

committee_plan random_plan(std::uint64_t seed) {
    seeded_random random(seed * 2);
    const auto chance = [&](unsigned permille) { return random.below(1000) < permille; };
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(chance(750) ? 4 : 5 + random.below(4));
    if (chance(300)) out.by.leaders = 1 + random.below(2);
    out.by.coin_interval = 8 + random.below(9);
    out.by.depth = 16 + random.below(12);
    for (auto i = out.by.members; i > 1; --i) std::swap(out.by.permutation[i - 1], out.by.permutation[random.below(i)]);
    out.sky = chance(600) ? weather_kind::directed : chance(500) ? weather_kind::stormy : weather_kind::steady;
    out.liars = chance(550) ? liar_kind::twin : chance(700) ? liar_kind::mutator : liar_kind::none;
    if (out.liars == liar_kind::none && chance(500)) out.crashed = out.by.faulty_max();
    if (chance(300)) out.loss_permille = static_cast<unsigned>(random.below(100));
    if (chance(300)) out.duplicate_permille = static_cast<unsigned>(random.below(200));
    if (chance(300)) out.crashes = 20 + static_cast<unsigned>(random.below(60));
    if (chance(200)) out.cuts = 50 + static_cast<unsigned>(random.below(200));
    out.calm_round = 16 + random.below(20);
    return out;
}

committee_plan lagging_plan(std::uint64_t seed) {
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(seed % 3 == 0 ? 7 : 4);
    out.by.coin_interval = 8;
    out.by.depth = 12;
    out.sky = weather_kind::steady;
    out.liars = liar_kind::mutator;
    out.isolate = true;
    out.calm_round = 50;
    out.recovery_max = 1000;
    return out;
}

committee_plan crashing_plan(std::uint64_t seed) {
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(seed % 4 == 0 ? 5 : 4);
    out.by.coin_interval = 8;
    out.by.depth = 12;
    out.sky = weather_kind::steady;
    out.crashes = 60;
    out.outage_max = 60;
    out.sync_max = 2 * delta;
    out.calm_round = 40;
    out.recovery_max = 600;
    return out;
}

committee_plan flooded_plan(std::uint64_t seed) {
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(seed % 4 == 0 ? 7 : 4);
    out.by.coin_interval = 8;
    out.by.depth = 12;
    out.sky = seed % 2 == 0 ? weather_kind::directed : weather_kind::steady;
    out.liars = liar_kind::flooder;
    out.calm_round = 24;
    return out;
}

committee_plan large_plan(std::uint64_t seed) {
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(11 + seed % 4);
    out.by.coin_interval = 8;
    out.by.depth = 16;
    for (auto i = out.by.members; i > 1; --i) std::swap(out.by.permutation[i - 1], out.by.permutation[(seed * 7 + i) % i]);
    out.sky = seed % 2 == 0 ? weather_kind::directed : weather_kind::stormy;
    out.liars = seed % 3 == 0 ? liar_kind::twin : liar_kind::mutator;
    out.crashed = seed % 5 == 0 ? 1 : 0;
    out.calm_round = 20;
    return out;
}

committee_plan closing_plan(std::uint64_t seed) {
    auto out = seed % 4 == 0 ? crashing_plan(seed) : seed % 4 == 1 ? hostile_liars_plan(seed) : random_plan(seed);
    out.close_at = 8 + seed % 12;
    return out;
}

committee_plan hostile_plan(std::uint64_t seed) {
    committee_plan out;
    out.seed = seed;
    out.by = rules::of(seed % 4 == 0 ? 7 : 4);
    out.by.leaders = 1;
    out.by.coin_interval = 8;
    out.by.depth = 64;
    out.sky = weather_kind::hostile;
    out.calm_round = 16;
    return out;
}

committee_plan hostile_liars_plan(std::uint64_t seed) {
    auto out = hostile_plan(seed);
    out.liars = seed % 2 == 0 ? liar_kind::twin : liar_kind::mutator;
    out.recovery_max = 1000;
    return out;
}

}  // namespace cess::simulation
