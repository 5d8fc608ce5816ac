// GetObject, HeadObject, PutObject, DeleteObject, DeleteObjects.
#include "service.hpp"

#include <array>

namespace cess::s3 {

namespace {

struct override_parameter {
    const char* parameter;
    const char* header;
};
constexpr std::array overrides{
    override_parameter{"response-cache-control", "cache-control"},       override_parameter{"response-content-disposition", "content-disposition"},
    override_parameter{"response-content-encoding", "content-encoding"}, override_parameter{"response-content-language", "content-language"},
    override_parameter{"response-content-type", "content-type"},         override_parameter{"response-expires", "expires"},
};

answer<header_map> with_overrides(header_map headers, const parameter_list& query) {
    for (const auto& [parameter, header] : overrides) {
        const auto* value = query.find(parameter);
        if (!value) continue;
        if (!header_safe(*value)) return failure(code::invalid_argument, std::string("Control characters in ") + parameter);
        headers[header] = *value;
    }
    return headers;
}

void describe(response& to, const object_record& record) {
    to.add("ETag", quoted(record.etag)).add("Last-Modified", http_date(wall_from_ms(record.modified_ms))).add("Accept-Ranges", "bytes");
}

void describe_checksum(response& to, const stored_checksum& checksum) {
    if (checksum.kind == checksum_kind::none) return;
    to.add(std::string(header_name(checksum.kind)), checksum.value);
    to.add("x-amz-checksum-type", checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
}

std::string content_range(const byte_range& range, std::uint64_t size) {
    return "bytes " + std::to_string(range.first) + "-" + std::to_string(range.first + range.length - 1) + "/" + std::to_string(size);
}

answer<response> describe_get(const call& what, const object_record& record) {
    response out;
    const auto judged = judge(read_conditions(what.head.headers, ""), record.etag, wall_from_ms(record.modified_ms));
    if (judged == verdict::failed) return failure(code::precondition_failed);
    describe(out, record);
    if (judged == verdict::not_modified) {
        out.status = 304;
        out.bodyless = true;
        return out;
    }
    S3_TRY(const auto headers, with_overrides(record.headers, what.head.query));
    add_metadata(out, headers);
    S3_TRY(const auto range, parse_range(what.head.headers.find("range"), record.size));
    if (range) {
        out.status = 206;
        out.add("Content-Range", content_range(*range, record.size));
    } else if (equals_ignoring_case(what.head.headers.get("x-amz-checksum-mode"), "ENABLED")) {
        describe_checksum(out, record.checksum);
    }
    out.content_length = range ? range->length : record.size;
    out.stream = std::make_unique<object_stream>();
    out.stream->offset = range ? range->first : 0;
    out.stream->left = *out.content_length;
    return out;
}

}  // namespace

net::awaitable<answer<response>> service::get_object(call& what) {
    if (what.head.query.has("partNumber")) co_return failure(code::not_implemented, "Reading by part number is not implemented; use Range.");
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_CHECK(co_await expect_no_body(what));
    auto look = [&what] { return what.lease->find(what.where.key); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(auto found, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, found.seen));
    CO_S3_TRY(auto out, describe_get(what, found.record));
    if (!out.stream) co_return out;
    out.stream->object = std::move(found);
    out.stream->from = std::move(what.lease);
    co_return out;
}

net::awaitable<answer<response>> service::put_object(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_CHECK(require_length(what.head.headers));
    CO_S3_TRY(auto metadata, read_metadata(what.head.headers));
    CO_S3_TRY(auto body, payload::make(what.body, what.who, what.head, put_size_max));
    blob_writer to(*what.lease);
    commit last = [&what, &to, &metadata](byte_view tail, const payload& done) {
        object_record record;
        record.headers = std::move(metadata);
        record.etag = to_hex(done.md5());
        record.modified_ms = unix_ms(what.now);
        record.checksum.kind = done.checksum();
        record.checksum.value = done.checksum_value();
        return what.lease->put(what.where.key, to, tail, std::move(record), what.head.headers);
    };
    CO_S3_TRY(const auto done, co_await store_body(*body, to, std::move(last)));
    CO_S3_CHECK(co_await make_durable(what.lease, done.sequence));
    what.lease->settle(what.where.key, done.sequence);
    response out;
    out.add("ETag", quoted(done.record.etag));
    describe_checksum(out, done.record.checksum);
    if (what.head.headers.find("x-amz-server-side-encryption")) out.add("x-amz-server-side-encryption", "AES256");
    co_return out;
}

net::awaitable<answer<response>> service::delete_object(call& what) {
    const auto& headers = what.head.headers;
    if (headers.find("x-amz-if-match-size") || headers.find("x-amz-if-match-last-modified-time"))
        co_return failure(code::not_implemented, "Deletes can depend on If-Match only.");
    CO_S3_CHECK(co_await expect_no_body(what));
    auto removal = [&what] { return what.lease->remove(what.where.key, what.head.headers.get("if-match")); };
    auto removing = on_worker(std::move(removal));
    CO_S3_TRY(const auto sequence, co_await std::move(removing));
    CO_S3_CHECK(co_await make_durable(what.lease, sequence));
    what.lease->settle(what.where.key, sequence);
    co_return response::no_content();
}

namespace {

struct deletions {
    std::string document;
    std::vector<std::string> keys;  // deleted
    sequence_number last;
};

answer<deletions> delete_all(bucket& in, std::string_view document) {
    S3_TRY(const auto wanted, parse_delete(document));
    xml_writer out("DeleteResult");
    deletions done;
    for (const auto& [key, if_match] : wanted.objects) {
        auto removed = key.size() > key_size_max ? answer<sequence_number>(failure(code::key_too_long)) : in.remove(key, if_match);
        if (!removed) {
            out.open("Error").text("Key", key).text("Code", name(removed.error().which)).text("Message", removed.error().message).close();
            continue;
        }
        done.last = std::max(done.last, *removed);
        done.keys.push_back(key);
        if (!wanted.quiet) out.open("Deleted").text("Key", key).close();
    }
    done.document = std::move(out).finish();
    return done;
}

}  // namespace

net::awaitable<answer<response>> service::delete_objects(call& what) {
    // The body decides what is deleted, so something must vouch for it.
    const auto& headers = what.head.headers;
    const bool checked = headers.find("content-md5") || headers.find("x-amz-trailer") || what.who.payload == payload_kind::hashed ||
                         std::any_of(headers.all().begin(), headers.all().end(), [](const named_value& h) { return checksum_from_header(h.name).has_value(); });
    if (!checked) co_return failure(code::invalid_request, "Missing required header for this request: Content-MD5 or x-amz-checksum-*");
    CO_S3_TRY(const auto document, co_await read_document(what));
    auto removal = [&what, &document] { return delete_all(*what.lease, document); };
    auto removing = on_worker(std::move(removal));
    CO_S3_TRY(auto done, co_await std::move(removing));
    CO_S3_CHECK(co_await make_durable(what.lease, done.last));
    for (const auto& key : done.keys) what.lease->settle(key, done.last);
    co_return response::xml(std::move(done.document));
}

}  // namespace cess::s3
