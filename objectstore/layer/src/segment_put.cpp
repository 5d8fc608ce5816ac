#include "segment_put.hpp"

#include <core/base/log.hpp>
#include <core/net/channel.hpp>

#include <algorithm>
#include <set>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t slice_max = 4 * MiB;  // of all fragments together
constexpr std::uint64_t chunk_max = 1 * MiB;  // of one fragment; a multiple of storage::leaf_size
constexpr std::size_t chunks_in_flight = 3;   // to one miner
constexpr std::size_t slices_waiting = 1;     // for one miner
constexpr net::duration straggler_check = 200ms;
constexpr int straggler_factor = 4;           // so many times what is usual

using slice_ptr = std::shared_ptr<const encoded_slice>;

std::uint64_t chunk_of(const segment_layout& layout) noexcept {
    const auto share = slice_max / (layout.geometry.k == 1 ? 1 : layout.fragments());
    return std::clamp<std::uint64_t>(share / storage::leaf_size * storage::leaf_size, storage::leaf_size, chunk_max);
}

// How long somebody was waited for, in all and since it last answered, and how long it has had nothing to do.
class patience_clock {
public:
    explicit patience_clock(net::env& world) : m_world(world), m_answered(world.now()) {}
    [[nodiscard]] net::duration waited() const { return m_waited + (m_open ? m_world.now() - m_since : net::duration{0}); }
    [[nodiscard]] net::duration silent() const { return m_open ? m_world.now() - std::max(m_since, m_answered) : net::duration{0}; }
    [[nodiscard]] net::duration idle() const { return m_open ? net::duration{0} : m_world.now() - m_answered; }

    class request {
    public:
        explicit request(patience_clock& of) : m_of(of) {
            if (m_of.m_open++ == 0) m_of.m_since = m_of.m_world.now();
        }
        ~request() {
            m_of.m_answered = m_of.m_world.now();
            if (--m_of.m_open == 0) m_of.m_waited += m_of.m_answered - m_of.m_since;
        }
        request(const request&) = delete;
        request& operator=(const request&) = delete;

    private:
        patience_clock& m_of;
    };

private:
    net::env& m_world;
    unsigned m_open = 0;  // requests
    net::time_point m_since{}, m_answered;
    net::duration m_waited{0};
};

// What all attempts of one put share.
struct put_facts {
    put_context on;
    std::shared_ptr<miner_link> link;
    segment_source what;
    storage::journal_ref owner;
    net::time_point deadline;
    boost::asio::any_io_executor executor;
    std::optional<storage::segment_identity> identity;  // known before the last slice is given to anybody
};

// One fragment on its way to one miner. On the put's executor.
class attempt {
public:
    attempt(const put_facts& facts, unsigned fragment, std::size_t choice, node_id miner)
        : m_facts(facts), m_fragment(fragment), m_choice(choice), m_miner(miner), m_clock(facts.on.world), m_life(facts.executor) {}

    [[nodiscard]] unsigned fragment() const noexcept { return m_fragment; }
    [[nodiscard]] std::size_t choice() const noexcept { return m_choice; }
    [[nodiscard]] node_id miner() const noexcept { return m_miner; }
    [[nodiscard]] const patience_clock& clock() const noexcept { return m_clock; }

    // Until it has ended. Nothing: it was given up.
    net::awaitable<std::optional<result<void>>> run() {
        const closing at_the_end(*this);
        m_life.spawn(store());
        co_await m_life.join();
        co_return std::move(m_outcome);
    }
    [[nodiscard]] bool needs_slices() const noexcept { return m_sent < m_facts.what.layout.fragment(); }
    void give_up() {
        m_life.cancel();
        release();
    }
    // Waits for room; false once nothing more is wanted.
    net::awaitable<bool> give(slice_ptr slice) {
        const auto to = m_slices;
        if (!to) co_return false;
        auto sending = to->send(std::move(slice));
        auto sent = co_await std::move(sending);
        co_return sent.has_value();
    }
    void end() {  // all was given
        if (m_slices) m_slices->close();
    }

private:
    using channel = net::bounded_channel<slice_ptr>;

