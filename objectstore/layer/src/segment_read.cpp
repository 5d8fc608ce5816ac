#include "segment_read.hpp"

#include <core/erasure/codec.hpp>

#include <algorithm>

namespace cess::layer {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t failures_shown = 400;  // characters, about

using segment_ptr = std::shared_ptr<const ledger::segment_record>;

// Whether leaves and identity are those of fragment `index` of this segment, and `piece` (from leaf `first` on) matches.
result<void> check_piece(const ledger::segment_record& segment, unsigned index, const std::optional<storage::fragment_proof>& proof, std::uint64_t first,
                         byte_view piece) {
    const auto wrong = [](const char* why) { return error(errc::corrupt, why); };
    if (!proof) return wrong("no proof came with the bytes");
    const auto layout = layout_of(segment);
    const auto& identity = proof->identity;
    if (storage::id_of(identity) != segment.id) return wrong("the proof is of another segment");
    if (identity.geometry != layout.geometry || identity.stored_length != layout.stored() || identity.roots.size() != layout.fragments())
        return wrong("the segment is not what its record says");
    const auto leaves = (layout.fragment() + storage::leaf_size - 1) / storage::leaf_size;
    if (proof->leaves.size() != leaves || storage::merkle_root(proof->leaves) != identity.roots[index]) return wrong("the proof is of another fragment");
    const auto hashes = storage::leaf_hashes(piece);
    for (std::size_t i = 0; i < hashes.size(); ++i)
        if (first + i >= leaves || hashes[i] != proof->leaves[first + i]) return wrong("the bytes do not match the segment");
    return {};
}

struct piece_check {
    segment_ptr segment;
    unsigned index;
    std::uint64_t first_leaf;
    const net::typed_reply<storage::get_reply>* answer;
    result<void> operator()() const { return check_piece(*segment, index, answer->message.proof, first_leaf, answer->body); }
};

struct decoding {
    ledger::shape geometry;
    const std::map<unsigned, bytes>* have;
    unsigned wanted;
    bytes* out;
    result<void> operator()() const {
        if (geometry.k == 1) {
            *out = have->begin()->second;
            return {};
        }
        erasure::geometry shape;
        shape.k = geometry.k;
        shape.m = geometry.m;
        TRY(const auto codec, erasure::codec::make(shape));
        std::vector<erasure::codec::piece> pieces;
        for (const auto& [index, data] : *have) pieces.push_back({index, data});
        out->resize(have->begin()->second.size());
        std::vector<erasure::codec::hole> holes;
        holes.push_back({wanted, *out});
        return codec->decode(pieces, holes);
    }
};

// One range of one data fragment, from its holder or, when that is late or fails, from any k others.
class ranged_read {
public:
    ranged_read(read_context on, segment_ptr segment, unsigned index, std::uint64_t from, std::uint64_t to, bool proven, net::time_point deadline,
                boost::asio::any_io_executor executor)
        : m_on(on), m_segment(std::move(segment)), m_index(index), m_from(from), m_to(to), m_proven(proven), m_deadline(deadline), m_tasks(std::move(executor)) {}

    net::awaitable<result<bytes>> run() {
        order_others();
        const bool doubted = given_up_on() || in_doubt();
        if (!doubted || m_on.hedging.spend(1)) start_holder();
        if (doubted)
            ask_others();
        else
            m_tasks.spawn(hedge());
        co_await m_tasks.join();
        if (m_direct) co_return std::move(*m_direct);
        const unsigned k = m_segment->geometry.k;
        if (m_have.size() < k) {
            co_return error(errc::unavailable, "segment " + m_segment->id.brief() + " fragment " + std::to_string(m_index) + ": " + std::to_string(m_have.size()) +
                                                   " of " + std::to_string(k) + " fragments can be read: " +
                                                   (m_failures.empty() ? std::string("no answer in time") : m_failures));
        }
        m_on.count.decoded.add();
        bytes out;
        decoding what;
        what.geometry = m_segment->geometry;
        what.have = &m_have;
        what.wanted = m_index;
        what.out = &out;
        auto work = net::offload(m_on.workers, what);
        CO_CHECK_OK(co_await std::move(work));
        co_return out;
    }

private:
    // The quick and healthy first.
    void order_others() {
        m_others = m_on.link.directory().quickest_first(m_segment->holders);
        if (m_segment->geometry.k == 1) m_index = m_others.front();  // any copy will do
        std::erase(m_others, m_index);
    }

