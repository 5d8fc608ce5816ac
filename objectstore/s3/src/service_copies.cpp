// CopyObject and UploadPartCopy: inside a bucket bytes are shared, between buckets they are copied.
#include "service.hpp"

namespace cess::s3 {

namespace {

constexpr std::size_t copy_step = 1 * MiB;

std::string copy_result(std::string_view root, std::string_view etag, std::uint64_t modified_ms, const stored_checksum& checksum) {
    xml_writer out(root);
    out.text("LastModified", iso8601(wall_from_ms(modified_ms))).text("ETag", quoted(etag));
    if (checksum.kind != checksum_kind::none) out.text(element_name(checksum.kind), checksum.value);
    return std::move(out).finish();
}

// Reads a range once for its checksum; the bytes themselves are shared.
answer<std::string> checksum_of_range(bucket& in, const object_reader& from, const byte_range& range, checksum_kind kind) {
    digest all(kind);
    bytes buffer(std::min<std::uint64_t>(copy_step, range.length));
    for (std::uint64_t done = 0; done < range.length;) {
        const auto n = std::min<std::uint64_t>(buffer.size(), range.length - done);
        S3_CHECK(in.read(from, range.first + done, byte_span(buffer).first(n)));
        all.update(byte_view(buffer).first(n));
        done += n;
    }
    return base64_encode(all.finish());
}

// Copies a range between buckets; the MD5 of its bytes.
answer<std::string> copy_range(bucket& in, const object_reader& from, const byte_range& range, blob_writer& to, digest* checksum) {
    auto md5_of = digest::md5();
    bytes buffer(std::min<std::uint64_t>(copy_step, range.length));
    for (std::uint64_t done = 0; done < range.length;) {
        const auto n = std::min<std::uint64_t>(buffer.size(), range.length - done);
        const auto part = byte_span(buffer).first(n);
        S3_CHECK(in.read(from, range.first + done, part));
        md5_of.update(part);
        if (checksum) checksum->update(part);
        S3_CHECK(to.write(part));
        done += n;
    }
    return to_hex(md5_of.finish());
}

// Where a copy reads: the same bucket (bytes are shared) or another, leased for the while.
struct copy_source {
    bucket_table::lease other;
    bool same = false;
    object_reader object;
};

answer<void> judge_source(const call& what, const object_record& record) {
    const auto by = read_conditions(what.head.headers, "x-amz-copy-source-");
    if (judge(by, record.etag, wall_from_ms(record.modified_ms)) != verdict::proceed) return failure(code::precondition_failed);
    return {};
}

net::awaitable<answer<copy_source>> open_source(const service::surroundings& parts, call& what, const address& source) {
    copy_source out;
    out.same = source.bucket == what.where.bucket && source.snapshot.empty();
    if (!out.same) {
        auto got = co_await parts.table.acquire(source.bucket, source.snapshot);
        if (!got) co_return not_this_bucket(got.error(), source.bucket);
        out.other = std::move(*got);
    }
    auto& in = out.same ? *what.lease : *out.other;
    std::optional<answer<object_reader>> found;
    auto look = [&]() -> result<void> {
        found.emplace(in.find(source.key));
        return {};
    };
    auto looking = net::offload(parts.workers, std::move(look));
    auto looked = co_await std::move(looking);
    if (!looked) co_return failure(looked.error());
    if (!*found) co_return std::move(*found).error();
    out.object = std::move(**found);
    CO_S3_CHECK(judge_source(what, out.object.record));
    // What the copy tells of the source must be durable in its own bucket; in this one the copy's own sync covers it.
    if (!out.same) {
        auto durable = co_await out.other.durable(out.object.seen);
        if (!durable) co_return failure(durable.error());
    }
    co_return out;
}

answer<object_record> record_of_copy(const call& what, const address& source, const object_record& from) {
    const auto directive = what.head.headers.get("x-amz-metadata-directive");
    if (!directive.empty() && directive != "COPY" && directive != "REPLACE") return failure(code::invalid_argument, "Unknown metadata directive.");
    const bool self = source.bucket == what.where.bucket && source.snapshot.empty() && source.key == what.where.key;
    if (self && directive != "REPLACE")
        return failure(code::invalid_request, "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.");
    if (from.size > put_size_max) return failure(code::invalid_request, "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120");
    if (const auto wanted = what.head.headers.get("x-amz-checksum-algorithm"); !wanted.empty() && checksum_from_name(wanted) != from.checksum.kind)
        return failure(code::not_implemented, "A copy keeps the checksum of its source.");
    auto out = from;
    out.upload.clear();
    out.modified_ms = unix_ms(what.now);
    if (directive == "REPLACE") {
        S3_TRY(out.headers, read_metadata(what.head.headers));
    }
    return out;
}

}  // namespace

net::awaitable<answer<response>> service::copy_object(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto source, parse_copy_source(what.head.headers.get("x-amz-copy-source")));
    CO_S3_TRY(auto from, co_await open_source(m_parts, what, source));
    CO_S3_TRY(auto record, record_of_copy(what, source, from.object.record));
    blob_writer to(*what.lease);
    auto copy = [&]() -> answer<written> {
        if (from.same) return what.lease->copy(from.object, what.where.key, record, what.head.headers);
        const byte_range whole{0, record.size};
        S3_CHECK(copy_range(*from.other, from.object, whole, to, nullptr));
        return what.lease->put(what.where.key, to, {}, record, what.head.headers);
    };
    auto copying = on_worker(std::move(copy));
    CO_S3_TRY(const auto done, co_await std::move(copying));
    CO_S3_CHECK(co_await make_durable(what.lease, done.sequence));
    what.lease->settle(what.where.key, done.sequence);
    co_return response::xml(copy_result("CopyObjectResult", done.record.etag, done.record.modified_ms, done.record.checksum));
}

