#include "layer_core.hpp"
#include "lease_watch.hpp"
#include "segment_put.hpp"

#include <core/base/log.hpp>
#include <core/net/blocking.hpp>
#include <core/net/suspend.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t append_bytes_max = 64 * MiB;
constexpr std::size_t appends_max = 256;
constexpr std::size_t settle_batch = 64;
constexpr std::uint64_t leases_before_sealing = 8;

// What appending threads and the journal's strand share; outlives the session in completions.
struct append_window {
    std::mutex mutex;
    std::condition_variable room;
    std::uint64_t bytes = 0;
    std::size_t entries = 0;
    bool failed = false;
    std::atomic<std::uint64_t> journal_bytes{0};
};

class session_impl final : public session {
public:
    session_impl(layer_core& core, const chain::account& who, taken_volume with);
    ~session_impl() override;

    term_number term() const noexcept override { return m_term; }
    volume_id volume() const noexcept override { return m_volume; }
    result<ledger::segment_record> put_segment(const keyring& keys, const segment_spec& spec, byte_view content) override;
    entry_index append(bytes payload, std::function<void(result<void>)> done) override;
    entry_index next_entry() const noexcept override;
    std::uint64_t journal_bytes() const noexcept override { return m_window->journal_bytes.load(); }
    result<void> commit_root(ledger::commit_root what) override;
    result<void> create_view(ledger::create_view what) override;
    result<void> add_segments(std::vector<ledger::segment_record> segments) override;
    result<void> extend_reservation(std::uint64_t more) override;
    std::uint64_t reservation_left() const noexcept override;
    void on_deposed(std::function<void(const error&)> tell) override { m_watch->on_deposed(std::move(tell)); }
    bool confirmed() const noexcept override { return m_watch->confirmed(); }
    result<void> release() override;

private:
    using certified = std::optional<ledger::volume_record>;
    net::awaitable<result<certified>> transact(ledger::action what, std::function<bool(const ledger::volume_record&)> happened);
    net::awaitable<result<ledger::volume_record>> refresh();
    net::awaitable<void> settle(std::vector<ledger::segment_record> segments);
    net::awaitable<result<void>> settle_batch_of(std::vector<ledger::segment_record> segments);
    net::awaitable<void> seal_older();
    net::awaitable<result<void>> stop_all();
    void stop();
    void in_background(net::awaitable<void> task);
    template <class T>
    result<T> wait_on_strand(net::awaitable<result<T>> op);

    layer_core& m_core;
    chain::account m_who;
    volume_id m_volume;
    term_number m_term;
    boost::asio::any_io_executor m_strand;
    std::shared_ptr<miner_link> m_link;
    std::shared_ptr<journal_writer> m_journal;
    std::shared_ptr<append_window> m_window = std::make_shared<append_window>();
    mutable std::mutex m_sealing;  // held while an entry gets its place, so that places and posts are in one order
    std::unique_ptr<entry_sealer> m_sealer;
    std::atomic<std::uint64_t> m_reservation;
    std::atomic<std::uint64_t> m_put{0};  // bytes of fragments put in this term
    std::shared_ptr<lease_watch> m_watch;
    std::unique_ptr<net::task_group> m_tasks;
    bool m_stopped = false;
};

session_impl::session_impl(layer_core& core, const chain::account& who, taken_volume with)
    : m_core(core), m_who(who), m_volume(with.record.id), m_term(with.lease.term), m_strand(std::move(with.strand)), m_link(std::move(with.link)),
      m_journal(std::move(with.journal)), m_sealer(std::move(with.sealer)), m_reservation(with.lease.reservation),
      m_tasks(std::make_unique<net::task_group>(m_strand)) {
    m_window->journal_bytes = m_journal->bytes_kept();
    m_watch = std::make_shared<lease_watch>(lease_watch::setup{core.on.world, core.on.ledger, core.on.limits, m_link, m_journal, std::move(with.lease)});
    in_background(lease_watch::run(m_watch));
    if (with.record.leases.size() > leases_before_sealing) in_background(seal_older());
}

session_impl::~session_impl() { stop(); }

