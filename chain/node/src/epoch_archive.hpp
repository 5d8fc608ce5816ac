// What a committee member keeps of epochs. Their DAG logs, one an epoch, in a folder of its own, `epoch-<number>`, with an index family and
// a checkpoint of its own; those of epochs that have ended are read for members who have not come as far. And the state with which the newest
// began, for those who come from still further back. The oldest go.
//
// open(), keep_state() and drop_before() by one thread at a time, the others by any, beside them. Blocking.
#pragma once

#include "dag_log.hpp"
#include "members.hpp"

#include <memory>

namespace cess::chain {

class epoch_archive {
public:
    epoch_archive(os::file_system& disk, std::string directory, kv::store& index, std::uint64_t file_size)
        : m_disk(disk), m_directory(std::move(directory)), m_index(index), m_file_size(file_size) {}

    // The log to be written; dag_log::open() has the rest.
    result<std::shared_ptr<dag_log>> open(std::uint64_t epoch, consensus::round_number from, const dag_log::visitor& visit);
    // Of an epoch that has ended. Null if it is not here, or not any more.
    result<std::shared_ptr<dag_log>> closed(std::uint64_t epoch);
    // Whether it ever wrote one of that epoch.
    [[nodiscard]] bool exists(std::uint64_t epoch) const { return m_disk.exists(folder(epoch)); }
    // REQUIRES: the store's state is what that epoch begins with
    result<void> keep_state(std::uint64_t epoch);
    // The body of the answer.
    result<bytes> state_pieces(const state_request& what);
    // Whatever is left of older epochs goes: files, index, checkpoint. Done again after a crash in the middle.
    result<void> drop_before(std::uint64_t epoch);

private:
    [[nodiscard]] std::string folder(std::uint64_t epoch) const;
    [[nodiscard]] dag_log::options options_of(std::uint64_t epoch) const;
    result<std::shared_ptr<kv::store>> state_of(std::uint64_t epoch);
    result<void> drop(std::uint64_t epoch);
    result<void> drop_keys(const bytes& prefix);

    os::file_system& m_disk;
    const std::string m_directory;
    kv::store& m_index;
    const std::uint64_t m_file_size;
    std::mutex m_mutex;
    std::map<std::uint64_t, std::shared_ptr<dag_log>> m_closed;  // that were asked for
    std::pair<std::uint64_t, std::shared_ptr<kv::store>> m_state;  // that was asked for, and of which epoch
    std::uint64_t m_first = 0;                                   // older ones have gone, or go
};

}  // namespace cess::chain