net::awaitable<answer<response>> service::upload_part_copy(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    CO_S3_TRY(const auto number, part_number(what.head.query));
    CO_S3_TRY(const auto source, parse_copy_source(what.head.headers.get("x-amz-copy-source")));
    CO_S3_TRY(auto from, co_await open_source(m_parts, what, source));
    const auto size = from.object.record.size;
    byte_range range;
    range.length = size;
    if (const auto* header = what.head.headers.find("x-amz-copy-source-range")) {
        CO_S3_TRY(range, parse_copy_range(*header, size));
    }
    if (range.length > put_size_max) co_return failure(code::entity_too_large);
    const std::string id(what.parameter("uploadId"));
    blob_writer to(*what.lease);
    part_record part;
    part.modified_ms = unix_ms(what.now);
    auto copy = [&]() -> answer<sequence_number> {
        S3_TRY(const auto upload, what.lease->find_upload(what.where.key, id));
        part.checksum.kind = upload.checksum;
        const bool summed = upload.checksum != checksum_kind::none;
        if (from.same) {
            // Nothing is read for the tag, so it is one of the source and the range, not of the bytes.
            const auto& tag = from.object.record.etag;
            const auto text = "cess part copy " + tag + " " + std::to_string(range.first) + " " + std::to_string(range.length);
            part.etag = range.length == size && from.object.record.parts == 0 ? tag : to_hex(md5(as_view(text)));
            if (summed) {
                S3_TRY(part.checksum.value, checksum_of_range(*what.lease, from.object, range, upload.checksum));
            }
            return what.lease->copy_part(what.where.key, id, number, from.object, range, part);
        }
        digest checksum(upload.checksum);
        S3_TRY(part.etag, copy_range(*from.other, from.object, range, to, summed ? &checksum : nullptr));
        if (summed) part.checksum.value = base64_encode(checksum.finish());
        return what.lease->put_part(what.where.key, id, number, to, {}, part);
    };
    auto copying = on_worker(std::move(copy));
    CO_S3_TRY(const auto sequence, co_await std::move(copying));
    CO_S3_CHECK(co_await make_durable(what.lease, sequence));
    co_return response::xml(copy_result("CopyPartResult", part.etag, part.modified_ms, part.checksum));
}

}  // namespace cess::s3
