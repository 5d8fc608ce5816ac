#include "record_log.hpp"

#include <core/base/random.hpp>
#include <core/crypto/crypto.hpp>
#include <core/wire/codec.hpp>

#include <algorithm>
#include <charconv>

namespace cess::chain {
namespace {

constexpr std::uint32_t body_max = 16 * MiB;
constexpr std::size_t rewrite_piece = 1 * MiB;

// What a file of the batched form begins with.
struct beginning {
    std::uint32_t magic = 0;
    std::uint32_t version = 1;
    std::uint64_t first = 0;
    std::array<std::byte, 16> salt{};
    static constexpr std::size_t size = 32 + 32;

    [[nodiscard]] bytes encode() const {
        wire::encoder out;
        out(magic, version, first);
        out.raw(salt);
        const auto sum = crypto::sha256(out.view());
        out.raw(sum.raw);
        return std::move(out).take();
    }
};

std::optional<std::uint64_t> first_of(const std::string& name, const std::string& suffix) {
    if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    std::uint64_t first = 0;
    const auto [end, status] = std::from_chars(name.data(), name.data() + 16, first, 16);
    if (status != std::errc() || end != name.data() + 16) return std::nullopt;
    return first;
}

std::uint32_t mark_of(const std::array<std::byte, 16>& salt) {
    std::uint32_t mark = 0;
    wire::decoder in(byte_view(salt).first(4));
    in(mark);
    return mark;
}

}  // namespace

// ---- one record -----------------------------------------------------------------------------------------

std::string record_log::path_of(std::uint64_t first) const {
    std::string digits(16, '0');
    for (std::size_t i = 16; i-- > 0; first >>= 4) digits[i] = "0123456789abcdef"[first & 15];
    return m_directory + "/" + digits + m_form.suffix;
}

error record_log::damage(const file_handle& in, std::uint64_t offset, std::uint64_t number) const {
    return {errc::corrupt, path_of(in.first) + ": " + m_form.noun + " " + std::to_string(number) + " is damaged at byte " + std::to_string(offset) + "; restore the file"};
}

bytes record_log::fields_of(std::uint32_t mark, const header& h) const {
    wire::encoder out;
    out(mark, h.length, h.number);
    if (m_form.batched) out(h.durable);
    return std::move(out).take();
}

hash256 record_log::sum_of(const file_handle& in, const header& h, byte_view body) const {
    const auto salt = m_form.batched ? byte_view(in.salt) : byte_view();
    return crypto::sha256({salt, fields_of(in.mark, h), body});
}

// None if no header is there whose record would end by `end`; errors are the disk's.
result<std::optional<record_log::header>> record_log::header_at(const file_handle& in, std::uint64_t offset, std::uint64_t end) const {
    const std::optional<header> none;
    if (offset > end || end - offset < header_size()) return none;
    bytes raw(header_size());
    TRY(const auto got, in.file->read_at(offset, raw));
    if (got != raw.size()) return none;
    std::uint32_t mark = 0;
    header out;
    wire::decoder from(raw);
    from(mark, out.length, out.number);
    if (m_form.batched) from(out.durable);
    else out.durable = out.number - 1;  // each is synced before the next
    from(out.sum);
    if (mark != in.mark || out.length > body_max || out.length > end - offset - header_size()) return none;
    return std::optional(out);
}

// The record at `offset`, or none if none that checks begins there.
result<std::optional<record_log::record>> record_log::record_at(const file_handle& in, std::uint64_t offset, std::uint64_t end) const {
    std::optional<record> out;
    TRY(const auto head, header_at(in, offset, end));
    if (!head) return out;
    bytes body(head->length);
    TRY(const auto got, in.file->read_at(offset + header_size(), body));
    if (got == body.size() && sum_of(in, *head, body) == head->sum) out = record{*head, std::move(body)};
    return out;
}

// ---- recovery -------------------------------------------------------------------------------------------

result<void> record_log::list_files() {
    CHECK_OK(m_disk.make_directories(m_directory));
    TRY(const auto entries, m_disk.list(m_directory));
    for (const auto& entry : entries)
        if (const auto first = first_of(entry.name, m_form.suffix)) m_firsts.push_back(*first);
    std::sort(m_firsts.begin(), m_firsts.end());
    // A name that was never made durable could vanish after we append behind it.
    return m_disk.sync_directory(m_directory);
}

result<void> record_log::recover(std::uint64_t from, std::uint64_t durable, const visitor& visit) {
    auto at = std::upper_bound(m_firsts.begin(), m_firsts.end(), from);
    if (at != m_firsts.begin()) --at;
    if (at != m_firsts.end() && from < *at)
        return error(errc::corrupt, "its " + m_form.noun + "s begin at " + std::to_string(*at) + ", the state needs " + std::to_string(from));
    for (; at != m_firsts.end(); ++at) {
        const bool last_file = std::next(at) == m_firsts.end();
        TRY(m_tail, scan(*at, last_file, durable));
        m_last = *at + m_tail.offsets.size() - 1;
        if (!last_file && *std::next(at) != m_last + 1) return error(errc::corrupt, path_of(*at) + " ends early; restore the file");
        if (last_file) CHECK_OK(settle_tail(durable));
        for (auto number = std::max(from, *at); number <= m_last; ++number) {
            const place here{*at, m_tail.offsets[number - *at], number};
            TRY(const auto found, record_at(m_tail, here.offset, m_tail.end));
            if (!found) return damage(m_tail, here.offset, number);
            CHECK_OK(visit(here, found->body));
        }
    }
    if (m_last < durable)
        return error(errc::corrupt, "ends at " + m_form.noun + " " + std::to_string(m_last) + ", " + std::to_string(durable) + " were durable; restore its files");
    m_durable = m_last;
    return {};
}

result<record_log::file_handle> record_log::open(std::uint64_t first, os::open_mode mode) const {
    file_handle out;
    out.first = first;
    out.mark = m_form.magic;
    TRY(out.file, m_disk.open(path_of(first), mode));
    return out;
}

result<void> record_log::begin(file_handle& fresh) const {
    if (!m_form.batched) return {};
    system_random random;
    random.fill(fresh.salt);
    fresh.mark = mark_of(fresh.salt);
    const auto text = beginning{m_form.magic, 1, fresh.first, fresh.salt}.encode();
    fresh.end = text.size();
    CHECK_OK(fresh.file->write_at(0, text));
    return fresh.file->sync();
}

// False if the file has no sound beginning, nor anything behind it: its making was cut short.
result<bool> record_log::read_beginning(file_handle& of) const {
    if (!m_form.batched) return true;
    bytes raw(beginning::size + 1);
    TRY(const auto got, of.file->read_at(0, raw));
    if (got >= beginning::size) {
        std::copy_n(raw.begin() + 16, of.salt.size(), of.salt.begin());
        const auto wanted = beginning{m_form.magic, 1, of.first, of.salt}.encode();
        if (std::equal(wanted.begin(), wanted.end(), raw.begin())) {
            of.mark = mark_of(of.salt);
            of.end = wanted.size();
            return true;
        }
    }
    if (got > beginning::size) return error(errc::corrupt, path_of(of.first) + ": damaged at byte 0, or of another version; restore the file");
    return false;
}

result<record_log::scanned_file> record_log::scan(std::uint64_t first, bool last_file, std::uint64_t durable) const {
    scanned_file out;
    TRY(static_cast<file_handle&>(out), open(first, os::open_mode::read_write));
    TRY(const auto size, out.file->size());
    TRY(const bool begun, read_beginning(out));
    if (!begun && last_file && first > durable) {
        CHECK_OK(begin(out));
        return out;
    }
    if (!begun) return damage(out, 0, first);
    while (out.end < size) {
        const auto number = first + out.offsets.size();
        TRY(const auto next, record_at(out, out.end, size));
        if (!next || next->head.number != number) {
            if (!last_file) return damage(out, out.end, number);
            CHECK_OK(cut_torn_tail(out, size, durable));
            break;
        }
        out.offsets.push_back(out.end);
        out.end += header_size() + next->body.size();
    }
    return out;
}

result<void> record_log::cut_torn_tail(scanned_file& in, std::uint64_t size, std::uint64_t durable) const {
    const auto number = in.first + in.offsets.size();
    bool was_durable = number <= durable;
    if (!was_durable) {
        // What a plain record holds was written by strangers, and may look like a record itself: none is searched for inside
        // of one that says it is the last.
        TRY(const bool last, ends_at(in, size, number));
        if (!last) {
            TRY(was_durable, says_durable(in, size, number));
        }
    }
    if (was_durable) return damage(in, in.end, number);
    // At once: what is written next may leave some of the old bytes standing behind it, which nobody may take for its successor.
    CHECK_OK(in.file->truncate(in.end));
    return in.file->sync();
}

// Whether the header at the end of what is sound, damaged as its record is, is that of `number` and its record ends exactly at `size`.
result<bool> record_log::ends_at(const scanned_file& in, std::uint64_t size, std::uint64_t number) const {
    TRY(const auto head, header_at(in, in.end, size));
    return head && head->number == number && in.end + header_size() + head->length == size;
}

// Whether any sound record behind what is sound was written when `number` was durable.
result<bool> record_log::says_durable(const scanned_file& in, std::uint64_t size, std::uint64_t number) const {
    const auto from = in.end + 1;
    if (from >= size) return false;
    bytes rest(size - from);
    TRY(const auto got, in.file->read_at(from, rest));
    rest.resize(got);
    const auto mark = wire::encode(in.mark);
    for (auto at = rest.begin();; ++at) {
        at = std::search(at, rest.end(), mark.begin(), mark.end());
        if (at == rest.end()) return false;
        TRY(const auto here, record_at(in, from + static_cast<std::uint64_t>(at - rest.begin()), size));
        if (here && (!m_form.batched || here->head.durable >= number)) return true;
    }
}

// The last records may stand in the page cache alone: written by a process that was killed before its sync, or one whose
// sync failed, after which a sync of clean pages says nothing. Nobody may act on them before they are written again and durable.
result<void> record_log::settle_tail(std::uint64_t durable) {
    if (m_tail.offsets.empty()) return {};
    TRY(const auto newest, header_at(m_tail, m_tail.offsets.back(), m_tail.end));
    if (!newest) return damage(m_tail, m_tail.offsets.back(), m_last);
    durable = std::max({durable, newest->durable, m_tail.first - 1});
    if (durable >= m_last) return {};
    bytes piece;
    for (auto offset = m_tail.offsets[durable + 1 - m_tail.first]; offset < m_tail.end; offset += piece.size()) {
        piece.resize(std::min<std::uint64_t>(rewrite_piece, m_tail.end - offset));
        TRY(const auto got, m_tail.file->read_at(offset, piece));
        if (got != piece.size()) return error(errc::io, path_of(m_tail.first) + ": its end cannot be read");
        CHECK_OK(m_tail.file->write_at(offset, piece));
    }
    return m_tail.file->sync();
}

// ---- writing --------------------------------------------------------------------------------------------

result<void> record_log::start_file(std::uint64_t first) {
    if (m_tail.file != nullptr && m_durable < m_last) CHECK_OK(m_tail.file->sync());
    scanned_file fresh;
    TRY(static_cast<file_handle&>(fresh), open(first, os::open_mode::create_new));
    CHECK_OK(begin(fresh));
    CHECK_OK(m_disk.sync_directory(m_directory));
    std::lock_guard lock(m_mutex);
    m_durable = m_last;
    m_firsts.push_back(first);
    m_tail = std::move(fresh);
    return {};
}

result<record_log::place> record_log::append(byte_view body) {
    if (m_failed) return error(errc::io, m_form.noun + " log: an earlier write failed; see its error, and start again");
    if (body.size() > body_max) return error(errc::too_large, m_form.noun + " of " + std::to_string(body.size()) + " bytes");
    m_failed = true;  // until it is whole
    const auto size = header_size() + body.size();
    if (m_tail.file == nullptr || (!m_tail.offsets.empty() && m_tail.end + size > m_form.file_size)) CHECK_OK(start_file(m_last + 1));
    header h{static_cast<std::uint32_t>(body.size()), m_last + 1, m_durable, {}};
    h.sum = sum_of(m_tail, h, body);
    auto text = fields_of(m_tail.mark, h);
    cess::append(text, h.sum.raw);
    cess::append(text, body);
    CHECK_OK(m_tail.file->write_at(m_tail.end, text));
    m_failed = false;
    std::lock_guard lock(m_mutex);
    const place out{m_tail.first, m_tail.end, ++m_last};
    m_tail.offsets.push_back(m_tail.end);
    m_tail.end += text.size();
    return out;
}

result<void> record_log::sync() {
    if (m_failed) return error(errc::io, m_form.noun + " log: an earlier write failed; see its error, and start again");
    if (m_durable == m_last) return {};
    m_failed = true;  // until all is durable
    CHECK_OK(m_tail.file->sync());
    m_failed = false;
    std::lock_guard lock(m_mutex);
    m_durable = m_last;
    return {};
}

// ---- reading --------------------------------------------------------------------------------------------

result<record_log::file_handle> record_log::handle_of(std::uint64_t first) {
    if (!m_firsts.empty() && first == m_firsts.back()) return static_cast<const file_handle&>(m_tail);
    auto at = std::find_if(m_open.begin(), m_open.end(), [&](const file_handle& h) { return h.first == first; });
    if (at == m_open.end()) {
        TRY(auto opened, open(first, os::open_mode::read));
        TRY(const bool begun, read_beginning(opened));
        if (!begun) return damage(opened, 0, first);
        TRY(opened.end, opened.file->size());
        if (m_open.size() == open_files_max) m_open.pop_back();
        m_open.push_front(std::move(opened));
    } else {
        std::rotate(m_open.begin(), at, std::next(at));
    }
    return m_open.front();
}

result<bytes> record_log::read(const place& at) {
    file_handle in;
    {
        std::lock_guard lock(m_mutex);
        if (!std::binary_search(m_firsts.begin(), m_firsts.end(), at.file)) return error(errc::not_found, m_form.noun + " " + std::to_string(at.number));
        TRY(in, handle_of(at.file));
    }
    TRY(auto found, record_at(in, at.offset, in.end));
    if (!found || found->head.number != at.number) return damage(in, at.offset, at.number);
    return std::move(found->body);
}

// None in a file whose records have to be found first.
result<std::optional<record_log::place>> record_log::find_known(std::uint64_t number, std::uint64_t& file) const {
    std::lock_guard lock(m_mutex);
    if (number == 0 || number > m_durable || m_firsts.empty() || number < m_firsts.front()) return error(errc::not_found, m_form.noun + " " + std::to_string(number));
    file = *std::prev(std::upper_bound(m_firsts.begin(), m_firsts.end(), number));
    if (file != m_firsts.back() && m_found.first != file) return std::optional<place>();
    const auto& in = file == m_firsts.back() ? m_tail : m_found;
    if (number - file >= in.offsets.size()) return error(errc::corrupt, path_of(file) + " ends early; restore the file");
    return std::optional(place{file, in.offsets[number - file], number});
}

result<record_log::place> record_log::find(std::uint64_t number) {
    std::uint64_t file = 0;
    {
        TRY(const auto known, find_known(number, file));
        if (known) return *known;
    }
    std::lock_guard one(m_scanning);
    for (;;) {
        TRY(const auto known, find_known(number, file));  // another may have looked for it
        if (known) return *known;
        TRY(auto found, scan(file, false, 0));
        std::lock_guard lock(m_mutex);
        m_found = std::move(found);
    }
}

std::uint64_t record_log::durable() const {
    std::lock_guard lock(m_mutex);
    return m_durable;
}

std::vector<std::uint64_t> record_log::files() const {
    std::lock_guard lock(m_mutex);
    return m_firsts;
}

}  // namespace cess::chain
