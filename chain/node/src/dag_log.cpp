#include "dag_log.hpp"

#include <core/wire/codec.hpp>

#include <algorithm>

namespace cess::chain {
namespace {

using consensus::block_ref;
using consensus::round_number;

constexpr std::uint32_t magic = 0x47414443;  // "CDAG"
constexpr std::size_t index_batch = 4096;    // names
constexpr std::size_t page = 64;             // names

// Big-endian, so that a scan goes in the order of numbers.
void put_number(bytes& to, std::uint64_t number, unsigned width) {
    for (unsigned i = width; i-- > 0;) to.push_back(static_cast<std::byte>(number >> (8 * i) & 0xff));
}

std::uint64_t number_in(byte_view digits) {
    std::uint64_t out = 0;
    for (const auto digit : digits) out = out << 8 | std::to_integer<std::uint64_t>(digit);
    return out;
}

error unreadable_index() { return {errc::corrupt, "its index does not decode; restore the state store"}; }

}  // namespace

// ---- the index ------------------------------------------------------------------------------------------

bytes dag_log::key(char kind) const {
    auto out = m_how.family;
    out.push_back(static_cast<std::byte>(kind));
    return out;
}

bytes dag_log::key(char kind, std::uint64_t number) const {
    auto out = key(kind);
    put_number(out, number, 8);
    return out;
}

bytes dag_log::key(const block_ref& name) const {
    auto out = key('n', name.round);
    put_number(out, name.author, 2);
    cess::append(out, name.digest.raw);
    return out;
}

result<void> dag_log::load_index() {
    TRY(const auto stored, m_index.get(key('p')));
    if (stored) {
        auto decoded = wire::decode<reach>(*stored);
        if (!decoded) return unreadable_index();
        m_reach = *decoded;
    }
    const auto files = key('f');
    for (auto after = files;;) {
        TRY(const auto some, m_index.scan(files, after, page));
        for (const auto& [name, value] : some) {
            const auto highest = wire::decode<round_number>(value);
            if (!highest || name.size() != files.size() + 8) return unreadable_index();
            m_rounds[number_in(byte_view(name).subspan(files.size()))] = *highest;
        }
        if (some.size() < page) return {};
        after = some.back().key;
    }
}

void dag_log::note(const block_ref& name, const record_log::place& at) {
    auto& highest = m_rounds[at.file];
    highest = std::max(highest, name.round);
    std::lock_guard lock(m_mutex);
    m_fresh[name] = at;
}

// What is fresh and, as its caller knows, durable.
result<void> dag_log::commit_index() {
    if (m_fresh.empty()) return {};
    kv::batch changes;
    auto reached = m_reach;
    for (const auto& [name, at] : m_fresh) {
        changes[key(name)] = wire::encode(at);
        changes[key('f', at.file)] = wire::encode(m_rounds[at.file]);
        reached.indexed = std::max(reached.indexed, at.number);
    }
    changes[key('p')] = wire::encode(reached);
    CHECK_OK(m_index.commit(changes));
    std::lock_guard lock(m_mutex);
    m_reach = reached;
    m_fresh.clear();
    return {};
}

// ---- opening --------------------------------------------------------------------------------------------

dag_log::dag_log(os::file_system& disk, std::string directory, kv::store& index, options how)
    : m_index(index), m_how(std::move(how)), m_records(disk, std::move(directory), {"block", magic, ".dag", true, m_how.file_size}) {}

result<std::unique_ptr<dag_log>> dag_log::open(os::file_system& disk, std::string directory, kv::store& index, options how, round_number from, const visitor& visit) {
    std::unique_ptr<dag_log> log(new dag_log(disk, directory, index, std::move(how)));
    if (auto done = log->recover(from, visit); !done) return std::move(done).error().with_context("DAG log " + directory);
    return log;
}

result<void> dag_log::recover(round_number from, const visitor& visit) {
    CHECK_OK(load_index());
    CHECK_OK(m_records.list_files());
    const auto files = m_records.files();
    const auto first = files.empty() ? 1 : files.front();
    if (first != 1) return error(errc::corrupt, "begins at block " + std::to_string(first) + "; restore the files before it");
    for (const auto& [file, highest] : m_rounds)
        if (!std::binary_search(files.begin(), files.end(), file))
            return error(errc::corrupt, "the file that begins with block " + std::to_string(file) + " is missing; restore it");
    const auto indexed = m_reach.indexed;
    CHECK_OK(m_records.recover(first_needed(from), indexed, [&](const record_log::place& at, byte_view text) -> result<void> {
        auto decoded = wire::decode<consensus::block>(text);
        if (!decoded) return error(errc::corrupt, "block " + std::to_string(at.number) + " does not decode; restore files and state store together");
        const auto block = consensus::named(std::move(*decoded));
        if (at.number > indexed) note(block->ref, at);
        if (m_fresh.size() >= index_batch) CHECK_OK(commit_index());
        return block->ref.round >= from ? visit(block) : result<void>();
    }));
    return commit_index();
}

// The first record of the first file that is to be read: for its rounds, because the index lacks some of it, or as the last.
std::uint64_t dag_log::first_needed(round_number from) const {
    const auto files = m_records.files();
    for (std::size_t i = 0; i + 1 < files.size(); ++i) {
        const auto known = m_rounds.find(files[i]);
        const bool indexed = known != m_rounds.end() && files[i + 1] <= m_reach.indexed + 1;
        if (!indexed || known->second >= from) return files[i];
    }
    return files.empty() ? 1 : files.back();
}

// ---- writing --------------------------------------------------------------------------------------------

result<void> dag_log::usable() const {
    std::lock_guard lock(m_mutex);
    if (m_failure.code == errc::ok) return {};
    return error(errc::io, "DAG log takes nothing after a failure, start again: " + m_failure.message());
}

error dag_log::fail(error with) const {
    std::lock_guard lock(m_mutex);
    if (m_failure.code == errc::ok) m_failure = with;
    return with;
}

result<void> dag_log::append(const std::vector<consensus::block_ptr>& blocks) {
    CHECK_OK(usable());
    for (const auto& block : blocks) {
        const auto text = wire::encode(block->what);
        if (m_unsynced > 0 && m_unsynced + text.size() > m_how.unsynced_max) CHECK_OK(sync());
        auto at = m_records.append(text);
        if (!at) return fail(std::move(at).error().with_context("DAG log"));
        m_unsynced += text.size();
        note(block->ref, *at);
    }
    return {};
}

result<void> dag_log::sync() {
    CHECK_OK(usable());
    if (auto done = m_records.sync(); !done) return fail(std::move(done).error().with_context("DAG log"));
    if (auto done = commit_index(); !done) return fail(std::move(done).error().with_context("DAG log's index"));
    m_unsynced = 0;
    return {};
}

// ---- reading --------------------------------------------------------------------------------------------

bool dag_log::holds(const block_ref& what) const {
    {
        std::lock_guard lock(m_mutex);
        if (m_fresh.contains(what)) return true;
    }
    auto found = m_index.get(key(what));
    if (found) return found->has_value();
    fail(std::move(found).error().with_context("DAG log's index"));
    return false;
}

result<std::optional<bytes>> dag_log::read(const block_ref& what) {
    std::optional<bytes> out;
    TRY(const auto found, m_index.get(key(what)));
    if (!found) return out;
    const auto at = wire::decode<record_log::place>(*found);
    if (!at) return unreadable_index().with_context("DAG log");
    auto text = m_records.read(*at);
    if (!text) return std::move(text).error().with_context("DAG log");
    out = std::move(*text);
    return out;
}

result<std::vector<bytes>> dag_log::read_from(round_number first, std::size_t bytes_max) {
    std::vector<bytes> out;
    std::size_t total = 0;
    const auto names = key('n');
    for (auto after = key('n', first);;) {
        TRY(const auto some, m_index.scan(names, after, page));
        for (const auto& [name, value] : some) {
            const auto at = wire::decode<record_log::place>(value);
            if (!at) return unreadable_index().with_context("DAG log");
            auto text = m_records.read(*at);
            if (!text) return std::move(text).error().with_context("DAG log");
            total += text->size();
            if (!out.empty() && total > bytes_max) return out;
            out.push_back(std::move(*text));
        }
        if (some.size() < page) return out;
        after = some.back().key;
    }
}

}  // namespace cess::chain
