// What is fed to `cess import-diff`. Mostly the checks are made right first, so that the records behind them are reached.
#include <objectstore/client/diff_stream.hpp>

#include <cstdlib>

using namespace cess;
using namespace cess::client;

namespace {

// Kind, length (two bytes), body, ...: made into a stream whose checks hold.
bytes with_checks(byte_view in) {
    bytes out = to_bytes("CESSDIFF");
    out.push_back(std::byte{1});
    auto check = crypto::sha256(as_view("cess diff stream v1"));
    while (in.size() >= 3) {
        const auto length = std::min<std::size_t>(std::to_integer<std::size_t>(in[1]) << 8 | std::to_integer<std::size_t>(in[2]), in.size() - 3);
        wire::encoder head;
        head(std::to_integer<std::uint8_t>(in[0]), static_cast<std::uint32_t>(length));
        const auto body = in.subspan(3, length);
        check = crypto::sha256({check.view(), head.view(), body});
        append(out, head.view());
        append(out, body);
        append(out, check.view());
        in = in.subspan(3 + length);
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto input = to_bytes(std::as_bytes(std::span(data, size)));
    if (size > 0 && data[0] % 4 != 0) input = with_checks(byte_view(input).subspan(1));
    byte_view rest = input;
    diff::reader in([&rest](byte_span out) -> result<std::size_t> {
        const auto n = std::min(out.size(), rest.size());
        std::copy_n(rest.begin(), n, out.begin());
        rest = rest.subspan(n);
        return n;
    });
    const auto head = in.begin();
    if (!head) return 0;
    std::uint64_t at = 0;
    for (;;) {
        const auto next = in.next();
        if (!next || !*next) return 0;
        const auto* d = std::get_if<diff::data>(&**next);
        const auto* z = std::get_if<diff::zero>(&**next);
        if (!d && !z) std::abort();
        const auto offset = d ? d->offset : z->offset, length = d ? d->content.size() : z->length;
        if (length == 0 || offset < at || offset > head->to_size || length > head->to_size - offset) std::abort();
        at = offset + length;
    }
}
