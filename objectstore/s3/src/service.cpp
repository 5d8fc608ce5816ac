#include "service.hpp"

#include <core/base/log.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace cess::s3 {

namespace {

using namespace boost::asio::experimental::awaitable_operators;

constexpr std::size_t buffer_size = 1 * MiB;

// Sub-resources that say something of a bucket or an object beside their content. Other parameters mean nothing.
constexpr std::array bucket_settings{"accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "inventory", "lifecycle",
                                     "location", "logging", "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
                                     "publicAccessBlock", "replication", "requestPayment", "tagging", "versioning", "website"};
constexpr std::array object_settings{"acl", "attributes", "legal-hold", "restore", "retention", "select", "tagging", "torrent"};

template <std::size_t N>
bool names_setting(const parameter_list& query, const std::array<const char*, N>& names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return query.has(name); });
}

// Who names the owner wants no other bucket of that name. All of an account's buckets have one owner.
answer<void> check_owner(const header_list& headers, const std::string& name, const identity& owner) {
    const auto* expected = headers.find(name);
    if (expected && *expected != owner.access) return failure(code::access_denied, "The bucket has another owner than expected: " + owner.access);
    return {};
}

}  // namespace

response response::no_content() {
    response out;
    out.status = 204;
    out.bodyless = true;
    return out;
}

response response::xml(std::string document, unsigned status) {
    response out;
    out.status = status;
    out.body = std::move(document);
    out.add("Content-Type", "application/xml");
    return out;
}

response& response::add(std::string name, std::string value) {
    headers.push_back({std::move(name), std::move(value)});
    return *this;
}

service::service(surroundings of, std::string domain, std::vector<credential> keys)
    : m_parts(of), m_domain(std::move(domain)), m_keys(std::move(keys)), m_request_salt(of.world.random().next()) {}

response service::refuse(const failure& why, std::string_view resource) {
    xml_writer out("Error", false);
    out.text("Code", name(why.which)).text("Message", why.message).text("Resource", is_utf8(resource) ? resource : std::string_view());
    auto reply = response::xml(std::move(out).finish(), status(why.which));
    reply.refused = name(why.which);
    return reply;
}

net::awaitable<response> service::serve(const request_head& head, body_source& body) {
    char id[40];
    std::snprintf(id, sizeof id, "%08X%08X", static_cast<unsigned>(m_request_salt), static_cast<unsigned>(++m_next_request));
    std::string chosen = "unknown";
    const auto began = m_parts.world.now();
    auto handled = co_await handle(head, body, chosen);
    auto out = handled ? std::move(*handled) : refuse(handled.error(), head.path);
    if (head.method == "HEAD") {
        if (!out.content_length && out.body.empty()) out.content_length = 0;
        if (!out.content_length) out.content_length = out.body.size();
        out.body.clear();
        out.stream.reset();
        out.bodyless = true;
    }
    out.add("x-amz-request-id", id);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(m_parts.world.now() - began).count();
    m_parts.count.make_histogram("cess_s3_request_seconds", "Until the response began", "op=\"" + chosen + "\"").observe_us(static_cast<std::uint64_t>(took));
    if (out.refused.empty()) co_return out;
    m_parts.count.make_counter("cess_s3_refused_total", "Requests refused, by S3 code", "code=\"" + out.refused + "\"").add();
    if (out.status >= 500 && out.status != 501)
        log::warn("s3", "request failed id={} op={} code={} why=\"{}\"", id, chosen, out.refused, handled ? "" : handled.error().message);
    co_return out;
}

net::awaitable<answer<response>> service::handle(const request_head& head, body_source& body, std::string& chosen_name) {
    CO_S3_TRY(const auto where, parse_address(head, m_domain));
    const auto now = std::chrono::floor<std::chrono::milliseconds>(m_parts.world.wall_now());
    if (head.method == "OPTIONS") co_return failure(code::cors_forbidden);
    CO_S3_TRY(const auto who, authenticate(head, m_keys, now));
    call what{head, who, where, body, {}, now};
    CO_S3_TRY(const auto chosen, find_route(what));
    chosen_name = chosen.name;
    co_return co_await run_route(chosen, what);
}

