// Background processes with pid files. A pid counts only together with the time its process started, so that a
// number that the kernel has given to somebody else is never signalled.
#pragma once

#include <core/base/result.hpp>

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

namespace cess::cli::dev {

// The pid in the file if that very process still runs, else 0.
[[nodiscard]] pid_t running(const std::string& pid_file);

// Starts a program in a session of its own, standard output and error appended to `log`, and writes the pid file.
[[nodiscard]] result<pid_t> start(const std::vector<std::string>& command, const std::string& log, const std::string& pid_file);

// Asks it to end, and ends it by force if it has not ended after `patience`. True if force was needed.
[[nodiscard]] result<bool> stop(const std::string& pid_file, std::chrono::seconds patience);

// The last line of a log, for a message.
[[nodiscard]] std::string last_line(const std::string& log);

}  // namespace cess::cli::dev
