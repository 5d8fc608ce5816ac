#include "failure.hpp"

#include <boost/throw_exception.hpp>

#include <array>
#include <stdexcept>

namespace cess::s3 {

namespace {

struct row {
    code which;
    std::string_view name;
    unsigned status;
    std::string_view message;
};

// In the order of the enumeration (checked below).
constexpr std::array table{
    row{code::access_denied, "AccessDenied", 403, "Access Denied"},
    row{code::acl_not_supported, "AccessControlListNotSupported", 400, "The bucket does not allow ACLs"},
    row{code::auth_header_malformed, "AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid."},
    row{code::auth_query_malformed, "AuthorizationQueryParametersError", 400, "The authorization query parameters that you provided are not valid."},
    row{code::bad_digest, "BadDigest", 400, "The Content-MD5 or checksum value that you specified did not match what the server received."},
    row{code::bad_request, "BadRequest", 400, "The request could not be parsed."},
    row{code::bucket_already_exists, "BucketAlreadyExists", 409, "The requested bucket name is not available."},
    row{code::bucket_already_owned_by_you, "BucketAlreadyOwnedByYou", 409, "The bucket that you tried to create already exists, and you own it."},
    row{code::bucket_not_empty, "BucketNotEmpty", 409, "The bucket that you tried to delete is not empty."},
    row{code::content_sha256_mismatch, "XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
    row{code::cors_forbidden, "AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket."},
    row{code::entity_too_large, "EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed object size."},
    row{code::entity_too_small, "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed object size."},
    row{code::header_too_large, "RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed size."},
    row{code::incomplete_body, "IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header."},
    row{code::internal_error, "InternalError", 500, "An internal error occurred. Try again."},
    row{code::invalid_access_key, "InvalidAccessKeyId", 403, "The access key ID that you provided does not exist in our records."},
    row{code::invalid_argument, "InvalidArgument", 400, "Invalid Argument"},
    row{code::invalid_bucket_name, "InvalidBucketName", 400, "The specified bucket is not valid."},
    row{code::invalid_digest, "InvalidDigest", 400, "The Content-MD5 or checksum value that you specified is not valid."},
    row{code::invalid_part, "InvalidPart", 400, "One or more of the specified parts could not be found, or its entity tag did not match."},
    row{code::invalid_part_order, "InvalidPartOrder", 400, "The list of parts was not in ascending order."},
    row{code::invalid_range, "InvalidRange", 416, "The requested range is not satisfiable"},
    row{code::invalid_request, "InvalidRequest", 400, "Invalid Request"},
    row{code::invalid_storage_class, "InvalidStorageClass", 400, "The storage class that you specified is not valid."},
    row{code::invalid_token, "InvalidToken", 400, "The provided token is malformed or otherwise not valid."},
    row{code::invalid_uri, "InvalidURI", 400, "The specified URI couldn't be parsed."},
    row{code::key_too_long, "KeyTooLongError", 400, "Your key is too long."},
    row{code::malformed_xml, "MalformedXML", 400, "The XML that you provided was not well formed or did not validate against our published schema."},
    row{code::metadata_too_large, "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size."},
    row{code::method_not_allowed, "MethodNotAllowed", 405, "The specified method is not allowed against this resource."},
    row{code::missing_content_length, "MissingContentLength", 411, "You must provide the Content-Length HTTP header."},
    row{code::missing_security_header, "MissingSecurityHeader", 400, "Your request is missing a required header."},
    row{code::no_such_bucket, "NoSuchBucket", 404, "The specified bucket does not exist."},
    row{code::no_such_bucket_policy, "NoSuchBucketPolicy", 404, "The bucket policy does not exist"},
    row{code::no_such_cors, "NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"},
    row{code::no_such_key, "NoSuchKey", 404, "The specified key does not exist."},
    row{code::no_such_lifecycle, "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"},
    row{code::no_such_object_lock, "ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket"},
    row{code::no_such_public_access_block, "NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"},
    row{code::no_such_replication, "ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"},
    row{code::no_such_tag_set, "NoSuchTagSet", 404, "The TagSet does not exist"},
    row{code::no_such_upload, "NoSuchUpload", 404, "The specified multipart upload does not exist. It may have been aborted or completed."},
    row{code::no_such_version, "NoSuchVersion", 404, "The specified version does not exist: buckets have no versions here."},
    row{code::no_such_website, "NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration"},
    row{code::not_implemented, "NotImplemented", 501, "A header or parameter that you provided implies functionality that is not implemented."},
    row{code::operation_aborted, "OperationAborted", 409, "A conflicting operation is in progress against this resource. Try again."},
    row{code::precondition_failed, "PreconditionFailed", 412, "At least one of the preconditions that you specified did not hold."},
    row{code::quota_exceeded, "QuotaExceeded", 507, "The bucket or the network has no space left."},
    row{code::request_time_too_skewed, "RequestTimeTooSkewed", 403, "The difference between the request time and the server's time is too large."},
    row{code::request_timeout, "RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period."},
    row{code::service_unavailable, "ServiceUnavailable", 503, "The storage behind this bucket cannot be reached now. Try again."},
    row{code::signature_does_not_match, "SignatureDoesNotMatch", 403, "The request signature that the server calculated does not match the signature that you provided."},
    row{code::slow_down, "SlowDown", 503, "Reduce your request rate."},
};

constexpr bool ordered() {
    for (std::size_t i = 0; i < table.size(); ++i)
        if (static_cast<std::size_t>(table[i].which) != i) return false;
    return true;
}
static_assert(ordered() && table.size() == static_cast<std::size_t>(code::slow_down) + 1);

const row& find(code which) noexcept { return table[static_cast<std::size_t>(which)]; }

code from(errc e) noexcept {
    switch (e) {
        case errc::invalid:
        case errc::out_of_range:
        case errc::name_too_long: return code::invalid_argument;
        case errc::not_found: return code::no_such_key;
        case errc::exists: return code::bucket_already_exists;
        case errc::permission:
        case errc::read_only: return code::access_denied;
        case errc::no_space:
        case errc::quota: return code::quota_exceeded;
        case errc::too_large: return code::entity_too_large;
        case errc::busy:
        case errc::fenced:
        case errc::lease_required:
        case errc::unavailable:
        case errc::timeout:
        case errc::canceled: return code::service_unavailable;
        case errc::exhausted: return code::slow_down;
        case errc::conflict: return code::operation_aborted;
        case errc::unsupported: return code::not_implemented;
        case errc::not_empty: return code::bucket_not_empty;
        default: return code::internal_error;
    }
}

}  // namespace

std::string_view name(code which) noexcept { return find(which).name; }
unsigned status(code which) noexcept { return find(which).status; }

failure::failure(code c) : which(c), message(find(c).message) {}

failure::failure(const error& e) : which(from(e.code)), message(e.message()) {}

void throw_exception_from_error(const failure& f, const boost::source_location& where) {
    boost::throw_exception(std::runtime_error(std::string(name(f.which)) + ": " + f.message), where);
}

}  // namespace cess::s3