net::awaitable<answer<response>> service::run_route(route chosen, call& what) {
    if (chosen.writes && !what.where.snapshot.empty()) co_return failure(code::access_denied, "Snapshots are read-only.");
    if (chosen.bucket) {
        auto got = co_await m_parts.table.acquire(what.where.bucket, what.where.snapshot);
        if (!got) co_return not_this_bucket(got.error(), what.where.bucket);
        what.lease = std::move(*got);
    }
    CO_S3_CHECK(check_owner(what.head.headers, "x-amz-expected-bucket-owner", what.who));
    CO_S3_CHECK(check_owner(what.head.headers, "x-amz-source-expected-bucket-owner", what.who));
    co_return co_await (this->*chosen.run)(what);
}

answer<service::route> service::find_route(const call& what) const {
    const auto& version = what.parameter("versionId");
    if (!version.empty() && version != "null") return failure(code::no_such_version);
    if (!what.where.key.empty()) return object_route(what);
    if (!what.where.bucket.empty()) return bucket_route(what);
    if (what.head.method == "GET") return route{&service::list_buckets, false, false, "ListBuckets"};
    return failure(code::method_not_allowed);
}

answer<service::route> service::bucket_route(const call& what) const {
    const auto& method = what.head.method;
    const auto& query = what.head.query;
    if (names_setting(query, bucket_settings)) return route{&service::bucket_setting, true, false, "BucketSetting"};
    if (method == "GET" && query.has("uploads")) return route{&service::list_uploads, true, false, "ListMultipartUploads"};
    if (method == "GET" && query.has("versions")) return route{&service::list_versions, true, false, "ListObjectVersions"};
    if (method == "GET") return route{&service::list_objects, true, false, "ListObjects"};
    if (method == "HEAD") return route{&service::head_bucket, true, false, "HeadBucket"};
    if (method == "PUT") return route{&service::create_bucket, false, true, "CreateBucket"};
    if (method == "DELETE") return route{&service::delete_bucket, false, true, "DeleteBucket"};
    if (method == "POST" && query.has("delete")) return route{&service::delete_objects, true, true, "DeleteObjects"};
    if (method == "POST") return failure(code::not_implemented, "Uploads by HTML forms are not implemented.");
    return failure(code::method_not_allowed);
}

answer<service::route> service::object_route(const call& what) const {
    const auto& method = what.head.method;
    const auto& query = what.head.query;
    const bool copies = what.head.headers.find("x-amz-copy-source") != nullptr;
    if (names_setting(query, object_settings)) return route{&service::object_setting, true, false, "ObjectSetting"};
    if (method == "GET" && query.has("uploadId")) return route{&service::list_parts, true, false, "ListParts"};
    if (method == "GET" || method == "HEAD") return route{&service::get_object, true, false, method == "GET" ? "GetObject" : "HeadObject"};
    if (method == "PUT" && query.has("uploadId") && copies) return route{&service::upload_part_copy, true, true, "UploadPartCopy"};
    if (method == "PUT" && query.has("uploadId")) return route{&service::upload_part, true, true, "UploadPart"};
    if (method == "PUT" && copies) return route{&service::copy_object, true, true, "CopyObject"};
    if (method == "PUT" && query.has("partNumber")) return failure(code::invalid_argument, "partNumber needs uploadId.");
    if (method == "PUT") return route{&service::put_object, true, true, "PutObject"};
    if (method == "POST" && query.has("uploads")) return route{&service::create_upload, true, true, "CreateMultipartUpload"};
    if (method == "POST" && query.has("uploadId")) return route{&service::complete_upload, true, true, "CompleteMultipartUpload"};
    if (method == "DELETE" && query.has("uploadId")) return route{&service::abort_upload, true, true, "AbortMultipartUpload"};
    if (method == "DELETE") return route{&service::delete_object, true, true, "DeleteObject"};
    return failure(code::method_not_allowed);
}

