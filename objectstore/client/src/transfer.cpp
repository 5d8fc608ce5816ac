// Differences as streams: what `cess export-diff` and `cess import-diff` do.
//
// A stream is applied only to its own base. What identifies a state is derived from the volume and the sequence it
// was made at; an imported snapshot holds, under a key of its own, the identity of the state it is a copy of. The key
// names the snapshot it is for and when it was written, so that it proves nothing for whatever the head becomes later.
#include <objectstore/client/history.hpp>
#include <objectstore/volume/comparison.hpp>

#include <core/base/log.hpp>

#include <algorithm>

namespace cess::client {
namespace {

constexpr std::string_view mark_key = "cess.copy";
constexpr std::uint64_t mark_age_max = 16;        // changes between the mark and its snapshot
constexpr std::uint64_t change_data_max = 4 * MiB;

struct copy_mark {
    static constexpr std::uint8_t wire_version = 1;
    hash256 id;           // of the state it is a copy of
    volume_id volume;     // that holds the copy
    std::string snapshot;
    sequence_number at;   // the last change before this one
    template <class S, class C> static void describe(S& s, C& c) { c(s.id, s.volume, s.snapshot, s.at); }
};

hash256 native_id(runtime& on, const ledger::volume_record& at) {
    wire::encoder e;
    e(ledger::id_of(on.configuration().network.origin), at.id, at.head.sequence);
    return crypto::sha256({as_view("cess state v1"), e.view()});
}

// `data` is an open snapshot: its record's head is the snapshot's root.
result<diff::state> state_of(runtime& on, volume::reader& data, const std::string& snapshot) {
    const auto& record = data.record();
    diff::state out{snapshot, native_id(on, record)};
    TRY(const auto raw, data.get(as_view(mark_key)));
    if (!raw) return out;
    const auto mark = wire::decode<copy_mark>(*raw);
    const auto sequence = record.head.sequence;
    if (mark && mark->volume == record.id && mark->snapshot == snapshot && mark->at < sequence && sequence.value - mark->at.value <= mark_age_max)
        out.id = mark->id;
    return out;
}

template <class Each>
result<void> walk(volume::reader* from, volume::reader& to, std::uint64_t size, Each each) {
    volume::comparison changes(from, to, device_blob, 0, size);
    for (;;) {
        TRY(const auto next, changes.next());
        if (!next) return {};
        CHECK_OK(each(*next));
    }
}

}  // namespace

// ---- out -------------------------------------------------------------------------------------------------

result<void> export_diff(runtime& on, const std::optional<volume::target>& from, const volume::target& to, byte_sink into, const progress& show) {
    std::unique_ptr<held_state> before;
    if (from) {
        TRY(before, held_state::open(on, *from));
    }
    TRY(auto after, held_state::open(on, to));
    auto* base = before ? &before->data() : nullptr;
    diff::header head;
    head.volume = to.name;
    TRY(head.to, state_of(on, after->data(), to.snapshot));
    head.to_size = after->size();
    if (before) {
        TRY(head.from, state_of(on, *base, from->snapshot));
        head.from_size = before->size();
    }
    CHECK_OK(walk(base, after->data(), head.to_size, [&](const volume::range& r) -> result<void> {
        if (r.data) head.data += r.length;
        return {};
    }));
    diff::writer out(std::move(into));
    CHECK_OK(out.put(head));
    std::uint64_t records = 1, done = 0;
    CHECK_OK(walk(base, after->data(), head.to_size, [&](const volume::range& r) -> result<void> {
        if (!r.data) {
            ++records;
            return out.put(diff::zero{r.offset, r.length});
        }
        for (std::uint64_t at = r.offset; at < r.offset + r.length;) {
            diff::data piece{at, bytes(std::min<std::uint64_t>(diff::piece_max, r.offset + r.length - at))};
            CHECK_OK(after->data().read(device_blob, at, piece.content));
            at += piece.content.size();
            done += piece.content.size();
            ++records;
            CHECK_OK(out.put(std::move(piece)));
            if (show) show(done, head.data);
        }
        return {};
    }));
    return out.put(diff::end{records});
}

// ---- in --------------------------------------------------------------------------------------------------

namespace {

class import {
public:
    import(runtime& on, std::string name, byte_source from, const progress& show)
        : m_on(on), m_name(std::move(name)), m_stream(std::move(from)), m_show(show) {}

