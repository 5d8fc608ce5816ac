// What we agree on with the kernel.
#include "face.hpp"

namespace cess::fs {
namespace {

constexpr unsigned transfer_max = 1 * MiB;
constexpr unsigned background_max = 64;

// Every change comes through this kernel, so it may cache all there is: names, absences, attributes, pages, dirty pages,
// links' targets and listings. Data invalidates nothing by itself.
unsigned wanted_of(unsigned capable, const face& in) {
    unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                    FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA;
    if (!in.read_only) want |= FUSE_CAP_WRITEBACK_CACHE;
    if (in.acls) want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
    return want & capable;
}

void on_init(void* userdata, fuse_conn_info* conn) {
    auto& in = *static_cast<face*>(userdata);
    conn->want = wanted_of(conn->capable, in);
    const bool enforced = conn->want & FUSE_CAP_POSIX_ACL;
    if (in.acls && !enforced) log::warn("fs", "this kernel does not enforce access control lists for FUSE: mounted as with noacl");
    in.tree.set_acls(enforced);
    in.stateless_directories = conn->want & FUSE_CAP_NO_OPENDIR_SUPPORT;
    conn->max_write = transfer_max;
    conn->max_read = transfer_max;
    conn->max_readahead = transfer_max;
    conn->max_background = background_max;
    conn->congestion_threshold = background_max * 3 / 4;
    conn->time_gran = 1;
    if (in.ready) in.ready();
}

}  // namespace

void add_session_callbacks(fuse_lowlevel_ops& to) { to.init = on_init; }

}  // namespace cess::fs
