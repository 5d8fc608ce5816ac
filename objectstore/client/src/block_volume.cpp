#include "block_volume.hpp"

#include <objectstore/client/client.hpp>

namespace cess::client {
namespace {

constexpr std::uint64_t iops_max = 1'000'000'000;

bytes limits_key() { return to_bytes("limits"); }

result<void> cut(volume::volume& of, std::uint64_t from, std::uint64_t to) {
    volume::change what;
    what.zero(block_device_blob, from, to - from);
    TRY(const auto at, of.apply(what));
    return of.sync(at);
}

}  // namespace

result<void> check_limits(const io_limits& what) {
    for (const auto each : {what.iops, what.read_iops, what.write_iops})
        if (each > iops_max) return error(errc::invalid, "more than " + std::to_string(iops_max) + " operations a second; 0 is no limit");
    for (const auto each : {what.bandwidth, what.read_bandwidth, what.write_bandwidth})
        if (each != 0 && each < bandwidth_min)
            return error(errc::invalid, "a bandwidth of " + format_size(each) + " a second is too little; " + format_size(bandwidth_min) + " is the least, 0 none");
    if (what.burst_seconds == 0 || what.burst_seconds > burst_seconds_max)
        return error(errc::invalid, "a burst of " + std::to_string(what.burst_seconds) + " s: between 1 and " + std::to_string(burst_seconds_max));
    return {};
}

result<io_limits> read_limits(volume::reader& of) {
    if (of.record().type != ledger::volume_type::block) return io_limits();
    TRY(const auto row, of.get(limits_key()));
    if (!row) return io_limits();
    auto out = wire::decode<io_limits>(*row);
    if (!out) return std::move(out).error().with_context("limits of volume " + of.record().name);
    return out;
}

result<void> write_limits(volume::volume& of, const io_limits& to) {
    CHECK_OK(check_limits(to));
    if (of.record().type != ledger::volume_type::block)
        return error(errc::unsupported, "volume " + of.record().name + " is no block device: only those have limits");
    volume::change what;
    what.put(limits_key(), wire::encode(to));
    TRY(const auto at, of.apply(what));
    return of.sync(at);
}

result<void> resize_head(volume::volume& of, std::uint64_t size, const std::function<void(std::uint64_t)>& changed) {
    const auto before = of.record().size;
    const bool block = of.record().type == ledger::volume_type::block;
    // A shrink that died half-way, or a write that raced with it, may have left bytes past the end.
    if (block && size > before) CHECK_OK(cut(of, before, size));
    CHECK_OK(of.resize(size));
    if (changed) changed(size);
    if (block && size < before) return cut(of, size, before);
    return {};
}

}  // namespace cess::client
