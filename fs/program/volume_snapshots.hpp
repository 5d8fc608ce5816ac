// The snapshots of the volume that is mounted, as this process gets at them.
#pragma once

#include <fs/snapshots.hpp>
#include <objectstore/client/client.hpp>

namespace cess::fs::program {

class volume_snapshots final : public snapshot_source {
public:
    // Both outlive it. REQUIRES: `of` has a head.
    volume_snapshots(client::runtime& on, client::attachment& of) : m_on(on), m_head(*of.head()) {}

    result<std::vector<volume::snapshot_info>> list() override { return m_head.snapshots(); }
    result<std::shared_ptr<volume::reader>> open(const std::string& name) override;
    result<void> create(const std::string& name) override { return m_head.create_snapshot(name); }
    result<void> remove(const std::string& name) override;

private:
    [[nodiscard]] result<std::string> volume_name();

    client::runtime& m_on;
    volume::volume& m_head;
};

}  // namespace cess::fs::program
