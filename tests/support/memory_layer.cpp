#include <support/memory_layer.hpp>

#include <chain/ledger/state.hpp>
#include <core/net/blocking.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace cess::support {
namespace {

using clock = std::chrono::steady_clock;
constexpr auto patience = std::chrono::seconds(20);

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "memory network: %s\n", why.c_str());
    std::abort();
}

chain::account new_account(random_source& random) {
    const auto key = crypto::signing_key::generate(random);
    return {key, crypto::hkdf(key.seed(), {}, "cess volume key wrapping v1")};
}

}  // namespace

// ---- shared state ----------------------------------------------------------------------------------------

struct stored_segment {
    bytes content;
    volume_id volume;
    term_number term;
    bool committed = false;
};

struct memory_journal {
    term_number term;
    std::uint64_t base = 0;          // of entries[0]
    std::deque<bytes> entries;
    std::uint64_t acknowledged = 0;  // index of the first that is not
    std::uint64_t bytes_kept = 0;
};

class memory_session;

struct waiting_append {
    volume_id volume;
    term_number term;
    std::uint64_t index;
    clock::time_point due;
    std::function<void(result<void>)> done;
};

struct memory_network::state {
    state(memory_network& of, memory_options options) : owner(of), how(options) {}

    memory_network& owner;
    const memory_options how;
    mutable std::mutex mutex;
    std::condition_variable changed;
    fault on_fault;
    bool hold = false, stop = false;
    std::mutex told_mutex;
    std::map<std::pair<volume_id, term_number>, std::function<void(const error&)>> told;  // sessions that want to hear it
    std::uint64_t ahead_bytes = 0;
    std::uint64_t life = 1;  // rises with a crash: sessions of older lives are dead

    std::vector<node_id> miners;
    chain::network_config network;
    std::optional<ledger::trust> trust;
    ledger::memory_state ledger_state;
    block_height height{1};
    client_id client;
    std::uint64_t number = 0;
    ledger::freed_cursor freed;

    std::map<std::pair<volume_id, segment_id>, stored_segment> segments;
    std::map<volume_id, memory_journal> journals;
    std::map<volume_id, std::pair<term_number, std::uint64_t>> live;  // unreleased owners: (term, life)
    std::deque<waiting_append> appends;
    std::thread dispatcher;
    std::unique_ptr<layer::layer> face;
    std::unique_ptr<chain::client> client_face;
    std::unique_ptr<layer::session> no_session;
    layer::deadlines limits;

    result<void> ask(std::string_view what) {
        fault f;
        {
            const std::lock_guard lock(mutex);
            f = on_fault;
        }
        return f ? f(what) : result<void>();
    }
    result<bytes> submit(const chain::account& who, ledger::action what);
    void take_back_freed();
    void drop_unlisted(const volume_id& volume, term_number term);
    ledger::volume_record volume(const volume_id& id);
    void dispatch();
};

ledger::volume_record memory_network::state::volume(const volume_id& id) {
    const auto value = ledger_state.get(ledger::key::volume(id));
    if (!value) give_up("no such volume");
    return *wire::decode<ledger::volume_record>(*value);
}

// REQUIRES: mutex
result<bytes> memory_network::state::submit(const chain::account& who, ledger::action what) {
    height = height.next();
    ledger::signed_transaction one;
    one.body.network = trust->network();
    one.body.account = who.id();
    one.body.client = client;
    one.body.number = ++number;
    one.body.expires = block_height{height.value + 100};
    one.body.what = std::move(what);
    ledger::context at;
    at.network = trust->network();
    at.height = height;
    auto out = ledger::apply(ledger_state, one, at, ledger::signature_is::verified);
    if (out.code != errc::ok) return error(out.code, out.what);
    take_back_freed();
    return std::move(out.value);
}

// REQUIRES: mutex
void memory_network::state::take_back_freed() {
    for (;;) {
        const auto page = ledger::list::freed(ledger_state, miners.front(), freed, 100);
        if (page.empty()) return;
        for (const auto& entry : page) {
            freed = entry.at;
            const auto value = ledger_state.get(entry.key);
            if (!value) continue;
            const auto record = wire::decode<ledger::freed_record>(*value);
            segments.erase({record->lineage, record->id});
        }
    }
}