    bool given_up_on() const {
        // Of copies another one has been chosen since.
        if (m_segment->geometry.k == 1 || m_others.size() < m_segment->geometry.k) return false;
        return m_on.before == first_outcome::failed || (m_on.before == first_outcome::late && hedge_allowed());
    }
    bool hedge_allowed() const {
        if (!m_on.hedging.spend(m_segment->geometry.k)) return false;
        m_on.count.hedges.add();
        return true;
    }

    // For a holder that fails, or is always late, others stand in at once. It is asked as well as far as the budget of
    // the hedges goes, or it would never be known to be well again.
    bool in_doubt() const {
        const auto& miner = m_segment->holders[m_index];
        auto& directory = m_on.link.directory();
        const unsigned k = m_segment->geometry.k;
        if (m_others.size() < k) return false;
        const auto usual = directory.latency(miner), others = directory.latency(m_segment->holders[m_others[k - 1]]);
        return directory.avoided(miner) || (usual > m_on.limits.hedge / 2 && usual > 2 * others);
    }

    void start_holder() {
        m_asked_holder = m_on.world.now();
        m_on.hedging.earn();
        m_tasks.spawn(ask_holder());
    }
    net::awaitable<void> ask_holder() {
        auto got = co_await read_fragment(m_on, m_segment, m_index, m_from, m_to, m_proven, m_deadline);
        if (got) {
            if (m_have.size() < m_segment->geometry.k) m_direct = std::move(*got);
            m_holder_answered = true;
            m_tasks.cancel();
            co_return;
        }
        if (got.error().code == errc::canceled) co_return;
        m_holder_answered = true;
        failed(got.error());
        ask_others();
    }

    net::awaitable<void> hedge() {
        const auto& miner = m_segment->holders[m_index];
        auto& directory = m_on.link.directory();
        auto slept = co_await m_on.world.sleep_for(patience_with(directory.latency(miner), m_on.limits.hedge));
        if (slept && !m_asked_others && hedge_allowed()) ask_others();
    }

    void ask_others() {
        if (m_asked_others) return;
        m_asked_others = true;
        for (unsigned i = 0; i < m_segment->geometry.k; ++i) ask_next();
    }
    void ask_next() {
        if (m_next_other < m_others.size())
            m_tasks.spawn(ask_other(m_others[m_next_other++]));
        else if (!m_asked_holder)
            start_holder();
    }
    net::awaitable<void> ask_other(unsigned index) {
        auto got = co_await read_fragment(m_on, m_segment, index, m_from, m_to, m_proven, m_deadline);
        if (!got) {
            if (got.error().code == errc::canceled) co_return;
            failed(got.error());
            ask_next();
            co_return;
        }
        if (m_direct) co_return;
        m_have.emplace(index, std::move(*got));
        if (m_have.size() < m_segment->geometry.k) co_return;
        // The holder's answer will never be seen, so that it took longer than this is all that can be learnt of it.
        if (m_asked_holder && !m_holder_answered) m_on.link.directory().late(m_segment->holders[m_index], m_on.world.now() - *m_asked_holder);
        m_tasks.cancel();
    }

    void failed(const error& why) {
        if (m_failures.size() < failures_shown) m_failures += (m_failures.empty() ? "" : "; ") + why.message();
    }

