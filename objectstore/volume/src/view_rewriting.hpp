// Rewrites the snapshots of a clone so that they name its own lineage alone: what they inherited is copied into segments of
// ours, the extents lead there, and the ledger gives the view a root of the same change that says so.
//
// Copies belong to views alone. They are in no segment table of a head, so no head names them, cleaning does not move them, and
// they are added to the ledger dead: born with change 1, dead after the youngest view that they were made for, so that it and any
// older view pins them, and the last of those that goes frees them. No number of theirs is used for a younger view. (Its metadata is born
// with its change, and pinned by it alone.)
//
// One at a time, by the engine's owner in its term. A view has its old root or its new one, and either is whole: the base is kept
// until all have new ones, and the ledger has everything that a new root names before it takes it.
#pragma once

#include "loading.hpp"
#include "space.hpp"

#include <map>
#include <set>

namespace cess::volume {

class view_rewriter {
public:
    struct parts {
        layer::layer& on;
        layer::session& holder;
        const chain::account& who;
        buffer_pool& pool;
        space& room;
        const settings& how;
        ledger::volume_record record;
        // After so many bytes were copied, of so many that are known of; an error ends it.
        std::function<result<void>(std::uint64_t copied, std::uint64_t all, std::uint64_t now)> pace;
    };
    explicit view_rewriter(parts of);
    ~view_rewriter();

    // errc::busy if a view shares what it inherited with clones that stand on it: they name what it names.
    [[nodiscard]] result<void> refuse_clones();
    // Until no view before `at` names another lineage. Answers a change, at most `at`, since which no view does.
    // REQUIRES: the head and views from `at` on name ours alone, and a head at or past `at` is final
    [[nodiscard]] result<sequence_number> run(sequence_number at);

private:
    struct source;      // a view, opened
    struct pack;        // a segment of copies that is being filled
    struct copied {     // where a range of a foreign segment was copied to
        std::uint32_t length = 0;
        segment_number number;
        std::uint32_t offset = 0;
        sequence_number death;  // of that segment: no view from then on pins it
    };
    struct place {      // of a range of a foreign segment
        volume_id lineage;
        segment_number segment;
        std::uint32_t offset = 0;
        friend auto operator<=>(const place&, const place&) = default;
    };

    [[nodiscard]] result<std::vector<ledger::pin>> pins_before(sequence_number at);
    [[nodiscard]] result<std::multimap<sequence_number, std::string>> names();
    [[nodiscard]] result<void> check_head(sequence_number at);
    [[nodiscard]] result<std::optional<ledger::view_record>> read_view(const std::string& name);
    [[nodiscard]] result<std::unique_ptr<source>> open(const ledger::view_record& view);
    [[nodiscard]] result<bool> is_clean(source& of);
    [[nodiscard]] result<void> look_at(const std::string& name, sequence_number sequence, bool rewrite);
    [[nodiscard]] result<void> look_into(const ledger::view_record& view, bool rewrite);

    [[nodiscard]] result<void> rewrite_extents(source& of);
    [[nodiscard]] result<void> rewrite_one(source& of, pack& into, blob_id blob, const extent& e, std::vector<extent>& out);
    [[nodiscard]] result<std::optional<std::pair<copied, std::uint32_t>>> find_copy(source& of, const place& from, std::uint64_t& gap);
    [[nodiscard]] result<std::optional<ledger::segment_record>> copy_in_ledger(source& of, segment_number number);
    [[nodiscard]] result<void> seal(source& of, pack& into);
    [[nodiscard]] result<void> rewrite_rows(source& of);
    [[nodiscard]] result<void> check_rows(source& of);
    [[nodiscard]] result<ledger::root> store_root(source& of);
    [[nodiscard]] result<stored_file> store_file(source& of, const std::string& path, const std::string& name);
    [[nodiscard]] result<ledger::segment_record> store_segment(source& of, byte_view content, std::uint32_t block_size);
    [[nodiscard]] result<void> add(std::vector<ledger::segment_record> segments);

    const parts m_of;
    std::set<ledger::pin> m_clean;           // views that name our lineage alone, by the root that does
    std::map<place, copied> m_copies;        // of this round; in the ledger when they came here
    std::uint64_t m_done = 0, m_all = 0;     // bytes
};

}  // namespace cess::volume
