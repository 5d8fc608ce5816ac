// What two states of a volume have to do with each other: comparing them, and carrying the difference elsewhere.
// Calls block; the runtime must live until they return.
#pragma once

#include <objectstore/client/client.hpp>
#include <objectstore/client/diff_stream.hpp>

namespace cess::client {

inline constexpr volume::blob_id device_blob = 1;  // of a block volume: the whole device

using progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// A state of a volume, held for reading: a snapshot, or the head as it is now. The head is held as a temporary
// snapshot named cess-COMMAND-*, which goes with this (or stays behind if the process dies: delete it then).
class held_state {
public:
    // Of a block volume, to tell of changes; errc::unsupported for others.
    [[nodiscard]] static result<std::unique_ptr<held_state>> open(runtime& on, const volume::target& what);
    [[nodiscard]] static result<std::unique_ptr<held_state>> hold(runtime& on, const volume::target& what, ledger::volume_type type,
                                                                  std::string_view command);
    ~held_state();
    [[nodiscard]] volume::reader& data() noexcept { return m_attached->data(); }
    [[nodiscard]] std::uint64_t size() noexcept { return data().record().size; }

private:
    held_state(runtime& on, volume::target what) : m_on(on), m_what(std::move(what)) {}
    runtime& m_on;
    volume::target m_what;
    bool m_temporary = false;
    std::unique_ptr<attachment> m_attached;
};

// The changed ranges of a block device, in order, each with what it is in `to`.
[[nodiscard]] result<void> compare(runtime& on, const volume::target& from, const volume::target& to,
                                   const std::function<result<void>(const volume::range&)>& each);

// Writes what makes `to` out of `from`, or all of `to`.
[[nodiscard]] result<void> export_diff(runtime& on, const std::optional<volume::target>& from, const volume::target& to, byte_sink into,
                                       const progress& show);

struct imported {
    std::string snapshot;
    std::uint64_t data = 0, zeros = 0;  // bytes
    bool created = false;               // the volume was made for it
};
// Applies a stream to a volume, makes the snapshot it is of, and answers when that is durable. A whole one needs a
// volume that is empty or not there yet, a difference one whose head is its base. If it fails, no snapshot is made and
// the error says what became of the volume and what to do.
[[nodiscard]] result<imported> import_diff(runtime& on, const std::string& volume, byte_source from, const progress& show);

}  // namespace cess::client
