// What is asked of snapshots waits for the network: for one to be opened, taken or deleted. That happens on threads of its
// own, so that FUSE's stay free for the head, and for what the kernel writes back meanwhile.
#pragma once

#include "face.hpp"

#include <tuple>

namespace cess::fs {

// A callback's argument, for after it has returned.
template <class T>
struct kept {
    T value;
    explicit kept(T from) : value(from) {}
    T get() noexcept { return value; }
};
template <>
struct kept<const char*> {
    std::string value;
    explicit kept(const char* from) : value(from) {}
    const char* get() noexcept { return value.c_str(); }
};
template <>
struct kept<fuse_file_info*> {
    std::optional<fuse_file_info> value;
    explicit kept(const fuse_file_info* from) : value(from ? std::optional(*from) : std::nullopt) {}
    fuse_file_info* get() noexcept { return value ? &*value : nullptr; }
};

template <auto Callback>
struct aside_call;
template <class... Rest, void (*Callback)(fuse_req_t, fuse_ino_t, Rest...)>
struct aside_call<Callback> {
    struct later final : net::worker_pool::task {
        const in_flight::one under_way;
        const device_clone device = at_device::here();
        fuse_req_t req;
        fuse_ino_t ino;
        measured_request measured = measured_request::current();
        std::tuple<kept<Rest>...> rest;

        later(face& in, fuse_req_t of, fuse_ino_t on, Rest... all) : under_way(in.asides), req(of), ino(on), rest(kept<Rest>(all)...) {}
        void run() noexcept override {
            measured.take_over();
            const at_device as_read(device);
            std::apply([&](auto&... each) { Callback(req, ino, each.get()...); }, rest);
        }
    };
    static void run(fuse_req_t req, fuse_ino_t ino, Rest... rest) {
        if (!may_wait(inode_number{ino})) return Callback(req, ino, rest...);
        guarded(req, [&](face& in) {
            std::unique_ptr<net::worker_pool::task> work = std::make_unique<later>(in, req, ino, rest...);
            if (const auto taken = in.aside.submit(work); !taken) fuse_reply_err(req, posix_error(taken.error()).number);
        });
    }
};

// A callback of an inode, which runs here unless it may wait for a snapshot.
template <auto Callback>
inline constexpr auto aside = &aside_call<Callback>::run;

}  // namespace cess::fs