// A final root of a term settles what older terms left behind. REQUIRES: mutex
void memory_network::state::drop_unlisted(const volume_id& volume, term_number term) {
    for (auto it = segments.begin(); it != segments.end();) {
        auto& s = it->second;
        if (s.volume == volume && !s.committed) s.committed = ledger_state.get(ledger::key::segment_by_id(volume, it->first.second)).has_value();
        if (s.volume == volume && !s.committed && s.term < term)
            it = segments.erase(it);
        else
            ++it;
    }
}

void memory_network::state::dispatch() {
    std::unique_lock lock(mutex);
    while (!stop) {
        if (appends.empty() || hold) {
            changed.wait(lock);
            continue;
        }
        // A copy: the standard library looks at the time again after the wait, when a crash may have freed the queue.
        if (const auto due = appends.front().due; due > clock::now()) {
            changed.wait_until(lock, due);
            continue;
        }
        auto next = std::move(appends.front());
        appends.pop_front();
        auto& journal = journals[next.volume];
        const bool ours = journal.term == next.term;
        if (ours) journal.acknowledged = std::max(journal.acknowledged, next.index + 1);
        lock.unlock();
        next.done(ours ? result<void>() : result<void>(error(errc::fenced, "a newer owner took the volume")));
        lock.lock();
    }
}

// ---- the ledger's client ---------------------------------------------------------------------------------

class memory_client final : public chain::client {
public:
    explicit memory_client(memory_network::state& of) : m_of(of) {}
    const chain::network_config& network() const noexcept override { return m_of.network; }
    const ledger::trust& trust() const noexcept override { return *m_of.trust; }
    net::awaitable<result<bytes>> submit(const chain::account& who, ledger::action what, net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        co_return m_of.submit(who, std::move(what));
    }
    net::awaitable<result<ledger::proved_record>> read(bytes key, net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        ledger::proved_record out;
        out.value = m_of.ledger_state.get(key);
        out.key = std::move(key);
        co_return out;
    }
    net::awaitable<result<std::vector<ledger::node_record>>> nodes(net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        co_return ledger::list::nodes(m_of.ledger_state, std::nullopt, 1000);
    }
    net::awaitable<result<std::vector<ledger::volume_record>>> volumes(account_id of, net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        co_return ledger::list::volumes(m_of.ledger_state, of, "", 1000);
    }
    net::awaitable<result<std::vector<ledger::view_record>>> views(volume_id of, net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        co_return ledger::list::views(m_of.ledger_state, of, "", ledger::limits::views_max);
    }
    net::awaitable<result<std::vector<ledger::segment_record>>> segments(volume_id lineage, segment_number after, std::uint32_t limit, net::time_point) override {
        CO_CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        co_return ledger::list::segments(m_of.ledger_state, lineage, after, limit);
    }
    net::awaitable<result<freed_page>> freed_for(node_id, ledger::freed_cursor, net::time_point) override {
        co_return error(errc::unsupported, "the memory network's miners are asked by nobody");
    }
    net::awaitable<result<status>> health(net::time_point) override { co_return status{}; }
    net::awaitable<result<void>> follow_handovers(net::time_point) override { co_return result<void>(); }

private:
    memory_network::state& m_of;
};

// ---- sessions --------------------------------------------------------------------------------------------

class memory_session final : public layer::session {
public:
    memory_session(memory_network::state& of, chain::account who, volume_id volume, term_number term, std::uint64_t reservation)
        : m_of(of), m_who(std::move(who)), m_volume(volume), m_term(term), m_life(of.life), m_reservation(reservation) {}
    ~memory_session() override {
        std::unique_lock lock(m_of.mutex);
        // Entries under way go on: what an owner sent before it died may become durable.
        for (auto& each : m_of.appends)
            if (each.volume == m_volume && each.term == m_term) each.done = [](result<void>) {};
        const auto it = m_of.live.find(m_volume);
        if (it != m_of.live.end() && it->second == std::pair(m_term, m_life)) m_of.live.erase(it);
    }