    read_context m_on;
    segment_ptr m_segment;
    unsigned m_index;
    std::uint64_t m_from, m_to;
    bool m_proven;
    net::time_point m_deadline;
    std::vector<unsigned> m_others;
    std::size_t m_next_other = 0;
    bool m_asked_others = false;
    std::optional<net::time_point> m_asked_holder;
    bool m_holder_answered = false;
    std::optional<bytes> m_direct;
    std::map<unsigned, bytes> m_have;
    std::string m_failures;  // of those that were asked, the first of many
    net::task_group m_tasks;
};

net::awaitable<void> read_part(read_context on, segment_ptr segment, unsigned index, std::uint64_t from, std::uint64_t to, bool proven,
                               net::time_point deadline, std::optional<result<bytes>>& out, net::task_group& all) {
    ranged_read work(on, std::move(segment), index, from, to, proven, deadline, co_await boost::asio::this_coro::executor);
    auto got = co_await work.run();
    const bool failed = !got;
    out.emplace(std::move(got));
    if (failed) all.cancel();
}

struct opening {
    segment_ptr segment;
    crypto::secret_key key;
    std::uint64_t first, count;
    bytes sealed;
    result<opened_blocks> operator()() { return open_blocks(*segment, key, first, count, std::move(sealed)); }
};

// A few blocks are opened on the spot: to wake a thread and be woken takes longer than they do.
net::awaitable<result<opened_blocks>> open_somewhere(read_context on, opening what) {
    if (what.sealed.size() <= small_read_max) co_return what();
    auto work = net::offload(on.workers, std::move(what));
    co_return co_await std::move(work);
}

using piece_answer = result<net::typed_reply<storage::get_reply>>;

// What is asked for in full, as it came.
net::awaitable<piece_answer> fetch(read_context on, node_id miner, storage::fragment_range range, bool proven, net::time_point until) {
    storage::get_request what;
    what.fragment = range.fragment;
    what.offset = range.offset;
    what.length = range.length;
    what.with_proof = proven;
    auto answer = co_await on.link.ask<storage::get_reply>(miner, storage::method::get, what, net::request_body(), until, net::lane::bulk);
    if (answer && answer->body.size() != range.length) {
        on.link.directory().distrust(miner);
        co_return error(errc::corrupt, "miner " + miner.brief() + " sent " + std::to_string(answer->body.size()) + " bytes instead of " + std::to_string(range.length));
    }
    co_return answer;
}

net::awaitable<piece_answer> fetch_small(read_context on, node_id miner, storage::fragment_range range, net::time_point until) {
    CO_TRY(auto body, co_await on.together.read(miner, range, until));
    net::typed_reply<storage::get_reply> out;
    out.body = std::move(body);
    co_return out;
}

}  // namespace

result<bytes> open_blocks(const ledger::segment_record& segment, const crypto::secret_key& key, std::uint64_t first, std::uint64_t count, byte_view sealed) {
    const auto layout = layout_of(segment);
    const auto last = first + count - 1;
    if (sealed.size() != layout.sealed_offset(last) + layout.sealed_size(last) - layout.sealed_offset(first)) return error(errc::corrupt);
    block_cipher cipher(key, segment.lineage, segment.number);
    bytes out(layout.plain_offset(last) + layout.plain_size(last) - layout.plain_offset(first));
    auto* to = out.data();
    for (auto block = first; block <= last; ++block) {
        const auto size = layout.plain_size(block);
        CHECK_OK(cipher.open(block, sealed.subspan(layout.sealed_offset(block) - layout.sealed_offset(first), layout.sealed_size(block)), {to, size}));
        to += size;
    }
    return out;
}

result<opened_blocks> open_blocks(const ledger::segment_record& segment, const crypto::secret_key& key, std::uint64_t first, std::uint64_t count, bytes&& sealed) {
    opened_blocks out;
    TRY(out.plain, open_blocks(segment, key, first, count, byte_view(sealed)));
    out.sealed = std::move(sealed);
    return out;
}

