// What the callbacks of one session share, and how they answer. No exception leaves a callback.
#pragma once

#include "fuse_api.hpp"

#include <core/base/log.hpp>
#include <fs/filesystem.hpp>

#include <atomic>
#include <exception>
#include <new>

namespace cess::fs {

struct face {
    filesystem& files;
    double entry_timeout, attr_timeout;
    bool read_only;
    std::function<void()> ready;
    bool stateless_directories = false;  // the kernel opens directories without asking
    // The request that opens the session, until it is answered (0: none), and what the kernel offered in it.
    std::atomic<std::uint64_t> init_request{0};
    std::atomic<std::uint32_t> offered_flags{0};
};

inline face& face_of(fuse_req_t req) { return *static_cast<face*>(fuse_req_userdata(req)); }

// What a callback was given with open(), until release().
inline open_file& file_of(const fuse_file_info* fi) { return *reinterpret_cast<open_file*>(fi->fh); }

[[nodiscard]] struct stat to_stat(const attributes& a);
[[nodiscard]] fuse_entry_param to_entry(const face& in, const attributes& a);

// Answers with an entry; takes the reference back when the kernel could not be told.
void reply_entry(fuse_req_t req, const answer<attributes>& made);
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

void add_name_callbacks(fuse_lowlevel_ops& to);
void add_file_callbacks(fuse_lowlevel_ops& to);
void add_attribute_callbacks(fuse_lowlevel_ops& to);
void add_listing_callbacks(fuse_lowlevel_ops& to);
void add_session_callbacks(fuse_lowlevel_ops& to);

}  // namespace cess::fs
