#include <objectstore/client/history.hpp>
#include <objectstore/client/lost.hpp>

#include <algorithm>

namespace cess::client {

namespace {

std::string directory_of(runtime& on, const ledger::volume_record& of) { return on.configuration().directory + "/local/" + of.id.hex(); }

}  // namespace

result<std::vector<volume::lost_journal>> lost_journals(runtime& on, const ledger::volume_record& of) {
    return volume::read_lost(on.account(), ledger::id_of(on.configuration().network.origin), of.id, directory_of(on, of));
}

volume::lost_data data_of(runtime& on, const ledger::volume_record& of, const volume::lost_journal& journal) {
    return volume::lost_data(on.account(), directory_of(on, of), journal);
}

result<left_out> export_lost(const ledger::volume_record& of, const volume::lost_journal& what, volume::lost_data& from, byte_sink into) {
    if (of.type != ledger::volume_type::block)
        return error(errc::unsupported, "volume " + of.name + " is no block volume: what it lost has no place in one");
    if (what.entries == 0) return error(errc::corrupt, "file " + what.files.front() + " cannot be exported: " + what.damage);
    using kind = volume::lost_range::kind;
    left_out missing;
    std::vector<volume::lost_range> ranges;
    diff::header head;
    for (auto each : what.ranges) {
        if (each.blob != device_blob) continue;
        const auto inside = std::min(each.length, of.size - std::min(of.size, each.offset));
        if (each.what != kind::zeros) missing.past_end += each.length - inside;
        each.length = inside;
        if (each.what == kind::elsewhere) missing.elsewhere += each.length;
        if (each.what == kind::data) head.data += each.length;
        if (each.what == kind::data && each.length != 0) ranges.push_back(each);
    }
    head.volume = of.name;
    head.to_size = of.size;
    head.to.name = "lost-" + std::to_string(what.term.value);
    wire::encoder id;
    id(of.id, what.term, what.first, what.last);
    head.to.id = crypto::sha256({as_view("cess lost state v1"), id.view()});
    diff::writer out(std::move(into));
    CHECK_OK(out.put(head));
    std::uint64_t records = 1;
    for (const auto& each : ranges) {
        for (std::uint64_t done = 0; done < each.length; ++records) {
            const auto length = std::min<std::uint64_t>(each.length - done, diff::piece_max);
            diff::data piece{each.offset + done, bytes(length)};
            CHECK_OK(from.read(each, done, piece.content));
            CHECK_OK(out.put(std::move(piece)));
            done += length;
        }
    }
    CHECK_OK(out.put(diff::end{records}));
    return missing;
}

}  // namespace cess::client
