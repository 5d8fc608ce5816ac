#include "scrubber.hpp"
#include "sweeper.hpp"

#include <core/base/log.hpp>
#include <core/net/deadline.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace cess::storage {

namespace {
constexpr std::size_t spare_files_max = 6;  // of journals, for a while: what one volume's checkpoint frees
}

// ---- the parts -------------------------------------------------------------------------------------------

store::store(miner_dependencies d, miner_options h, store_identity i, std::unique_ptr<os::directory_lock> l)
    : on(std::move(d)), how(std::move(h)), identity(std::move(i)), lock(std::move(l)), count(on.count, how.self),
      space(on.disk, how.directory, how.capacity, how.disk_reserve),
      spares(on.disk, space, store_paths(how.directory).unfinished(), spare_files_max),
      leases({on.disk, store_paths(how.directory), how.self, identity.incarnation, how.limits.volumes_max}, on.trust),
      faults(on.disk, store_paths(how.directory)),
      fragments(on.disk, store_paths(how.directory), space, faults, how.limits.open_fragments_max),
      incoming(on.disk, store_paths(how.directory), space, fragments, how.limits),
      sweeping(std::make_unique<sweeper>(*this)), scrubbing(std::make_unique<scrubber>(*this)), strand(on.world.executor()), tasks(strand) {
    (void)following.try_send(true);
    space.set_relief([this] { return spares.drop_all(); });
    journal_store::setting setting{on.disk, store_paths(how.directory), space, spares, leases, on.world.random(), how.limits,
                                   on.journal_workers ? on.journal_workers : on.workers, {}, {}};
    setting.committed = [this](std::size_t appends) {
        count.batches.add();
        count.batched.add(appends);
    };
    setting.synced = [this] { count.syncs.add(); };
    journals = std::make_shared<journal_store>(std::move(setting));
}

store::~store() = default;

bool store::busy() {
    const std::lock_guard hold(gate);
    return running > 0;
}

miner_status store::status() const {
    miner_status out;
    out.incarnation = identity.incarnation;
    out.capacity = space.capacity();
    out.used = space.used();
    out.fragments = fragments.count();
    out.provisional = fragments.provisional_count();
    out.journals = journals->count();
    return out;
}

void store::publish_status() {
    const auto now = status();
    count.used.set(static_cast<std::int64_t>(now.used));
    count.capacity.set(static_cast<std::int64_t>(now.capacity));
    count.fragments.set(static_cast<std::int64_t>(now.fragments));
    count.provisional.set(static_cast<std::int64_t>(now.provisional));
    count.journals.set(static_cast<std::int64_t>(now.journals));
    count.uploads.set(static_cast<std::int64_t>(incoming.count()));
}

