#include <objectstore/layer/journal_writer.hpp>

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::layer {

using namespace std::chrono_literals;

journal_writer::journal_writer(boost::asio::any_io_executor strand, std::shared_ptr<miner_link> link, chain::client& ledger,
                               crypto::signing_key session, setup how)
    : m_link(std::move(link)), m_world(m_link->world()), m_ledger(ledger), m_session(std::move(session)), m_how(std::move(how)),
      m_changed(strand), m_tasks(strand) {
    for (const auto& chosen : m_how.members) {
        member m;
        m.miner = chosen.miner;
        m_members.push_back(m);
    }
    choose_targets();
}

journal_writer::~journal_writer() = default;

void journal_writer::start() {
    for (std::size_t i = 0; i < m_members.size(); ++i) m_tasks.spawn(run_member(shared_from_this(), i));
    m_tasks.spawn(watch(shared_from_this()));
}

net::awaitable<void> journal_writer::stop() {
    m_stopped = true;
    m_changed.notify();
    co_await m_tasks.stop();
    fail(error(errc::canceled, "journal closed"));
}

void journal_writer::append(std::vector<sealed_entry> entries, completion done) {
    if (m_failure) return done(*m_failure);
    waiting w;
    w.end = entries.back().index.next();
    w.done = std::move(done);
    w.deadline = m_world.now() + m_how.limits.append;
    m_waiting.push_back(std::move(w));
    for (auto& entry : entries) m_pending.push_back(std::move(entry));
    form_groups();
    m_changed.notify();
}

// ---- groups ----------------------------------------------------------------------------------------------

std::size_t journal_writer::groups_in_flight() const {
    // The window is in order, and most of it is acknowledged: it is kept for members that need it again.
    const auto last = std::find_if(m_window.rbegin(), m_window.rend(), [this](const auto& g) { return g->end <= m_acknowledged; });
    return static_cast<std::size_t>(last - m_window.rbegin());
}

bool journal_writer::somebody_idle() const {
    return std::any_of(m_members.begin(), m_members.end(), [this](const member& m) { return healthy(m) && m.durable == m_end; });
}

// What has gathered goes out together: a new group is formed when nothing is under way, or when a member waits for work.
void journal_writer::form_groups() {
    while (!m_pending.empty() && !m_failure) {
        const auto in_flight = groups_in_flight();
        if (in_flight >= m_how.limits.groups_in_flight_max || (in_flight > 0 && !somebody_idle())) return;
        std::size_t count = 0, size = 0;
        while (count < m_pending.size() && count < m_how.limits.group_count_max) {
            size += m_pending[count].payload.size();
            if (count > 0 && size > m_how.limits.group_bytes_max) break;
            ++count;
        }
        add_group(count);
    }
}

void journal_writer::add_group(std::size_t count) {
    auto g = std::make_shared<group>();
    g->first = m_pending.front().index;
    g->previous = m_pending.front().previous;
    g->formed = m_world.now();
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) size += m_pending[i].payload.size();
    g->body.resize(size);
    auto* out = g->body.data();
    for (std::size_t i = 0; i < count; ++i) {
        const auto& entry = m_pending.front();
        g->lengths.push_back(static_cast<std::uint32_t>(entry.payload.size()));
        std::memcpy(out, entry.payload.data(), entry.payload.size());
        out += entry.payload.size();
        g->chain = entry.chain;
        g->end = entry.index.next();
        m_pending.pop_front();
    }
    const entry_index last{g->end.value - 1};
    g->sig = m_session.sign(storage::group_digest(m_how.journal, last, g->chain).view());
    mark at;
    at.first = g->first;
    at.end = g->end;
    at.previous = g->previous;
    at.chain = g->chain;
    at.size = size;
    m_marks.push_back(at);
    m_end = g->end;
    m_window_bytes += size;
    m_bytes_kept += size;
    m_window.push_back(std::move(g));
    shrink_window();
    m_changed.notify();
}

void journal_writer::shrink_window() {
    while (!m_window.empty() && m_window.front()->end <= m_acknowledged && m_window_bytes > m_how.limits.window_bytes) {
        m_window_bytes -= m_window.front()->body.size();
        m_window.pop_front();
    }
}

