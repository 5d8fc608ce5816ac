#include "request_meter.hpp"

#include <linux/fuse.h>

#include <cstring>
#include <string>
#include <string_view>

namespace cess::fs {
namespace {

thread_local measured_request at_work;

struct operation {
    std::uint32_t opcode;
    std::string_view name;
};

constexpr std::array operations{
    operation{FUSE_LOOKUP, "lookup"},         operation{FUSE_GETATTR, "getattr"},
    operation{FUSE_SETATTR, "setattr"},       operation{FUSE_READLINK, "readlink"},
    operation{FUSE_SYMLINK, "symlink"},       operation{FUSE_MKNOD, "mknod"},
    operation{FUSE_MKDIR, "mkdir"},           operation{FUSE_UNLINK, "unlink"},
    operation{FUSE_RMDIR, "rmdir"},           operation{FUSE_RENAME, "rename"},
    operation{FUSE_RENAME2, "rename"},        operation{FUSE_LINK, "link"},
    operation{FUSE_OPEN, "open"},             operation{FUSE_READ, "read"},
    operation{FUSE_WRITE, "write"},           operation{FUSE_STATFS, "statfs"},
    operation{FUSE_RELEASE, "release"},       operation{FUSE_FSYNC, "fsync"},
    operation{FUSE_FSYNCDIR, "fsync"},        operation{FUSE_SETXATTR, "setxattr"},
    operation{FUSE_GETXATTR, "getxattr"},     operation{FUSE_LISTXATTR, "listxattr"},
    operation{FUSE_FLUSH, "flush"},           operation{FUSE_REMOVEXATTR, "removexattr"},
    operation{FUSE_READDIR, "readdir"},       operation{FUSE_READDIRPLUS, "readdirplus"},
    operation{FUSE_CREATE, "create"},         operation{FUSE_FALLOCATE, "fallocate"},
    operation{FUSE_LSEEK, "lseek"},           operation{FUSE_COPY_FILE_RANGE, "copy_file_range"},
};

std::uint64_t taken(byte_view answer) noexcept {
    fuse_write_out body;
    if (answer.size() < sizeof body) return 0;
    std::memcpy(&body, answer.data(), sizeof body);
    return body.size;
}

}  // namespace

measured_request measured_request::current() noexcept { return at_work; }

void measured_request::take_over() const noexcept { at_work = *this; }

request_meter::request_meter(metrics& count)
    : m_read(count.make_counter("cess_fs_read_bytes_total", "Bytes that the kernel was given of files.")),
      m_written(count.make_counter("cess_fs_written_bytes_total", "Bytes that the kernel gave for files.")) {
    for (const auto& each : operations) {
        const auto label = "op=\"" + std::string(each.name) + "\"";
        auto& to = m_rows[each.opcode];
        to.time = &count.make_histogram("cess_fs_operation_seconds", "Time from the kernel's request to the answer.", label);
        to.refused = &count.make_counter("cess_fs_errors_total", "Requests that were answered with an error.", label);
    }
}

void request_meter::received(std::uint32_t opcode, std::uint64_t unique) const noexcept {
    const bool counted = opcode < opcodes && m_rows[opcode].time;
    at_work.unique = counted ? unique : 0;
    if (!counted) return;
    at_work.opcode = opcode;
    at_work.received = std::chrono::steady_clock::now();
}

void request_meter::answered(std::uint64_t unique, int error, byte_view body) noexcept {
    if (unique == 0 || unique != at_work.unique) return;
    const auto& to = m_rows[at_work.opcode];
    const auto took = std::chrono::steady_clock::now() - at_work.received;
    to.time->observe_us(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
    if (error != 0) to.refused->add();
    else if (at_work.opcode == FUSE_READ) m_read.add(body.size());
    else if (at_work.opcode == FUSE_WRITE) m_written.add(taken(body));
    at_work.unique = 0;
}

}  // namespace cess::fs