namespace {

// Counts a request in and out; the last one out tells whoever waits for it.
class admission {
public:
    explicit admission(std::shared_ptr<store> at) : m_at(std::move(at)) {
        const std::lock_guard lock(m_at->gate);
        m_open = !m_at->closed;
        if (m_open) ++m_at->running;
    }
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;
    ~admission() {
        if (!m_open) return;
        std::vector<net::resumption<result<void>>> told;
        {
            const std::lock_guard lock(m_at->gate);
            if (--m_at->running == 0) told.swap(m_at->drained);
        }
        for (auto& waiting : told) waiting(result<void>());
    }
    [[nodiscard]] bool open() const noexcept { return m_open; }

private:
    const std::shared_ptr<store> m_at;
    bool m_open = false;
};

struct draining {
    std::shared_ptr<store> at;
    void operator()(net::resumption<result<void>> done) {
        std::unique_lock lock(at->gate);
        if (at->running > 0) {
            at->drained.push_back(std::move(done));
            return;
        }
        lock.unlock();
        done(result<void>());
    }
};

using append_answer = result<entry_index>;

// An append that may be made, ready for its journal's queue. Signatures are checked there, on a worker.
result<journal::pending> admit_append(store& on, const node_id& from, net::request& what) {
    auto decoded = wire::decode<append_request>(what.head);
    if (!decoded) return std::move(decoded).error().with_context("request");
    const auto& name = decoded->journal;
    TRY(const auto lease, on.leases.writer(from, name.volume, name.term));
    if (!lease.member) return error(errc::permission, "this miner, with this incarnation, is no member of that journal");
    journal::pending out;
    if (const auto known = on.leases.find(name.volume); known && known->head_term == name.term) out.begin_max = known->journal_base;
    out.session = lease.session;
    out.what = std::move(*decoded);
    out.body = std::move(what.body).take();
    return out;
}

struct queueing {
    std::shared_ptr<store> at;
    std::shared_ptr<journal::pending> what;
    void operator()(net::resumption<append_answer> done) {
        const auto waiting = std::make_shared<net::resumption<append_answer>>(std::move(done));
        what->done = [waiting](journal::pending& p) { (*waiting)(std::move(p.answer)); };
        auto queued = at->journals->append(std::move(*what));
        if (!queued) (*waiting)(append_answer(queued.error()));
    }
};

net::awaitable<append_answer> append_waiting(std::shared_ptr<store> at, journal::pending what) {
    if (at->on.workers || at->on.journal_workers) {
        queueing start{at, std::make_shared<journal::pending>(std::move(what))};
        auto op = net::suspend<append_answer>(std::move(start));
        co_return co_await std::move(op);
    }
    append_answer out;
    what.done = [&out](journal::pending& p) { out = std::move(p.answer); };
    CO_CHECK_OK(at->journals->append(std::move(what)));
    co_return out;
}

net::awaitable<net::reply> append(std::shared_ptr<store> at, node_id from, net::request what) {
    auto admitted = admit_append(*at, from, what);
    if (!admitted) co_return net::reply::of(admitted.error());
    const auto durable = co_await append_waiting(at, std::move(*admitted));
    if (!durable) co_return net::reply::of(durable.error());
    append_reply out;
    out.durable = *durable;
    net::reply reply;
    reply.head = wire::encode(out);
    co_return reply;
}

// One's turn to ask for handovers.
struct following_turn {
    explicit following_turn(std::shared_ptr<store> on) : at(std::move(on)) {}
    ~following_turn() { (void)at->following.try_send(true); }
    following_turn(const following_turn&) = delete;
    following_turn& operator=(const following_turn&) = delete;
    std::shared_ptr<store> at;
};

// For a record that is certified in an epoch unknown here, as it may be. One asks the consensus nodes at a time, whatever strangers make up.
net::awaitable<result<void>> follow_handovers(std::shared_ptr<store> at) {
    const auto deadline = at->on.world.now() + std::chrono::seconds(5);
    auto free = at->following.receive();
    auto timed = net::with_deadline<bool>(at->on.world, std::move(free), deadline);
    auto got = co_await std::move(timed);
    if (!got) co_return std::move(got).error();
    const following_turn turn(at);
    auto asking = at->on.ledger->follow_handovers(deadline);
    co_return co_await std::move(asking);
}

net::awaitable<net::reply> handle(std::shared_ptr<store> at, node_id from, net::request what) {
    if (what.head.size() > net::head_size_max || what.body.size() > net::body_size_max) co_return net::reply::of(error(errc::too_large, "request"));
    if (what.method == method::journal_append) co_return co_await append(std::move(at), from, std::move(what));
    if (auto at_once = answer_at_once(*at, what)) co_return std::move(*at_once);
    const auto asked = std::make_shared<net::request>(std::move(what));
    const auto work = [at, from, asked] { return result<net::reply>(answer(*at, from, *asked)); };
    auto op = at->blocking(work);
    auto answered = co_await std::move(op);
    if (!answered) co_return net::reply::of(answered.error());
    if (answered->failure.code != errc::unavailable || !at->on.ledger || !at->on.trust.wants_handovers()) co_return std::move(*answered);
    auto following = follow_handovers(at);
    if (!co_await std::move(following)) co_return std::move(*answered);
    auto again = at->blocking(work);
    answered = co_await std::move(again);
    co_return answered ? std::move(*answered) : net::reply::of(answered.error());
}

net::awaitable<net::reply> serve_counted(std::shared_ptr<store> at, node_id from, net::request what) {
    const admission in(at);
    if (!in.open()) co_return net::reply::of(error(errc::unavailable, "the miner is stopping"));
    const auto began = at->on.world.now();
    const auto asked = what.method;
    at->count.bytes_in.add(what.body.size());
    auto out = co_await handle(at, from, std::move(what));
    at->count.bytes_out.add(out.body.size());
    if (!method::is_read(asked)) at->publish_status();
    at->count.request(asked, out.failure, static_cast<std::uint64_t>((at->on.world.now() - began).count() / 1000));
    co_return out;
}

net::awaitable<void> finish(std::shared_ptr<store> at) {
    co_await at->tasks.stop();
    auto op = net::suspend<result<void>>(draining{at});
    (void)co_await std::move(op);
    at->journals->close();
    at->lock.reset();
}

net::awaitable<result<void>> sweep_now(std::shared_ptr<store> at) {
    if (!at->on.ledger) co_return error(errc::unsupported, "this miner has no ledger to ask");
    auto op = boost::asio::co_spawn(at->strand, at->sweeping->round(), boost::asio::use_awaitable);
    co_return co_await std::move(op);
}

net::awaitable<result<void>> scrub_now(std::shared_ptr<store> at) {
    auto op = boost::asio::co_spawn(at->strand, at->scrubbing->whole_pass(), boost::asio::use_awaitable);
    co_return co_await std::move(op);
}

class directory_miner final : public miner {
public:
    explicit directory_miner(std::shared_ptr<store> at) : m_at(std::move(at)) {
        m_at->tasks.spawn(sweeper::run(m_at));
        if (m_at->how.scrub_period > net::duration::zero()) m_at->tasks.spawn(scrubber::run(m_at));
    }
    ~directory_miner() override {
        close();
        m_at->tasks.cancel();
    }