    void release() {
        end();
        m_slices.reset();
    }
    struct closing {
        explicit closing(attempt& what) : of(what) {}
        ~closing() { of.release(); }
        closing(const closing&) = delete;
        closing& operator=(const closing&) = delete;
        attempt& of;
    };
    net::awaitable<void> store() {
        const auto slices = m_slices;
        auto op = m_facts.what.layout.fragment() <= chunk_of(m_facts.what.layout) ? whole(slices) : in_chunks(slices);
        m_outcome = co_await std::move(op);
    }
    net::awaitable<result<void>> inform() {
        const patience_clock::request waiting(m_clock);
        co_return co_await m_facts.link->keep_informed(m_miner, m_facts.deadline);  // of the reservation as it is now
    }
    template <class Reply, class Message>
    net::awaitable<result<Reply>> ask(net::method_id method, Message what, net::request_body body, net::lane on) {
        const patience_clock::request waiting(m_clock);
        auto answer = co_await m_facts.link->ask<Reply>(m_miner, method, std::move(what), std::move(body), m_facts.deadline, on);
        if (!answer) co_return std::move(answer).error();
        co_return std::move(answer->message);
    }
    [[nodiscard]] net::request_body body_of(const slice_ptr& slice) const { return net::request_body::lent(slice->fragment(m_fragment), slice); }

    net::awaitable<result<void>> whole(std::shared_ptr<channel> slices) {
        CO_CHECK_OK(co_await inform());
        CO_TRY(const auto slice, co_await slices->receive());
        storage::put_request what;
        what.volume = m_facts.owner.volume;
        what.term = m_facts.owner.term;
        what.identity = *m_facts.identity;
        what.index = static_cast<std::uint8_t>(m_fragment);
        CO_TRY(const auto done, co_await ask<storage::empty_reply>(storage::method::put, std::move(what), body_of(slice), net::lane::bulk));
        (void)done;
        co_return result<void>();
    }
    net::awaitable<result<void>> in_chunks(std::shared_ptr<channel> slices) {
        CO_CHECK_OK(co_await inform());
        storage::put_plan plan;
        plan.volume = m_facts.owner.volume;
        plan.term = m_facts.owner.term;
        plan.geometry = m_facts.what.layout.geometry;
        plan.stored_length = m_facts.what.layout.stored();
        plan.index = static_cast<std::uint8_t>(m_fragment);
        CO_TRY(const auto begun, co_await ask<storage::put_handle>(storage::method::put_begin, plan, net::request_body(), net::lane::control));
        m_handle = begun.handle;
        net::task_group senders(m_facts.executor);  // here, so that none starts once this has ended
        for (std::size_t i = 0; i < chunks_in_flight; ++i) senders.spawn(send_chunks(slices, senders));
        co_await senders.join();
        if (m_failure) co_return std::move(*m_failure);
        if (needs_slices()) co_return error(errc::canceled, "upload given up");
        storage::put_end end;
        end.handle = m_handle;
        end.identity = *m_facts.identity;
        CO_TRY(const auto done, co_await ask<storage::empty_reply>(storage::method::put_commit, std::move(end), net::request_body(), net::lane::bulk));
        (void)done;
        co_return result<void>();
    }
    net::awaitable<void> send_chunks(std::shared_ptr<channel> slices, net::task_group& senders) {
        for (;;) {
            auto slice = co_await slices->receive();
            if (!slice) co_return;
            storage::chunk_request what;
            what.handle = m_handle;
            what.offset = (*slice)->offset();
            const auto size = (*slice)->fragment(m_fragment).size();
            auto body = body_of(*slice);
            slice->reset();
            auto sent = co_await ask<storage::empty_reply>(storage::method::put_chunk, what, std::move(body), net::lane::bulk);
            if (sent) {
                m_sent += size;
                continue;
            }
            if (!m_failure) m_failure = std::move(sent).error();
            release();  // the others need not go as slowly as this one did
            senders.cancel();
            co_return;
        }
    }

    const put_facts& m_facts;
    const unsigned m_fragment;
    const std::size_t m_choice;
    const node_id m_miner;
    patience_clock m_clock;
    std::shared_ptr<channel> m_slices = std::make_shared<channel>(slices_waiting);
    std::uint64_t m_handle = 0, m_sent = 0;
    std::optional<error> m_failure;
    std::optional<result<void>> m_outcome;
    net::task_group m_life;
};