    term_number term() const noexcept override { return m_term; }
    volume_id volume() const noexcept override { return m_volume; }

    result<ledger::segment_record> put_segment(const layer::keyring& keys, const layer::segment_spec& spec, byte_view content) override {
        CHECK_OK(m_of.ask("put"));
        if (m_of.how.put_time.count()) std::this_thread::sleep_for(m_of.how.put_time);
        if (content.empty() || content.size() > 32 * MiB) return error(errc::invalid, "segment of an impossible size");
        CHECK_OK(keys.find(spec.lineage, spec.key_generation));
        const std::lock_guard lock(m_of.mutex);
        CHECK_OK(alive());
        const auto cost = content.size() / spec.geometry.k * (spec.geometry.k + spec.geometry.m);
        if (m_used + cost > m_reservation) return error(errc::no_space, "the lease's reservation is used up");
        m_used += cost;
        system_random random;
        ledger::segment_record out;
        out.lineage = spec.lineage;
        out.number = spec.number;
        out.geometry = spec.geometry;
        out.length = content.size();
        out.block_size = spec.block_size;
        out.key_generation = spec.key_generation;
        out.salt = random.id<salt256>();
        out.id = segment_id::from(crypto::sha256({out.salt.view(), content}).view());
        out.holders.assign(m_of.miners.begin(), m_of.miners.begin() + spec.geometry.k + spec.geometry.m);
        m_of.segments[{m_volume, out.id}] = {to_bytes(content), m_volume, m_term, false};
        return out;
    }

    entry_index append(bytes payload, std::function<void(result<void>)> done) override {
        auto asked = m_of.ask("append");
        std::unique_lock lock(m_of.mutex);
        if (asked) asked = alive();
        if (asked && m_failed) asked = *m_failed;
        auto& journal = m_of.journals[m_volume];
        if (!asked) {
            m_failed = asked.error();
            lock.unlock();
            done(asked.error());
            return {};
        }
        const auto index = journal.base + journal.entries.size();
        journal.bytes_kept += payload.size();
        journal.entries.push_back(std::move(payload));
        m_of.appends.push_back({m_volume, m_term, index, clock::now() + m_of.how.append_time, std::move(done)});
        m_of.changed.notify_all();
        return {index};
    }
    entry_index next_entry() const noexcept override {
        const std::lock_guard lock(m_of.mutex);
        const auto& journal = m_of.journals[m_volume];
        return {journal.base + journal.entries.size()};
    }
    std::uint64_t journal_bytes() const noexcept override {
        const std::lock_guard lock(m_of.mutex);
        return m_of.journals[m_volume].bytes_kept;
    }

