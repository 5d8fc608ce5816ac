// Reading requests, answered from the machine's certified state on the calling thread.
#pragma once

#include "machine.hpp"

#include <core/net/rpc.hpp>

namespace cess::chain {

[[nodiscard]] net::reply answer_query(const machine& on, const network_id& network, const net::request& what);

}  // namespace cess::chain
