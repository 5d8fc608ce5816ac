#include "restore.hpp"

#include "members.hpp"
#include "patient_offload.hpp"

#include <chain/client/protocol.hpp>
#include <core/base/log.hpp>

#include <algorithm>
#include <set>

namespace cess::chain {
namespace {

constexpr std::size_t nodes_a_request = 256;
constexpr net::duration answer_within = std::chrono::seconds(20);
constexpr net::duration pause = std::chrono::milliseconds(200);

net::awaitable<result<net::reply>> ask(const restore_sources& from, std::size_t whom, net::method_id method, bytes head) {
    net::request what;
    what.method = method;
    what.head = std::move(head);
    auto call = from.through.call(from.members[whom % from.members.size()], std::move(what), from.world.now() + answer_within, net::lane::bulk);
    co_return co_await std::move(call);
}

// The last certificates that one member has, from the trusted epoch on; all of them hold.
net::awaitable<result<std::vector<ledger::state_certificate>>> lasts_of(const restore_sources& from, std::size_t whom, ledger::trust& known) {
    std::vector<ledger::state_certificate> out;
    for (;;) {
        handovers_request what;
        what.network = known.network();
        what.from = out.empty() ? 0 : out.back().body.epoch + 1;
        auto asking = ask(from, whom, method::handovers, wire::encode(what));
        auto got = co_await std::move(asking);
        if (!got) co_return std::move(got).error();
        auto some = wire::decode<std::vector<ledger::state_certificate>>(got->head);
        if (!some) co_return std::move(some).error();
        if (some->empty()) co_return out;
        for (auto& last : *some) {
            if (last.body.epoch != (out.empty() ? 0 : out.back().body.epoch + 1) || last.body.next.epoch != last.body.epoch + 1)
                co_return error(errc::protocol, "last certificates out of order");
            CO_CHECK_OK(known.follow(last));
            out.push_back(std::move(last));
        }
    }
}

// One state, of one epoch's beginning, in pieces from whoever has it.
class restoring {
public:
    restoring(const restore_sources& from, machine& to, std::vector<ledger::state_certificate> lasts)
        : m_from(from), m_to(to), m_lasts(std::move(lasts)), m_last(m_lasts.back().body), m_whom(from.world.random().below(from.members.size())) {}

    // errc::not_found: nobody has it any more.
    net::awaitable<result<void>> run() {
        auto beginning = on_worker([this] { return m_to.begin_restore(); });
        auto done = co_await std::move(beginning);
        if (!done) co_return done;
        auto copying_tree = tree();
        done = co_await std::move(copying_tree);
        if (!done) co_return done;
        auto copying_records = records();
        done = co_await std::move(copying_records);
        if (!done) co_return done;
        auto ending = on_worker([this] { return m_to.finish_restore(m_lasts, m_leaves); });
        co_return co_await std::move(ending);
    }

private:
    template <class F>
    net::awaitable<result<void>> on_worker(F work) {
        auto job = patient_offload(m_from.world, m_from.workers, std::move(work));
        co_return co_await std::move(job);
    }

    // Who has it not, or something else under its name, is passed over. Of f+1 who say that it is gone one is honest.
    net::awaitable<result<void>> next_member(const error& why) {
        if (why == errc::not_found) m_absent.insert(m_whom % m_from.members.size());
        ++m_whom;
        if (m_absent.size() > m_from.members.size() / 3) co_return error(errc::not_found, "the state at the end of epoch " + std::to_string(m_last.epoch));
        auto slept = co_await m_from.world.sleep_for(pause);
        co_return slept ? result<void>() : result<void>(std::move(slept).error());
    }

    state_request request() const {
        state_request what;
        what.network = m_last.network;
        what.epoch = m_last.next.epoch;
        return what;
    }

    net::awaitable<result<void>> tree() {
        if (m_last.state_root.is_zero()) co_return result<void>();
        m_places.push_back(ledger::root_of(m_last.state_root));
        while (!m_places.empty()) {
            auto what = request();
            const auto count = std::min(nodes_a_request, m_places.size());
            for (auto at = m_places.end() - static_cast<std::ptrdiff_t>(count); at != m_places.end(); ++at) what.places.push_back(at->where);
            auto asking = ask(m_from, m_whom, method::state, wire::encode(what));
            auto got = co_await std::move(asking);
            auto taken = got ? take_nodes(got->body, count) : result<std::vector<ledger::state_entry>>(got.error());
            if (!taken) {
                auto passing = next_member(taken.error());
                CO_CHECK_OK(co_await std::move(passing));
                continue;
            }
            auto storing = on_worker([this, nodes = std::make_shared<const std::vector<ledger::state_entry>>(std::move(*taken))] { return m_to.restore_nodes(*nodes); });
            CO_CHECK_OK(co_await std::move(storing));
        }
        co_return result<void>();
    }

