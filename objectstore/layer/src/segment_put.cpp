#include "segment_put.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <set>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t chunk_size = 1 * MiB;  // a multiple of storage::leaf_size
constexpr std::size_t chunks_in_flight = 4;
constexpr net::duration straggler_check = 200ms;

// One fragment to one miner.
class upload {
public:
    upload(miner_link& link, node_id miner, std::shared_ptr<const encoded_segment> of, unsigned index, net::time_point deadline, boost::asio::any_io_executor on)
        : m_link(link), m_miner(miner), m_of(std::move(of)), m_fragment(m_of->fragment(index)), m_deadline(deadline), m_tasks(std::move(on)) {}

    net::awaitable<result<void>> run(storage::put_request what) {
        CO_CHECK_OK(co_await m_link.keep_informed(m_miner, m_deadline));  // of the reservation as it is now
        if (m_fragment.size() <= chunk_size) co_return co_await whole(std::move(what));
        auto begun = co_await m_link.ask<storage::put_handle>(m_miner, storage::method::put_begin, std::move(what), net::request_body(), m_deadline, net::lane::control);
        if (!begun) co_return std::move(begun).error();
        m_handle = begun->message.handle;
        if (m_handle == 0) co_return result<void>();  // it has it already
        for (std::size_t i = 0; i < chunks_in_flight; ++i) m_tasks.spawn(send_chunks());
        co_await m_tasks.join();
        if (m_failure) co_return *m_failure;
        if (m_sent < m_fragment.size()) co_return error(errc::canceled, "upload given up");
        storage::put_handle end;
        end.handle = m_handle;
        auto done = co_await m_link.ask<storage::empty_reply>(m_miner, storage::method::put_commit, end, net::request_body(), m_deadline, net::lane::bulk);
        if (!done) co_return std::move(done).error();
        co_return result<void>();
    }

private:
    net::awaitable<result<void>> whole(storage::put_request what) {
        auto body = net::request_body::lent(m_fragment, m_of);
        auto done = co_await m_link.ask<storage::empty_reply>(m_miner, storage::method::put, std::move(what), std::move(body), m_deadline, net::lane::bulk);
        if (!done) co_return std::move(done).error();
        co_return result<void>();
    }
    net::awaitable<void> send_chunks() {
        while (m_next < m_fragment.size() && !m_failure) {
            storage::chunk_request what;
            what.handle = m_handle;
            what.offset = m_next;
            const auto size = std::min(chunk_size, m_fragment.size() - m_next);
            auto body = net::request_body::lent(m_fragment.subspan(m_next, size), m_of);
            m_next += size;
            auto sent = co_await m_link.ask<storage::empty_reply>(m_miner, storage::method::put_chunk, what, std::move(body), m_deadline, net::lane::bulk);
            if (!sent) {
                if (!m_failure) m_failure = std::move(sent).error();
                co_return;
            }
            m_sent += size;
        }
    }

    miner_link& m_link;
    node_id m_miner;
    std::shared_ptr<const encoded_segment> m_of;
    byte_view m_fragment;
    net::time_point m_deadline;
    std::uint64_t m_handle = 0;
    std::size_t m_next = 0, m_sent = 0;
    std::optional<error> m_failure;
    net::task_group m_tasks;
};

class put_work {
public:
    put_work(put_context on, std::shared_ptr<miner_link> link, std::shared_ptr<const encoded_segment> what, storage::journal_ref owner,
             net::time_point deadline, boost::asio::any_io_executor executor)
        : m_on(on), m_link(std::move(link)), m_what(std::move(what)), m_owner(owner), m_deadline(deadline), m_executor(std::move(executor)),
          m_places(m_what->layout.fragments()), m_tasks(m_executor) {}

    net::awaitable<result<std::vector<node_id>>> run() {
        CO_TRY(m_choices, co_await m_on.where.choose(*m_link, m_places.size(), m_what->layout.fragment(), m_deadline));
        m_started = m_on.world.now();
        for (std::size_t i = 0; i < m_places.size(); ++i) start(i, i);
        m_tasks.spawn(replace_stragglers());
        co_await m_tasks.join();
        std::vector<node_id> holders;
        if (m_on.stored) *m_on.stored = static_cast<std::size_t>(std::count_if(m_places.begin(), m_places.end(), [](const auto& p) { return p.done; }));
        for (const auto& place : m_places) {
            if (!place.done) co_return m_failure ? std::move(*m_failure) : error(errc::timeout, "segment was not stored in time");
            holders.push_back(place.holder);
        }
        co_return holders;
    }

private:
    struct place_of {
        bool done = false;
        node_id holder;
        std::size_t attempts = 0;        // under way
        bool doubled = false;            // a second miner got it because the first was slow
        std::set<std::size_t> choices;   // tried for it
    };