    net::awaitable<net::reply> serve(node_id from, net::request what) override {
        return serve_counted(m_at, from, std::move(what));
    }
    net::awaitable<void> stop() override {
        close();
        return finish(m_at);
    }
    [[nodiscard]] miner_status status() const override { return m_at->status(); }
    net::awaitable<result<void>> sweep() override { return sweep_now(m_at); }
    net::awaitable<result<void>> scrub() override { return scrub_now(m_at); }

private:
    void close() {
        const std::lock_guard lock(m_at->gate);
        m_at->closed = true;
    }
    const std::shared_ptr<store> m_at;
};

result<void> check_options(const miner_options& how) {
    if (how.directory.empty()) return error(errc::invalid, "a miner needs a directory");
    if (how.self.is_zero()) return error(errc::invalid, "a miner needs an identity");
    if (how.limits.journal_file_size < 64 * KiB || how.limits.journal_file_size > 1 * GiB) return error(errc::invalid, "journal_file_size must be from 64 KiB to 1 GiB");
    if (how.scrub_bandwidth < 64 * KiB) return error(errc::invalid, "scrub_bandwidth must be at least 64 KiB a second");
    return {};
}

}  // namespace

result<std::unique_ptr<miner>> open_miner(miner_dependencies on, miner_options how) {
    CHECK_OK(check_options(how));
    std::unique_ptr<os::directory_lock> lock;
    if (how.exclusive) {
        CHECK_OK(on.disk.make_directories(how.directory));
        TRY(lock, os::directory_lock::take(how.directory));
    }
    TRY(auto identity, open_store(on.disk, store_paths(how.directory), how.self, on.trust.network(), on.world.random()));
    const auto at = std::make_shared<store>(std::move(on), std::move(how), std::move(identity), std::move(lock));
    CHECK_OK(at->leases.load());
    CHECK_OK(at->faults.load());
    CHECK_OK(at->fragments.load());
    CHECK_OK(at->journals->load());
    CHECK_OK(at->sweeping->load());
    CHECK_OK(at->scrubbing->load());
    at->publish_status();
    return std::unique_ptr<miner>(std::make_unique<directory_miner>(at));
}

}  // namespace cess::storage
