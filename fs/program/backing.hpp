// What stands behind a mount point: the process' part of the network, the attached volume, the filesystem in it.
#pragma once

#include "options.hpp"
#include "volume_snapshots.hpp"

#include <core/net/http_metrics.hpp>
#include <fs/filesystem.hpp>
#include <fs/fuse_mount.hpp>

#include <optional>

namespace cess::fs::program {

// All that is known before the network is asked.
struct plan {
    options how;
    volume::target what;
    client::config config;
};
// Also starts the log.
[[nodiscard]] result<plan> make_plan(const options& how);

class backing {
public:
    // Starts threads.
    [[nodiscard]] static result<std::unique_ptr<backing>> connect(const plan& of);
    // Whether the ledger answers, and knows the volume.
    [[nodiscard]] result<void> check();
    [[nodiscard]] result<void> open() { return open_with({}, false); }
    // For a mount that is there already: no metrics are better than no mount.
    [[nodiscard]] result<void> open_again(const kernel_state& held) { return open_with(held, true); }

    // REQUIRES: open.
    [[nodiscard]] filesystem& files() noexcept { return *m_files; }
    [[nodiscard]] mount_options mounting();  // what is mounted so must be gone before close()
    // So that little is left to be done when the volume is closed soon.
    [[nodiscard]] result<void> checkpoint();
    // Makes everything durable and the volume free for others. Nothing of it works afterwards.
    [[nodiscard]] result<void> close();

private:
    explicit backing(const plan& of) : m_plan(of) {}
    [[nodiscard]] result<void> open_with(const kernel_state& held, bool is_mounted);
    [[nodiscard]] result<void> begin(const kernel_state& held, bool is_mounted);
    [[nodiscard]] result<void> serve_metrics();
    [[nodiscard]] bool read_only() const;

    const plan& m_plan;
    // Destroyed from the last to the first.
    std::unique_ptr<client::runtime> m_network;
    std::unique_ptr<client::attachment> m_attached;
    net::metrics_endpoint m_scraped;
    std::unique_ptr<filesystem> m_files;
    std::optional<volume_snapshots> m_snapshots;
};

}  // namespace cess::fs::program