    void start(std::size_t fragment, std::size_t choice) {
        ++m_places[fragment].attempts;
        m_places[fragment].choices.insert(choice);
        m_tasks.spawn(attempt(fragment, choice));
    }

    net::awaitable<void> attempt(std::size_t fragment, std::size_t choice) {
        const auto miner = m_choices[choice].miner;
        storage::put_request request;
        request.volume = m_owner.volume;
        request.term = m_owner.term;
        request.identity = m_what->identity;
        request.index = static_cast<std::uint8_t>(fragment);
        upload work(*m_link, miner, m_what, static_cast<unsigned>(fragment), m_deadline, m_executor);
        auto stored = co_await work.run(std::move(request));
        auto& place = m_places[fragment];
        --place.attempts;
        if (stored) {
            if (place.done) co_return;
            place.done = true;
            reach(m_on.crashes, crash_point::fragment_stored);
            place.holder = miner;
            m_slowest = std::max(m_slowest, m_on.world.now() - m_started);
            if (std::all_of(m_places.begin(), m_places.end(), [](const auto& p) { return p.done; })) m_tasks.cancel();
            co_return;
        }
        if (place.done || stored.error().code == errc::canceled) co_return;
        failed(fragment, choice, std::move(stored).error());
    }

    void failed(std::size_t fragment, std::size_t choice, error why) {
        log::warn("layer", "fragment not stored miner={} reason=\"{}\"", m_choices[choice].miner.brief(), why.message());
        if (why.code == errc::no_space) m_on.where.full(m_choices[choice].miner);
        // One miner may lie that we are deposed; more than m of them do not.
        if (why.code == errc::fenced) ++m_fenced;
        const bool hopeless = m_fenced > m_what->layout.geometry.m;
        if (why.code == errc::fenced && !hopeless) why.code = errc::unavailable;
        if (!m_failure || m_failure->code != errc::no_space) m_failure = std::move(why);
        if (hopeless || m_on.world.now() >= m_deadline) return m_tasks.cancel();
        if (const auto other = substitute(fragment)) return start(fragment, *other);
        if (m_places[fragment].attempts == 0) m_tasks.cancel();  // nobody is left to try
    }

    // A miner that holds nothing of this segment, of a domain that no other fragment uses.
    std::optional<std::size_t> substitute(std::size_t fragment) {
        std::set<std::string> taken;
        std::set<std::size_t> used;
        for (std::size_t i = 0; i < m_places.size(); ++i) {
            used.insert(m_places[i].choices.begin(), m_places[i].choices.end());
            if (i == fragment) continue;
            for (const auto choice : m_places[i].choices) taken.insert(m_choices[choice].domain);
        }
        for (std::size_t i = 0; i < m_choices.size(); ++i)
            if (!used.contains(i) && !taken.contains(m_choices[i].domain)) return i;
        return std::nullopt;
    }

    // When only a few are left and take much longer than the others did, other miners get them as well.
    net::awaitable<void> replace_stragglers() {
        while (m_on.world.now() < m_deadline) {
            auto slept = co_await m_on.world.sleep_for(straggler_check);
            if (!slept) co_return;
            const auto done = static_cast<std::size_t>(std::count_if(m_places.begin(), m_places.end(), [](const auto& p) { return p.done; }));
            if (done * 2 < m_places.size()) {
                if (m_on.world.now() - m_started < m_on.limits.request) continue;
            } else if (m_on.world.now() - m_started < std::max<net::duration>(4 * m_slowest, 4 * m_on.limits.hedge)) {
                continue;
            }
            for (std::size_t i = 0; i < m_places.size(); ++i) {
                if (m_places[i].done || m_places[i].doubled) continue;
                m_places[i].doubled = true;
                for (const auto slow : m_places[i].choices) m_on.where.late(*m_link, m_choices[slow].miner);
                if (const auto other = substitute(i)) start(i, *other);
            }
        }
        m_tasks.cancel();
    }

    put_context m_on;
    std::shared_ptr<miner_link> m_link;
    std::shared_ptr<const encoded_segment> m_what;
    storage::journal_ref m_owner;
    net::time_point m_deadline;
    boost::asio::any_io_executor m_executor;
    std::vector<placement::choice> m_choices;
    std::vector<place_of> m_places;
    net::time_point m_started{};
    net::duration m_slowest{0};
    std::optional<error> m_failure;
    unsigned m_fenced = 0;
    net::task_group m_tasks;
};

}  // namespace

net::awaitable<result<std::vector<node_id>>> put_fragments(put_context on, std::shared_ptr<miner_link> link, std::shared_ptr<const encoded_segment> what,
                                                           storage::journal_ref owner, net::time_point deadline) {
    put_work work(on, std::move(link), std::move(what), owner, deadline, co_await boost::asio::this_coro::executor);
    co_return co_await work.run();
}

}  // namespace cess::layer
