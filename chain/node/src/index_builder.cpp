#include "index_builder.hpp"

#include "index.hpp"

namespace cess::chain {
namespace {

constexpr std::size_t blocks_a_step = 64;
constexpr std::uint64_t bytes_a_step = 4 * MiB;

}  // namespace

result<bool> index_builder::step() {
    const auto range = m_from.of.indexed();
    if (!range || range->from.value <= 1) return false;
    if (!m_machine) {
        TRY(m_machine, machine::open(m_from.scratch, m_from.origin, true));
    }
    const block_height upto{range->from.value - 1};
    if (m_machine->applied().height < upto) {
        CHECK_OK(apply_some(upto));
        return true;
    }
    TRY(m_copied, index::copy_some(m_from.scratch, m_from.store, m_copied));
    if (!m_copied.empty()) return true;
    CHECK_OK(m_from.of.index_completed());
    return false;
}

result<void> index_builder::apply_some(block_height upto) {
    std::uint64_t size = 0;
    for (std::size_t n = 0; n < blocks_a_step && size < bytes_a_step && m_machine->applied().height < upto; ++n) {
        const auto height = m_machine->applied().height.next();
        TRY(const auto where, m_from.of.block_at(height));
        TRY(const auto encoded, m_from.read_block(height));
        TRY(auto decoded, wire::decode<consensus::block>(encoded));
        committed_block next{height, consensus::named(std::move(decoded)), m_from.verified, false, encoded.size(), where.ends_epoch};
        if (next.block->ref.digest != where.name.digest) return error(errc::corrupt, "block " + std::to_string(height.value) + " of the log is not the one that the state contains");
        size += encoded.size();
        next.certify = n + 1 == blocks_a_step || size >= bytes_a_step || height == upto;  // a layer ends where it is stored
        CHECK_OK(m_machine->apply(next));
        if (!where.ends_epoch) continue;
        TRY(auto last, m_from.of.handovers(where.epoch, 1));
        if (last.empty()) return error(errc::not_found, "the last certificate of epoch " + std::to_string(where.epoch));
        CHECK_OK(m_machine->certify(std::move(last.front())));
    }
    return m_machine->spill();
}

}  // namespace cess::chain