    result<void> commit_root(ledger::commit_root what) override {
        CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        CHECK_OK(alive());
        const auto base = what.head.journal_base.value;
        CHECK_OK(there(what.added));
        CHECK_OK(m_of.submit(m_who, std::move(what)));
        m_of.drop_unlisted(m_volume, m_term);
        auto& journal = m_of.journals[m_volume];
        while (journal.term == m_term && journal.base < base && !journal.entries.empty()) {
            journal.bytes_kept -= journal.entries.front().size();
            journal.entries.pop_front();
            ++journal.base;
        }
        return {};
    }
    result<void> create_view(ledger::create_view what) override {
        CHECK_OK(m_of.ask("ledger"));
        {
            const std::lock_guard lock(m_of.mutex);
            CHECK_OK(alive());
            CHECK_OK(there(what.added));
            CHECK_OK(m_of.submit(m_who, std::move(what)));
        }
        return m_of.ask("answer");
    }
    result<void> add_segments(std::vector<ledger::segment_record> segments) override {
        CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        CHECK_OK(alive());
        CHECK_OK(there(segments));
        ledger::add_segments what;
        what.volume = m_volume;
        what.term = m_term;
        what.segments = std::move(segments);
        CHECK_OK(m_of.submit(m_who, std::move(what)));
        return {};
    }
    result<void> extend_reservation(std::uint64_t more) override {
        CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        CHECK_OK(alive());
        ledger::extend_reservation what;
        what.volume = m_volume;
        what.term = m_term;
        what.reservation = m_reservation + more;
        CHECK_OK(m_of.submit(m_who, std::move(what)));
        m_reservation += more;
        return {};
    }
    std::uint64_t reservation_left() const noexcept override {
        const std::lock_guard lock(m_of.mutex);
        return m_reservation - std::min(m_used, m_reservation);
    }
    void on_deposed(std::function<void(const error&)> tell) override {
        const std::lock_guard lock(m_of.told_mutex);
        m_of.told[{m_volume, m_term}] = std::move(tell);
    }
    bool confirmed() const noexcept override {
        const std::lock_guard lock(m_of.mutex);
        return alive().has_value();
    }
    result<void> release() override {
        CHECK_OK(m_of.ask("ledger"));
        const std::lock_guard lock(m_of.mutex);
        CHECK_OK(alive());
        ledger::release_lease what;
        what.volume = m_volume;
        what.term = m_term;
        CHECK_OK(m_of.submit(m_who, std::move(what)));
        m_of.live.erase(m_volume);
        return {};
    }

private:
    result<void> alive() const {  // REQUIRES: mutex
        if (m_life != m_of.life) return error(errc::unavailable, "this owner died");
        if (m_of.journals[m_volume].term != m_term) return error(errc::fenced, "a newer owner took the volume");
        return {};
    }
    result<void> there(const std::vector<ledger::segment_record>& segments) const {  // REQUIRES: mutex
        for (const auto& each : segments)
            if (!m_of.segments.contains({each.lineage, each.id})) give_up("a segment is registered that nobody stores");
        return {};
    }

    memory_network::state& m_of;
    const chain::account m_who;
    const volume_id m_volume;
    const term_number m_term;
    const std::uint64_t m_life;
    std::uint64_t m_reservation;
    std::uint64_t m_used = 0;
    std::optional<error> m_failed;
};

// ---- the layer -------------------------------------------------------------------------------------------

class memory_layer final : public layer::layer {
public:
    explicit memory_layer(memory_network::state& of) : m_of(of) {}

    result<void> read(const cess::layer::keyring& keys, const std::vector<cess::layer::piece>& pieces) override {
        CHECK_OK(m_of.ask("read"));
        const std::lock_guard lock(m_of.mutex);
        for (const auto& each : pieces) {
            CHECK_OK(keys.find(each.from->lineage, each.from->key_generation));
            const auto it = m_of.segments.find({each.from->lineage, each.from->id});
            if (it == m_of.segments.end()) return error(errc::unavailable, "segment " + std::to_string(each.from->number.value) + " is gone");
            const auto& content = it->second.content;
            if (each.offset > content.size() || each.out.size() > content.size() - each.offset) return error(errc::invalid, "read past a segment");
            std::memcpy(each.out.data(), content.data() + each.offset, each.out.size());
        }
        return {};
    }

    result<void> read_once(const cess::layer::keyring& keys, const std::vector<cess::layer::piece>& pieces) override { return read(keys, pieces); }
    void read_ahead(const cess::layer::keyring&, const std::vector<cess::layer::coming>& what, cess::layer::stream_id) override {
        const std::lock_guard lock(m_of.mutex);
        for (const auto& each : what) m_of.ahead_bytes += each.length;
    }
    void give_up(cess::layer::stream_id) override {}

    std::vector<cess::layer::fragment_fault> verify(const ledger::segment_record& segment) override {
        const std::lock_guard lock(m_of.mutex);
        if (m_of.segments.contains({segment.lineage, segment.id})) return {};
        return {{m_of.miners.front(), segment.id, 0, error(errc::not_found, "segment")}};
    }