    // Of the newest `count` places, from the first of these on; what they name takes their place.
    result<std::vector<ledger::state_entry>> take_nodes(byte_view body, std::size_t count) {
        TRY(auto nodes, wire::decode<std::vector<bytes>>(body));
        if (nodes.empty() || nodes.size() > count) return error(errc::protocol, "nodes of the tree");
        const auto first = m_places.end() - static_cast<std::ptrdiff_t>(count);
        std::vector<ledger::state_entry> out;
        std::vector<ledger::tree_place> below;
        std::uint64_t leaves = 0;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const auto& at = first[static_cast<std::ptrdiff_t>(i)];
            TRY(auto children, ledger::check_node(at, nodes[i]));
            out.push_back({at.where, std::move(nodes[i])});
            below.insert(below.end(), children.inner.begin(), children.inner.end());
            leaves += children.leaves;
        }
        m_leaves += leaves;
        m_places.erase(first, first + static_cast<std::ptrdiff_t>(out.size()));
        m_places.insert(m_places.end(), below.begin(), below.end());
        return out;
    }

    net::awaitable<result<void>> records() {
        for (bytes after;;) {
            auto what = request();
            what.after = after;
            auto asking = ask(m_from, m_whom, method::state, wire::encode(what));
            auto got = co_await std::move(asking);
            auto page = got ? wire::decode<std::vector<std::pair<bytes, bytes>>>(got->body) : result<std::vector<std::pair<bytes, bytes>>>(got.error());
            const auto some = std::make_shared<std::vector<ledger::state_entry>>();
            if (page)
                for (auto& [key, value] : *page) some->push_back({std::move(key), std::move(value)});
            auto taken = page ? check_order(*some, after) : result<void>(page.error());
            if (taken && some->empty()) co_return result<void>();
            if (taken) {
                auto storing = on_worker([this, some] { return m_to.restore_records(*some); });
                taken = co_await std::move(storing);
            }
            if (taken) {
                after = some->back().key;
                continue;
            }
            if (page && taken.error() != errc::corrupt && taken.error() != errc::protocol) co_return taken;  // this node's own disk
            auto passing = next_member(taken.error());
            CO_CHECK_OK(co_await std::move(passing));
        }
    }

    // An end that comes too early is no lie that can be told from another's: the count shows it.
    [[nodiscard]] static result<void> check_order(const std::vector<ledger::state_entry>& page, const bytes& after) {
        const bytes* last = &after;
        for (const auto& record : page) {
            if (record.key <= *last) return error(errc::protocol, "records out of order");
            last = &record.key;
        }
        return {};
    }

    const restore_sources& m_from;
    machine& m_to;
    const std::vector<ledger::state_certificate> m_lasts;
    const ledger::certificate_body& m_last;
    std::size_t m_whom;
    std::set<std::size_t> m_absent;             // members who have it not
    std::vector<ledger::tree_place> m_places;   // to be fetched
    std::uint64_t m_leaves = 0;
};

}  // namespace

net::awaitable<result<void>> restore_state(const restore_sources& from, machine& to, ledger::committee first) {
    const auto network = to.applied().network;
    for (std::size_t whom = from.world.random().below(from.members.size());; ++whom) {
        ledger::trust known(network, first);
        auto asking = lasts_of(from, whom, known);
        auto lasts = co_await std::move(asking);
        if (lasts && !lasts->empty()) {
            log::info("chain", "fetching the state at the end of epoch {}, height {}", lasts->back().body.epoch, lasts->back().body.height.value);
            restoring one(from, to, std::move(*lasts));
            auto running = one.run();
            auto done = co_await std::move(running);
            if (done) co_return done;
            if (done.error() != errc::not_found && done.error() != errc::corrupt) co_return done;
            log::warn("chain", "the state is not to be had, another try: {}", done.error().message());
        }
        auto slept = co_await from.world.sleep_for(pause);
        if (!slept) co_return std::move(slept).error();
    }
}

net::awaitable<result<std::uint64_t>> first_epoch_without_past(const restore_sources& from, ledger::trust known) {
    const auto wanted = 2 * (from.members.size() / 3) + 1;  // with this one they are 3f+1 at least
    std::map<std::size_t, std::uint64_t> reached;
    for (std::size_t whom = 0; reached.size() < std::min(wanted, from.members.size()); ++whom) {
        const auto of = whom % from.members.size();
        if (of == 0) {
            auto slept = co_await from.world.sleep_for(pause);
            if (!slept) co_return std::move(slept).error();
        }
        if (reached.contains(of)) continue;
        const reached_request what{known.network()};
        auto asking = ask(from, of, method::reached, wire::encode(what));
        auto got = co_await std::move(asking);
        const auto epoch = got ? wire::decode<std::uint64_t>(got->head) : result<std::uint64_t>(got.error());
        if (!epoch) continue;
        auto proving = lasts_of(from, of, known);
        (void)co_await std::move(proving);
        // An epoch's end that is not certified yet nobody can prove, but no more than that.
        if (*epoch <= known.now().epoch + 1) reached.emplace(of, *epoch);
    }
    std::uint64_t out = 0;
    for (const auto& [of, epoch] : reached) out = std::max(out, epoch + 1);
    co_return out;
}

}  // namespace cess::chain
