#include "bucket_blobs.hpp"

#include "text.hpp"

#include <chrono>
#include <thread>

namespace cess::s3 {

namespace {

constexpr std::size_t recent_max = 4096;
constexpr auto confirmation_patience = std::chrono::seconds(5);

result<object_record> decode_object(byte_view value, const std::string& key) {
    auto record = wire::decode<object_record>(value);
    if (!record) return error(errc::corrupt, "the record of object " + key + " cannot be read");
    return record;
}

}  // namespace

result<std::unique_ptr<bucket>> bucket::open(volume::reader& data, volume::volume* head, random_source& random) {
    std::unique_ptr<bucket> out(new bucket(data, head, random));
    if (head) CHECK_OK(out->load_garbage());
    return out;
}

std::mutex& bucket::lock_of(std::string_view name) noexcept { return m_locks[std::hash<std::string_view>()(name) % stripes]; }

result<std::optional<object_record>> bucket::record_of(const std::string& key) {
    TRY(const auto value, m_data.get(at::object(key)));
    if (!value) return std::optional<object_record>();
    TRY(auto record, decode_object(*value, key));
    return std::optional(std::move(record));
}

void bucket::remember(const std::string& key, sequence_number sequence) {
    const std::lock_guard hold(m_recent_mutex);
    m_recent[key] = sequence;
    if (m_recent.size() <= recent_max) return;
    const auto durable = m_head->durable();
    std::erase_if(m_recent, [&](const auto& item) { return item.second <= durable; });
}

void bucket::settle(const std::string& key, sequence_number sequence) {
    const std::lock_guard hold(m_recent_mutex);
    const auto found = m_recent.find(key);
    if (found != m_recent.end() && found->second <= sequence) m_recent.erase(found);
}

sequence_number bucket::recent(const std::string& key) {
    const std::lock_guard hold(m_recent_mutex);
    const auto found = m_recent.find(key);
    return found == m_recent.end() ? sequence_number{} : found->second;
}

answer<object_reader> bucket::find(const std::string& key) {
    sequence_number seen;
    {
        const std::lock_guard hold(lock_of(key));
        S3_TRY(auto record, record_of(key));
        seen = recent(key);
        if (record) return object_reader{*record, record->blob ? blob_pin(*this, record->blob) : blob_pin(), seen};
    }
    // That it is gone may be as undurable as any other state.
    S3_CHECK(make_tellable(seen));
    return failure(code::no_such_key);
}

result<void> wait_confirmed(const volume::volume& head) {
    const auto deadline = std::chrono::steady_clock::now() + confirmation_patience;
    while (!head.confirmed()) {
        if (!head.writable() || std::chrono::steady_clock::now() >= deadline)
            return error(errc::unavailable, "too few miners confirm that this gateway still owns bucket " + head.record().name + "; try again");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return {};
}

// What leaves for a third party is durable, and still ours to tell.
result<void> bucket::make_tellable(sequence_number seen) {
    if (!m_head) return {};
    CHECK_OK(wait_confirmed(*m_head));
    return seen > m_head->durable() ? m_head->sync(seen) : result<void>();
}

result<void> bucket::read(const object_reader& from, std::uint64_t offset, byte_span out) {
    if (offset > from.record.size || out.size() > from.record.size - offset) return error(errc::out_of_range, "read past the end of an object");
    return m_data.read(from.record.blob, offset, out);
}

// REQUIRES: the key's lock is not held; `with` contains everything but the record and the old bytes' end.
answer<written> bucket::replace(const std::string& key, volume::change& with, object_record record, const header_list& conditions) {
    sequence_number seen;
    failure refused(code::precondition_failed);
    {
        const std::lock_guard hold(lock_of(key));
        S3_TRY(const auto old, record_of(key));
        auto judged = judge_write(conditions, old ? &old->etag : nullptr);
        if (judged) {
            const auto old_blob = old && old->blob != record.blob ? old->blob : 0;
            retiring end(*this, with, old_blob);
            with.put(at::object(key), wire::encode(record));
            S3_TRY(const auto sequence, m_head->apply(with));
            end.applied();
            remember(key, sequence);
            return written{std::move(record), sequence};
        }
        refused = std::move(judged).error();
        seen = recent(key);
    }
    S3_CHECK(make_tellable(seen));
    return refused;
}

answer<written> bucket::put(const std::string& key, blob_writer& body, byte_view tail, object_record meta, const header_list& conditions) {
    volume::change with;
    S3_CHECK(body.finish(with, tail));
    meta.blob = body.blob();
    meta.size = body.size();
    S3_TRY(auto done, replace(key, with, std::move(meta), conditions));
    body.m_committed = true;
    return done;
}

answer<sequence_number> bucket::remove(const std::string& key, std::string_view if_match) {
    sequence_number seen;
    failure refused(code::precondition_failed);
    {
        const std::lock_guard hold(lock_of(key));
        S3_TRY(const auto old, record_of(key));
        auto judged = judge_deletion(if_match, old ? &old->etag : nullptr);
        seen = recent(key);
        if (judged && !old) return seen;
        if (judged) return erase(key, *old);
        refused = std::move(judged).error();
    }
    S3_CHECK(make_tellable(seen));
    return refused;
}

answer<sequence_number> bucket::erase(const std::string& key, const object_record& what) {
    volume::change with;
    with.erase(at::object(key));
    retiring end(*this, with, what.blob);
    S3_TRY(const auto sequence, m_head->apply(with));
    end.applied();
    remember(key, sequence);
    return sequence;
}

answer<written> bucket::copy(const object_reader& from, const std::string& to, object_record meta, const header_list& conditions) {
    volume::change with;
    meta.size = from.record.size;
    meta.blob = 0;
    if (meta.size > 0) {
        S3_TRY(meta.blob, new_blob());
        with.share(from.record.blob, 0, meta.blob, 0, meta.size);
    }
    return replace(to, with, std::move(meta), conditions);
}

answer<bool> bucket::empty() {
    S3_TRY(const auto first, m_data.scan(at::prefix('o'), {}, 1));
    return first.empty();
}

namespace {

key_source source_of(volume::reader& data, char family) {
    return [&data, family](std::string_view prefix, std::string_view from, std::size_t limit) -> result<std::vector<listed_key>> {
        auto full_prefix = at::prefix(family), full_from = at::prefix(family);
        append(full_prefix, as_view(prefix));
        append(full_from, as_view(std::max(prefix, from)));
        TRY(auto rows, data.scan(full_prefix, full_from, limit));
        std::vector<listed_key> out;
        out.reserve(rows.size());
        for (auto& row : rows) out.push_back({to_string(byte_view(row.key).subspan(1)), std::move(row.value)});
        return out;
    };
}

}  // namespace

answer<bucket::page> bucket::list(const list_request& what) {
    S3_TRY(auto keys, list_keys(source_of(m_data, 'o'), what));
    return page{std::move(keys), m_head ? m_head->applied() : sequence_number{}};
}

answer<bucket::page> bucket::list_uploads(const list_request& what) {
    auto by_name = what;
    by_name.suffixed = true;
    S3_TRY(auto keys, list_keys(source_of(m_data, 'u'), by_name));
    return page{std::move(keys), m_head ? m_head->applied() : sequence_number{}};
}

}  // namespace cess::s3
