// State sync: how a member that is too far behind for the others' logs, or has lost its disk, comes by the state.
//
// Of the others it takes the last certificates of all epochs, from the one it trusts, and the state at the newest of them: the nodes of
// the tree from the root down, each checked against the one that names it, then all records, each against the tree. So nobody is
// believed in anything, and what a liar sends is noticed at once; another is asked then. If the others have gone on to a newer
// state meanwhile, it begins anew with that.
#pragma once

#include "machine.hpp"

#include <core/net/offload.hpp>
#include <core/net/rpc.hpp>

namespace cess::chain {

struct restore_sources {
    net::env& world;
    net::caller& through;
    std::vector<net::peer> members;  // without this one
    net::worker_pool& workers;
};

// Ends when the state is there, or with errc::canceled; errc::io and the like if this node's own disk fails. Nothing else may use `to` for
// writing meanwhile. `first`: the committee of the genesis.
net::awaitable<result<void>> restore_state(const restore_sources& from, machine& to, ledger::committee first);

// For a member that lost its disk: the epoch from which on it cannot have made any block that it has forgotten. Asks until so many have
// answered that one of them is honest and was there when the last of these was made: 2f+1 of the others.
net::awaitable<result<std::uint64_t>> first_epoch_without_past(const restore_sources& from, ledger::trust known);

}  // namespace cess::chain
