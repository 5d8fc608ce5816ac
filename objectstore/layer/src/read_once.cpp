#include "read_once.hpp"

#include <core/net/blocking.hpp>

namespace cess::layer {
namespace {

constexpr std::uint64_t run_bytes_max = 1 * MiB;

// Of plain bytes that begin with a block.
void copy_plain(const piece& to, std::uint64_t first, byte_view plain) {
    const auto start = first * to.from->block_size;
    const auto from = std::max(to.offset, start), end = std::min(to.offset + to.out.size(), start + plain.size());
    if (from < end) std::memcpy(to.out.data() + (from - to.offset), plain.data() + (from - start), end - from);
}

result<void> read_piece(layer_core& core, const keyring& keys, const piece& what, net::time_point deadline) {
    if (what.out.empty()) return {};
    const auto& segment = *what.from;
    CHECK_OK(check(segment));
    if (what.offset >= segment.length || what.out.size() > segment.length - what.offset) return error(errc::out_of_range, "segment " + segment.id.brief() + ": bytes past its end");
    TRY(const auto of_volume, keys.find(segment.lineage, segment.key_generation));
    const auto key = core.keys.of(segment, of_volume);
    const auto record = std::make_shared<const ledger::segment_record>(segment);
    const auto last = (what.offset + what.out.size() - 1) / segment.block_size;
    const auto per_run = std::max<std::uint64_t>(1, run_bytes_max / segment.block_size);
    for (auto block = what.offset / segment.block_size; block <= last;) {
        if (const auto cached = core.on.blocks.memory().find({segment.id, static_cast<std::uint32_t>(block)})) {
            copy_plain(what, block++, *cached);
            continue;
        }
        const auto count = std::min(per_run, last - block + 1);
        auto op = read_blocks(core.reading(), record, key, block, count, deadline);
        TRY(const auto blocks, net::wait(core.on.world, std::move(op)));
        copy_plain(what, block, blocks.plain);
        core.read_bytes.add(blocks.plain.size());
        block += count;
    }
    return {};
}

}  // namespace

result<void> read_past_cache(layer_core& core, const keyring& keys, const std::vector<piece>& pieces) {
    const auto deadline = core.on.world.now() + core.on.limits.read;
    for (const auto& each : pieces) CHECK_OK(read_piece(core, keys, each, deadline));
    return {};
}

}  // namespace cess::layer
