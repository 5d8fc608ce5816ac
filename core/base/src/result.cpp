#include <core/base/result.hpp>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace cess {
namespace {

struct errc_row {
    errc code;
    std::string_view text;
    int error_number;
};

// The one table from conditions to words and to errno.
constexpr std::array rows{
    errc_row{errc::ok, "ok", 0},
    errc_row{errc::invalid, "invalid argument", EINVAL},
    errc_row{errc::not_found, "not found", ENOENT},
    errc_row{errc::exists, "already exists", EEXIST},
    errc_row{errc::permission, "not permitted", EACCES},
    errc_row{errc::no_space, "no space left", ENOSPC},
    errc_row{errc::io, "input/output error", EIO},
    errc_row{errc::corrupt, "data does not match its checksum", EIO},
    errc_row{errc::fenced, "fenced by a newer owner", EIO},
    errc_row{errc::lease_required, "lease certificate not presented", EIO},
    errc_row{errc::unavailable, "unavailable", EIO},
    errc_row{errc::timeout, "timed out", EIO},
    errc_row{errc::canceled, "canceled", EINTR},
    errc_row{errc::protocol, "protocol error", EIO},
    errc_row{errc::too_large, "too large", EFBIG},
    errc_row{errc::busy, "busy", EBUSY},
    errc_row{errc::conflict, "changed meanwhile", EAGAIN},
    errc_row{errc::read_only, "read-only", EROFS},
    errc_row{errc::unsupported, "not supported", EOPNOTSUPP},
    errc_row{errc::not_empty, "not empty", ENOTEMPTY},
    errc_row{errc::is_directory, "is a directory", EISDIR},
    errc_row{errc::not_directory, "not a directory", ENOTDIR},
    errc_row{errc::name_too_long, "name too long", ENAMETOOLONG},
    errc_row{errc::quota, "quota exceeded", EDQUOT},
    errc_row{errc::out_of_range, "out of range", ERANGE},
    errc_row{errc::exhausted, "too much at once", EAGAIN},
    errc_row{errc::no_attribute, "no such attribute", ENODATA},
};

const errc_row& row_of(errc code) noexcept {
    for (const auto& row : rows)
        if (row.code == code) return row;
    static constexpr errc_row unknown{errc::protocol, "unknown error", EIO};
    return unknown;
}

}  // namespace

std::string_view to_string(errc code) noexcept { return row_of(code).text; }

int to_errno(errc code) noexcept { return row_of(code).error_number; }

errc from_errno(int error_number) noexcept {
    switch (error_number) {
        case EACCES:
        case EPERM: return errc::permission;
        case EDQUOT:
        case ENOSPC: return errc::no_space;
        case ETIMEDOUT: return errc::timeout;
        case ECONNREFUSED:
        case ECONNRESET:
        case EPIPE:
        case EHOSTUNREACH: return errc::unavailable;
        case EIO: return errc::io;
        default: break;
    }
    for (const auto& row : rows)
        if (row.error_number == error_number) return row.code;
    return errc::io;
}

std::string error::message() const {
    if (what.empty()) return std::string(to_string(code));
    return what + ": " + std::string(to_string(code));
}

error error::with_context(std::string_view context) && {
    what = what.empty() ? std::string(context) : std::string(context) + ": " + what;
    return std::move(*this);
}

void throw_exception_from_error(const error& e, const boost::source_location&) { throw std::runtime_error(e.message()); }

error errno_error(std::string_view what, int error_number) {
    return {from_errno(error_number), std::string(what) + ": " + std::generic_category().message(error_number)};
}

}  // namespace cess