net::awaitable<answer<std::string>> service::read_document(call& what, bool checksums) {
    CO_S3_TRY(auto body, payload::make(what.body, what.who, what.head, xml_size_max, checksums));
    if (body->ended()) {
        CO_S3_CHECK(body->finish());
        co_return std::string();
    }
    // Framing of aws-chunked included; what has no length is read until the limit.
    const auto room = std::min<std::uint64_t>(body->wire_size().value_or(xml_size_max), 2 * xml_size_max) + 1;
    CO_S3_TRY(const auto share, m_parts.memory.take(room));
    std::string out(room, '\0');
    const auto span = std::as_writable_bytes(std::span(out.data(), out.size()));
    CO_S3_TRY(const auto got, co_await body->read(span));
    if (!body->ended()) co_return failure(code::entity_too_large);
    CO_S3_TRY(const auto size, body->decode(span.first(got)));
    CO_S3_CHECK(body->finish());
    out.resize(size);
    co_return out;
}

net::awaitable<answer<void>> service::expect_no_body(call& what) {
    CO_S3_TRY(const auto text, co_await read_document(what));
    co_return answer<void>();
}

net::awaitable<answer<written>> service::store_body(payload& body, blob_writer& to, commit last) {
    const auto room = std::min<std::uint64_t>(body.wire_size().value_or(buffer_size), buffer_size);
    const bool one_buffer = body.wire_size() && *body.wire_size() <= buffer_size;
    CO_S3_TRY(const auto share, m_parts.memory.take(one_buffer ? room : 2 * buffer_size));
    bytes current(room), next;
    CO_S3_TRY(auto filled, co_await body.read(current));
    if (!one_buffer) next.resize(buffer_size);
    while (!body.ended()) {
        auto step = [&body, &to, &current, filled]() -> answer<void> {
            S3_TRY(const auto size, body.decode(byte_span(current).first(filled)));
            S3_CHECK(to.write(byte_view(current).first(size)));
            return {};
        };
        auto writing = on_worker(std::move(step));
        auto reading = body.read(next);
        auto both = std::move(writing) && std::move(reading);
        auto [wrote, got] = co_await std::move(both);
        if (!wrote) co_return std::move(wrote).error();
        if (!got) co_return std::move(got).error();
        filled = *got;
        std::swap(current, next);
    }
    auto finish = [&body, &current, filled, last = std::move(last)]() -> answer<written> {
        S3_TRY(const auto size, body.decode(byte_span(current).first(filled)));
        S3_CHECK(body.finish());
        return last(byte_view(current).first(size), body);
    };
    auto finishing = on_worker(std::move(finish));
    co_return co_await std::move(finishing);
}

net::awaitable<answer<void>> service::make_durable(const bucket_table::lease& in, sequence_number upto) {
    auto durable = co_await in.durable(upto);
    if (!durable) co_return failure(durable.error());
    co_return answer<void>();
}

net::awaitable<result<void>> service::read(object_stream& from, byte_span to) {
    auto fetch = [&from, to]() -> result<void> { return from.from->read(from.object, from.offset, to); };
    auto fetching = net::offload(m_parts.workers, std::move(fetch));
    auto done = co_await std::move(fetching);
    if (done) {
        from.offset += to.size();
        from.left -= to.size();
    }
    co_return done;
}

failure not_this_bucket(const error& why, const std::string& bucket) {
    if (why.code == errc::not_found || why.code == errc::unsupported) return {code::no_such_bucket, "The specified bucket does not exist: " + why.message()};
    if (why.code == errc::invalid) return {code::invalid_bucket_name, why.message()};
    auto out = failure(why);
    out.message = "bucket " + bucket + ": " + out.message;
    return out;
}

}  // namespace cess::s3
