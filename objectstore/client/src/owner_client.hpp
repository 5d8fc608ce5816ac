// Asking the process that a volume's newest lease names.
#pragma once

#include "owner_protocol.hpp"

#include <objectstore/layer/deadlines.hpp>

namespace cess::client {

struct asking {
    net::env& world;
    net::caller& network;
    const chain::account& who;
    network_id network_name;
    node_id self;  // our TLS key
    layer::deadlines limits;
};

// The lease of the process that may still own it; none if it was never attached or was detached cleanly.
[[nodiscard]] const ledger::lease* lease_of_owner(const ledger::volume_record& of) noexcept;

// True: it answers and owns the volume. False: it says that it does not, or was silent for owner_silence.
net::awaitable<result<bool>> owner_is_alive(asking with, ledger::lease of);

// errc::busy: it opens or detaches the volume, or has gone; nothing was done, look again who owns it. Any other error: it may have been done.
net::awaitable<result<owner_result>> ask_owner(asking with, ledger::lease of, owner_action what);

}  // namespace cess::client
