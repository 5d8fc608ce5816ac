#include <objectstore/volume/comparison.hpp>
#include <objectstore/volume/rollback.hpp>

#include "records.hpp"

#include <algorithm>
#include <deque>
#include <thread>

namespace cess::volume {
namespace {

constexpr std::uint64_t step = 1 * MiB;           // written by one change, at most
constexpr std::size_t edits_max = 64;             // of one change
constexpr std::uint64_t keys_bytes_max = 1 * MiB;
constexpr std::size_t page = 1024;                // keys read, or extents punched, at once
constexpr int room_tries = 60;                    // until what was dropped has given its room
constexpr auto room_pause = std::chrono::milliseconds(500);

bytes mark_key() { return to_bytes("\xff" "rolling back"); }  // behind those of all faces

// Edits gathered into changes that are not too large.
class writer {
public:
    explicit writer(volume& to) : m_to(to) {}
    result<void> write(blob_id blob, std::uint64_t offset, bytes data) {
        m_bytes += data.size();
        m_data.push_back(std::move(data));
        m_next.write(blob, offset, m_data.back());
        return added();
    }
    result<void> zero(blob_id blob, std::uint64_t offset, std::uint64_t length) {
        m_next.zero(blob, offset, length);
        return added();
    }
    result<void> drop(blob_id blob) {
        m_next.drop(blob);
        return added();
    }
    result<void> put(bytes key, bytes value) {
        m_keys += key.size() + value.size();
        m_next.put(std::move(key), std::move(value));
        return added();
    }
    result<void> erase(bytes key) {
        m_keys += key.size();
        m_next.erase(std::move(key));
        return added();
    }
    result<void> flush() {
        if (m_next.empty()) return {};
        for (int left = room_tries;; --left) {
            const auto done = m_to.apply(m_next);
            if (done) break;
            // What was dropped is cleared behind, and gives the network's room with the next root.
            if (done.error().code != errc::no_space || left == 0) return done.error();
            (void)m_to.checkpoint();
            std::this_thread::sleep_for(room_pause);
        }
        m_next = change();
        m_data.clear();
        m_bytes = m_keys = 0;
        return {};
    }

private:
    result<void> added() {
        const bool full = m_bytes >= step || m_keys >= keys_bytes_max || m_next.edits().size() >= edits_max;
        return full ? flush() : result<void>();
    }

    volume& m_to;
    change m_next;
    std::deque<bytes> m_data;  // that the change views
    std::uint64_t m_bytes = 0, m_keys = 0;
};

// All keys in order, a page at a time. What is edited up to the current one does not disturb it.
class key_walk {
public:
    explicit key_walk(reader& of) : m_of(of) {}
    // Null at the end. REQUIRES: only the last answer is used.
    result<const key_value*> now() {
        while (m_at == m_page.size() && !m_ended) {
            bytes from;
            if (!m_page.empty()) {
                from = m_page.back().key;
                from.push_back(std::byte{0});
            }
            TRY(m_page, m_of.scan({}, from, page));
            m_ended = m_page.size() < page;
            m_at = 0;
        }
        return m_at == m_page.size() ? nullptr : &m_page[m_at];
    }
    void next() { ++m_at; }

private:
    reader& m_of;
    std::vector<key_value> m_page;
    std::size_t m_at = 0;
    bool m_ended = false;
};

class rollback {
public:
    rollback(volume& head, reader& to, const std::function<void(std::uint64_t, std::uint64_t)>& progress)
        : m_head(head), m_to(to), m_progress(progress), m_writer(head) {}

    result<void> run(const std::string& name) {
        CHECK_OK(check_room());
        CHECK_OK(for_each_difference([this](blob_id, const range& each) -> result<void> {
            if (each.data) m_total += each.length;
            return {};
        }));
        m_progress(0, m_total);
        CHECK_OK(m_writer.put(mark_key(), to_bytes(name)));
        CHECK_OK(m_writer.flush());
        CHECK_OK(m_head.sync());
        const bool device = m_head.record().type == ledger::volume_type::block;
        const auto size = m_to.record().size;
        if (device && size > m_head.record().size) CHECK_OK(m_head.resize(size));
        // What gives room comes first: then the head never holds more than it did, or the snapshot does.
        CHECK_OK(drop_new_blobs());
        CHECK_OK(for_each_difference([this](blob_id blob, const range& each) { return each.data ? result<void>() : punch(blob, each); }));
        CHECK_OK(for_each_difference([this](blob_id blob, const range& each) { return each.data ? copy(blob, each) : result<void>(); }));
        if (!device) CHECK_OK(set_keys());
        CHECK_OK(m_writer.flush());
        CHECK_OK(m_head.sync());
        if (device && size < m_head.record().size) CHECK_OK(m_head.resize(size));
        CHECK_OK(m_writer.erase(mark_key()));
        CHECK_OK(m_writer.flush());
        return m_head.sync();
    }

private:
    result<void> check_room() {
        const auto& of = m_head.record();
        const auto needed = m_to.usage_now().logical;
        if (of.type == ledger::volume_type::block || of.size == 0 || needed <= of.size) return {};
        return error(errc::no_space, "volume " + of.name + " holds no more than " + format_size(of.size) + " and the snapshot has " + format_size(needed) + "; resize the volume first");
    }

