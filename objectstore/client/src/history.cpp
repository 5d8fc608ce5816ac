#include <objectstore/client/history.hpp>
#include <objectstore/volume/comparison.hpp>

#include <core/base/log.hpp>

namespace cess::client {
namespace {

std::string text_of(const volume::target& t) { return t.snapshot.empty() ? t.name : t.name + "@" + t.snapshot; }

result<void> require_block(const ledger::volume_record& record) {
    if (record.type == ledger::volume_type::block) return {};
    return error(errc::unsupported, "volume " + record.name + " is of type " + std::string(ledger::to_string(record.type)) +
                                        ": changes can be told of block volumes only");
}

}  // namespace

result<std::unique_ptr<held_state>> held_state::open(runtime& on, const volume::target& what) {
    TRY(const auto record, on.volume(what.name));
    CHECK_OK(require_block(record));
    return hold(on, what, ledger::volume_type::block, "diff");
}

result<std::unique_ptr<held_state>> held_state::hold(runtime& on, const volume::target& what, ledger::volume_type type, std::string_view command) {
    std::unique_ptr<held_state> out(new held_state(on, what));
    if (what.snapshot.empty()) {
        bytes unique(4);
        on.world().random().fill(unique);
        out->m_what.snapshot = "cess-" + std::string(command) + "-" + to_hex(unique);
        CHECK_OK(on.create_snapshot(out->m_what));
        out->m_temporary = true;
    }
    TRY(out->m_attached, on.attach(out->m_what, {.expected = type, .read_only = true}));
    return out;
}

held_state::~held_state() {
    m_attached.reset();
    if (!m_temporary) return;
    if (const auto gone = m_on.delete_snapshot(m_what); !gone)
        log::error("client", "temporary snapshot {} stays, delete it: {}", text_of(m_what), gone.error().message());
}

result<void> compare(runtime& on, const volume::target& from, const volume::target& to,
                     const std::function<result<void>(const volume::range&)>& each) {
    TRY(auto before, held_state::open(on, from));
    TRY(auto after, held_state::open(on, to));
    volume::comparison walk(&before->data(), after->data(), device_blob, 0, after->size());
    for (;;) {
        TRY(const auto next, walk.next());
        if (!next) return {};
        CHECK_OK(each(*next));
    }
}

}  // namespace cess::client