std::shared_ptr<const journal_writer::group> journal_writer::in_window(entry_index first) const {
    const auto found = std::lower_bound(m_window.begin(), m_window.end(), first, [](const auto& g, entry_index at) { return g->first < at; });
    return found != m_window.end() && (*found)->first == first ? *found : nullptr;
}

const journal_writer::mark* journal_writer::mark_at(entry_index first) const {
    const auto found = std::lower_bound(m_marks.begin(), m_marks.end(), first, [](const mark& g, entry_index at) { return g.first < at; });
    return found != m_marks.end() && found->first == first ? &*found : nullptr;
}

const journal_writer::mark* journal_writer::mark_before(entry_index end) const {
    const auto found = std::lower_bound(m_marks.begin(), m_marks.end(), end, [](const mark& g, entry_index at) { return g.end < at; });
    return found != m_marks.end() && found->end == end ? &*found : nullptr;
}

// What a member is sent next: the groups of the window from its end on, as one. The last one's signature is of the chain,
// so it holds for all.
std::vector<std::shared_ptr<const journal_writer::group>> journal_writer::next_for(const member& m) const {
    std::vector<std::shared_ptr<const group>> out;
    auto at = std::lower_bound(m_window.begin(), m_window.end(), m.durable, [](const auto& g, entry_index first) { return g->first < first; });
    std::size_t count = 0, size = 0;
    for (; at != m_window.end(); ++at) {
        count += (*at)->lengths.size();
        size += (*at)->body.size();
        if (!out.empty() && (count > m_how.limits.group_count_max || size > m_how.limits.group_bytes_max)) break;
        out.push_back(*at);
    }
    return out;
}

// ---- members ---------------------------------------------------------------------------------------------

bool journal_writer::has_work(const member& m) const { return m.target && !m.fenced && m.durable < m_end; }

bool journal_writer::healthy(const member& m) const {
    if (!m.target || m.fenced || m.behind) return false;
    return !m.owes || (m.failures == 0 && m_world.now() - m.quiet_since < m_how.limits.spare_after);
}

// Keeps E members up to date or coming, as long as there are spares.
void journal_writer::choose_targets() {
    const std::size_t wanted = std::min<std::size_t>(m_members.size(), m_how.tolerated + 2);
    auto good = static_cast<std::size_t>(std::count_if(m_members.begin(), m_members.end(), [this](const member& m) {
        return healthy(m) || (m.target && m.behind && m.failures == 0 && !m.fenced);
    }));
    for (auto& m : m_members) {
        if (good >= wanted) break;
        if (m.target || m.fenced) continue;
        m.target = true;
        ++good;
        m_changed.notify();
    }
    choose_prompt();
}

// As many as answers wait for: of those that are up to date, who has most, then who is quickest.
void journal_writer::choose_prompt() {
    std::size_t chosen = 0;
    for (auto& m : m_members) {
        m.prompt = m.prompt && healthy(m);
        chosen += m.prompt ? 1u : 0u;
    }
    for (; chosen < members_needed(); ++chosen) {
        member* best = nullptr;
        for (auto& m : m_members) {
            if (m.prompt || !healthy(m)) continue;
            if (!best || m.durable > best->durable || (m.durable == best->durable && m.pace < best->pace)) best = &m;
        }
        if (!best) return;
        best->prompt = true;
    }
}

// Who has what a prompt member has not, or answers in half its time, changes places with it.
void journal_writer::passed(member& from) {
    if (from.prompt || !healthy(from)) return;
    const auto slower = std::find_if(m_members.begin(), m_members.end(), [&](const member& m) {
        return m.prompt && (m.durable < from.durable || m.pace > 2 * from.pace);
    });
    if (slower == m_members.end()) return;
    slower->prompt = false;
    from.prompt = true;
}

// When a member that has work is to be sent it. Only one that no answer waits for is put off: not one that failed or is
// being filled, and nobody while there are too few without it.
net::time_point journal_writer::due(const member& m) const {
    const auto next = in_window(m.durable);
    if (m.prompt || m.stale || m.failures > 0 || !next) return {};
    const auto prompt = std::count_if(m_members.begin(), m_members.end(), [](const member& other) { return other.prompt; });
    return static_cast<unsigned>(prompt) < members_needed() ? net::time_point{} : next->formed + m_how.limits.lag;
}

