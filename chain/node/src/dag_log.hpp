// The durable log of a committee member: every block of the DAG that it accepted, its own before anybody hears of them.
//
// The blocks stand in a record log (record_log.hpp) of the batched form: files <number of the first, 16 hex digits>.dag,
// magic "CDAG", in the order in which they were accepted, so that each stands behind all it refers to. An index of their names
// lies in the store, in a key family of its own; it is committed only behind what is durable in the log, so it never names
// what a crash has taken, and what the store's crash takes of it is read again from the log.
//
// Keys, behind the family's prefix; numbers in keys are big-endian:
//   n round author digest   where the block stands (record_log::place)
//   f number                of the file that begins with it: the highest round in it
//   p                       how far the index reaches
//
// append() and sync() by one thread at a time; holds(), read() and read_from() by any, beside them. Blocking.
#pragma once

#include "record_log.hpp"

#include <chain/consensus/archive.hpp>
#include <core/kv/store.hpp>

#include <map>

namespace cess::chain {

class dag_log final : public consensus::archive {
public:
    using visitor = std::function<result<void>(const consensus::block_ptr&)>;
    struct options {
        std::uint64_t file_size = 64 * MiB;
        std::uint64_t unsynced_max = 8 * MiB;  // bytes; past that append() syncs: bounds memory, and what a start writes again
        bytes family = to_bytes("D");          // prefix of the index's keys: one log, one family
    };

    // Cuts a torn tail off (never what was synced), makes the rest durable, brings the index up, and visits, in the order in
    // which they were appended, the blocks of rounds ≥ `from`. errc::corrupt if anything else does not check, and if blocks of
    // such rounds were dropped. `disk` and `index` outlive it.
    static result<std::unique_ptr<dag_log>> open(os::file_system& disk, std::string directory, kv::store& index, options how, consensus::round_number from, const visitor& visit);

    // Not durable yet. After a failed write or sync nothing more is taken.
    result<void> append(const std::vector<consensus::block_ptr>& blocks);
    // All that was appended is durable when it returns.
    result<void> sync();

    // Whether it was ever appended, durable or not. If the store fails, no, and nothing more is taken.
    [[nodiscard]] bool holds(const consensus::block_ref& what) const override;
    // Encoded, and only what is durable: so no own block is given out before it is. None if it is not here.
    result<std::optional<bytes>> read(const consensus::block_ref& what);
    // Those of rounds ≥ `first`, in the order of rounds: up to `bytes_max`, but at least one.
    result<std::vector<bytes>> read_from(consensus::round_number first, std::size_t bytes_max);

private:
    // How far the index reaches: records up to this number are in it.
    struct reach {
        static constexpr std::uint8_t wire_version = 2;
        std::uint64_t indexed = 0;
        template <class S, class C> static void describe(S& s, C& c) { c(s.indexed); }
    };
    dag_log(os::file_system& disk, std::string directory, kv::store& index, options how);
    result<void> recover(consensus::round_number from, const visitor& visit);
    result<void> load_index();
    [[nodiscard]] std::uint64_t first_needed(consensus::round_number from) const;
    void note(const consensus::block_ref& name, const record_log::place& at);
    result<void> commit_index();
    [[nodiscard]] result<void> usable() const;
    error fail(error with) const;
    [[nodiscard]] bytes key(char kind) const;
    [[nodiscard]] bytes key(char kind, std::uint64_t number) const;
    [[nodiscard]] bytes key(const consensus::block_ref& name) const;

    kv::store& m_index;
    const options m_how;
    record_log m_records;
    std::map<std::uint64_t, consensus::round_number> m_rounds;  // the highest in each file
    std::uint64_t m_unsynced = 0;                               // bytes
    mutable std::mutex m_mutex;                                 // of those below
    std::map<consensus::block_ref, record_log::place> m_fresh;  // appended, not in the index yet
    reach m_reach;
    mutable error m_failure;                                    // the first
};

}  // namespace cess::chain
