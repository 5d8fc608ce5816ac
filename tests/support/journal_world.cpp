#include <support/journal_world.hpp>

#include <algorithm>

namespace cess::simulation {
namespace {

layer::deadlines quick() {
    layer::deadlines out;
    out.append = 8s;
    out.recovery = 8s;
    out.request = 700ms;
    out.ledger = 2s;
    out.owner_silence = 1s;
    return out;
}

}  // namespace

// ---- a process -------------------------------------------------------------------------------------------

owner_process::owner_process(journal_world& in, std::uint64_t)
    : m_in(in), m_session(crypto::signing_key::generate(in.m_world.random())), m_id(crypto::id_of<node_id>(m_session.pub())),
      m_caller(in.m_network.caller_as(m_id)), m_ledger(in.m_ledger, in.m_world.random().id<client_id>()),
      m_directory(in.m_world, m_ledger), m_tasks(in.m_world.executor()) {}

owner_process::~owner_process() = default;

void owner_process::take(bool force) {
    m_taking = true;
    m_tasks.spawn(run_take(force));
}

net::awaitable<void> owner_process::run_take(bool force) {
    layer::recovery_context on{m_in.m_world, *m_caller, m_ledger, m_directory, quick()};
    layer::take_options how;
    how.endpoint = "somewhere";
    how.reservation = 1 * MiB;
    how.force = force;
    how.journal.window_bytes = 600;
    how.journal.page_bytes = 400;
    how.journal.group_bytes_max = 300;
    how.journal.group_count_max = 4;
    how.journal.spare_after = 100ms;
    how.entry_size_max = 64;
    how.broken = m_in.m_how.broken;
    auto taken = co_await layer::take_volume(on, m_in.m_account, m_in.m_volume, m_session, how);
    m_taking = false;
    if (!taken) {
        m_failure = std::move(taken).error();
        m_in.m_world.trace("take failed " + m_failure->message());
        co_return;
    }
    m_taken = std::move(*taken);
    if (m_dead) co_return;
    const auto& head = m_taken->record.head;
    auto full = m_in.m_roots[std::pair(head.term, head.sequence)];
    for (const auto& payload : m_taken->history) full.push_back(to_string(payload));
    m_in.m_world.trace("took " + std::to_string(m_taken->lease.term.value) + " with " + std::to_string(full.size()));
    m_full = std::move(full);
}

void owner_process::append(std::size_t size) {
    if (!serving() || m_taken->journal->failure()) return;
    auto text = std::to_string(m_taken->lease.term.value) + ':' + std::to_string(m_appended.size()) + ':';
    text.resize(std::max(text.size(), size), '.');
    auto entries = m_taken->sealer->seal_split(as_view(text));
    m_appended.push_back(std::move(text));
    m_ends.push_back(entries.back().index.next());
    m_taken->journal->append(std::move(entries), [this](result<void> done) {
        if (done)
            ++m_acknowledged;
        else if (!m_failure)
            m_failure = done.error();
    });
}

// A root that contains everything acknowledged so far.
void owner_process::commit() {
    if (!serving() || m_committing || m_acknowledged == 0) return;
    m_committing = true;
    const auto contained = m_acknowledged;
    ledger::commit_root what;
    what.volume = m_in.m_volume;
    what.term = m_taken->lease.term;
    what.head.term = what.term;
    what.head.sequence = {m_full->size() + contained};
    what.head.journal_base = m_ends[contained - 1];
    const auto base = what.head.journal_base;
    m_tasks.spawn(run_commit(std::move(what), base, contained));
}

net::awaitable<void> owner_process::run_commit(ledger::commit_root what, entry_index base, std::size_t contained) {
    auto contents = *m_full;
    contents.insert(contents.end(), m_appended.begin(), m_appended.begin() + static_cast<std::ptrdiff_t>(contained));
    m_in.m_roots[std::pair(what.term, what.head.sequence)] = std::move(contents);
    ledger::action action = std::move(what);
    auto done = co_await m_ledger.submit(m_in.m_account, std::move(action), m_in.m_world.now() + 2s);
    if (done) {
        auto proved = co_await m_ledger.read(ledger::key::volume(m_in.m_volume), m_in.m_world.now() + 2s);
        if (proved && !m_dead) {
            m_taken->link->set_lease(std::make_shared<const ledger::proved_record>(std::move(*proved)));
            m_taken->journal->trim(base);
        }
    }
    m_committing = false;
}

void owner_process::kill() {
    if (m_dead) return;
    m_dead = true;
    m_in.m_network.kill_caller(m_id);
    m_ledger.dead = true;
}

void owner_process::stop() {
    kill();
    m_tasks.cancel();
    const auto end = [](owner_process* self) -> net::awaitable<result<void>> {
        co_await self->m_tasks.join();
        if (self->m_taken) co_await self->m_taken->journal->stop();
        co_return result<void>();
    };
    auto op = end(this);
    (void)m_in.m_world.run(std::move(op));
}

// ---- the stage -------------------------------------------------------------------------------------------

journal_world::journal_world(std::uint64_t seed, options how)
    : m_how(how), m_world(seed), m_account{crypto::signing_key::generate(m_world.random()), crypto::secret_key::generate(m_world.random())},
      m_volume(m_world.random().id<volume_id>()) {
    set_up();
}

journal_world::~journal_world() {
    for (auto& owner : m_owners) owner->stop();
}

void journal_world::set_up() {
    const auto client = m_world.random().id<client_id>();
    std::uint64_t number = 0;
    for (unsigned i = 0; i < m_how.miners; ++i) {
        const auto key = crypto::signing_key::generate(m_world.random());
        ledger::register_node joins;
        joins.node.id = crypto::id_of<node_id>(key.pub());
        joins.node.owner = m_account.id();
        joins.node.address = "miner" + std::to_string(i);
        joins.node.failure_domain = joins.node.address;
        joins.node.offered = 100 * GiB;
        joins.consent = ledger::consent_of(key, m_ledger.trust().network(), joins.node);
        m_ledger.apply(m_account, client, ++number, joins);
        m_miners.push_back(std::make_unique<model_miner>(m_world, m_network, m_ledger.trust(), joins.node.id));
        m_miners.back()->start();
    }
    ledger::create_volume make;
    make.id = m_volume;
    make.name = "v";
    make.block_size = 4096;
    make.geometry.k = 2;
    make.geometry.m = static_cast<std::uint8_t>(m_how.tolerated);
    make.keyring.push_back(layer::keyring::wrap(m_account, m_volume, 0, crypto::secret_key::generate(m_world.random()), m_world.random()));
    m_ledger.apply(m_account, client, ++number, make);
    (void)m_ledger.volume(m_volume);
}

owner_process& journal_world::new_owner() {
    m_owners.push_back(std::make_unique<owner_process>(*this, m_owners.size()));
    return *m_owners.back();
}

model_miner* journal_world::find(const node_id& id) {
    for (auto& m : m_miners)
        if (m->id() == id) return m.get();
    return nullptr;
}

void journal_world::heal() {
    m_network.sky() = weather{};
    m_network.mend_all();
    m_ledger.down = false;
    m_ledger.lost_permille = 0;
    for (auto& m : m_miners)
        if (!m->is_up()) m->start();
}

std::optional<std::string> journal_world::violation() const {
    std::vector<const owner_process*> took;
    for (const auto& owner : m_owners)
        if (owner->m_full) took.push_back(owner.get());
    std::sort(took.begin(), took.end(), [](const auto* a, const auto* b) { return a->m_taken->lease.term < b->m_taken->lease.term; });
    const std::vector<std::string> nothing;
    for (std::size_t i = 0; i < took.size(); ++i) {
        const auto& now = *took[i]->m_full;
        const auto who = "term " + std::to_string(took[i]->m_taken->lease.term.value);
        if (i == 0) {
            if (!now.empty()) return who + " found entries in a new volume";
            continue;
        }
        const auto& before = *took[i - 1];
        const auto& base = *before.m_full;
        const auto after = " after term " + std::to_string(before.m_taken->lease.term.value);
        if (now.size() < base.size() || !std::equal(base.begin(), base.end(), now.begin())) return who + " lost what its predecessor saw" + after;
        const auto own = now.size() - base.size();
        if (own > before.m_appended.size() || !std::equal(now.begin() + static_cast<std::ptrdiff_t>(base.size()), now.end(), before.m_appended.begin()))
            return who + " found entries that its predecessor did not append" + after;
        if (own < before.m_acknowledged)
            return who + " found " + std::to_string(own) + " of " + std::to_string(before.m_acknowledged) + " acknowledged entries" + after;
    }
    return m_violation;
}

}  // namespace cess::simulation