net::awaitable<void> journal_writer::run_member(std::shared_ptr<journal_writer> self, std::size_t which) {
    while (!self->m_stopped && !self->m_failure) {
        auto& m = self->m_members[which];
        if (!self->has_work(m)) {
            m.owes = false;
            co_await self->m_changed.wait();
            continue;
        }
        if (const auto due = self->due(m); due > self->m_world.now()) {
            m.owes = false;
            auto waited = co_await self->m_world.sleep_until(due);
            if (!waited) co_return;
            continue;
        }
        if (!m.owes) {
            m.owes = true;
            m.quiet_since = self->m_world.now();
        }
        auto done = co_await self->advance(which);
        auto& after = self->m_members[which];
        if (done) {
            after.failures = 0;
            after.owes = false;
            continue;
        }
        if (done.error().code == errc::canceled) co_return;
        if (done.error().code == errc::fenced) self->heard_fenced(after);
        ++after.failures;
        self->choose_targets();
        const net::duration pause = 25ms * (1u << std::min(after.failures, 6u));
        auto slept = co_await self->m_world.sleep_for(pause);
        if (!slept) co_return;
    }
}

// One step of a member towards the end: a group from the window, or a page copied from somebody who has it.
net::awaitable<result<void>> journal_writer::advance(std::size_t which) {
    if (m_members[which].stale) {
        CO_CHECK_OK(co_await trim_at(m_members[which].miner));
        m_members[which].stale = false;
    }
    auto& m = m_members[which];
    if (m.durable < begin()) m.durable = begin();
    if (m.durable >= m_end) {  // all that it missed was trimmed
        m.behind = false;
        co_return result<void>();
    }
    m.behind = in_window(m.durable) == nullptr;
    if (!m.behind) co_return co_await send_window(which);
    co_return co_await copy_page(which);
}

net::awaitable<result<void>> journal_writer::send_window(std::size_t which) {
    const auto groups = next_for(m_members[which]);
    const auto& last = *groups.back();
    storage::append_request message;
    message.journal = m_how.journal;
    message.first = groups.front()->first;
    message.begin = begin();
    message.previous = groups.front()->previous;
    message.chain = last.chain;
    message.sig = last.sig;
    bytes joined;
    std::size_t size = 0;
    for (const auto& g : groups) size += g->body.size();
    if (groups.size() > 1) joined.reserve(size);
    for (const auto& g : groups) {
        message.lengths.insert(message.lengths.end(), g->lengths.begin(), g->lengths.end());
        if (groups.size() > 1) cess::append(joined, g->body);
    }
    auto body = groups.size() > 1 ? net::request_body(std::move(joined)) : net::request_body::lent(last.body, groups.back());
    co_return co_await send(which, std::move(message), std::move(body), last.end);
}

net::awaitable<result<void>> journal_writer::send(std::size_t which, storage::append_request what, net::request_body body, entry_index end) {
    const auto began = m_world.now();
    const auto deadline = began + m_how.limits.request;
    auto answer = co_await m_link->ask<storage::append_reply>(m_members[which].miner, storage::method::journal_append, std::move(what), std::move(body),
                                                              deadline, net::lane::control);
    if (!answer) co_return std::move(answer).error();
    auto& m = m_members[which];
    const auto lasted = m_world.now() - began;
    m.pace = m.pace == net::duration::zero() ? lasted : (7 * m.pace + lasted) / 8;
    co_return took(m, end, answer->message.durable);
}

result<void> journal_writer::took(member& from, entry_index sent_end, entry_index says) {
    if (says < sent_end) {
        // It has less than we believed: it is new, or lost everything below the last trim. It starts over from what it has.
        const bool known = says >= begin() && (says == m_end || mark_at(says) != nullptr);
        from.stale = says < begin() && says.value > 0;
        const bool moved = known && says != from.durable;
        from.durable = known ? says : begin();
        if (moved) return {};
        return error(errc::conflict, "miner " + from.miner.brief() + " does not take the journal's next entry");
    }
    from.durable = std::max(from.durable, sent_end);
    passed(from);
    reach(m_how.crashes, crash_point::member_answered);
    recompute();
    return {};
}

