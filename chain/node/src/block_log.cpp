#include "block_log.hpp"

#include <core/crypto/crypto.hpp>
#include <core/wire/codec.hpp>

#include <algorithm>
#include <charconv>

namespace cess::chain {
namespace {

constexpr std::uint32_t magic = 0x4b4c4243;  // "CBLK"
constexpr std::size_t header_size = 16 + 32;
constexpr std::uint32_t record_max = 16 * MiB;
constexpr std::string_view suffix = ".blocks";

struct header {
    std::uint32_t mark = magic;
    std::uint32_t length = 0;
    std::uint64_t height = 0;
    hash256 sum;
    template <class S, class C> static void describe(S& s, C& c) { c(s.mark, s.length, s.height, s.sum); }
};

hash256 sum_of(const header& h, byte_view block) {
    wire::encoder text;
    text(h.mark, h.length, h.height);
    return crypto::sha256({text.view(), block});
}

bytes record_of(block_height height, byte_view block) {
    header h;
    h.length = static_cast<std::uint32_t>(block.size());
    h.height = height.value;
    h.sum = sum_of(h, block);
    auto out = wire::encode(h);
    append(out, block);
    return out;
}

struct found_record {
    header head;
    bytes block;
};

// The record at `offset`, or errc::corrupt if none that checks begins there; other errors are the disk's.
result<found_record> record_at(os::file& file, std::uint64_t offset, std::uint64_t size) {
    const auto damaged = [] { return error(errc::corrupt, "record"); };
    if (size - offset < header_size) return damaged();
    bytes raw(header_size);
    TRY(const auto got, file.read_at(offset, raw));
    if (got != raw.size()) return damaged();
    const auto head = wire::decode<header>(raw);
    if (!head || head->mark != magic || head->length > record_max || head->length > size - offset - header_size) return damaged();
    found_record out{*head, bytes(head->length)};
    TRY(const auto body, file.read_at(offset + header_size, out.block));
    if (body != out.block.size() || sum_of(out.head, out.block) != out.head.sum) return damaged();
    return out;
}

// Whether a sound record begins anywhere past `from`: then what stands before it is no torn tail.
result<bool> record_follows(os::file& file, std::uint64_t from, std::uint64_t size) {
    if (from >= size) return false;
    bytes rest(size - from);
    TRY(const auto got, file.read_at(from, rest));
    rest.resize(got);
    const auto mark = wire::encode(magic);
    for (auto at = rest.begin();;) {
        at = std::search(at, rest.end(), mark.begin(), mark.end());
        if (at == rest.end()) return false;
        auto here = record_at(file, from + static_cast<std::uint64_t>(at - rest.begin()), size);
        if (here) return true;
        if (here.error().code != errc::corrupt) return std::move(here).error();
        ++at;
    }
}

// Whether the header at `offset`, damaged as its record is, is one of `height` whose record ends exactly at `size`.
result<bool> ends_at(os::file& file, std::uint64_t offset, std::uint64_t size, block_height height) {
    if (size - offset < header_size) return false;
    bytes raw(header_size);
    TRY(const auto got, file.read_at(offset, raw));
    if (got != raw.size()) return false;
    const auto head = wire::decode<header>(raw);
    return head && head->mark == magic && head->height == height.value && offset + header_size + head->length == size;
}

std::optional<block_height> first_of(const std::string& name) {
    if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    block_height first;
    const auto [end, status] = std::from_chars(name.data(), name.data() + 16, first.value, 16);
    if (status != std::errc() || end != name.data() + 16) return std::nullopt;
    return first;
}

}  // namespace

std::string block_log::path_of(block_height first) const {
    std::string digits(16, '0');
    auto rest = first.value;
    for (std::size_t i = 16; i-- > 0; rest >>= 4) digits[i] = "0123456789abcdef"[rest & 15];
    return m_directory + "/" + digits + std::string(suffix);
}

result<std::unique_ptr<block_log>> block_log::open(os::file_system& disk, std::string directory, std::uint64_t file_size, block_height from, const visitor& visit) {
    std::unique_ptr<block_log> log(new block_log(disk, std::move(directory), file_size));
    CHECK_OK(disk.make_directories(log->m_directory));
    if (auto done = log->recover(from, visit); !done) return std::move(done).error().with_context("block log " + log->m_directory);
    return log;
}

result<void> block_log::recover(block_height from, const visitor& visit) {
    TRY(const auto entries, m_disk.list(m_directory));
    for (const auto& entry : entries)
        if (const auto first = first_of(entry.name)) m_firsts.push_back(*first);
    std::sort(m_firsts.begin(), m_firsts.end());
    // A name that was never made durable could vanish after we append behind it.
    CHECK_OK(m_disk.sync_directory(m_directory));
    if (m_firsts.empty()) return {};
    auto at = std::upper_bound(m_firsts.begin(), m_firsts.end(), from);
    if (at != m_firsts.begin()) --at;
    if (from < *at) return error(errc::corrupt, "its blocks begin at " + std::to_string(at->value) + ", the state needs " + std::to_string(from.value));
    for (; at != m_firsts.end(); ++at) {
        const bool last_file = std::next(at) == m_firsts.end();
        TRY(m_tail, scan(*at, last_file));
        m_last = {at->value + m_tail.offsets.size() - 1};
        if (!last_file && std::next(at)->value != m_last.value + 1) return error(errc::corrupt, path_of(*at) + " ends early; restore the file");
        if (last_file) CHECK_OK(settle_tail());
        for (auto height = std::max(from, *at); height <= m_last; height = height.next()) {
            TRY(const auto record, record_at(*m_tail.file, m_tail.offsets[height.value - at->value], m_tail.end));
            CHECK_OK(visit(height, record.block));
        }
    }
    return {};
}

result<block_log::file_index> block_log::scan(block_height first, bool last_file) {
    const auto path = path_of(first);
    file_index out;
    TRY(out.file, m_disk.open(path, os::open_mode::read_write));
    TRY(const auto size, out.file->size());
    while (out.end < size) {
        auto record = record_at(*out.file, out.end, size);
        if (!record && record.error().code != errc::corrupt) return std::move(record).error();
        const block_height height{first.value + out.offsets.size()};
        if (!record || record->head.height != height.value) {
            if (!last_file) return error(errc::corrupt, path + ": block " + std::to_string(height.value) + " is damaged; restore the file");
            CHECK_OK(cut_torn_tail(out, path, size, height));
            break;
        }
        out.offsets.push_back(out.end);
        out.end += header_size + record->block.size();
    }
    return out;
}

result<void> block_log::cut_torn_tail(file_index& in, const std::string& path, std::uint64_t size, block_height height) {
    // What a record holds was written by strangers, and may look like a record itself: none is searched for inside of one
    // that says it is the last.
    TRY(const bool last, ends_at(*in.file, in.end, size, height));
    bool follows = false;
    if (!last) {
        TRY(follows, record_follows(*in.file, in.end + 1, size));
    }
    if (follows) return error(errc::corrupt, path + ": damaged at byte " + std::to_string(in.end) + ", and sound blocks follow; restore the file");
    return in.file->truncate(in.end);  // durable with the next sync; until then it would only be cut again
}

// The last record may stand in the page cache alone: written by a process that was killed before its sync, or one whose
// sync failed, after which a sync of clean pages says nothing. Nobody may act on it before it is written again and durable.
result<void> block_log::settle_tail() {
    if (m_tail.offsets.empty()) return {};
    const auto offset = m_tail.offsets.back();
    bytes record(m_tail.end - offset);
    TRY(const auto got, m_tail.file->read_at(offset, record));
    if (got != record.size()) return error(errc::io, "last block cannot be read");
    CHECK_OK(m_tail.file->write_at(offset, record));
    return m_tail.file->sync();
}

result<void> block_log::start_file(block_height first) {
    file_index fresh;
    TRY(fresh.file, m_disk.open(path_of(first), os::open_mode::create_new));
    CHECK_OK(m_disk.sync_directory(m_directory));
    std::lock_guard lock(m_mutex);
    m_firsts.push_back(first);
    m_tail = std::move(fresh);
    return {};
}

result<void> block_log::append(block_height height, byte_view block) {
    if (m_failed) return error(errc::io, "block log: an earlier write failed");
    if (height != m_last.next() || block.size() > record_max) return error(errc::invalid, "block log: block " + std::to_string(height.value) + " out of order or too large");
    const auto record = record_of(height, block);
    m_failed = true;  // until it is whole and durable
    if (m_tail.file == nullptr || (m_tail.end > 0 && m_tail.end + record.size() > m_file_size)) CHECK_OK(start_file(height));
    CHECK_OK(m_tail.file->write_at(m_tail.end, record));
    CHECK_OK(m_tail.file->sync());
    m_failed = false;
    std::lock_guard lock(m_mutex);
    m_tail.offsets.push_back(m_tail.end);
    m_tail.end += record.size();
    m_last = height;
    return {};
}

result<block_log::file_index*> block_log::index_of(block_height first) {
    if (first == m_firsts.back()) return &m_tail;
    if (m_read.file != nullptr && m_read_first == first) return &m_read;
    TRY(m_read, scan(first, false));
    m_read_first = first;
    return &m_read;
}

result<bytes> block_log::read(block_height height) {
    std::lock_guard lock(m_mutex);
    if (height.value == 0 || height > m_last) return error(errc::not_found, "block " + std::to_string(height.value));
    const auto first = *std::prev(std::upper_bound(m_firsts.begin(), m_firsts.end(), height));
    TRY(auto* index, index_of(first));
    const auto at = height.value - first.value;
    if (at >= index->offsets.size()) return error(errc::corrupt, "block " + std::to_string(height.value));
    TRY(auto record, record_at(*index->file, index->offsets[at], index->end));
    return std::move(record.block);
}

block_height block_log::last() const {
    std::lock_guard lock(m_mutex);
    return m_last;
}

}  // namespace cess::chain