    result<imported> run() {
        TRY(m_head, m_stream.begin());
        if (m_head.type != ledger::volume_type::block) return error(errc::unsupported, "the stream is not of a block volume");
        CHECK_OK(find_target());
        auto done = receive();
        if (!done) {
            auto failed = std::move(done).error();
            failed.what += "; " + take_back();
            return failed;
        }
        m_report.snapshot = m_head.to.name;
        return m_report;
    }

private:
    std::string base_name() const { return m_name + "@" + m_head.from->name; }

    // Nothing is changed before it is known that the stream fits.
    result<void> find_target() {
        CHECK_OK(ledger::check_name(m_name));
        auto record = m_on.volume(m_name);
        if (!record && record.error().code != errc::not_found) return std::move(record).error();
        if (!record && m_head.from)
            return error(errc::not_found, "volume " + m_name + ", and the stream is only what changed since " + m_head.volume + "@" + m_head.from->name +
                                              "; import a stream of that snapshot first");
        if (!record) {
            CHECK_OK(m_on.create_volume({.name = m_name, .type = ledger::volume_type::block, .size = std::max<std::uint64_t>(m_head.to_size, 512)}));
            m_report.created = true;
            return {};
        }
        if (record->type != ledger::volume_type::block) return error(errc::unsupported, "volume " + m_name + " is no block volume, the stream is of one");
        TRY(const auto snapshots, m_on.snapshots(m_name));
        const auto named = [&](const std::string& n) { return std::any_of(snapshots.begin(), snapshots.end(), [&](const auto& s) { return s.name == n; }); };
        if (named(m_head.to.name)) return error(errc::exists, "snapshot " + m_name + "@" + m_head.to.name);
        if (!m_head.from) return snapshots.empty() ? result<void>() : error(errc::not_empty, "volume " + m_name + " has snapshots, and the stream is a whole one; import it into a new volume");
        if (!named(m_head.from->name))
            return error(errc::not_found, "snapshot " + base_name() + ", on which the stream builds; import a stream of it first");
        TRY(m_base, held_state::open(m_on, {m_name, m_head.from->name}));
        TRY(const auto mine, state_of(m_on, m_base->data(), m_head.from->name));
        if (mine.id != m_head.from->id)
            return error(errc::conflict, "snapshot " + base_name() + " is not the state on which the stream builds, " + m_head.volume + "@" + m_head.from->name);
        return {};
    }

    // By its map; where that differs, by its bytes, as after an import that was taken back.
    result<void> check_unchanged(volume::volume& on) {
        if (!m_base) {
            volume::comparison changes(nullptr, on, device_blob, 0, on.record().size);
            TRY(const auto first, changes.next());
            if (first) return error(errc::not_empty, "volume " + m_name + " holds something, and the stream is a whole one; import it into a new volume");
            return {};
        }
        const error changed(errc::conflict, "volume " + m_name + " was changed since its snapshot " + m_head.from->name + ", on which the stream builds");
        if (on.record().size != m_base->size()) return changed;
        return walk(&m_base->data(), on, m_base->size(), [&](const volume::range& r) -> result<void> {
            for (std::uint64_t at = r.offset; at < r.offset + r.length;) {
                bytes mine(std::min<std::uint64_t>(diff::piece_max, r.offset + r.length - at)), theirs(mine.size());
                CHECK_OK(on.read(device_blob, at, mine));
                CHECK_OK(m_base->data().read(device_blob, at, theirs));
                if (mine != theirs) return changed;
                at += mine.size();
            }
            return {};
        });
    }

