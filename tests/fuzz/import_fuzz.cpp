// What is fed to `cess import`. Mostly a header is put before it, and the end is made right, so that the rules behind them are reached.
#include "import/stream_lines.hpp"

#include <core/base/log.hpp>
#include <core/crypto/crypto.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>

using namespace cess;

namespace {

constexpr std::string_view header = R"({"format":"cess filesystem metadata","version":1,"volume":"v","id":"00000000000000000000000000000000"})" "\n";

std::string with_ends(std::string_view lines) {
    std::uint64_t inodes = 0, entries = 0, xattrs = 0, extents = 0, quotas = 0;
    std::string out(header);
    for (std::size_t at = 0; at < lines.size();) {
        const auto end = std::min(lines.find('\n', at), lines.size());
        const auto line = lines.substr(at, end - at);
        at = end + 1;
        if (const auto parsed = fs::importing::parse_line(line)) {
            inodes += std::holds_alternative<fs::importing::inode_line>(*parsed);
            entries += std::holds_alternative<fs::importing::entry_line>(*parsed);
            xattrs += std::holds_alternative<fs::importing::xattr_line>(*parsed);
            extents += std::holds_alternative<fs::importing::extent_line>(*parsed);
            quotas += std::holds_alternative<fs::importing::quota_line>(*parsed);
        }
        out.append(line).push_back('\n');
    }
    const auto hash = crypto::sha256(as_view(out)).hex();
    return out + fmt::format(R"({{"end":true,"inodes":{},"entries":{},"xattrs":{},"extents":{},"quotas":{},"sha256":"{}"}})" "\n", inodes, entries, xattrs, extents,
                             quotas, hash);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string input(as_text(std::as_bytes(std::span(data, size))));
    const bool ends = size > 0 && data[0] % 4 != 0;
    if (ends) input = with_ends(std::string_view(input).substr(1));
    const auto header_found = fs::check_stream([&input](std::uint64_t offset, byte_span out) -> result<std::size_t> {
        if (offset > input.size()) std::abort();
        const auto n = std::min<std::size_t>(out.size(), input.size() - offset);
        std::copy_n(as_view(input).begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
        return n;
    });
    if (header_found && ends && header_found->volume != "v") std::abort();
    if (!header_found && header_found.error().what.empty()) std::abort();
    return 0;
}
