// How every fallible function in CESS answers: a value, or one `error` that says what failed and on what.
//
// An `errc` is a condition that callers act on; the text is for the person who reads it. Context is added
// once, where it is known (`with_context`), and logged once, by the owner of the operation. Tables elsewhere
// turn an errc into an errno (`to_errno`) or an S3 code. Exceptions mean a broken program or no memory; none
// crosses a C ABI.
#pragma once

#include <boost/system/result.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

namespace cess {

// Values travel on the wire and are never renumbered.
enum class errc : std::uint16_t {
    ok = 0,
    invalid = 1,         // the request itself is wrong, whoever sends it
    not_found = 2,
    exists = 3,
    permission = 4,      // signed by the wrong key, or not allowed for this account
    no_space = 5,
    io = 6,              // the operating system or a device failed
    corrupt = 7,         // bytes that do not match their checksum, hash or tag
    fenced = 8,          // a higher term exists: this owner is deposed, for ever
    lease_required = 9,  // the miner has not seen the lease certificate of this term
    unavailable = 10,    // cannot be reached, or too few can be
    timeout = 11,
    canceled = 12,       // the caller or a shutdown gave up
    protocol = 13,       // a peer broke the wire protocol
    too_large = 14,
    busy = 15,           // owned, mounted or in use by somebody else
    conflict = 16,       // compare-and-swap lost: read again and decide anew
    read_only = 17,
    unsupported = 18,
    not_empty = 19,
    is_directory = 20,
    not_directory = 21,
    name_too_long = 22,
    quota = 23,
    out_of_range = 24,
    exhausted = 25,      // a bound (queue, memory, connections) is reached; try later
    no_attribute = 26,
};

[[nodiscard]] std::string_view to_string(errc code) noexcept;
[[nodiscard]] int to_errno(errc code) noexcept;
[[nodiscard]] errc from_errno(int error_number) noexcept;

struct error {
    errc code = errc::ok;
    std::string what;

    error() = default;
    error(errc c) : code(c) {}  // NOLINT(google-explicit-constructor): `return errc::not_found;` reads well
    error(errc c, std::string text) : code(c), what(std::move(text)) {}

    // "what: code" on one line, as it is shown to people.
    [[nodiscard]] std::string message() const;
    // Puts the caller's knowledge in front: "read fragment 3: <what>".
    [[nodiscard]] error with_context(std::string_view context) &&;
};

inline bool operator==(const error& e, errc code) noexcept { return e.code == code; }

// For tests, which print what they compare.
template <class Char, class Traits>
std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, const error& e) {
    return out << e.message();
}

[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

template <class T = void>
using result = boost::system::result<T, error>;

// The error of a failed system call: "open /x/y: No such file or directory".
[[nodiscard]] error errno_error(std::string_view what, int error_number);

}  // namespace cess

#define CESS_CONCAT_(a, b) a##b
#define CESS_CONCAT(a, b) CESS_CONCAT_(a, b)
#define CESS_TRY_(tmp, ret, declaration, ...)           \
    auto tmp = (__VA_ARGS__);                           \
    if (!tmp) ret ::cess::error(std::move(tmp).error()); \
    declaration = std::move(*tmp)
#define CESS_CHECK_(tmp, ret, ...) \
    if (auto tmp = (__VA_ARGS__); !tmp) ret ::cess::error(std::move(tmp).error())

// TRY(auto x, f());  → x is the value, or the enclosing function returns the error. CO_TRY in a coroutine:
// CO_TRY(auto x, co_await f());
#define TRY(declaration, ...) CESS_TRY_(CESS_CONCAT(try_result_, __COUNTER__), return, declaration, __VA_ARGS__)
#define CO_TRY(declaration, ...) CESS_TRY_(CESS_CONCAT(try_result_, __COUNTER__), co_return, declaration, __VA_ARGS__)
// CHECK(f());  → returns f's error, or goes on; for result<void> and for values nobody needs.
#define CHECK_OK(...) CESS_CHECK_(CESS_CONCAT(check_result_, __COUNTER__), return, __VA_ARGS__)
#define CO_CHECK_OK(...) CESS_CHECK_(CESS_CONCAT(check_result_, __COUNTER__), co_return, __VA_ARGS__)
