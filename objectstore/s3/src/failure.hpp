// What S3 clients are told when a request fails: a code of the S3 API, its HTTP status, and one line for a person.
//
// `answer<T>` is a value or a failure; the engine's errors become failures by one table (failure(error)).
#pragma once

#include <core/base/result.hpp>

#include <string>
#include <string_view>

namespace cess::s3 {

enum class code {
    access_denied,
    acl_not_supported,
    auth_header_malformed,
    auth_query_malformed,
    bad_digest,
    bad_request,
    bucket_already_exists,
    bucket_already_owned_by_you,
    bucket_not_empty,
    content_sha256_mismatch,
    cors_forbidden,
    entity_too_large,
    entity_too_small,
    header_too_large,
    incomplete_body,
    internal_error,
    invalid_access_key,
    invalid_argument,
    invalid_bucket_name,
    invalid_digest,
    invalid_part,
    invalid_part_order,
    invalid_range,
    invalid_request,
    invalid_storage_class,
    invalid_token,
    invalid_uri,
    key_too_long,
    malformed_xml,
    metadata_too_large,
    method_not_allowed,
    missing_content_length,
    missing_security_header,
    no_such_bucket,
    no_such_bucket_policy,
    no_such_cors,
    no_such_key,
    no_such_lifecycle,
    no_such_object_lock,
    no_such_public_access_block,
    no_such_replication,
    no_such_tag_set,
    no_such_upload,
    no_such_version,
    no_such_website,
    not_implemented,
    operation_aborted,
    precondition_failed,
    quota_exceeded,
    request_time_too_skewed,
    request_timeout,
    service_unavailable,
    signature_does_not_match,
    slow_down,
};

[[nodiscard]] std::string_view name(code which) noexcept;
[[nodiscard]] unsigned status(code which) noexcept;

struct failure {
    code which = code::internal_error;
    std::string message;

    failure() = default;  // result::error() wants one
    failure(code c);  // NOLINT(google-explicit-constructor): `return code::no_such_key;` reads well
    failure(code c, std::string text) : which(c), message(std::move(text)) {}
    failure(const error& e);  // NOLINT(google-explicit-constructor): the one table from errc to S3
};

[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

template <class T = void>
using answer = boost::system::result<T, failure>;

}  // namespace cess::s3

#define S3_TRY_(tmp, ret, declaration, ...)                    \
    auto tmp = (__VA_ARGS__);                                  \
    if (!tmp) ret ::cess::s3::failure(std::move(tmp).error()); \
    declaration = std::move(*tmp)
#define S3_CHECK_(tmp, ret, ...) \
    if (auto tmp = (__VA_ARGS__); !tmp) ret ::cess::s3::failure(std::move(tmp).error())

// As TRY and CHECK_OK; they take answer<T> and result<T> alike and return a failure.
#define S3_TRY(declaration, ...) S3_TRY_(CESS_CONCAT(try_answer_, __COUNTER__), return, declaration, __VA_ARGS__)
#define S3_CHECK(...) S3_CHECK_(CESS_CONCAT(check_answer_, __COUNTER__), return, __VA_ARGS__)
#define CO_S3_TRY(declaration, ...) S3_TRY_(CESS_CONCAT(try_answer_, __COUNTER__), co_return, declaration, __VA_ARGS__)
#define CO_S3_CHECK(...) S3_CHECK_(CESS_CONCAT(check_answer_, __COUNTER__), co_return, __VA_ARGS__)
