// Buckets themselves, and the sub-resources of buckets and objects: answered as S3 answers for a bucket on which
// nothing was configured, and refused where something is to be configured.
#include "service.hpp"

#include <array>

namespace cess::s3 {

namespace {

constexpr std::string_view region = "us-east-1";
constexpr std::string_view owner_name = "cess";

struct setting {
    std::string_view name;
    std::string_view document;            // of an unconfigured bucket; empty: `missing`
    code missing = code::not_implemented;
};

constexpr std::string_view encryption_default =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>"
    "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
    "<BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>";
constexpr std::string_view payment_default =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<RequestPaymentConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Payer>BucketOwner</Payer></RequestPaymentConfiguration>";
constexpr std::string_view ownership_default =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<OwnershipControls xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>"
    "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";

// Only the root element's name: "<X/>".
constexpr std::array settings{
    setting{"location", "LocationConstraint"},
    setting{"versioning", "VersioningConfiguration"},
    setting{"logging", "BucketLoggingStatus"},
    setting{"notification", "NotificationConfiguration"},
    setting{"accelerate", "AccelerateConfiguration"},
    setting{"encryption", encryption_default},
    setting{"requestPayment", payment_default},
    setting{"ownershipControls", ownership_default},
    setting{"tagging", "", code::no_such_tag_set},
    setting{"policy", "", code::no_such_bucket_policy},
    setting{"policyStatus", "", code::no_such_bucket_policy},
    setting{"cors", "", code::no_such_cors},
    setting{"lifecycle", "", code::no_such_lifecycle},
    setting{"object-lock", "", code::no_such_object_lock},
    setting{"publicAccessBlock", "", code::no_such_public_access_block},
    setting{"replication", "", code::no_such_replication},
    setting{"website", "", code::no_such_website},
};

std::string access_control(std::string_view owner) {
    xml_writer out("AccessControlPolicy");
    out.open("Owner").text("ID", owner).text("DisplayName", owner_name).close();
    std::string text = std::move(out.open("AccessControlList").open("Grant")).finish();
    // The grantee's type is an attribute with a namespace of its own.
    const std::string grantee = "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>" + std::string(owner) +
                                "</ID><DisplayName>" + std::string(owner_name) + "</DisplayName></Grantee><Permission>FULL_CONTROL</Permission>";
    text.insert(text.find("<Grant>") + 7, grantee);
    return text;
}

}  // namespace

net::awaitable<answer<response>> service::list_buckets(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    auto look = [this]() -> answer<std::vector<bucket_info>> {
        S3_TRY(auto list, m_parts.buckets.list());
        return list;
    };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto buckets, co_await std::move(looking));
    xml_writer out("ListAllMyBucketsResult");
    out.open("Owner").text("ID", what.who.access).text("DisplayName", owner_name).close();
    out.open("Buckets");
    for (const auto& one : buckets)
        out.open("Bucket").text("Name", one.name).text("CreationDate", iso8601(wall_from_ms(one.created_unix * 1000))).close();
    co_return response::xml(std::move(out).finish());
}

net::awaitable<answer<response>> service::create_bucket(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    if (equals_ignoring_case(what.head.headers.get("x-amz-bucket-object-lock-enabled"), "true")) co_return failure(code::not_implemented);
    CO_S3_TRY(const auto document, co_await read_document(what));
    CO_S3_CHECK(parse_create_bucket(document));
    const auto name = what.where.bucket;
    auto make = [this, name]() -> answer<void> {
        const auto made = m_parts.buckets.create(name);
        if (made) return {};
        if (made.error().code == errc::exists) return failure(code::bucket_already_owned_by_you);
        if (made.error().code == errc::unsupported) return failure(code::bucket_already_exists, made.error().message());
        return failure(made.error());
    };
    auto making = on_worker(std::move(make));
    CO_S3_CHECK(co_await std::move(making));
    m_parts.table.expect(name);
    response out;
    out.add("Location", "/" + name);
    co_return out;
}

net::awaitable<answer<response>> service::head_bucket(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    response out;
    out.add("x-amz-bucket-region", std::string(region));
    co_return out;
}

net::awaitable<answer<response>> service::delete_bucket(call& what) {
    CO_S3_CHECK(co_await expect_no_body(what));
    auto removed = co_await m_parts.table.remove(what.where.bucket);
    if (!removed) {
        if (removed.error().code == errc::not_empty) co_return failure(code::bucket_not_empty);
        if (removed.error().code == errc::busy) co_return failure(code::operation_aborted, removed.error().message());
        co_return not_this_bucket(removed.error(), what.where.bucket);
    }
    co_return response::no_content();
}

// As on a bucket whose owner owns all: what changes nothing is accepted.
net::awaitable<answer<response>> service::put_acl(call& what) {
    CO_S3_CHECK(refuse_unsupported(what.head.headers));
    CO_S3_TRY(const auto document, co_await read_document(what));
    if (document.empty() && !what.head.headers.find("x-amz-acl")) co_return failure(code::missing_security_header);
    if (!document.empty()) {
        CO_S3_CHECK(parse_acl(document, what.who.access));
    }
    if (what.where.key.empty()) co_return response::ok();
    auto look = [&what] { return what.lease->find(what.where.key); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto found, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, found.seen));
    co_return response::ok();
}

net::awaitable<answer<response>> service::bucket_setting(call& what) {
    const auto& method = what.head.method;
    if (method != "GET") {
        if (method == "PUT" && what.head.query.has("acl")) co_return co_await put_acl(what);
        co_return failure(code::not_implemented, "This setting of buckets is not implemented.");
    }
    CO_S3_CHECK(co_await expect_no_body(what));
    if (what.head.query.has("acl")) co_return response::xml(access_control(what.who.access));
    for (const auto& one : settings) {
        if (!what.head.query.has(one.name)) continue;
        if (one.document.empty()) co_return failure(one.missing);
        if (one.document.front() == '<') co_return response::xml(std::string(one.document));
        co_return response::xml(xml_writer(one.document).finish());
    }
    co_return failure(code::not_implemented, "This setting of buckets is not implemented.");
}

net::awaitable<answer<response>> service::object_setting(call& what) {
    const auto& method = what.head.method;
    const auto& query = what.head.query;
    if (method != "GET") {
        if (method == "PUT" && query.has("acl")) co_return co_await put_acl(what);
        co_return failure(code::not_implemented, "This setting of objects is not implemented.");
    }
    CO_S3_CHECK(co_await expect_no_body(what));
    auto look = [&what] { return what.lease->find(what.where.key); };
    auto looking = on_worker(std::move(look));
    CO_S3_TRY(const auto found, co_await std::move(looking));
    CO_S3_CHECK(co_await make_durable(what.lease, found.seen));
    if (query.has("acl")) co_return response::xml(access_control(what.who.access));
    if (query.has("tagging")) {
        xml_writer out("Tagging");
        out.open("TagSet");
        co_return response::xml(std::move(out).finish());
    }
    if (query.has("retention") || query.has("legal-hold")) co_return failure(code::no_such_object_lock);
    co_return failure(code::not_implemented, "This sub-resource of objects is not implemented.");
}

}  // namespace cess::s3