// ---- the strand ------------------------------------------------------------------------------------------

template <class T>
net::awaitable<result<T>> run_there(boost::asio::any_io_executor strand, net::awaitable<result<T>> op) {
    co_return co_await boost::asio::co_spawn(strand, std::move(op), boost::asio::use_awaitable);
}

template <class T>
result<T> session_impl::wait_on_strand(net::awaitable<result<T>> op) {
    auto there = run_there<T>(m_strand, std::move(op));
    return net::wait(m_core.on.world, std::move(there));
}

void session_impl::in_background(net::awaitable<void> task) { m_tasks->spawn(std::move(task)); }

net::awaitable<result<void>> session_impl::stop_all() {
    co_await m_tasks->stop();
    co_await m_journal->stop();
    co_return result<void>();
}

void session_impl::stop() {
    if (std::exchange(m_stopped, true)) return;
    auto op = stop_all();
    (void)wait_on_strand<void>(std::move(op));
}

// ---- segments --------------------------------------------------------------------------------------------

std::uint64_t session_impl::reservation_left() const noexcept {
    const auto all = m_reservation.load(), put = m_put.load();
    return all > put ? all - put : 0;
}

result<ledger::segment_record> session_impl::put_segment(const keyring& keys, const segment_spec& spec, byte_view content) {
    if (content.empty() || content.size() > ledger::limits::segment_length_max) return error(errc::invalid, "a segment has 1 byte to 32 MiB");
    if (spec.block_size < 16 || spec.geometry.k < 1) return error(errc::invalid, "segment without a block size or geometry");
    const auto deadline = m_core.on.world.now() + m_core.on.limits.put;
    segment_layout layout;
    layout.length = content.size();
    layout.block_size = spec.block_size;
    layout.geometry = effective_geometry(spec.geometry, layout.length, layout.block_size);
    const auto cost = layout.fragment() * layout.fragments();
    if (reservation_left() < cost) return error(errc::no_space, "the volume's reservation is used up");
    TRY(const auto volume_key, keys.find(spec.lineage, spec.key_generation));

    ledger::segment_record record;
    record.lineage = spec.lineage;
    record.number = spec.number;
    record.geometry = layout.geometry;
    record.length = layout.length;
    record.block_size = spec.block_size;
    record.key_generation = spec.key_generation;
    record.salt = m_core.on.world.random().id<salt256>();

    m_put += cost;
    storage::journal_ref owner;
    owner.volume = m_volume;
    owner.term = m_term;
    std::size_t stored = 0;
    put_context on{m_core.on.world, m_core.where, m_core.encoders, m_core.slices, m_core.on.limits, &stored, m_core.on.crashes};
    segment_source what{layout, segment_key(volume_key, record.salt), spec.lineage, spec.number, content};
    auto op = store_segment(std::move(on), m_link, std::move(what), owner, deadline);
    auto done = net::wait(m_core.on.world, std::move(op));
    if (!done) {
        // Tried again as another segment: what reached no miner must not use up the reservation, while miners stay away.
        m_put -= cost - stored * layout.fragment();
        return std::move(done).error().with_context("store a segment of " + format_size(content.size()));
    }
    record.id = done->id;
    record.holders = std::move(done->holders);
    m_core.put_bytes.add(content.size());
    return record;
}

// ---- the journal -----------------------------------------------------------------------------------------

entry_index session_impl::append(bytes payload, std::function<void(result<void>)> done) {
    const auto size = payload.size();
    auto window = m_window;
    {
        std::unique_lock hold(window->mutex);
        window->room.wait(hold, [&] { return window->failed || window->entries == 0 || (window->bytes + size <= append_bytes_max && window->entries < appends_max); });
        window->bytes += size;
        ++window->entries;
    }
    const std::lock_guard in_order(m_sealing);
    const auto index = m_sealer->next();
    auto entries = std::make_shared<std::vector<sealed_entry>>(m_sealer->seal_split(payload));
    auto journal = m_journal;
    auto finished = [window, journal, size, done = std::move(done)](result<void> how) {
        {
            const std::lock_guard hold(window->mutex);
            window->bytes -= size;
            --window->entries;
            if (!how) window->failed = true;
        }
        window->journal_bytes = journal->bytes_kept();
        window->room.notify_all();
        done(std::move(how));
    };
    boost::asio::post(m_strand, [journal, entries, finished = std::move(finished)]() mutable { journal->append(std::move(*entries), std::move(finished)); });
    return index;
}