    result<ownership> take(const chain::account& who, volume_id id, const crypto::signing_key& session_key, open_options how) override {
        CHECK_OK(m_of.ask("take"));
        const std::lock_guard lock(m_of.mutex);
        const auto live = m_of.live.find(id);
        if (live != m_of.live.end() && live->second.second == m_of.life && !how.force) return error(errc::busy, "volume has an owner that answers");
        auto record = m_of.volume(id);
        ledger::take_lease what;
        what.volume = id;
        what.expected = record.term;
        what.session = session_key.pub();
        what.endpoint = how.endpoint;
        what.reservation = how.reservation;
        what.journal_salt = system_random().id<salt256>();
        for (const auto& miner : m_of.miners) what.members.push_back({miner, incarnation_id::from(miner.view())});
        CHECK_OK(m_of.submit(who, what));
        ownership out;
        out.record = m_of.volume(id);
        auto& journal = m_of.journals[id];
        const auto& head = out.record.head;
        const auto from = head.term == journal.term ? head.journal_base.value : 0;
        if (from < journal.base) return error(errc::corrupt, "the journal was trimmed past the head");
        for (auto i = from - journal.base; i < journal.entries.size(); ++i)
            if (!journal.entries[i].empty()) out.history.push_back(journal.entries[i]);
        memory_journal next;
        next.term = out.record.term;
        next.entries.emplace_back();  // the seal
        for (const auto& entry : out.history) {
            next.entries.push_back(entry);
            next.bytes_kept += entry.size();
        }
        next.acknowledged = next.entries.size();
        journal = std::move(next);
        m_of.live[id] = {out.record.term, m_of.life};
        out.holder = std::make_unique<memory_session>(m_of, who, id, out.record.term, what.reservation);
        return out;
    }

    chain::client& ledger() noexcept override { return *m_of.client_face; }
    net::env& world() noexcept override { return m_of.owner.world(); }
    const cess::layer::deadlines& limits() const noexcept override { return m_of.limits; }

private:
    memory_network::state& m_of;
};

// ---- the network -----------------------------------------------------------------------------------------

memory_network::memory_network(memory_options how) : m_account(new_account(m_random)), m_state(std::make_unique<state>(*this, how)) {
    auto& s = *m_state;
    const auto validator = crypto::signing_key::generate(m_random);
    s.network.origin.name = "memory";
    s.network.origin.first.members = {validator.pub()};
    s.network.origin.default_geometry = how.geometry;
    s.trust.emplace(ledger::id_of(s.network.origin), s.network.origin.first);
    s.limits.append = how.append_deadline;
    s.client = m_random.id<client_id>();
    s.face = std::make_unique<memory_layer>(s);
    s.client_face = std::make_unique<memory_client>(s);
    const auto wide = std::max(4, how.geometry.k + how.geometry.m);
    for (int i = 0; i < wide; ++i) {
        const auto key = crypto::signing_key::generate(m_random);
        ledger::register_node what;
        what.node.id = crypto::id_of<node_id>(key.pub());
        what.node.owner = m_account.id();
        what.node.address = "127.0.0.1:" + std::to_string(1000 + i);
        what.node.failure_domain = "m" + std::to_string(i);
        what.node.offered = how.offer;
        what.consent = ledger::consent_of(key, s.trust->network(), what.node);
        s.miners.push_back(what.node.id);
        if (auto done = s.submit(m_account, std::move(what)); !done) give_up("register: " + done.error().message());
    }
    s.dispatcher = std::thread([&s] { s.dispatch(); });
    auto pattern = (std::filesystem::temp_directory_path() / "cess-memory-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) give_up("no temporary directory");
    m_directory = pattern;
}

memory_network::~memory_network() {
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->stop = true;
    }
    m_state->changed.notify_all();
    m_state->dispatcher.join();
    std::error_code ignored;
    std::filesystem::remove_all(m_directory, ignored);
}

layer::layer& memory_network::layer() noexcept { return *m_state->face; }

