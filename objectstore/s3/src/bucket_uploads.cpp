// Uploads in parts: each part is a blob of its own; completing shares them into the object's blob without moving a byte.
#include "bucket_blobs.hpp"

#include "text.hpp"

#include <algorithm>
#include <cstdio>

namespace cess::s3 {

namespace {

constexpr std::size_t share_step = 32;  // parts a change

std::string new_upload_id(std::uint64_t now_ms, random_source& random) {
    char text[40];
    std::snprintf(text, sizeof text, "%012llx%04llx%016llx", static_cast<unsigned long long>(now_ms & 0xffffffffffffull),
                  static_cast<unsigned long long>(random.next() & 0xffff), static_cast<unsigned long long>(random.next()));
    return text;
}

bool is_upload_id(std::string_view id) noexcept {
    return id.size() == 32 && std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bytes raw_checksum(const stored_checksum& of) { return base64_decode(of.value).value_or(bytes()); }

// The whole object's checksum from its parts'.
stored_checksum checksum_of(const upload_record& upload, const std::vector<part_record>& parts) {
    stored_checksum out;
    if (upload.checksum == checksum_kind::none) return out;
    out.kind = upload.checksum;
    out.composite = upload.composite;
    if (upload.composite) {
        digest all(upload.checksum);
        for (const auto& part : parts) all.update(raw_checksum(part.checksum));
        out.value = base64_encode(all.finish()) + "-" + std::to_string(parts.size());
        return out;
    }
    auto whole = raw_checksum(parts.front().checksum);
    for (std::size_t i = 1; i < parts.size(); ++i) whole = combine(upload.checksum, whole, raw_checksum(parts[i].checksum), parts[i].size);
    out.value = base64_encode(whole);
    return out;
}

std::string etag_of(const std::vector<part_record>& parts) {
    auto all = digest::md5();
    for (const auto& part : parts)
        if (const auto raw = from_hex(part.etag)) all.update(*raw);
    return to_hex(all.finish()) + "-" + std::to_string(parts.size());
}

answer<void> check_checksum_header(const header_list& headers, const stored_checksum& computed) {
    for (const auto& header : headers.all()) {
        const auto kind = checksum_from_header(header.name);
        if (!kind) continue;
        if (*kind != computed.kind) return failure(code::invalid_request, "The upload was not created with this checksum algorithm: " + header.name);
        if (header.value != computed.value) return failure(code::bad_digest);
    }
    return {};
}

}  // namespace

answer<std::pair<std::string, sequence_number>> bucket::create_upload(const std::string& key, upload_record what) {
    auto id = new_upload_id(what.started_ms, m_random);
    volume::change with;
    with.put(at::upload(key, id), wire::encode(what));
    S3_TRY(const auto sequence, m_head->apply(with));
    return std::pair(std::move(id), sequence);
}

answer<upload_record> bucket::find_upload(const std::string& key, const std::string& id) {
    if (!is_upload_id(id)) return failure(code::no_such_upload);
    S3_TRY(const auto value, m_data.get(at::upload(key, id)));
    if (!value) return failure(code::no_such_upload);
    S3_TRY(auto record, wire::decode<upload_record>(*value));
    return record;
}

result<std::optional<part_record>> bucket::part_of(const std::string& id, std::uint32_t number) {
    TRY(const auto value, m_data.get(at::part(id, number)));
    if (!value) return std::optional<part_record>();
    TRY(auto record, wire::decode<part_record>(*value));
    return std::optional(std::move(record));
}

// REQUIRES: the upload's lock is held, and it exists.
answer<sequence_number> bucket::replace_part(const std::string& id, std::uint32_t number, volume::change& with, part_record record) {
    S3_TRY(const auto old, part_of(id, number));
    if (old && old->blob) with.drop(old->blob);  // nobody reads a part's blob but under this lock
    with.put(at::part(id, number), wire::encode(record));
    S3_TRY(const auto sequence, m_head->apply(with));
    return sequence;
}

answer<sequence_number> bucket::put_part(const std::string& key, const std::string& id, std::uint32_t number, blob_writer& body, byte_view tail,
                                         part_record meta) {
    volume::change with;
    S3_CHECK(body.finish(with, tail));
    meta.blob = body.blob();
    meta.size = body.size();
    const std::lock_guard hold(m_upload_locks[std::hash<std::string>()(id) % m_upload_locks.size()]);
    S3_CHECK(find_upload(key, id));
    S3_TRY(const auto sequence, replace_part(id, number, with, std::move(meta)));
    body.m_committed = true;
    return sequence;
}

answer<sequence_number> bucket::copy_part(const std::string& key, const std::string& id, std::uint32_t number, const object_reader& from,
                                          byte_range range, part_record meta) {
    volume::change with;
    meta.size = range.length;
    if (range.length > 0) {
        S3_TRY(meta.blob, new_blob());
        with.share(from.record.blob, range.first, meta.blob, 0, range.length);
    }
    const std::lock_guard hold(m_upload_locks[std::hash<std::string>()(id) % m_upload_locks.size()]);
    S3_CHECK(find_upload(key, id));
    return replace_part(id, number, with, std::move(meta));
}

answer<std::vector<bucket::listed_part>> bucket::list_parts(const std::string& key, const std::string& id, std::uint32_t after, std::size_t limit) {
    S3_CHECK(find_upload(key, id));
    std::vector<listed_part> out;
    if (after >= part_number_max) return out;
    S3_TRY(const auto rows, m_data.scan(at::parts(id), at::part(id, after + 1), limit));
    for (const auto& row : rows) {
        S3_TRY(auto record, wire::decode<part_record>(row.value));
        out.push_back({part_number_of(row.key), std::move(record)});
    }
    return out;
}

// The parts that the client lists, checked against what it uploaded. REQUIRES: the upload's lock is held.
answer<std::vector<part_record>> bucket::choose_parts(const std::string& id, const std::vector<completed_part>& wanted) {
    std::vector<part_record> out;
    std::uint32_t last = 0;
    for (const auto& want : wanted) {
        if (want.number <= last) return failure(code::invalid_part_order);
        last = want.number;
        S3_TRY(auto part, part_of(id, want.number));
        const bool same = part && part->etag == want.etag;
        if (!same) return failure(code::invalid_part);
        for (const auto& [kind, value] : want.checksums)
            if (kind == part->checksum.kind && value != part->checksum.value) return failure(code::invalid_part);
        if (!out.empty() && out.back().size < part_size_min) return failure(code::entity_too_small);
        out.push_back(std::move(*part));
    }
    return out;
}

// Shares all parts into a new blob. Steps before the last stand in changes of their own, the blob listed as to be dropped.
result<void> bucket::share_parts(blob_writer& to, const std::vector<part_record>& parts, volume::change& last) {
    TRY(to.m_blob, new_blob());
    volume::change step;
    std::size_t in_step = 0;
    for (const auto& part : parts) {
        if (part.blob) step.share(part.blob, 0, to.m_blob, to.m_size, part.size);
        to.m_size += part.size;
        if (++in_step < share_step || &part == &parts.back()) continue;
        step.put(at::dropped_blob(to.m_blob), {});
        CHECK_OK(m_head->apply(step));
        to.m_listed = true;
        step = volume::change();
        in_step = 0;
    }
    last = std::move(step);
    if (to.m_listed) last.erase(at::dropped_blob(to.m_blob));
    return {};
}

answer<written> bucket::complete_upload(const std::string& key, const std::string& id, const std::vector<completed_part>& wanted,
                                        const header_list& headers) {
    const std::lock_guard hold(m_upload_locks[std::hash<std::string>()(id) % m_upload_locks.size()]);
    auto upload = find_upload(key, id);
    if (!upload) {
        // The client may not have heard our answer to the same request.
        S3_TRY(auto made, record_of(key));
        if (made && !made->upload.empty() && made->upload == id) return written{std::move(*made), recent(key)};
        return std::move(upload).error();
    }
    S3_TRY(const auto parts, choose_parts(id, wanted));
    object_record record;
    for (const auto& part : parts) record.size += part.size;
    if (record.size > object_size_max) return failure(code::entity_too_large);
    record.etag = etag_of(parts);
    record.headers = upload->headers;
    record.checksum = checksum_of(*upload, parts);
    record.upload = id;
    record.parts = static_cast<std::uint32_t>(parts.size());
    record.modified_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    S3_CHECK(check_checksum_header(headers, record.checksum));

    blob_writer whole(*this);
    volume::change last;
    S3_CHECK(share_parts(whole, parts, last));
    record.blob = whole.blob();
    last.erase(at::upload(key, id));
    last.put(at::ended_upload(id), {});
    S3_TRY(auto done, replace(key, last, std::move(record), headers));
    whole.m_committed = true;
    {
        const std::lock_guard garbage(m_garbage_mutex);
        m_ended.push_back(id);
    }
    tell_garbage();
    return done;
}

answer<sequence_number> bucket::abort_upload(const std::string& key, const std::string& id) {
    const std::lock_guard hold(m_upload_locks[std::hash<std::string>()(id) % m_upload_locks.size()]);
    S3_CHECK(find_upload(key, id));
    volume::change with;
    with.erase(at::upload(key, id));
    with.put(at::ended_upload(id), {});
    S3_TRY(const auto sequence, m_head->apply(with));
    {
        const std::lock_guard garbage(m_garbage_mutex);
        m_ended.push_back(id);
    }
    tell_garbage();
    return sequence;
}

}  // namespace cess::s3