net::awaitable<result<void>> journal_writer::copy_page(std::size_t which) {
    const auto source = source_for(which);
    if (!source) co_return error(errc::unavailable, "no member has the journal's older entries");
    storage::journal_read_request message;
    message.journal = m_how.journal;
    message.from = m_members[which].durable;
    message.bytes_max = m_how.limits.page_bytes;
    const auto deadline = m_world.now() + m_how.limits.request;
    CO_TRY(auto page, co_await m_link->ask<storage::journal_read_reply>(m_members[*source].miner, storage::method::journal_read, message,
                                                                       net::request_body(), deadline, net::lane::bulk));
    byte_view body = page.body;
    for (const auto& stored : page.message.groups) {
        std::uint64_t size = 0;
        for (const auto length : stored.lengths) size += length;
        if (size > body.size()) co_return error(errc::corrupt, "copied journal group is cut short");
        CO_CHECK_OK(co_await copy_group(which, stored, body.first(size)));
        body = body.subspan(size);
        if (in_window(m_members[which].durable)) co_return result<void>();
    }
    co_return page.message.groups.empty() ? result<void>(error(errc::corrupt, "copied journal page is empty")) : result<void>();
}

// What a member lacks of a group that another one has, which may have got several of ours as one.
net::awaitable<result<void>> journal_writer::copy_group(std::size_t which, storage::stored_group stored, byte_view body) {
    const auto from = m_members[which].durable;
    const entry_index end{stored.first.value + stored.lengths.size()};
    const auto* start = mark_at(from);
    const auto* last = mark_before(end);
    if (stored.first > from || end <= from || !start || !last) co_return error(errc::corrupt, "copied journal group out of place");
    storage::append_request message;
    message.journal = m_how.journal;
    message.first = from;
    message.begin = begin();
    message.previous = message.chain = start->previous;
    auto index = stored.first;
    auto rest = body;
    for (const auto length : stored.lengths) {
        if (index == from) body = rest;
        if (index >= from) {
            message.chain = storage::chain_hash(m_how.journal, index, message.chain, rest.first(length));
            message.lengths.push_back(length);
        }
        rest = rest.subspan(length);
        index = index.next();
    }
    if (message.chain != last->chain) co_return error(errc::corrupt, "copied journal group is not what was written");
    // Signed again: the copy's source may lie, and a member that holds a false signature is no answer to a recovery.
    message.sig = m_session.sign(storage::group_digest(m_how.journal, {end.value - 1}, message.chain).view());
    net::request_body copy(to_bytes(body));
    co_return co_await send(which, std::move(message), std::move(copy), end);
}

std::optional<std::size_t> journal_writer::source_for(std::size_t which) const {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < m_members.size(); ++i) {
        const auto& m = m_members[i];
        if (i == which || m.durable <= m_members[which].durable) continue;
        if (!best || m.failures < m_members[*best].failures) best = i;
    }
    return best;
}

// ---- acknowledging and failing ---------------------------------------------------------------------------

void journal_writer::recompute() {
    std::vector<entry_index> durable;
    for (const auto& m : m_members) durable.push_back(m.durable);
    std::sort(durable.rbegin(), durable.rend());
    const std::size_t needed = m_how.broken.acknowledge_early ? m_how.tolerated : m_how.tolerated + 1;
    if (durable.size() < needed || durable[needed - 1] <= m_acknowledged) {
        form_groups();
        return;
    }
    m_acknowledged = durable[needed - 1];
    m_progress = m_world.now();
    if (std::exchange(m_silent, false))
        log::info("layer", "journal members are back, appends go on volume={} term={} entry={}", m_how.journal.volume.brief(), m_how.journal.term.value, m_acknowledged.value);
    shrink_window();
    form_groups();
    while (!m_failure && !m_waiting.empty() && m_waiting.front().end <= m_acknowledged) {
        const auto done = std::move(m_waiting.front().done);
        m_waiting.pop_front();
        done(result<void>());
    }
}

void journal_writer::fail(error why) {
    if (m_failure) return;
    m_failure = std::move(why);
    m_pending.clear();
    m_changed.notify();
    auto owed = std::move(m_waiting);
    m_waiting.clear();
    for (auto& w : owed) w.done(*m_failure);
}

void journal_writer::heard_fenced(member& from) {
    from.fenced = true;
    const auto fenced = std::count_if(m_members.begin(), m_members.end(), [](const member& m) { return m.fenced; });
    // More than m of them cannot all be lying.
    if (static_cast<unsigned>(fenced) > m_how.tolerated) fail(error(errc::fenced, "another owner took the volume"));
    m_changed.notify();
}

