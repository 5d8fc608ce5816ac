// What the callbacks of one session share, and how they answer. No exception leaves a callback.
#pragma once

#include "fuse_api.hpp"
#include "in_flight.hpp"
#include "open_files.hpp"
#include "request_device.hpp"
#include "request_meter.hpp"
#include "waiting_line.hpp"

#include <core/base/log.hpp>
#include <core/net/offload.hpp>
#include <fs/fuse_mount.hpp>

#include <atomic>
#include <exception>
#include <new>
#include <stdexcept>

namespace cess::fs {

struct face {
    mount_tree& tree;
    net::worker_pool& aside;  // for what may wait for a snapshot (aside.hpp)
    double entry_timeout, attr_timeout;
    bool read_only;
    bool acls;  // wanted
    std::function<void()> ready;
    open_file_table open_files{};
    bool stateless_directories = false;  // the kernel opens directories without asking
    // The request that opens the session, until it is answered (0: none), and what the kernel offered in it.
    std::atomic<std::uint64_t> init_request{0};
    std::atomic<std::uint32_t> offered_flags{0};
    in_flight asides{};   // what is asked of snapshots
    waiting_line line{};  // does what answered EAGAIN to FUSE's threads
    std::atomic<bool> long_setxattr{false};  // the kernel says with setxattr whether to clear setgid
    request_meter* meter = nullptr;          // null: nobody counts
    fuse_agreement agreed{};
    bool agreeing_again = false;  // the answer is not for the kernel, which has it
};

inline face& face_of(fuse_req_t req) { return *static_cast<face*>(fuse_req_userdata(req)); }

// What a callback was given with open(), until release().
inline mounted_file& file_of(const face& in, const fuse_file_info* fi) {
    if (auto* file = in.open_files.find(fi->fh)) return *file;
    throw std::out_of_range("the kernel names a file that is not open");
}

[[nodiscard]] struct stat to_stat(const attributes& a);
[[nodiscard]] fuse_entry_param to_entry(const face& in, const attributes& a);

// Answers with an entry; takes the reference back when the kernel could not be told.
void reply_entry(fuse_req_t req, const answer<attributes>& made, bool changes_alone = false);
void reply_attributes(fuse_req_t req, const answer<attributes>& found);
inline void reply_done(fuse_req_t req, const answer<void>& done) { fuse_reply_err(req, done ? 0 : done.error().number); }

// Runs a callback's body, which answers as its last step.
template <class Body>
void guarded(fuse_req_t req, Body&& body) noexcept {
    try {
        body(face_of(req));
    } catch (const std::bad_alloc&) {
        fuse_reply_err(req, ENOMEM);
    } catch (const std::exception& e) {
        log::error("fs", "a request failed: {}", e.what());
        fuse_reply_err(req, EIO);
    } catch (...) {
        fuse_reply_err(req, EIO);
    }
}

// Whether a request that answered EAGAIN is done, and answered, later; `again` is its callback's body.
template <class Answer>
[[nodiscard]] bool done_later(fuse_req_t req, const Answer& given, std::function<void(face&)> again) {
    if (given || given.error().number != EAGAIN) return false;
    return face_of(req).line.add([req, again = std::move(again), device = at_device::here(), measured = measured_request::current()] {
        const at_device as_read(device);
        measured.take_over();
        guarded(req, again);
    });
}

void add_name_callbacks(fuse_lowlevel_ops& to);
void add_file_callbacks(fuse_lowlevel_ops& to);
void add_attribute_callbacks(fuse_lowlevel_ops& to);
void add_listing_callbacks(fuse_lowlevel_ops& to);
void add_session_callbacks(fuse_lowlevel_ops& to);

}  // namespace cess::fs