    result<void> drop_new_blobs() {
        for (blob_id from = 0;;) {
            TRY(const auto blobs, m_head.blobs(from, 1));
            if (blobs.empty()) return m_writer.flush();
            TRY(const auto old, m_to.blobs(blobs.front(), 1));
            if (old.empty() || old.front() != blobs.front()) CHECK_OK(m_writer.drop(blobs.front()));
            if (blobs.front() == ~blob_id{0}) return m_writer.flush();
            from = blobs.front() + 1;
        }
    }

    result<void> for_each_difference(const std::function<result<void>(blob_id, const range&)>& what) {
        for (blob_id from = 0;;) {
            TRY(const auto blobs, m_to.blobs(from, 1));
            if (blobs.empty()) return {};
            comparison walk(&m_head, m_to, blobs.front(), 0, blob_size_max);
            for (;;) {
                TRY(const auto next, walk.next());
                if (!next) break;
                CHECK_OK(what(blobs.front(), *next));
            }
            if (blobs.front() == ~blob_id{0}) return {};
            from = blobs.front() + 1;
        }
    }

    // Only what a walk has passed is edited, so that it is not disturbed. A change punches few extents, however long the hole.
    result<void> punch(blob_id blob, const range& what) {
        const auto end = what.offset + what.length;
        for (auto at = what.offset; at < end;) {
            TRY(const auto there, m_head.places(blob, at, end, page));
            if (there.empty()) return {};
            const auto upto = there.size() < page ? end : there.back().end();
            CHECK_OK(m_writer.zero(blob, at, upto - at));
            if (there.size() > page / 8) CHECK_OK(m_writer.flush());
            at = upto;
        }
        return {};
    }

    result<void> copy(blob_id blob, const range& what) {
        for (std::uint64_t at = 0; at < what.length; at += step) {
            bytes data(std::min(step, what.length - at));
            CHECK_OK(m_to.read(blob, what.offset + at, data));
            const auto size = data.size();
            CHECK_OK(m_writer.write(blob, what.offset + at, std::move(data)));
            m_progress(m_done += size, m_total);
        }
        return {};
    }

    result<void> set_keys() {
        key_walk here(m_head), there(m_to);
        for (;;) {
            TRY(const auto* mine, here.now());
            TRY(const auto* theirs, there.now());
            if (!mine && !theirs) return {};
            if (mine && mine->key == mark_key()) {
                here.next();
                continue;
            }
            const bool only_mine = mine && (!theirs || mine->key < theirs->key);
            const bool only_theirs = theirs && (!mine || theirs->key < mine->key);
            if (only_mine) {
                CHECK_OK(m_writer.erase(mine->key));
            } else if (only_theirs || mine->value != theirs->value) {
                CHECK_OK(m_writer.put(theirs->key, theirs->value));
            }
            if (!only_theirs) here.next();
            if (!only_mine) there.next();
        }
    }

    volume& m_head;
    reader& m_to;
    const std::function<void(std::uint64_t, std::uint64_t)>& m_progress;
    writer m_writer;
    std::uint64_t m_done = 0, m_total = 0;
};

}  // namespace

result<std::optional<std::string>> unfinished_rollback(reader& of) {
    TRY(const auto mark, of.get(mark_key()));
    if (!mark) return std::optional<std::string>();
    return std::optional(to_string(*mark));
}

result<void> abandon_rollback(volume& head) {
    TRY(const auto to, unfinished_rollback(head));
    if (!to) return error(errc::not_found, "volume " + head.record().name + " is not half rolled back");
    change what;
    what.erase(mark_key());
    TRY(const auto at, head.apply(what));
    return head.sync(at);
}

result<void> roll_back(volume& head, reader& to, const std::string& name, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    return rollback(head, to, progress).run(name);
}

}  // namespace cess::volume