void journal_writer::heard_nobody() {
    if (std::exchange(m_silent, true)) return;
    log::warn("layer", "too few journal members answer, appends wait for them volume={} term={} entry={}", m_how.journal.volume.brief(), m_how.journal.term.value, m_acknowledged.value);
}

// The clockwork: deadlines of appends, substitutes for silent members, and, after a fence, what the ledger says.
net::awaitable<void> journal_writer::watch(std::shared_ptr<journal_writer> self) {
    while (!self->m_stopped && !self->m_failure) {
        if (self->m_waiting.empty()) {
            co_await self->m_changed.wait();
            continue;
        }
        const auto now = self->m_world.now();
        // What moves on is not late: a long tail, or a full pipeline on a slow line, takes its time.
        const auto deadline = std::max(self->m_waiting.front().deadline, self->m_progress + self->m_how.limits.append);
        const bool late = deadline <= now;
        if (late && self->m_patient) self->heard_nobody();
        if (late && !self->m_patient) {
            self->fail(error(errc::timeout, "too few journal members answered"));
            co_return;
        }
        self->choose_targets();
        const bool anybody_fenced = std::any_of(self->m_members.begin(), self->m_members.end(), [](const member& m) { return m.fenced; });
        // In a silence nobody can say that somebody else owns the volume now, except the ledger.
        const auto ask_after = anybody_fenced ? 500ms : 5000ms;
        if ((anybody_fenced || self->m_silent) && !self->m_asking_ledger && now - self->m_asked_ledger > ask_after) {
            self->m_asking_ledger = true;
            self->m_tasks.spawn(ask_ledger(self));
        }
        const auto wake = late ? now + net::duration(100ms) : std::min(deadline, now + net::duration(100ms));
        auto slept = co_await self->m_world.sleep_until(wake);
        if (!slept) co_return;
    }
}

net::awaitable<void> journal_writer::ask_ledger(std::shared_ptr<journal_writer> self) {
    auto proved = co_await self->m_ledger.read(ledger::key::volume(self->m_how.journal.volume), self->m_world.now() + self->m_how.limits.request);
    self->m_asking_ledger = false;
    self->m_asked_ledger = self->m_world.now();
    if (!proved) co_return;
    auto record = self->m_ledger.trust().value_of<ledger::volume_record>(*proved);
    if (record && record->term > self->m_how.journal.term) self->fail(error(errc::fenced, "another owner took the volume"));
}

// ---- trimming --------------------------------------------------------------------------------------------

void journal_writer::trim(entry_index base) {
    reach(m_how.crashes, crash_point::trim_begun);
    while (!m_marks.empty() && m_marks.front().end <= base) {
        m_bytes_kept -= m_marks.front().size;
        m_marks.pop_front();
    }
    // A certified root contains what was before: it needs no member any more, and whoever waits for it is answered.
    for (auto& m : m_members) m.durable = std::max(m.durable, begin());
    recompute();
    for (std::size_t i = 0; i < m_members.size(); ++i) m_tasks.spawn(tell_trimmed(shared_from_this(), i));
}

net::awaitable<void> journal_writer::tell_trimmed(std::shared_ptr<journal_writer> self, std::size_t which) {
    const auto miner = self->m_members[which].miner;
    for (int attempt = 0; attempt < 3 && !self->m_stopped; ++attempt) {
        auto told = co_await self->trim_at(miner);
        if (told) reach(self->m_how.crashes, crash_point::trim_told);
        if (told || told.error().code == errc::fenced || told.error().code == errc::canceled) co_return;
        auto slept = co_await self->m_world.sleep_for(1s * (attempt + 1));
        if (!slept) co_return;
    }
}

net::awaitable<result<void>> journal_writer::trim_at(node_id miner) {
    const auto certificate = m_link->lease();
    if (!certificate) co_return error(errc::lease_required, "no certificate to trim by");
    storage::trim_request message;
    message.volume = *certificate;
    auto answer = co_await m_link->ask<storage::empty_reply>(miner, storage::method::journal_trim, std::move(message), net::request_body(),
                                                             m_world.now() + m_how.limits.request, net::lane::control);
    if (!answer) co_return std::move(answer).error();
    co_return result<void>();
}

}  // namespace cess::layer