    // Writes what the base holds over what differs from it.
    result<void> restore(volume::volume& on) {
        const auto size = m_base->size(), now = on.record().size;
        if (now > size) {
            volume::change rest;
            rest.zero(device_blob, size, now - size);
            CHECK_OK(on.apply(rest));
        }
        if (now != size) CHECK_OK(on.resize(size));
        CHECK_OK(walk(&on, m_base->data(), size, [&](const volume::range& r) -> result<void> {
            for (std::uint64_t at = r.offset; at < r.offset + r.length;) {
                const auto length = r.data ? std::min<std::uint64_t>(diff::piece_max, r.offset + r.length - at) : r.length;
                volume::change back;
                bytes was(r.data ? length : 0);
                if (r.data) {
                    CHECK_OK(m_base->data().read(device_blob, at, was));
                    back.write(device_blob, at, was);
                } else {
                    back.zero(device_blob, at, length);
                }
                CHECK_OK(on.apply(back));
                at += length;
            }
            return {};
        }));
        return on.sync();
    }

    result<void> receive() {
        volume::target head{m_name, {}};
        TRY(m_attached, m_on.attach(head, {.expected = ledger::volume_type::block}));
        auto& on = *m_attached->head();
        CHECK_OK(check_unchanged(on));
        m_touched = true;
        if (m_head.to_size > on.record().size) CHECK_OK(on.resize(m_head.to_size));
        CHECK_OK(apply_all(on));
        if (m_head.to_size < on.record().size) CHECK_OK(cut_off(on));
        volume::change mark;
        mark.put(to_bytes(mark_key), wire::encode(copy_mark{m_head.to.id, on.record().id, m_head.to.name, on.applied()}));
        CHECK_OK(on.apply(mark));
        CHECK_OK(on.create_snapshot(m_head.to.name));
        m_touched = false;
        volume::change unmark;
        unmark.erase(to_bytes(mark_key));
        CHECK_OK(on.apply(unmark));
        return m_attached->detach();
    }

    result<void> cut_off(volume::volume& on) {
        volume::change rest;
        rest.zero(device_blob, m_head.to_size, on.record().size - m_head.to_size);
        CHECK_OK(on.apply(rest));
        return on.resize(m_head.to_size);
    }

    result<void> apply_all(volume::volume& on) {
        std::vector<bytes> kept;  // what the change points at
        volume::change change;
        std::uint64_t size = 0;
        const auto flush = [&]() -> result<void> {
            CHECK_OK(on.apply(change));
            change = {};
            kept.clear();
            size = 0;
            return {};
        };
        for (;;) {
            TRY(auto next, m_stream.next());
            if (!next) break;
            if (auto* d = std::get_if<diff::data>(&*next)) {
                m_report.data += d->content.size();
                size += d->content.size();
                kept.push_back(std::move(d->content));
                change.write(device_blob, d->offset, kept.back());
            } else if (const auto* z = std::get_if<diff::zero>(&*next)) {
                m_report.zeros += z->length;
                size += 64;
                change.zero(device_blob, z->offset, z->length);
            }
            if (size >= change_data_max || change.edits().size() >= edits_max) CHECK_OK(flush());
            if (m_show) m_show(m_report.data, m_head.data);
        }
        return flush();
    }

    // After a failure: what the volume is now, in words. A base that is there is gone back to.
    std::string take_back() {
        result<void> back = error(errc::unavailable);
        if (m_touched && m_base && m_attached) back = restore(*m_attached->head());
        m_base.reset();
        if (m_attached) (void)m_attached->detach();
        m_attached.reset();
        if (m_report.created) {
            const auto gone = m_on.delete_volume(m_name);
            return gone ? "no snapshot was made, and volume " + m_name + " is gone again"
                        : "no snapshot was made; delete volume " + m_name + " and begin again";
        }
        if (!m_touched) return "volume " + m_name + " was not changed";
        if (!m_head.from) return "no snapshot was made; delete volume " + m_name + " and begin again";
        return back ? "no snapshot was made, and volume " + m_name + " is as " + base_name() + " again"
                    : "no snapshot was made, and volume " + m_name + " is changed in part; begin again with a whole stream and a new volume";
    }

    static constexpr std::size_t edits_max = 1024;

    runtime& m_on;
    const std::string m_name;
    diff::reader m_stream;
    const progress& m_show;
    diff::header m_head;
    std::unique_ptr<held_state> m_base;
    std::unique_ptr<attachment> m_attached;
    bool m_touched = false;
    imported m_report;
};

}  // namespace

result<imported> import_diff(runtime& on, const std::string& volume, byte_source from, const progress& show) {
    return import(on, volume, std::move(from), show).run();
}

}  // namespace cess::client