entry_index session_impl::next_entry() const noexcept {
    const std::lock_guard in_order(m_sealing);
    return m_sealer->next();
}

// ---- the ledger ------------------------------------------------------------------------------------------

net::awaitable<result<ledger::volume_record>> session_impl::refresh() {
    auto proved = co_await m_core.on.ledger.read(ledger::key::volume(m_volume), m_core.on.world.now() + m_core.on.limits.ledger);
    if (!proved) co_return std::move(proved).error();
    auto record = m_core.on.ledger.trust().value_of<ledger::volume_record>(*proved);
    if (!record) co_return std::move(record).error();
    if (record->term > m_term) co_return error(errc::fenced, "volume " + record->name + " has another owner now");
    m_link->set_lease(std::make_shared<const ledger::proved_record>(std::move(*proved)));
    co_return std::move(*record);
}

// Submits, and if nobody says what became of it, looks whether it `happened`. Answers the record as it is then, or none
// if the transaction is final and the ledger fell silent afterwards.
net::awaitable<result<session_impl::certified>> session_impl::transact(ledger::action what, std::function<bool(const ledger::volume_record&)> happened) {
    auto submitted = co_await m_core.on.ledger.submit(m_who, std::move(what), m_core.on.world.now() + m_core.on.limits.ledger);
    if (!submitted && submitted.error().code == errc::fenced) {
        CO_CHECK_OK(co_await refresh());  // fenced, if that is so: the one who said it may lie
        co_return error(errc::unavailable, "a consensus node says that the volume has another owner, the ledger does not");
    }
    const bool unknown = !submitted && (submitted.error().code == errc::timeout || submitted.error().code == errc::unavailable);
    if (!submitted && !unknown) co_return std::move(submitted).error();
    auto record = co_await refresh();
    if (!submitted && (!record || !happened(*record))) co_return std::move(submitted).error();
    certified out;
    if (record) out = std::move(*record);
    co_return out;
}

result<void> session_impl::commit_root(ledger::commit_root what) {
    what.volume = m_volume;
    what.term = m_term;
    what.head.term = m_term;
    const auto head = what.head;
    auto added = what.added;
    auto op = transact(std::move(what), [head](const ledger::volume_record& record) { return record.head == head; });
    TRY(const auto record, wait_on_strand(std::move(op)));
    reach(m_core.on.crashes, crash_point::root_certified);
    // Members trim by the certificate alone, so without it the journal waits for the next root.
    if (record && record->head == head)
        boost::asio::post(m_strand, [journal = m_journal, window = m_window, base = head.journal_base] {
            journal->trim(base);
            window->journal_bytes = journal->bytes_kept();
        });
    if (!added.empty()) in_background(settle(std::move(added)));
    return {};
}

result<void> session_impl::create_view(ledger::create_view what) {
    what.volume = m_volume;
    what.term = m_term;
    auto added = what.added;
    const auto key = ledger::key::view(m_volume, what.name);
    auto op = transact(std::move(what), [](const ledger::volume_record&) { return false; });
    if (auto done = wait_on_strand(std::move(op)); !done) {
        // The record does not tell; the view's own does.
        if (done.error().code != errc::timeout && done.error().code != errc::unavailable) return std::move(done).error();
        auto look = m_core.on.ledger.read(key, m_core.on.world.now() + m_core.on.limits.ledger);
        auto proved = net::wait(m_core.on.world, std::move(look));
        if (!proved || !proved->value) return std::move(done).error();
    }
    if (!added.empty()) in_background(settle(std::move(added)));
    return {};
}

