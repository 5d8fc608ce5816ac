#include "first_try.hpp"

#include <algorithm>

namespace cess::layer {
namespace {

struct range {
    unsigned fragment = 0;
    std::uint64_t offset = 0, length = 0;
};

// Of the fragment in which the run begins.
std::optional<range> small_range(const run& what) noexcept {
    const auto layout = layout_of(*what.segment);
    const auto last = what.first + what.count - 1;
    const auto from = layout.sealed_offset(what.first), to = layout.sealed_offset(last) + layout.sealed_size(last);
    const auto fragment = from / layout.fragment();
    if (to - from > small_read_max || (to - 1) / layout.fragment() != fragment) return std::nullopt;
    return range{static_cast<unsigned>(fragment), from - fragment * layout.fragment(), to - from};
}

}  // namespace

bool in_one_small_range(const run& what) noexcept { return small_range(what).has_value(); }

bool try_holder(layer_core& core, const run& what, first_answer done) {
    const auto wanted = small_range(what);
    if (!wanted) return false;
    const auto& holders = what.segment->holders;
    const bool copies = what.segment->geometry.k == 1;
    const auto chosen = core.directory.first_choice(holders, copies ? std::nullopt : std::optional(wanted->fragment), core.on.limits.hedge);
    if (!chosen) return false;
    const auto& miner = holders[chosen->index];
    storage::fragment_range asked;
    asked.fragment.segment = what.segment->id;
    asked.fragment.index = static_cast<std::uint8_t>(chosen->index);
    asked.offset = wanted->offset;
    asked.length = static_cast<std::uint32_t>(wanted->length);
    core.count.requests.add();
    core.hedging.earn();
    const auto now = core.on.world.now();
    read_together::reading_until until{std::min(what.deadline, now + chosen->patience), std::min(what.deadline, now + core.on.limits.request)};
    core.together.read(miner, asked, until, [&core, what, asked, miner, patience = chosen->patience, done = std::move(done)](result<bytes> sealed) {
        if (sealed) {
            auto opened = open_blocks(*what.segment, what.key, what.first, what.count, std::move(*sealed));
            if (!opened) core.directory.distrust(miner);  // from now on all it sends is asked for with proofs, which name a liar
            return done(opened ? first_outcome::opened : first_outcome::wrong, std::move(opened));
        }
        const auto code = sealed.error().code;
        if (code == errc::timeout) core.directory.late(miner, patience);
        if (code == errc::not_found || code == errc::corrupt) core.reading().fault(miner, what.segment->id, asked.fragment.index, sealed.error());
        const bool late = code == errc::timeout || code == errc::exhausted;
        done(late ? first_outcome::late : first_outcome::failed, std::move(sealed).error());
    });
    return true;
}

}  // namespace cess::layer
