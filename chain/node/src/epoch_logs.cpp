#include "epoch_logs.hpp"

#include "member_checkpoint.hpp"

#include <charconv>
#include <limits>

namespace cess::chain {
namespace {

constexpr std::string_view folder_prefix = "epoch-";
constexpr std::size_t drop_batch = 4096;  // keys

std::optional<std::uint64_t> epoch_in(std::string_view folder) {
    if (!folder.starts_with(folder_prefix)) return std::nullopt;
    folder.remove_prefix(folder_prefix.size());
    std::uint64_t out = 0;
    const auto [end, wrong] = std::from_chars(folder.data(), folder.data() + folder.size(), out);
    if (wrong != std::errc() || end != folder.data() + folder.size()) return std::nullopt;
    return out;
}

}  // namespace

std::string epoch_logs::folder(std::uint64_t epoch) const { return m_directory + "/" + std::string(folder_prefix) + std::to_string(epoch); }

dag_log::options epoch_logs::options_of(std::uint64_t epoch) const {
    dag_log::options out;
    out.file_size = m_file_size;
    out.family = epoch_family('D', epoch);
    return out;
}

result<std::shared_ptr<dag_log>> epoch_logs::open(std::uint64_t epoch, consensus::round_number from, const dag_log::visitor& visit) {
    TRY(auto log, dag_log::open(m_disk, folder(epoch), m_index, options_of(epoch), from, visit));
    return std::shared_ptr<dag_log>(std::move(log));
}

result<std::shared_ptr<dag_log>> epoch_logs::closed(std::uint64_t epoch) {
    const std::lock_guard lock(m_mutex);
    const auto known = m_closed.find(epoch);
    if (known != m_closed.end()) return known->second;
    if (epoch < m_first || !m_disk.exists(folder(epoch))) return std::shared_ptr<dag_log>();
    const auto nothing = [](const consensus::block_ptr&) { return result<void>(); };
    TRY(auto log, open(epoch, std::numeric_limits<consensus::round_number>::max(), nothing));
    m_closed.emplace(epoch, log);
    return log;
}

result<void> epoch_logs::drop_before(std::uint64_t epoch) {
    {
        const std::lock_guard lock(m_mutex);
        m_first = epoch;
        m_closed.erase(m_closed.begin(), m_closed.lower_bound(epoch));
    }
    CHECK_OK(m_disk.make_directories(m_directory));
    TRY(const auto entries, m_disk.list(m_directory));
    for (const auto& entry : entries)
        if (const auto of = epoch_in(entry.name); of && *of < epoch) CHECK_OK(drop(*of));
    return {};
}

// The folder goes last: it says that there is still something to be dropped.
result<void> epoch_logs::drop(std::uint64_t epoch) {
    CHECK_OK(drop_keys(epoch_family('D', epoch)));
    CHECK_OK(drop_keys(epoch_family('C', epoch)));
    CHECK_OK(m_index.flush());
    const auto where = folder(epoch);
    TRY(const auto files, m_disk.list(where));
    for (const auto& file : files) CHECK_OK(m_disk.remove(where + "/" + file.name));
    CHECK_OK(m_disk.remove(where));
    return m_disk.sync_directory(m_directory);
}

result<void> epoch_logs::drop_keys(const bytes& prefix) {
    for (;;) {
        TRY(const auto some, m_index.scan(prefix, {}, drop_batch));
        if (some.empty()) return {};
        kv::batch gone;
        for (const auto& entry : some) gone.emplace(entry.key, std::nullopt);
        CHECK_OK(m_index.commit(gone));
    }
}

}  // namespace cess::chain