result<void> session_impl::add_segments(std::vector<ledger::segment_record> segments) {
    if (segments.empty()) return {};
    ledger::add_segments what;
    what.volume = m_volume;
    what.term = m_term;
    what.segments = segments;
    const auto key = ledger::key::segment(segments.back().lineage, segments.back().number);
    auto op = transact(std::move(what), [](const ledger::volume_record&) { return false; });
    if (auto done = wait_on_strand(std::move(op)); !done) {
        if (done.error().code != errc::timeout && done.error().code != errc::unavailable) return std::move(done).error();
        auto look = m_core.on.ledger.read(key, m_core.on.world.now() + m_core.on.limits.ledger);
        auto proved = net::wait(m_core.on.world, std::move(look));
        if (!proved || !proved->value) return std::move(done).error();
    }
    in_background(settle(std::move(segments)));
    return {};
}

result<void> session_impl::extend_reservation(std::uint64_t more) {
    const auto wanted = m_reservation.load() + more;
    ledger::extend_reservation what;
    what.volume = m_volume;
    what.term = m_term;
    what.reservation = wanted;
    auto op = transact(std::move(what), [wanted](const ledger::volume_record& record) { return !record.leases.empty() && record.leases.back().reservation >= wanted; });
    TRY(const auto record, wait_on_strand(std::move(op)));
    m_reservation = record && !record->leases.empty() ? record->leases.back().reservation : wanted;
    return {};
}

result<void> session_impl::release() {
    stop();
    ledger::release_lease what;
    what.volume = m_volume;
    what.term = m_term;
    auto op = transact(std::move(what), [](const ledger::volume_record& record) { return !record.leases.empty() && record.leases.back().endpoint.empty(); });
    CHECK_OK(wait_on_strand(std::move(op)));
    return {};
}

// ---- in the background -----------------------------------------------------------------------------------

// Tells the holders, with proof, that the ledger lists their fragments. Miners find out by themselves if this fails.
net::awaitable<void> session_impl::settle(std::vector<ledger::segment_record> segments) {
    for (std::size_t at = 0; at < segments.size(); at += settle_batch) {
        const auto end = std::min(segments.size(), at + settle_batch);
        std::vector<ledger::segment_record> some(segments.begin() + static_cast<std::ptrdiff_t>(at), segments.begin() + static_cast<std::ptrdiff_t>(end));
        auto told = co_await settle_batch_of(std::move(some));
        if (!told) {
            log::debug("layer", "settling left to the miners reason=\"{}\"", told.error().message());
            if (told.error().code == errc::canceled) co_return;
        }
    }
}

net::awaitable<result<void>> session_impl::settle_batch_of(std::vector<ledger::segment_record> segments) {
    std::map<node_id, storage::settle_request> by_miner;
    for (const auto& segment : segments) {
        CO_TRY(auto proved, co_await m_core.on.ledger.read(ledger::key::segment(segment.lineage, segment.number), m_core.on.world.now() + m_core.on.limits.ledger));
        for (const auto& miner : segment.holders) by_miner[miner].records.push_back(proved);
    }
    result<void> out;
    for (auto& [miner, request] : by_miner) {
        auto told = co_await m_link->ask<storage::empty_reply>(miner, storage::method::settle, std::move(request), net::request_body(),
                                                               m_core.on.world.now() + m_core.on.limits.request, net::lane::bulk);
        if (!told) out = std::move(told).error();
    }
    reach(m_core.on.crashes, crash_point::segments_settled);
    co_return out;
}

// A volume whose owners keep dying before their first root would otherwise run out of leases.
net::awaitable<void> session_impl::seal_older() {
    ledger::seal_leases what;
    what.volume = m_volume;
    what.term = m_term;
    ledger::action action = std::move(what);
    auto sealed = co_await m_core.on.ledger.submit(m_who, std::move(action), m_core.on.world.now() + m_core.on.limits.ledger);
    if (!sealed) log::warn("layer", "older leases stay listed reason=\"{}\"", sealed.error().message());
}

}  // namespace

std::unique_ptr<session> make_session(layer_core& core, const chain::account& who, taken_volume with) {
    return std::make_unique<session_impl>(core, who, std::move(with));
}

}  // namespace cess::layer
