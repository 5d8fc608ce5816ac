#include <core/base/log.hpp>
#include <fs/posix_error.hpp>

#include <stdexcept>
#include <system_error>

namespace cess::fs {

posix_error::posix_error(const error& e) : number(to_errno(e.code)) {
    if (number == EIO) log::warn("fs", "{}", e.message());
}

void throw_exception_from_error(const posix_error& e, const boost::source_location&) {
    throw std::runtime_error(std::generic_category().message(e.number));
}

}  // namespace cess::fs
