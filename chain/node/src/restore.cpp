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
    // `liars`: members who are asked no more; those who are caught join them.
    restoring(const restore_sources& from, machine& to, std::vector<ledger::state_certificate> lasts, std::set<std::size_t>& liars)
        : m_from(from), m_to(to), m_lasts(std::move(lasts)), m_last(m_lasts.back().body), m_liars(liars), m_whom(from.world.random().below(from.members.size())) {}

    // errc::not_found: it has gone. errc::corrupt: somebody lied, and it has to be begun anew.
    net::awaitable<result<void>> run() {
        auto beginning = on_worker([this] { return m_to.begin_restore(m_to.given_up()); });
        auto done = co_await std::move(beginning);
        if (!done) co_return done;
        auto copying_tree = tree();
        done = co_await std::move(copying_tree);
        if (!done) co_return done;
        auto copying_records = all_records();
        done = co_await std::move(copying_records);
        if (!done) co_return done;
        auto ending = on_worker([this] { return m_to.finish_restore(m_lasts); });
        co_return co_await std::move(ending);
    }

private:
    struct wanted {
        ledger::tree_place at;
        std::size_t named_by = 0;  // who gave the node that names it
    };

    template <class F>
    net::awaitable<result<void>> on_worker(F work) {
        auto job = patient_offload(m_from.world, m_from.workers, std::move(work));
        co_return co_await std::move(job);
    }

    void turn() {
        do m_whom = (m_whom + 1) % m_from.members.size();
        while (m_liars.contains(m_whom) && m_liars.size() < m_from.members.size());
    }

    [[nodiscard]] bool one_is_honest(const std::set<std::size_t>& members) const { return members.size() > m_from.members.size() / 3; }  // f+1

    // Who has it not, or something else under its name, is passed over.
    net::awaitable<result<void>> next_member(const error& why) {
        if (why == errc::not_found) m_absent.insert(m_whom);
        if (why == errc::corrupt || why == errc::protocol) m_liars.insert(m_whom);
        turn();
        if (one_is_honest(m_absent)) co_return error(errc::not_found, "the state at the end of epoch " + std::to_string(m_last.epoch));
        auto slept = co_await m_from.world.sleep_for(pause);
        co_return slept ? result<void>() : result<void>(std::move(slept).error());
    }

    state_request request() const {
        state_request what;
        what.network = m_last.network;
        what.epoch = m_last.next.epoch;
        return what;
    }

    // Each answer from another member, so that a slow one holds up its share only.
    net::awaitable<result<void>> tree() {
        if (m_last.state_root.is_zero()) co_return result<void>();
        m_places.push_back({ledger::root_of(m_last.state_root), m_whom});
        while (!m_places.empty()) {
            auto what = request();
            const auto count = std::min(nodes_a_request, m_places.size());
            for (auto at = m_places.rbegin(); what.places.size() < count; ++at) what.places.push_back(at->at.where);
            auto asking = ask(m_from, m_whom, method::state, wire::encode(what));
            auto got = co_await std::move(asking);
            auto taken = got ? take_nodes(got->body, count) : result<std::vector<ledger::state_entry>>(got.error());
            if (!taken) {
                CO_CHECK_OK(nothing_there(taken.error()));
                auto passing = next_member(taken.error());
                CO_CHECK_OK(co_await std::move(passing));
                continue;
            }
            m_denied.clear();
            turn();
            auto storing = on_worker([this, nodes = std::make_shared<const std::vector<ledger::state_entry>>(std::move(*taken))] { return m_to.restore_nodes(*nodes); });
            CO_CHECK_OK(co_await std::move(storing));
        }
        co_return result<void>();
    }

    // A hash does not tell a leaf from an inner node, so a liar can name a node that does not exist. Of f+1 members who say so one is honest.
    result<void> nothing_there(const error& why) {
        if (why != errc::invalid) return {};
        m_denied.insert(m_whom);
        if (!one_is_honest(m_denied)) return {};
        m_liars.insert(m_places.back().named_by);
        return error(errc::corrupt, "a node of the tree was named that nobody has");
    }

    // Of the newest `count` places, the newest first; what they name takes their place.
    result<std::vector<ledger::state_entry>> take_nodes(byte_view body, std::size_t count) {
        TRY(auto nodes, wire::decode<std::vector<bytes>>(body));
        if (nodes.empty() || nodes.size() > count) return error(errc::protocol, "nodes of the tree");
        std::vector<ledger::state_entry> out;
        std::vector<wanted> below;
        std::uint64_t leaves = 0;
        for (auto& node : nodes) {
            const auto& at = m_places[m_places.size() - 1 - out.size()].at;
            TRY(auto children, ledger::check_node(at, node));
            out.push_back({at.where, std::move(node)});
            for (auto& child : children.inner) below.push_back({std::move(child), m_whom});
            leaves += children.leaves;
        }
        m_leaves += leaves;
        m_places.resize(m_places.size() - out.size());
        m_places.insert(m_places.end(), below.begin(), below.end());
        return out;
    }

    // Whoever leaves some out, or ends too early, cannot be told from who came before: once more then, from the beginning, beginning with another.
    net::awaitable<result<void>> all_records() {
        for (std::size_t pass = 0; pass <= m_from.members.size(); ++pass) {
            std::uint64_t count = 0;
            auto copying = records(count);
            CO_CHECK_OK(co_await std::move(copying));
            if (count == m_leaves) co_return result<void>();
            turn();
        }
        co_return error(errc::corrupt, "fewer records came than the tree has leaves");
    }

    // In one pass each comes once, since they ascend, and is one of the tree's: so it is their number that shows whether all came.
    net::awaitable<result<void>> records(std::uint64_t& count) {
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
                count += some->size();
                after = some->back().key;
                continue;
            }
            if (page && taken.error() != errc::corrupt && taken.error() != errc::protocol) co_return taken;  // this node's own disk
            auto passing = next_member(taken.error());
            CO_CHECK_OK(co_await std::move(passing));
        }
    }

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
    std::set<std::size_t>& m_liars;
    std::size_t m_whom;
    std::set<std::size_t> m_absent;   // members who have it not
    std::set<std::size_t> m_denied;   // who say that the newest place has no node
    std::vector<wanted> m_places;     // to be fetched
    std::uint64_t m_leaves = 0;
};

}  // namespace

net::awaitable<result<void>> restore_state(const restore_sources& from, machine& to, ledger::committee first) {
    const auto network = to.applied().network;
    std::set<std::size_t> liars;
    for (std::size_t whom = from.world.random().below(from.members.size());; ++whom) {
        ledger::trust known(network, first);
        auto asking = lasts_of(from, whom, known);
        auto lasts = co_await std::move(asking);
        // Whoever is behind, or says so, cannot lead back into an epoch in which this node has been.
        if (lasts && !lasts->empty() && lasts->back().body.next.epoch > to.given_up()) {
            log::info("chain", "fetching the state at the end of epoch {}, height {}", lasts->back().body.epoch, lasts->back().body.height.value);
            restoring one(from, to, std::move(*lasts), liars);
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
