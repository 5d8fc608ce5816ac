// Appends entries to the local journal: files of bounded size in one directory, each removed when the miners have all
// that is in it.
//
// A failure of the disk (full, broken) is told once, and from then on append() refuses, so that nothing is acknowledged
// that is not durable; when the miners have everything, it begins anew. Thread-safe, but append() is one caller's.
#pragma once

#include "local_format.hpp"

#include <core/os/file_system.hpp>

#include <chrono>
#include <deque>
#include <mutex>
#include <optional>

namespace cess::volume::local {

struct place {
    os::file_system* disk = nullptr;
    std::string directory;  // is there
    crypto::secret_key key; // the account's, from which the files' keys are derived
};

class log {
public:
    static constexpr std::uint64_t file_size_max = 16 * MiB;  // begun files go past it by one entry at most
    static constexpr auto retry_after = std::chrono::seconds(10);

    // `what` says of which term the entries are; its `first` and `salt` are ignored.
    log(place where, file_header what, std::uint64_t file_max = file_size_max);

    // On stable storage when it returns. REQUIRES: numbers rise by one.
    [[nodiscard]] result<void> append(std::uint64_t number, byte_view entry);
    // The miners have everything up to here.
    void stored(std::uint64_t upto);
    // If stored() covers all that was appended, nothing stays on the disk; the next entry begins anew.
    [[nodiscard]] result<void> clear_stored();
    [[nodiscard]] result<void> clear();  // whatever stored() said
    [[nodiscard]] bool empty() const;

private:
    struct segment {  // a file
        std::string path;
        std::uint64_t first = 0, last = 0;  // last 0: no entry
    };
    [[nodiscard]] result<void> write(std::uint64_t number, byte_view entry);  // REQUIRES: the lock
    [[nodiscard]] result<void> begin_file(std::uint64_t number);              // REQUIRES: the lock
    [[nodiscard]] result<void> recover(std::uint64_t number);                 // REQUIRES: the lock
    [[nodiscard]] result<void> remove_files();                                // REQUIRES: the lock

    const place m_where;
    file_header m_header;
    const std::uint64_t m_file_max;

    mutable std::mutex m_mutex;
    std::deque<segment> m_files;
    std::unique_ptr<os::file> m_open;            // m_files.back()
    std::unique_ptr<record_sealer> m_sealer;     // of m_open
    std::uint64_t m_size = 0, m_zeroed = 0;      // of m_open: written, and made of zeros ahead
    std::uint64_t m_appended = 0, m_stored = 0;
    std::optional<error> m_broken;
    std::chrono::steady_clock::time_point m_retry_at{};
};

}  // namespace cess::volume::local
