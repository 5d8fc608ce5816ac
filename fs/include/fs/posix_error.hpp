// How every operation of the filesystem answers: a value or an errno. The kernel asked; an errno is all it can be
// told, so the reason behind an I/O error is logged here, once, where the engine's error turns into a number.
#pragma once

#include <core/base/result.hpp>

#include <cerrno>

namespace cess::fs {

struct posix_error {
    int number = 0;  // an errno, positive

    posix_error() = default;
    // Logs what stands behind an I/O error.
    explicit posix_error(const error& e);

    friend bool operator==(posix_error, posix_error) = default;
};

[[noreturn]] void throw_exception_from_error(const posix_error& e, const boost::source_location& where);

template <class T = void>
using answer = boost::system::result<T, posix_error>;

// No constructor from a number, or an answer that holds a number could not be told from an error.
inline posix_error refuse(int number) noexcept {
    posix_error e;
    e.number = number;
    return e;
}

}  // namespace cess::fs

#define FS_TRY_(tmp, declaration, ...)                                   \
    auto tmp = (__VA_ARGS__);                                            \
    if (!tmp) return ::cess::fs::posix_error(std::move(tmp).error());    \
    declaration = std::move(*tmp)
#define FS_CHECK_(tmp, ...) \
    if (auto tmp = (__VA_ARGS__); !tmp) return ::cess::fs::posix_error(std::move(tmp).error())

// TRY and CHECK_OK for functions that answer with an errno; what they call may give either kind of error.
#define FS_TRY(declaration, ...) FS_TRY_(CESS_CONCAT(fs_try_, __COUNTER__), declaration, __VA_ARGS__)
#define FS_CHECK(...) FS_CHECK_(CESS_CONCAT(fs_check_, __COUNTER__), __VA_ARGS__)