ledger::volume_record memory_network::create_volume(const std::string& name, ledger::volume_type type, std::uint64_t size) {
    ledger::create_volume what;
    what.id = m_random.id<volume_id>();
    what.name = name;
    what.type = type;
    what.size = size;
    what.block_size = 4096;
    what.geometry = m_state->how.geometry;
    what.keyring = {layer::keyring::wrap(m_account, what.id, 1, crypto::secret_key::generate(m_random), m_random)};
    const auto id = what.id;
    const std::lock_guard lock(m_state->mutex);
    if (auto done = m_state->submit(m_account, std::move(what)); !done) give_up("create volume: " + done.error().message());
    return m_state->volume(id);
}

result<ledger::volume_record> memory_network::clone(const std::string& name, const std::string& snapshot, const std::string& to) {
    const auto base = record(name);
    const std::lock_guard lock(m_state->mutex);
    const auto value = m_state->ledger_state.get(ledger::key::view(base.id, snapshot));
    if (!value) return error(errc::not_found, "snapshot " + name + "@" + snapshot);
    TRY(auto view, wire::decode<ledger::view_record>(*value));
    ledger::create_volume what;
    what.id = m_random.id<volume_id>();
    what.name = to;
    what.type = base.type;
    what.size = view.size;
    what.block_size = base.block_size;
    what.geometry = base.geometry;
    what.keyring = view.keyring;
    what.keyring.push_back(layer::keyring::wrap(m_account, what.id, 1, crypto::secret_key::generate(m_random), m_random));
    what.base = ledger::view_ref{base.id, snapshot};
    const auto id = what.id;
    CHECK_OK(m_state->submit(m_account, std::move(what)));
    return m_state->volume(id);
}

ledger::volume_record memory_network::record(const std::string& name) {
    const std::lock_guard lock(m_state->mutex);
    const auto named = m_state->ledger_state.get(ledger::key::volume_name(m_account.id(), name));
    if (!named) give_up("no volume " + name);
    return m_state->volume(*wire::decode<volume_id>(*named));
}

result<void> memory_network::delete_snapshot(const std::string& volume, const std::string& snapshot) {
    const auto id = record(volume).id;
    {
        const std::lock_guard lock(m_state->mutex);
        ledger::delete_view what;
        what.volume = id;
        what.name = snapshot;
        CHECK_OK(m_state->submit(m_account, std::move(what)));
    }
    return reap(volume);
}

result<void> memory_network::delete_volume(const std::string& volume) {
    const auto id = record(volume).id;
    const std::lock_guard lock(m_state->mutex);
    CHECK_OK(m_state->submit(m_account, ledger::delete_volume{id}));
    return {};
}

result<void> memory_network::reap(const std::string& volume) {
    const auto id = record(volume).id;
    const std::lock_guard lock(m_state->mutex);
    for (;;) {
        TRY(auto count, m_state->submit(m_account, ledger::reap{id, 100}));
        TRY(auto settled, wire::decode<std::uint64_t>(count));
        if (settled == 0) return {};
    }
}

result<void> memory_network::rename_snapshot(const std::string& volume, const std::string& snapshot, const std::string& to) {
    const auto of = record(volume);
    const std::lock_guard lock(m_state->mutex);
    CHECK_OK(m_state->submit(m_account, ledger::rename_view{of.id, of.term, snapshot, to}));
    return {};
}

result<void> memory_network::anchor_head(const std::string& volume, const std::string& snapshot) {
    const auto of = record(volume);
    ledger::create_view what;
    what.volume = of.id;
    what.term = of.term;
    what.name = snapshot;
    what.at = of.head;
    const std::lock_guard lock(m_state->mutex);
    CHECK_OK(m_state->submit(m_account, std::move(what)));
    return {};
}

result<void> memory_network::resize(const std::string& volume, std::uint64_t size) {
    const auto id = record(volume).id;
    const std::lock_guard lock(m_state->mutex);
    CHECK_OK(m_state->submit(m_account, ledger::resize_volume{id, size}));
    return {};
}

