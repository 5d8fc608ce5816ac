// Starting, watching and ending the processes of a development network.
#pragma once

#include "network.hpp"

#include "network_health.hpp"

#include <chrono>

namespace cess::cli::dev {

struct started {
    bool anything = false;  // or everything ran already
};

// Starts what does not run and waits until every node answers and the ledger knows it. What was started is ended
// again if that does not come about in time; the error then names the node and says what its log ends with.
[[nodiscard]] result<started> bring_up(const network& what, std::chrono::seconds patience);

// Ends all processes in order: miners before the consensus node. Names those that had to be ended by force.
[[nodiscard]] result<std::vector<std::string>> bring_down(const network& what);

struct process_state {
    std::string name;
    int pid = 0;  // 0: does not run
};
[[nodiscard]] std::vector<process_state> states(const network& what);

}  // namespace cess::cli::dev
