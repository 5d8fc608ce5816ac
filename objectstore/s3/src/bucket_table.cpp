#include "bucket_table.hpp"

#include <core/base/log.hpp>

namespace cess::s3 {

namespace {

constexpr auto refusal_remembered = std::chrono::seconds(1);
constexpr std::size_t refusals_max = 1024;
constexpr auto removal_patience = std::chrono::seconds(10);

std::string label(const std::string& name, const std::string& snapshot) { return snapshot.empty() ? name : name + "@" + snapshot; }

}  // namespace

struct bucket_table::entry {
    enum class state { busy, ready };  // busy: being attached, detached or deleted; wait and look again
    std::string key;
    state at = state::busy;
    std::size_t users = 0;
    net::time_point used;
    std::atomic<bool> failed{false};
    std::unique_ptr<attached_bucket> attachment;
    std::unique_ptr<bucket> objects;
    std::unique_ptr<committer> commits;
    std::vector<net::resumption<result<void>>> parked;

    result<void> shut() {
        commits.reset();
        objects.reset();
        auto last = std::move(attachment);
        // A head that failed is not closed in order: what was not acknowledged is given up, as after a crash.
        if (!last || failed) return {};
        return last->detach();
    }
};

// Waits until a busy entry is not.
struct bucket_table::parked {
    bucket_table* table;
    std::shared_ptr<entry> on;
    void operator()(net::resumption<result<void>> done) {
        {
            const std::lock_guard hold(table->m_mutex);
            if (on->at == entry::state::busy) {
                on->parked.push_back(std::move(done));
                return;
            }
        }
        done(result<void>());
    }
};

bucket_table::bucket_table(net::env& world, store& from, random_source& random, std::size_t buckets_max, net::duration detach_after)
    : m_world(world), m_store(from), m_random(random), m_max(buckets_max), m_detach_after(detach_after) {}

bucket_table::~bucket_table() { m_workers.stop(); }

bucket_table::lease& bucket_table::lease::operator=(lease&& other) noexcept {
    if (this != &other) {
        release();
        m_table = std::exchange(other.m_table, nullptr);
        m_entry = std::move(other.m_entry);
    }
    return *this;
}

bucket& bucket_table::lease::operator*() const noexcept { return *m_entry->objects; }

net::awaitable<result<void>> bucket_table::lease::durable(sequence_number upto) const {
    if (!m_entry->commits) co_return result<void>();
    auto entry_alive = m_entry;
    co_return co_await entry_alive->commits->durable(upto);
}

void bucket_table::lease::release() noexcept {
    if (auto* table = std::exchange(m_table, nullptr)) table->release(m_entry);
    m_entry.reset();
}

void bucket_table::release(const std::shared_ptr<entry>& what) noexcept {
    const std::lock_guard hold(m_mutex);
    --what->users;
    what->used = m_world.now();
}

void bucket_table::wake(entry& what) {
    for (auto& waiting : std::exchange(what.parked, {})) waiting(result<void>());
}

void bucket_table::forget(const std::shared_ptr<entry>& what) {
    const std::lock_guard hold(m_mutex);
    m_entries.erase(what->key);
    what->at = entry::state::ready;  // nobody parks on it any more
    wake(*what);
}

void bucket_table::expect(const std::string& name) {
    const std::lock_guard hold(m_mutex);
    m_refused.erase(name);
}

std::size_t bucket_table::attached() const {
    const std::lock_guard hold(m_mutex);
    return m_entries.size();
}

net::awaitable<result<bucket_table::lease>> bucket_table::acquire(std::string name, std::string snapshot) {
    const auto key = label(name, snapshot);
    for (;;) {
        std::shared_ptr<entry> wait_for, mine;
        {
            const std::lock_guard hold(m_mutex);
            if (const auto refused = m_refused.find(key); refused != m_refused.end()) {
                if (m_world.now() < refused->second.until) co_return refused->second.why;
                m_refused.erase(refused);
            }
            const auto found = m_entries.find(key);
            if (found == m_entries.end()) {
                mine = std::make_shared<entry>();
                mine->key = key;
                m_entries.emplace(key, mine);
            } else if (found->second->at == entry::state::busy) {
                wait_for = found->second;
            } else if (found->second->failed) {
                co_return error(errc::unavailable, "bucket " + key + " has lost its volume and is being given up");
            } else {
                ++found->second->users;
                co_return lease(*this, found->second);
            }
        }
        if (mine) co_return co_await open(mine, name, snapshot);
        auto wait = net::suspend<result<void>>(parked{this, wait_for});
        CO_CHECK_OK(co_await std::move(wait));
    }
}

net::awaitable<result<bucket_table::lease>> bucket_table::open(std::shared_ptr<entry> what, std::string name, std::string snapshot) {
    auto room = co_await make_room();
    if (!room) {
        forget(what);
        co_return std::move(room).error();
    }
    auto attach = [this, what, name, snapshot]() -> result<void> {
        TRY(what->attachment, m_store.attach(name, snapshot));
        auto* head = what->attachment->head();
        TRY(what->objects, bucket::open(what->attachment->data(), head, m_random));
        if (!head) return {};
        what->commits = std::make_unique<committer>(*what->objects);
        head->on_failure([weak = std::weak_ptr(what)](const error& why) {
            const auto alive = weak.lock();
            if (!alive) return;
            alive->failed = true;
            log::error("s3", "bucket lost its volume bucket={} error=\"{}\"", alive->key, why.message());
        });
        return {};
    };
    auto attaching = net::offload(m_workers, std::move(attach));
    auto done = co_await std::move(attaching);
    if (!done) {
        auto undo = [what] { return what->shut(); };
        auto undoing = net::offload(m_workers, std::move(undo));
        (void)co_await std::move(undoing);
        {
            const std::lock_guard hold(m_mutex);
            if (m_refused.size() >= refusals_max) m_refused.clear();
            m_refused[what->key] = refusal{done.error(), m_world.now() + refusal_remembered};
        }
        forget(what);
        co_return std::move(done).error();
    }
    const std::lock_guard hold(m_mutex);
    what->at = entry::state::ready;
    what->users = 1;
    wake(*what);
    co_return lease(*this, what);
}

// REQUIRES: the entry is busy and nobody but the caller uses it.
net::awaitable<result<void>> bucket_table::close(std::shared_ptr<entry> what) {
    auto shut = [what] { return what->shut(); };
    auto shutting = net::offload(m_workers, std::move(shut));
    auto done = co_await std::move(shutting);
    if (!done) log::warn("s3", "detaching a bucket failed bucket={} error=\"{}\"", what->key, done.error().message());
    forget(what);
    co_return done;
}

// An attached bucket that nobody uses, made busy: one that failed, one unused for long, or with `any` the longest unused.
std::shared_ptr<bucket_table::entry> bucket_table::idle_one(bool any) {
    const std::lock_guard hold(m_mutex);
    std::shared_ptr<entry> best;
    const auto now = m_world.now();
    for (const auto& [key, one] : m_entries) {
        if (one->at != entry::state::ready || one->users > 0) continue;
        if (!any && !one->failed && now - one->used < m_detach_after) continue;
        if (!best || one->used < best->used) best = one;
    }
    if (best) best->at = entry::state::busy;
    return best;
}

net::awaitable<result<void>> bucket_table::make_room() {
    while (attached() > m_max) {
        const auto victim = idle_one(true);
        if (!victim) co_return error(errc::exhausted, "all attached buckets are in use; raise --buckets or try again");
        (void)co_await close(victim);
    }
    co_return result<void>();
}

net::awaitable<void> bucket_table::sweep() {
    while (const auto idle = idle_one(false)) (void)co_await close(idle);
}

net::awaitable<result<void>> bucket_table::remove(std::string name) {
    CO_TRY(auto mine, co_await acquire(name, ""));
    {
        const std::lock_guard hold(m_mutex);
        if (mine.m_entry->at == entry::state::busy) co_return error(errc::conflict, "bucket " + name + " is being deleted already");
        mine.m_entry->at = entry::state::busy;  // newcomers wait
    }
    const auto entry_kept = mine.m_entry;
    auto done = co_await finish_removal(std::move(mine), name);
    if (done) co_return done;
    const std::lock_guard hold(m_mutex);
    if (entry_kept->attachment) {
        entry_kept->at = entry::state::ready;
        wake(*entry_kept);
    }
    co_return done;
}

net::awaitable<result<void>> bucket_table::finish_removal(lease mine, std::string name) {
    const auto what = mine.m_entry;
    const auto until = m_world.now() + removal_patience;
    for (;;) {
        {
            const std::lock_guard hold(m_mutex);
            if (what->users == 1) break;
        }
        if (m_world.now() >= until) co_return error(errc::conflict, "bucket " + name + " is in use");
        CO_CHECK_OK(co_await m_world.sleep_for(std::chrono::milliseconds(5)));
    }
    auto look = [what]() -> result<bool> {
        const auto is_empty = what->objects->empty();
        if (!is_empty) return error(errc::io, is_empty.error().message);
        return *is_empty;
    };
    auto looking = net::offload(m_workers, std::move(look));
    CO_TRY(const bool empty, co_await std::move(looking));
    if (!empty) co_return error(errc::not_empty, "bucket " + name + " has objects");
    mine.release();
    auto removal = [this, what, name]() -> result<void> {
        CHECK_OK(what->shut());
        return m_store.remove(name);
    };
    auto removing = net::offload(m_workers, std::move(removal));
    auto removed = co_await std::move(removing);
    forget(what);
    co_return removed;
}

net::awaitable<result<void>> bucket_table::stop() {
    result<void> first;
    while (const auto idle = idle_one(true)) {
        auto closed = co_await close(idle);
        if (!closed && first) first = std::move(closed).error();
    }
    co_return first;
}

}  // namespace cess::s3