class put_work {
public:
    explicit put_work(put_facts facts) : m_facts(std::move(facts)), m_places(m_facts.what.layout.fragments()), m_tasks(m_facts.executor) {}

    net::awaitable<result<stored_segment>> run() {
        CO_TRY(m_choices, co_await m_facts.on.where.choose(*m_facts.link, m_places.size(), m_facts.what.layout.fragment(), m_facts.deadline));
        std::vector<attempt_ptr> all;
        for (unsigned i = 0; i < m_places.size(); ++i) all.push_back(start(i, i));
        m_tasks.spawn(feed(std::move(all)));
        m_tasks.spawn(replace_stragglers());
        co_await m_tasks.join();
        if (m_facts.on.stored) *m_facts.on.stored = static_cast<std::size_t>(std::count_if(m_places.begin(), m_places.end(), [](const auto& p) { return p.done; }));
        stored_segment out;
        for (const auto& place : m_places) {
            if (!place.done) co_return m_failure ? std::move(*m_failure) : error(errc::timeout, "segment was not stored in time");
            out.holders.push_back(place.holder);
        }
        out.id = storage::id_of(*m_facts.identity);
        co_return out;
    }

private:
    using attempt_ptr = std::shared_ptr<attempt>;
    struct place_of {
        bool done = false;
        node_id holder;
        attempt_ptr now;                // the latest
        std::size_t running = 0;        // attempts; before the latest one that needs no more slices
        bool judged = false;            // that one, as slow
        std::set<std::size_t> choices;  // tried for it
        [[nodiscard]] bool restarted() const noexcept { return choices.size() > 1; }
    };

    attempt_ptr start(unsigned fragment, std::size_t choice) {
        auto& place = m_places[fragment];
        place.now = std::make_shared<attempt>(m_facts, fragment, choice, m_choices[choice].miner);
        place.judged = false;
        ++place.running;
        place.choices.insert(choice);
        m_tasks.spawn(follow(place.now));
        return place.now;
    }
    // One feed for all that begin anew at a time, however many do.
    void start_anew(unsigned fragment, std::size_t choice) {
        m_anew.push_back(start(fragment, choice));
        if (!std::exchange(m_feeding_anew, true)) m_tasks.spawn(feed_anew());
    }
    net::awaitable<void> feed_anew() {
        while (!m_anew.empty()) {
            auto feeding = feed(std::exchange(m_anew, std::vector<attempt_ptr>()));
            co_await std::move(feeding);
        }
        m_feeding_anew = false;
    }

    // Encodes the segment, as fast as the slowest of them takes it.
    net::awaitable<void> feed(std::vector<attempt_ptr> to) {
        const auto& what = m_facts.what;
        auto made = segment_encoder::make(what.layout, what.key, what.lineage, what.number, what.content);
        if (!made) co_return give_up(std::move(made).error());
        const auto encoder = std::move(*made);
        const auto encode = [this, &encoder] { return encoder->next(chunk_of(m_facts.what.layout), m_facts.on.memory); };
        while (!encoder->done()) {
            auto work = net::offload(m_facts.on.encoders, encode);
            auto slice = co_await std::move(work);
            if (!slice) co_return give_up(std::move(slice).error());
            if (encoder->done()) m_facts.identity = encoder->identity();
            bool wanted = false;
            for (const auto& each : to) {
                const bool taken = co_await each->give(*slice);
                wanted |= taken;
            }
            if (!wanted) co_return;
        }
        for (const auto& each : to) each->end();
    }
    void give_up(error why) {
        if (!m_failure) m_failure = std::move(why);
        m_tasks.cancel();
    }

    net::awaitable<void> follow(attempt_ptr what) {
        auto stored = co_await what->run();
        auto& place = m_places[what->fragment()];
        --place.running;
        if (!stored || place.done) co_return;
        if (!*stored) co_return failed(what, std::move(*stored).error());
        place.done = true;
        place.holder = what->miner();
        if (place.now != what) place.now->give_up();
        reach(m_facts.on.crashes, crash_point::fragment_stored);
        if (std::all_of(m_places.begin(), m_places.end(), [](const auto& p) { return p.done; })) m_tasks.cancel();
    }