result<std::unique_ptr<volume::volume>> memory_network::open(const std::string& name, volume::settings how) {
    how.directory = m_directory + "/" + std::to_string(++m_opened);
    return volume::open(layer(), m_account, record(name), crypto::signing_key::generate(m_random), std::move(how), m_count);
}

result<std::unique_ptr<volume::reader>> memory_network::open_snapshot(const std::string& name, const std::string& snapshot) {
    volume::settings how;
    how.directory = m_directory + "/" + std::to_string(++m_opened);
    return volume::open_snapshot(layer(), m_account, record(name), snapshot, std::move(how), m_count);
}

void memory_network::set_fault(fault f) {
    const std::lock_guard lock(m_state->mutex);
    m_state->on_fault = std::move(f);
}

void memory_network::hold_appends(bool hold) {
    {
        const std::lock_guard lock(m_state->mutex);
        m_state->hold = hold;
    }
    m_state->changed.notify_all();
}

void memory_network::crash(std::uint64_t survivors) {
    std::deque<waiting_append> lost;
    {
        const std::lock_guard lock(m_state->mutex);
        auto& s = *m_state;
        ++s.life;
        s.live.clear();
        lost.swap(s.appends);
        for (auto& [id, journal] : s.journals)
            while (journal.base + journal.entries.size() > std::max(journal.acknowledged, journal.base) + survivors) {
                journal.bytes_kept -= journal.entries.back().size();
                journal.entries.pop_back();
            }
        for (auto& [id, journal] : s.journals) journal.acknowledged = journal.base + journal.entries.size();
    }
    for (auto& each : lost) each.done(error(errc::unavailable, "this owner died"));
}

void memory_network::depose(const std::string& name) {
    layer::layer::open_options how;
    how.force = true;
    auto taken = layer().take(m_account, record(name).id, crypto::signing_key::generate(m_random), how);
    if (!taken) give_up("depose: " + taken.error().message());
}

void memory_network::tell_deposed(const std::string& name) {
    const auto now = record(name);
    const std::lock_guard lock(m_state->told_mutex);
    for (auto& [of, tell] : m_state->told)
        if (of.first == now.id && of.second < now.term && tell) tell(error(errc::fenced, "a newer owner took the volume"));
}

bool memory_network::has_segment(const volume_id& lineage, segment_number number) const {
    const std::lock_guard lock(m_state->mutex);
    const auto there = [&](segment_number which) { return m_state->ledger_state.get(ledger::key::segment(lineage, which)).has_value(); };
    if (there(number)) return true;
    const auto leads = m_state->ledger_state.get(ledger::key::forward(lineage, number));
    return leads && there(wire::decode<ledger::forward_record>(*leads)->to);
}

std::size_t memory_network::segments() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->segments.size();
}

std::uint64_t memory_network::segment_bytes() const {
    const std::lock_guard lock(m_state->mutex);
    std::uint64_t sum = 0;
    for (const auto& [id, segment] : m_state->segments) sum += segment.content.size();
    return sum;
}

std::uint64_t memory_network::data_bytes(const std::string& name) const {
    const auto v = const_cast<memory_network*>(this)->record(name);
    const std::lock_guard lock(m_state->mutex);
    std::uint64_t sum = 0;
    for (const auto& each : ledger::list::segments(m_state->ledger_state, v.id, {}, SIZE_MAX))
        if (each.block_size == v.block_size) sum += each.length;  // metadata has larger blocks
    return sum;
}

std::uint64_t memory_network::ahead_bytes() const {
    const std::lock_guard lock(m_state->mutex);
    return m_state->ahead_bytes;
}

std::size_t memory_network::journal_entries(const std::string& name) const {
    const auto id = const_cast<memory_network*>(this)->record(name).id;
    const std::lock_guard lock(m_state->mutex);
    return m_state->journals[id].entries.size();
}

std::uint64_t memory_network::journal_bytes(const std::string& name) const {
    const auto id = const_cast<memory_network*>(this)->record(name).id;
    const std::lock_guard lock(m_state->mutex);
    return m_state->journals[id].bytes_kept;
}

}  // namespace cess::support
