// Multipart uploads: create, upload a part, complete, abort.
#include "service.hpp"

namespace cess::s3 {

namespace {

answer<void> read_checksum(const header_list& headers, upload_record& to) {
    const auto algorithm = headers.get("x-amz-checksum-algorithm"), type = headers.get("x-amz-checksum-type");
    if (algorithm.empty()) {
        if (!type.empty()) return failure(code::invalid_request, "x-amz-checksum-type needs x-amz-checksum-algorithm.");
        return {};
    }
    const auto kind = checksum_from_name(algorithm);
    if (!kind) return failure(code::invalid_request, "Checksum algorithm provided is unsupported.");
    if (!type.empty() && type != "COMPOSITE" && type != "FULL_OBJECT") return failure(code::invalid_request, "Value for x-amz-checksum-type header is invalid.");
    to.checksum = *kind;
    to.composite = type.empty() ? *kind != checksum_kind::crc64nvme : type == "COMPOSITE";
    if ((to.composite && *kind == checksum_kind::crc64nvme) || (!to.composite && !can_combine(*kind)))
        return failure(code::invalid_request, "This checksum algorithm cannot be used with this x-amz-checksum-type.");
    return {};
}

void describe_part(response& to, const part_record& part) {
    to.add("ETag", quoted(part.etag));
    if (part.checksum.kind != checksum_kind::none) to.add(std::string(header_name(part.checksum.kind)), part.checksum.value);
}

}  // namespace

net::awaitable<answer<response>> service::create_upload(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_CHECK(co_await expect_no_body(what));
    upload_record record;
    CO_S3_TRY(record.headers, read_metadata(what.head.headers));
    CO_S3_CHECK(read_checksum(what.head.headers, record));
    record.started_ms = unix_ms(what.now);
    auto make = [&what, &record] { return what.lease->create_upload(what.where.key, record); };
    auto making = on_worker(std::move(make));
    CO_S3_TRY(const auto made, co_await std::move(making));
    CO_S3_CHECK(co_await make_durable(what.lease, made.second));
    xml_writer out("InitiateMultipartUploadResult");
    out.text("Bucket", what.where.bucket).text("Key", what.where.key).text("UploadId", made.first);
    auto reply = response::xml(std::move(out).finish());
    if (record.checksum != checksum_kind::none) {
        reply.add("x-amz-checksum-algorithm", std::string(algorithm_name(record.checksum)));
        reply.add("x-amz-checksum-type", record.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    co_return reply;
}

net::awaitable<answer<response>> service::upload_part(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_CHECK(require_length(what.head.headers));
    CO_S3_TRY(const auto number, part_number(what.head.query));
    CO_S3_TRY(auto body, payload::make(what.body, what.who, what.head, put_size_max));
    const std::string id(what.parameter("uploadId"));
    auto look = [&what, &id] { return what.lease->find_upload(what.where.key, id); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto upload, co_await std::move(looking));
    if (upload.checksum != checksum_kind::none && body->checksum() == checksum_kind::none) body->compute(upload.checksum);
    if (upload.checksum != checksum_kind::none && body->checksum() != upload.checksum)
        co_return failure(code::invalid_request, "The part's checksum algorithm is not the upload's.");
    blob_writer to(*what.lease);
    part_record part;
    commit last = [&](byte_view tail, const payload& done) -> answer<written> {
        part.etag = to_hex(done.md5());
        part.modified_ms = unix_ms(what.now);
        part.checksum.kind = done.checksum();
        part.checksum.value = done.checksum_value();
        S3_TRY(const auto sequence, what.lease->put_part(what.where.key, id, number, to, tail, part));
        return written{{}, sequence};
    };
    CO_S3_TRY(const auto done, co_await store_body(*body, to, std::move(last)));
    CO_S3_CHECK(co_await make_durable(what.lease, done.sequence));
    response out;
    describe_part(out, part);
    co_return out;
}

net::awaitable<answer<response>> service::complete_upload(call& what) {
    const std::string id(what.parameter("uploadId"));
    // Its x-amz-checksum-* are the object's, not the document's.
    CO_S3_TRY(const auto document, co_await read_document(what, false));
    CO_S3_TRY(const auto listed, parse_complete(document));
    auto finish = [&what, &id, &listed] { return what.lease->complete_upload(what.where.key, id, listed, what.head.headers); };
    auto finishing = on_worker(std::move(finish));
    CO_S3_TRY(const auto done, co_await std::move(finishing));
    CO_S3_CHECK(co_await make_durable(what.lease, done.sequence));
    what.lease->settle(what.where.key, done.sequence);
    xml_writer out("CompleteMultipartUploadResult");
    out.text("Location", "/" + what.where.bucket + "/" + uri_encode(what.where.key, true)).text("Bucket", what.where.bucket);
    out.text("Key", what.where.key).text("ETag", quoted(done.record.etag));
    if (const auto& checksum = done.record.checksum; checksum.kind != checksum_kind::none)
        out.text(element_name(checksum.kind), checksum.value).text("ChecksumType", checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
    co_return response::xml(std::move(out).finish());
}

net::awaitable<answer<response>> service::abort_upload(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    const std::string id(what.parameter("uploadId"));
    auto abort = [&what, &id] { return what.lease->abort_upload(what.where.key, id); };
    auto aborting = on_worker(std::move(abort));
    CO_S3_TRY(const auto sequence, co_await std::move(aborting));
    CO_S3_CHECK(co_await make_durable(what.lease, sequence));
    co_return response::no_content();
}

}  // namespace cess::s3
