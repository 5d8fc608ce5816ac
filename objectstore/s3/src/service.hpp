// The S3 API without sockets: a request's head and body in, a response out.
//
// serve() authenticates, finds the operation and its bucket, and runs it; engine calls happen on the workers. A 2xx to
// a write leaves only when the write is durable, and nothing undurable is shown (committer).
#pragma once

#include "bucket_table.hpp"
#include "payload.hpp"
#include "signature.hpp"

#include <core/base/metrics.hpp>

namespace cess::s3 {

// Bytes of an object on their way to a client; holds what they need.
struct object_stream {
    bucket_table::lease from;
    object_reader object;
    std::uint64_t offset = 0, left = 0;
};

struct response {
    unsigned status = 200;
    std::vector<named_value> headers;
    std::string body;
    std::unique_ptr<object_stream> stream;        // instead of body
    std::optional<std::uint64_t> content_length;  // of a HEAD
    bool bodyless = false;                        // 204, 304, HEAD
    std::string refused;                          // the S3 code, for metrics

    static response ok() { return {}; }
    static response no_content();
    static response xml(std::string document, unsigned status = 200);
    response& add(std::string name, std::string value);
};

// One request on its way through an operation.
struct call {
    const request_head& head;
    const identity& who;
    const address& where;
    body_source& body;
    bucket_table::lease lease;  // of where.bucket, if the operation needs it
    wall_time now;

    [[nodiscard]] std::string_view parameter(std::string_view name) const { return head.query.get(name); }
};

class service {
public:
    struct surroundings {
        net::env& world;
        store& buckets;
        bucket_table& table;
        net::worker_pool& workers;
        memory_budget& memory;
        metrics& count;
    };
    service(surroundings of, std::string domain, std::vector<credential> keys);

    // Always answers; errors as S3's XML. The body may be left unread: body.ended() tells.
    [[nodiscard]] net::awaitable<response> serve(const request_head& head, body_source& body);
    [[nodiscard]] response refuse(const failure& why, std::string_view resource);
    // Reads the next bytes of a stream. errc on engine failure: the connection must then be cut.
    [[nodiscard]] net::awaitable<result<void>> read(object_stream& from, byte_span to);

private:
    using operation = net::awaitable<answer<response>> (service::*)(call&);
    struct route {
        operation run;
        bool bucket;    // acquires it first
        bool writes;    // refused for snapshots
        const char* name;
    };
    [[nodiscard]] answer<route> find_route(const call& what) const;
    [[nodiscard]] answer<route> bucket_route(const call& what) const;
    [[nodiscard]] answer<route> object_route(const call& what) const;
    [[nodiscard]] net::awaitable<answer<response>> handle(const request_head& head, body_source& body, std::string& name);
    [[nodiscard]] net::awaitable<answer<response>> run_route(route chosen, call& what);

    // Operations, by family. service_buckets.cpp:
    net::awaitable<answer<response>> list_buckets(call& what);
    net::awaitable<answer<response>> create_bucket(call& what);
    net::awaitable<answer<response>> head_bucket(call& what);
    net::awaitable<answer<response>> delete_bucket(call& what);
    net::awaitable<answer<response>> bucket_setting(call& what);   // sub-resources of an unconfigured bucket
    net::awaitable<answer<response>> object_setting(call& what);
    net::awaitable<answer<response>> put_acl(call& what);          // of either
    // service_lists.cpp:
    net::awaitable<answer<response>> list_objects(call& what);     // v1 and v2
    net::awaitable<answer<response>> list_versions(call& what);
    net::awaitable<answer<response>> list_uploads(call& what);
    net::awaitable<answer<response>> list_parts(call& what);
    // service_objects.cpp:
    net::awaitable<answer<response>> get_object(call& what);       // and HEAD
    net::awaitable<answer<response>> put_object(call& what);
    net::awaitable<answer<response>> delete_object(call& what);
    net::awaitable<answer<response>> delete_objects(call& what);
    // service_copies.cpp:
    net::awaitable<answer<response>> copy_object(call& what);
    net::awaitable<answer<response>> upload_part_copy(call& what);
    // service_uploads.cpp:
    net::awaitable<answer<response>> create_upload(call& what);
    net::awaitable<answer<response>> upload_part(call& what);
    net::awaitable<answer<response>> complete_upload(call& what);
    net::awaitable<answer<response>> abort_upload(call& what);

    // A document of at most xml_size_max, verified; empty where there is none.
    [[nodiscard]] net::awaitable<answer<std::string>> read_document(call& what, bool checksums = true);
    // The body of an operation that takes none.
    [[nodiscard]] net::awaitable<answer<void>> expect_no_body(call& what);
    // Streams the body into `to`, but for its last buffer, which `last` gets on a worker, verified, to commit it.
    using commit = std::function<answer<written>(byte_view tail, const payload& body)>;
    [[nodiscard]] net::awaitable<answer<written>> store_body(payload& body, blob_writer& to, commit last);
    // Runs f on a worker; f answers an answer<T>.
    template <class F>
    [[nodiscard]] auto on_worker(F f) -> net::awaitable<std::invoke_result_t<F>>;
    [[nodiscard]] net::awaitable<answer<void>> make_durable(const bucket_table::lease& in, sequence_number upto);

    surroundings m_parts;
    std::string m_domain;
    std::vector<credential> m_keys;
    std::atomic<std::uint64_t> m_next_request{0};
    std::uint64_t m_request_salt = 0;
};

// answer<T> is no result<T>: it travels through offload in an optional.
template <class F>
auto service::on_worker(F f) -> net::awaitable<std::invoke_result_t<F>> {
    using outcome = std::invoke_result_t<F>;
    std::optional<outcome> out;
    auto work = [&out, run = std::move(f)]() mutable -> result<void> {
        out.emplace(run());
        return {};
    };
    auto working = net::offload(m_parts.workers, std::move(work));
    auto done = co_await std::move(working);
    if (!done) co_return failure(done.error());
    co_return std::move(*out);
}

// What a request says of the object it makes.
[[nodiscard]] answer<header_map> read_metadata(const header_list& headers);
// Headers that ask for what we do not do are refused rather than ignored.
[[nodiscard]] answer<void> refuse_unsupported(const header_list& headers);
// Bytes to be stored come with a word on how many, or a request cut short before them would store nothing, and succeed.
[[nodiscard]] answer<void> require_length(const header_list& headers);
[[nodiscard]] answer<std::uint32_t> part_number(const parameter_list& query);
void add_metadata(response& to, const header_map& headers);
[[nodiscard]] std::string quoted(std::string_view etag);
[[nodiscard]] std::uint64_t unix_ms(wall_time when);
[[nodiscard]] failure not_this_bucket(const error& why, const std::string& name);  // of acquire()

}  // namespace cess::s3
