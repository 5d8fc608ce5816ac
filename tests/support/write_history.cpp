#include <support/write_history.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

namespace cess::test {
namespace {

constexpr std::size_t words = write_history::sector / sizeof(std::uint64_t);

std::uint64_t mix(std::uint64_t x) noexcept {  // splitmix64's finisher
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void fill_sector(stamp which, std::uint64_t number, std::uint64_t* out) noexcept {
    out[0] = which;
    out[1] = number;
    auto state = mix(which * 0x9e3779b97f4a7c15U + number);
    for (std::size_t i = 2; i < words; ++i) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = state;
    }
}

// The stamp of one sector; none if its bytes are of no write to it.
std::optional<stamp> stamp_of(byte_view bytes, std::uint64_t number) {
    std::uint64_t found[words], expected[words];
    std::memcpy(found, bytes.data(), sizeof found);
    if (std::all_of(std::begin(found), std::end(found), [](auto w) { return w == 0; })) return 0;
    fill_sector(found[0], number, expected);
    if (found[0] == 0 || std::memcmp(found, expected, sizeof found) != 0) return std::nullopt;
    return found[0];
}

std::string at_sector(std::uint64_t number) { return "sector " + std::to_string(number); }
std::string name_of(stamp which) { return which == 0 ? "zeros" : "write " + std::to_string(which); }

}  // namespace

stamp write_history::next_stamp() {
    const std::lock_guard lock(m_mutex);
    return ++m_last;
}

void write_history::fill(stamp which, std::uint64_t first, byte_span out) {
    std::uint64_t bytes[words];
    for (std::size_t at = 0; at < out.size(); at += sector) {
        fill_sector(which, first + at / sector, bytes);
        std::memcpy(out.data() + at, bytes, sizeof bytes);
    }
}

void write_history::wrote(sequence_number at, stamp which, std::uint64_t first, std::uint64_t count) {
    const std::lock_guard lock(m_mutex);
    m_writes.push_back({at, which, first, count});
}

void write_history::acknowledged(sequence_number upto) {
    const std::lock_guard lock(m_mutex);
    m_acknowledged = std::max(m_acknowledged, upto);
}

void write_history::sort() {
    std::sort(m_writes.begin(), m_writes.end(), [](const written& a, const written& b) { return a.at < b.at; });
}

write_history::image_stamps write_history::before(sequence_number at) {
    sort();
    auto out = m_base;
    for (const auto& w : m_writes) {
        if (w.at >= at) break;
        std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(w.first), w.count, w.which);
    }
    return out;
}

std::string write_history::compare(byte_view image, const image_stamps& with) {
    for (std::uint64_t i = 0; i < with.size(); ++i) {
        const auto seen = stamp_of(image.subspan(i * sector, sector), i);
        if (!seen) return at_sector(i) + " holds bytes of no write";
        if (*seen != with[i]) return at_sector(i) + " holds " + name_of(*seen) + " instead of " + name_of(with[i]);
    }
    return {};
}

std::string write_history::explain(const std::vector<stamp>& seen, std::size_t prefix) const {
    auto expected = m_base;
    for (std::size_t i = 0; i < prefix; ++i)
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(m_writes[i].first), m_writes[i].count, m_writes[i].which);
    std::size_t differing = 0;
    std::string first;
    for (std::size_t i = 0; i < seen.size(); ++i) {
        if (seen[i] == expected[i]) continue;
        if (differing++ == 0) first = at_sector(i) + " holds " + name_of(seen[i]) + " instead of " + name_of(expected[i]);
    }
    return "nearest is prefix " + std::to_string(prefix) + " of " + std::to_string(m_writes.size()) + ", from which " + std::to_string(differing) +
           " sectors differ, the first: " + first;
}

std::string write_history::check(byte_view image, sequence_number recovered) {
    sort();
    std::vector<stamp> seen(m_base.size());
    for (std::uint64_t i = 0; i < seen.size(); ++i) {
        const auto found = stamp_of(image.subspan(i * sector, sector), i);
        if (!found) return at_sector(i) + " holds bytes of no write, or a torn one";
        seen[i] = *found;
    }
    // votes[p]: sectors that look as they did after the first p writes, as differences.
    std::vector<std::int64_t> votes(m_writes.size() + 2, 0);
    std::vector<std::pair<std::size_t, stamp>> since(seen.size(), {0, 0});
    for (std::size_t i = 0; i < seen.size(); ++i) since[i].second = m_base[i];
    const auto vote = [&](std::uint64_t which, std::size_t until) {
        if (since[which].second != seen[which]) return;
        ++votes[since[which].first];
        --votes[until];
    };
    for (std::size_t w = 0; w < m_writes.size(); ++w)
        for (auto i = m_writes[w].first; i < m_writes[w].first + m_writes[w].count; ++i) {
            vote(i, w + 1);
            since[i] = {w + 1, m_writes[w].which};
        }
    for (std::size_t i = 0; i < seen.size(); ++i) vote(i, m_writes.size() + 1);

    const auto count_upto = [this](sequence_number at) {
        return static_cast<std::size_t>(std::count_if(m_writes.begin(), m_writes.end(), [at](const written& w) { return w.at <= at; }));
    };
    const auto least = count_upto(m_acknowledged), most = count_upto(recovered);
    if (recovered < m_acknowledged)  // also if what is missing was no write
        return "recovered to change " + std::to_string(recovered.value) + ", before the acknowledged " + std::to_string(m_acknowledged.value);
    std::int64_t sum = 0, best = -1;
    std::size_t nearest = least;
    std::optional<std::size_t> prefix;
    for (std::size_t p = 0; p <= most; ++p) {
        sum += votes[p];
        if (p < least) continue;
        if (sum > best) {
            best = sum;
            nearest = p;
        }
        if (sum == static_cast<std::int64_t>(seen.size())) prefix = p;
    }
    if (!prefix) return "no prefix of the history from " + std::to_string(least) + " to " + std::to_string(most) + " writes: " + explain(seen, nearest);
    m_base = std::move(seen);
    m_writes.clear();
    m_acknowledged = recovered;
    return {};
}

}  // namespace cess::test
