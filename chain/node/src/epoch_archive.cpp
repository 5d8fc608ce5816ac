#include "epoch_archive.hpp"

#include "member_checkpoint.hpp"
#include "state_families.hpp"

#include <core/wire/codec.hpp>

#include <charconv>
#include <limits>

namespace cess::chain {
namespace {

constexpr std::string_view folder_prefix = "epoch-";
constexpr std::size_t drop_batch = 4096;  // keys
constexpr std::size_t records_a_page = 4096, records_a_scan = 64;  // they may be large

std::string folder_of(std::uint64_t epoch) { return std::string(folder_prefix) + std::to_string(epoch); }

std::optional<std::uint64_t> epoch_in(std::string_view folder) {
    if (!folder.starts_with(folder_prefix)) return std::nullopt;
    folder.remove_prefix(folder_prefix.size());
    std::uint64_t out = 0;
    const auto [end, wrong] = std::from_chars(folder.data(), folder.data() + folder.size(), out);
    if (wrong != std::errc() || end != folder.data() + folder.size()) return std::nullopt;
    return out;
}

}  // namespace

std::string epoch_archive::folder(std::uint64_t epoch) const { return m_directory + "/" + folder_of(epoch); }

dag_log::options epoch_archive::options_of(std::uint64_t epoch) const {
    dag_log::options out;
    out.file_size = m_file_size;
    out.family = epoch_family('D', epoch);
    return out;
}

result<std::shared_ptr<dag_log>> epoch_archive::open(std::uint64_t epoch, consensus::round_number from, const dag_log::visitor& visit) {
    TRY(auto log, dag_log::open(m_disk, folder(epoch), m_index, options_of(epoch), from, visit));
    return std::shared_ptr<dag_log>(std::move(log));
}

result<std::shared_ptr<dag_log>> epoch_archive::closed(std::uint64_t epoch) {
    const std::lock_guard lock(m_mutex);
    const auto known = m_closed.find(epoch);
    if (known != m_closed.end()) return known->second;
    if (epoch < m_first || !m_disk.exists(folder(epoch))) return std::shared_ptr<dag_log>();
    const auto nothing = [](const consensus::block_ptr&) { return result<void>(); };
    TRY(auto log, open(epoch, std::numeric_limits<consensus::round_number>::max(), nothing));
    m_closed.emplace(epoch, log);
    return log;
}

// ---- states ---------------------------------------------------------------------------------------------

result<void> epoch_archive::keep_state(std::uint64_t epoch) {
    const auto name = folder_of(epoch);
    CHECK_OK(m_index.keep_copy(name));
    {
        const std::lock_guard lock(m_mutex);
        m_state = {};  // it would keep the files of one that goes
    }
    return m_index.drop_copies(name);
}

result<std::shared_ptr<kv::store>> epoch_archive::state_of(std::uint64_t epoch) {
    const std::lock_guard lock(m_mutex);
    if (m_state.second && m_state.first == epoch) return m_state.second;
    TRY(auto copy, m_index.open_copy(folder_of(epoch)));
    m_state = {epoch, std::move(copy)};
    return m_state.second;
}

result<bytes> epoch_archive::state_pieces(const state_request& what) {
    if (what.places.size() > message_blocks_max) return error(errc::too_large, "too many nodes asked for at once");
    TRY(const auto copy, state_of(what.epoch));
    std::size_t size = 0;
    if (what.after) {
        std::vector<std::pair<bytes, bytes>> records;
        auto after = what.after->empty() ? bytes() : in_family(state_family, *what.after);
        while (records.size() < records_a_page) {
            TRY(auto some, copy->scan(in_family(state_family, {}), after, records_a_scan));
            for (auto& [key, value] : some) {
                size += key.size() + value.size();
                if (!records.empty() && size > message_bytes_max) return wire::encode(records);
                records.emplace_back(bytes(key.begin() + 1, key.end()), std::move(value));
                after = std::move(key);
            }
            if (some.size() < records_a_scan) break;
        }
        return wire::encode(records);
    }
    std::vector<bytes> nodes;
    for (const auto& place : what.places) {
        TRY(auto node, copy->get(in_family(tree_family, place)));
        if (!node && nodes.empty()) return error(errc::invalid, "no node of the tree stands there");
        if (!node) break;  // the next question begins with that one
        size += node->size();
        if (!nodes.empty() && size > message_bytes_max) break;
        nodes.push_back(std::move(*node));
    }
    return wire::encode(nodes);
}

// ---- old epochs -----------------------------------------------------------------------------------------

result<void> epoch_archive::drop_before(std::uint64_t epoch) {
    {
        const std::lock_guard lock(m_mutex);
        m_first = epoch;
        m_closed.erase(m_closed.begin(), m_closed.lower_bound(epoch));
    }
    CHECK_OK(m_index.flush());  // else a crash brings back a state that needs them
    CHECK_OK(m_disk.make_directories(m_directory));
    TRY(const auto entries, m_disk.list(m_directory));
    for (const auto& entry : entries)
        if (const auto of = epoch_in(entry.name); of && *of < epoch) CHECK_OK(drop(*of));
    return {};
}

// The folder goes last: it says that there is still something to be dropped.
result<void> epoch_archive::drop(std::uint64_t epoch) {
    CHECK_OK(drop_keys(epoch_family('D', epoch)));
    CHECK_OK(drop_keys(epoch_family('C', epoch)));
    CHECK_OK(m_index.flush());
    const auto where = folder(epoch);
    TRY(const auto files, m_disk.list(where));
    for (const auto& file : files) CHECK_OK(m_disk.remove(where + "/" + file.name));
    CHECK_OK(m_disk.remove(where));
    return m_disk.sync_directory(m_directory);
}

result<void> epoch_archive::drop_keys(const bytes& prefix) {
    for (;;) {
        TRY(const auto some, m_index.scan(prefix, {}, drop_batch));
        if (some.empty()) return {};
        kv::batch gone;
        for (const auto& entry : some) gone.emplace(entry.key, std::nullopt);
        CHECK_OK(m_index.commit(gone));
    }
}

}  // namespace cess::chain
