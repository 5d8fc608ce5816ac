// A file that a local journal's directory holds. Mostly its header and its records' heads are made right first, so that
// what stands behind them is reached.
#include <local_format.hpp>

#include <cstdlib>

using namespace cess;
namespace local = cess::volume::local;

namespace {

const crypto::secret_key secret(bytes(32, std::byte{7}));

// Kind, length (two bytes), body, ...: sealed records, or bytes between them.
bytes with_records(byte_view in, std::size_t& sealed) {
    local::file_header header;
    header.term = {3};
    header.first = 5;
    auto out = local::encode_header(header);
    local::record_sealer sealer(local::file_key(secret, header.salt), header.salt);
    auto number = header.first;
    bool straight = true;
    while (in.size() >= 3) {
        const auto length = std::min<std::size_t>(std::to_integer<std::size_t>(in[1]) << 8 | std::to_integer<std::size_t>(in[2]), in.size() - 3);
        const auto kind = std::to_integer<unsigned>(in[0]) % 8;
        const auto body = in.subspan(3, length);
        if (kind == 7) append(out, body);
        else append(out, sealer.seal(number++, body));
        if (kind == 6) out.resize(out.size() - std::min<std::size_t>(out.size() - local::records_at, length / 2));
        straight &= kind < 6;
        sealed += straight;
        in = in.subspan(3 + length);
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto input = to_bytes(std::as_bytes(std::span(data, size)));
    std::size_t sealed = 0;
    if (size > 0 && data[0] % 4 != 0) input = with_records(byte_view(input).subspan(1), sealed);
    const auto parsed = local::parse_file(secret, input);
    if (sealed && (!parsed || parsed->entries.size() < sealed)) std::abort();  // what was whole before the first fault is there
    if (!parsed) return 0;
    std::size_t total = 0;
    for (const auto& entry : parsed->entries) total += entry.size();
    if (total > input.size()) std::abort();
    (void)local::is_file_name(as_text(byte_view(input).first(std::min<std::size_t>(input.size(), 41))));
    return 0;
}
