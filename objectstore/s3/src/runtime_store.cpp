// Buckets as volumes of an account on the network.
#include <objectstore/s3/store.hpp>

#include <objectstore/client/client.hpp>

namespace cess::s3 {

namespace {

class runtime_bucket final : public attached_bucket {
public:
    explicit runtime_bucket(std::unique_ptr<client::attachment> a) : m_attachment(std::move(a)) {}
    volume::reader& data() noexcept override { return m_attachment->data(); }
    volume::volume* head() noexcept override { return m_attachment->head(); }
    result<void> detach() override { return m_attachment->detach(); }

private:
    std::unique_ptr<client::attachment> m_attachment;
};

class runtime_store final : public store {
public:
    runtime_store(client::runtime& on, volume::durability how) : m_runtime(on), m_durability(how) {}

    result<std::vector<bucket_info>> list() override {
        TRY(const auto volumes, m_runtime.volumes());
        std::vector<bucket_info> out;
        for (const auto& one : volumes)
            if (one.type == ledger::volume_type::bucket) out.push_back({one.name, one.created_unix});
        return out;
    }

    result<void> create(const std::string& name) override {
        client::volume_spec what;
        what.name = name;
        what.type = ledger::volume_type::bucket;
        auto made = m_runtime.create_volume(what);
        if (made) return {};
        if (made.error().code != errc::exists) return std::move(made).error();
        const auto other = m_runtime.volume(name);
        if (other && other->type != ledger::volume_type::bucket)
            return error(errc::unsupported, "volume " + name + " is a " + std::string(ledger::to_string(other->type)) + ", not a bucket");
        return std::move(made).error();
    }

    result<void> remove(const std::string& name) override { return m_runtime.delete_volume(name); }

    result<std::unique_ptr<attached_bucket>> attach(const std::string& name, const std::string& snapshot) override {
        client::attach_options how;
        how.expected = ledger::volume_type::bucket;
        how.read_only = !snapshot.empty();
        how.durability = m_durability;
        TRY(auto attached, m_runtime.attach(volume::target{name, snapshot}, how));
        return std::unique_ptr<attached_bucket>(std::make_unique<runtime_bucket>(std::move(attached)));
    }

private:
    client::runtime& m_runtime;
    const volume::durability m_durability;
};

}  // namespace

std::unique_ptr<store> make_store(client::runtime& on, volume::durability how) { return std::make_unique<runtime_store>(on, how); }

}  // namespace cess::s3
