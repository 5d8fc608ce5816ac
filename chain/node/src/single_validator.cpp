#include "single_validator.hpp"

#include "patient_offload.hpp"

namespace cess::chain {
namespace {

struct making {
    single_validator* self;
    result<std::shared_ptr<committed_block>> (single_validator::*make)();
    result<std::shared_ptr<committed_block>> operator()() const { return (self->*make)(); }
};

}  // namespace

single_validator::single_validator(const validator_dependencies& on, std::uint16_t author, place last)
    : m_world(on.world), m_workers(on.workers), m_keys(on.identity, {on.identity.pub()}), m_network(ledger::id_of(on.origin)), m_epoch(on.origin.first.epoch),
      m_author(author), m_limits(on.limits), m_last(last) {}

result<std::unique_ptr<single_validator>> single_validator::open(const validator_dependencies& on, std::uint16_t author, place last, const replay& visit) {
    std::unique_ptr<single_validator> made(new single_validator(on, author, last));
    const auto from = last.height.value == 0 ? last.height.next() : last.height;  // the newest applied one too, to check it
    const block_log::visitor each = [&](block_height height, byte_view encoded) -> result<void> {
        TRY(auto block, made->replayed(height, encoded));
        if (height <= last.height) return {};
        ordered next;
        next.blocks.push_back(std::move(block));
        return visit(std::move(next));
    };
    TRY(made->m_log, block_log::open(on.disk, on.log_directory, on.limits.log_file_size, from, each));
    if (made->m_log->last() < last.height)
        return error(errc::corrupt, "block log " + on.log_directory + " ends at block " + std::to_string(made->m_log->last().value) + ", the state stands at " + std::to_string(last.height.value));
    return made;
}

result<committed_block> single_validator::replayed(block_height height, byte_view encoded) {
    const auto wrong = [&](const char* why) { return error(errc::corrupt, "block " + std::to_string(height.value) + ": " + why); };
    auto decoded = wire::decode<consensus::block>(encoded);
    if (!decoded) return wrong("does not decode");
    auto block = consensus::named(std::move(*decoded));
    const auto& body = block->body();
    const auto& digest = block->ref.digest;
    if (body.network != m_network) return wrong("of another network");
    if (body.author != m_author || !m_keys.holds(0, digest, block->what.sig)) return wrong("not signed by this node");
    if (height == m_last.height) {
        if (digest != m_last.digest) return wrong("is not the one that the state contains");
    } else {
        if (body.parents.size() != 1 || body.parents[0].digest != m_last.digest || body.round != m_last.round + 1) return wrong("does not follow the one before it");
        m_last = {height, body.round, digest};
    }
    return committed_block{height, std::move(block), true, true, encoded.size()};
}

result<void> single_validator::submit(ledger::signed_transaction what, std::uint64_t weight) {
    std::lock_guard lock(m_mutex);
    if (m_stopped) return error(errc::unavailable, "validator is stopping");
    if (m_queue.size() >= m_limits.queue_transactions_max || m_queue_weight + weight > m_limits.queue_bytes_max)
        return error(errc::exhausted, "too many transactions wait; try later");
    m_queue.push_back({std::move(what), weight});
    m_queue_weight += weight;
    (void)m_bell.try_send(true);  // full: it rings already
    return {};
}

net::awaitable<result<ordered>> single_validator::next() {
    while (waiting() == 0) {
        auto rung = co_await m_bell.receive();
        if (!rung) co_return std::move(rung).error();
    }
    making work{this, &single_validator::make_block};
    auto job = patient_offload(m_world, m_workers, work);
    auto made = co_await std::move(job);
    if (!made) co_return std::move(made).error();
    ordered out;
    out.blocks.push_back(std::move(**made));
    co_return out;
}

std::vector<ledger::signed_transaction> single_validator::take_queued() {
    std::vector<ledger::signed_transaction> out;
    std::uint64_t weight = 0;
    std::lock_guard lock(m_mutex);
    while (!m_queue.empty() && out.size() < m_limits.block_transactions_max) {
        auto& first = m_queue.front();
        if (!out.empty() && weight + first.weight > m_limits.block_bytes_max) break;
        weight += first.weight;
        m_queue_weight -= first.weight;
        out.push_back(std::move(first.what));
        m_queue.pop_front();
    }
    return out;
}

result<std::shared_ptr<committed_block>> single_validator::make_block() {
    consensus::block what;
    auto& body = what.body;
    body.network = m_network;
    body.epoch = m_epoch;
    body.round = m_last.round + 1;
    body.author = m_author;
    body.parents = {{m_last.round, m_author, m_last.digest}};
    for (const auto& transaction : take_queued()) body.payload.push_back(wire::encode(transaction));
    body.durable_watermark = m_last.round;
    {
        std::lock_guard lock(m_mutex);
        if (m_contribution) body.certificate_signatures = {*m_contribution};
    }
    what.sig = m_keys.sign(consensus::digest_of(body));
    const auto encoded = wire::encode(what);
    auto made = std::make_shared<committed_block>();
    made->height = m_last.height.next();
    made->block = consensus::named(std::move(what));
    made->verified = true;
    made->encoded_size = encoded.size();
    CHECK_OK(m_log->append(made->height, encoded));
    m_last = {made->height, made->block->ref.round, made->block->ref.digest};
    return made;
}

void single_validator::contribute(block_height height, signature over_certificate) {
    std::lock_guard lock(m_mutex);
    m_contribution.emplace(height, over_certificate);
}

std::size_t single_validator::waiting() const {
    std::lock_guard lock(m_mutex);
    return m_queue.size();
}

void single_validator::stop() {
    {
        std::lock_guard lock(m_mutex);
        m_stopped = true;
    }
    m_bell.close();
}

}  // namespace cess::chain