    void failed(const attempt_ptr& what, error why) {
        if (why.code == errc::canceled) return;
        log::warn("layer", "fragment not stored miner={} reason=\"{}\"", what->miner().brief(), why.message());
        if (why.code == errc::no_space) m_facts.on.where.full(what->miner());
        // One miner may lie that we are deposed; more than m of them do not.
        if (why.code == errc::fenced) ++m_fenced;
        const bool hopeless = m_fenced > m_facts.what.layout.geometry.m;
        if (why.code == errc::fenced && !hopeless) why.code = errc::unavailable;
        if (!m_failure || m_failure->code != errc::no_space) m_failure = std::move(why);
        if (hopeless || m_facts.on.world.now() >= m_facts.deadline) return m_tasks.cancel();
        const auto& place = m_places[what->fragment()];
        if (place.now != what && place.running) return;
        if (const auto other = substitute(what->fragment())) return start_anew(what->fragment(), *other);
        if (!place.running) m_tasks.cancel();  // nobody is left to try
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

    // All get their slices at the pace of the slowest; what tells them apart is how long each was waited for.
    net::awaitable<void> replace_stragglers() {
        while (m_facts.on.world.now() < m_facts.deadline) {
            auto slept = co_await m_facts.on.world.sleep_for(straggler_check);
            if (!slept) co_return;
            const auto limit = straggler_factor * std::max(usual_wait(), m_facts.on.limits.hedge);
            const bool others_wait = longest_idle() > m_facts.on.limits.request / 2;
            for (unsigned i = 0; i < m_places.size(); ++i) {
                auto& place = m_places[i];
                const auto& clock = place.now->clock();
                const bool slow = clock.waited() > limit || (others_wait && clock.silent() > m_facts.on.limits.request);
                if (!place.done && !place.judged && slow && others_anew(i) < most_anew()) replace(i);
            }
        }
        m_tasks.cancel();
    }
    void replace(unsigned fragment) {
        auto& place = m_places[fragment];
        place.judged = true;
        m_facts.on.where.late(*m_facts.link, place.now->miner());
        const auto other = substitute(fragment);
        if (!other) return;
        if (place.now->needs_slices()) place.now->give_up();  // else it holds up nobody, and may yet be first
        start_anew(fragment, *other);
    }
    // If more look slow, it is not they.
    [[nodiscard]] std::size_t most_anew() const noexcept { return std::max<std::size_t>(m_facts.what.layout.geometry.m, 1); }
    [[nodiscard]] std::size_t others_anew(unsigned than) const {
        std::size_t out = 0;
        for (unsigned i = 0; i < m_places.size(); ++i) out += i != than && !m_places[i].done && m_places[i].restarted();
        return out;
    }
    // Of those that are here from the start: for as many as are honest, if only m lie, and for half of them.
    [[nodiscard]] net::duration usual_wait() const {
        std::vector<net::duration> waited;
        for (const auto& place : m_places)
            if (!place.restarted()) waited.push_back(place.now->clock().waited());
        if (waited.empty()) return m_facts.on.limits.put;
        const auto rank = std::min<std::size_t>(m_facts.what.layout.geometry.k, (waited.size() + 1) / 2) - 1;
        std::nth_element(waited.begin(), waited.begin() + static_cast<std::ptrdiff_t>(rank), waited.end());
        return waited[rank];
    }
    [[nodiscard]] net::duration longest_idle() const {
        net::duration out{0};
        for (const auto& place : m_places) out = std::max(out, place.now->clock().idle());
        return out;
    }

    put_facts m_facts;
    std::vector<placement::choice> m_choices;
    std::vector<place_of> m_places;
    std::vector<attempt_ptr> m_anew;  // wait to be fed
    bool m_feeding_anew = false;
    std::optional<error> m_failure;
    unsigned m_fenced = 0;
    net::task_group m_tasks;
};

}  // namespace

net::awaitable<result<stored_segment>> store_segment(put_context on, std::shared_ptr<miner_link> link, segment_source what, storage::journal_ref owner,
                                                   net::time_point deadline) {
    auto executor = co_await boost::asio::this_coro::executor;
    put_facts facts{std::move(on), std::move(link), std::move(what), owner, deadline, std::move(executor), std::nullopt};
    put_work work(std::move(facts));
    co_return co_await work.run();
}

}  // namespace cess::layer