net::awaitable<result<bytes>> read_fragment(read_context on, segment_ptr segment, unsigned index, std::uint64_t from, std::uint64_t to, bool proven,
                                            net::time_point deadline) {
    const auto layout = layout_of(*segment);
    const auto leaf = std::uint64_t{storage::leaf_size};
    const auto start = proven ? from / leaf * leaf : from;
    const auto end = proven ? std::min((to + leaf - 1) / leaf * leaf, layout.fragment()) : to;
    const auto miner = segment->holders[index];
    storage::fragment_range range;
    range.fragment.segment = segment->id;
    range.fragment.index = static_cast<std::uint8_t>(index);
    range.offset = start;
    range.length = static_cast<std::uint32_t>(end - start);
    on.count.requests.add();
    const auto until = std::min(deadline, on.world.now() + on.limits.request);
    auto op = proven || range.length > small_read_max ? fetch(on, miner, range, proven, until) : fetch_small(on, miner, range, until);
    auto answer = co_await std::move(op);
    if (!answer) {
        const auto code = answer.error().code;
        if (code == errc::not_found || code == errc::corrupt) on.fault(miner, segment->id, index, answer.error());
        co_return std::move(answer).error();
    }
    if (proven) {
        on.count.proven.add();
        piece_check check;
        check.segment = segment;
        check.index = index;
        check.first_leaf = start / leaf;
        check.answer = &*answer;
        auto work = net::offload(on.workers, check);
        auto right = co_await std::move(work);
        if (!right) {
            on.link.directory().distrust(miner);
            on.fault(miner, segment->id, index, right.error());
            co_return std::move(right).error();
        }
    }
    auto& body = answer->body;
    if (start != from) body.erase(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(from - start));
    body.resize(to - from);
    co_return std::move(body);
}

net::awaitable<result<bytes>> read_sealed(read_context on, segment_ptr segment, std::uint64_t from, std::uint64_t to, bool proven, net::time_point deadline) {
    const auto size = layout_of(*segment).fragment();
    const auto first = static_cast<unsigned>(from / size), last = static_cast<unsigned>((to - 1) / size);
    std::vector<std::optional<result<bytes>>> parts(last - first + 1);
    net::task_group all(co_await boost::asio::this_coro::executor);
    for (unsigned i = first; i <= last; ++i) {
        const auto start = i == first ? from - i * size : 0;
        const auto end = i == last ? to - i * size : size;
        all.spawn(read_part(on, segment, i, start, end, proven, deadline, parts[i - first], all));
    }
    co_await all.join();
    for (auto& part : parts)
        if (part && !*part && part->error().code != errc::canceled) co_return std::move(*part).error();
    for (auto& part : parts)
        if (!part || !*part) co_return error(errc::canceled, "read given up");
    if (parts.size() == 1) co_return std::move(**parts.front());
    bytes out(to - from);
    auto* at = out.data();
    for (auto& part : parts) {
        std::memcpy(at, (*part)->data(), (*part)->size());
        at += (*part)->size();
    }
    co_return out;
}

net::awaitable<result<opened_blocks>> read_blocks(read_context on, segment_ptr segment, crypto::secret_key key, std::uint64_t first, std::uint64_t count,
                                                  net::time_point deadline) {
    const auto layout = layout_of(*segment);
    const auto from = layout.sealed_offset(first);
    const auto to = layout.sealed_offset(first + count - 1) + layout.sealed_size(first + count - 1);
    const auto& directory = on.link.directory();
    const bool suspicious = std::any_of(segment->holders.begin(), segment->holders.end(), [&](const node_id& miner) { return directory.distrusted(miner); });
    for (bool proven = suspicious;; proven = true) {
        CO_TRY(auto sealed, co_await read_sealed(on, segment, from, to, proven, deadline));
        opening what;
        what.segment = segment;
        what.key = key;
        what.first = first;
        what.count = count;
        what.sealed = std::move(sealed);
        auto op = open_somewhere(on, std::move(what));
        auto opened = co_await std::move(op);
        if (opened || opened.error().code != errc::corrupt) co_return opened;
        if (proven) co_return std::move(opened).error().with_context("segment " + segment->id.brief() + " block " + std::to_string(first));
    }
}

}  // namespace cess::layer
