// Blobs: their ids, who reads them, and how they end.
#include "bucket_blobs.hpp"

namespace cess::s3 {

namespace {

constexpr volume::blob_id reservation = 4096;
constexpr std::size_t reclaim_step = 64;      // blobs a change
constexpr std::size_t dismantle_step = 256;   // parts a change
constexpr std::size_t scan_step = 1000;

}  // namespace

blob_pin::blob_pin(bucket& in, volume::blob_id blob) : m_bucket(&in), m_blob(blob) { in.pin(blob); }

blob_pin& blob_pin::operator=(blob_pin&& other) noexcept {
    if (this != &other) {
        reset();
        m_bucket = std::exchange(other.m_bucket, nullptr);
        m_blob = other.m_blob;
    }
    return *this;
}

void blob_pin::reset() noexcept {
    if (auto* from = std::exchange(m_bucket, nullptr)) from->unpin(m_blob);
}

void bucket::pin(volume::blob_id blob) {
    const std::lock_guard hold(m_garbage_mutex);
    ++m_pins[blob];
}

void bucket::unpin(volume::blob_id blob) noexcept {
    {
        const std::lock_guard hold(m_garbage_mutex);
        const auto found = m_pins.find(blob);
        if (--found->second > 0) return;
        m_pins.erase(found);
        if (m_retired.erase(blob) == 0) return;
        m_garbage.push_back(blob);
    }
    tell_garbage();
}

void bucket::discard(volume::blob_id blob) noexcept {
    {
        const std::lock_guard hold(m_garbage_mutex);
        m_garbage.push_back(blob);
    }
    tell_garbage();
}

void bucket::tell_garbage() noexcept {
    if (m_tell_garbage) m_tell_garbage();
}

void bucket::on_garbage(std::function<void()> tell) { m_tell_garbage = std::move(tell); }

bool bucket::has_garbage() const {
    const std::lock_guard hold(m_garbage_mutex);
    return !m_garbage.empty() || !m_ended.empty();
}

result<volume::blob_id> bucket::new_blob() {
    const std::lock_guard hold(m_blob_mutex);
    if (m_next_blob == m_reserved) {
        // Applied before any use, so that a state which knows of a use knows of the reservation.
        volume::change more;
        more.put(at::next_blob(), wire::encode(m_reserved + reservation));
        CHECK_OK(m_head->apply(more));
        m_reserved += reservation;
    }
    return m_next_blob++;
}

result<void> bucket::load_garbage() {
    TRY(const auto next, m_data.get(at::next_blob()));
    if (next) {
        TRY(m_next_blob, wire::decode<volume::blob_id>(*next));
        m_reserved = m_next_blob;
    }
    for (const char family : {'d', 'x'}) {
        bytes from;
        for (;;) {
            TRY(const auto rows, m_data.scan(at::prefix(family), from, scan_step));
            for (const auto& row : rows) {
                if (family == 'd') m_garbage.push_back(blob_of(row.key));
                else m_ended.push_back(to_string(byte_view(row.key).subspan(1)));
            }
            if (rows.size() < scan_step) break;
            from = rows.back().key;
            from.push_back(std::byte{0});
        }
    }
    return {};
}

result<bool> bucket::reclaim() {
    std::vector<volume::blob_id> blobs;
    std::string upload;
    {
        const std::lock_guard hold(m_garbage_mutex);
        while (!m_garbage.empty() && blobs.size() < reclaim_step) {
            blobs.push_back(m_garbage.front());
            m_garbage.pop_front();
        }
        if (blobs.empty() && !m_ended.empty()) upload = m_ended.front();
    }
    if (!blobs.empty()) {
        volume::change end;
        for (const auto blob : blobs) {
            end.drop(blob);
            end.erase(at::dropped_blob(blob));
        }
        if (auto applied = m_head->apply(end); !applied) {
            const std::lock_guard hold(m_garbage_mutex);
            m_garbage.insert(m_garbage.begin(), blobs.begin(), blobs.end());
            return std::move(applied).error();
        }
    } else if (!upload.empty()) {
        TRY(const bool done, dismantle(upload));
        const std::lock_guard hold(m_garbage_mutex);
        if (done) m_ended.pop_front();
    }
    return has_garbage();
}

result<bool> bucket::dismantle(const std::string& upload) {
    TRY(const auto rows, m_data.scan(at::parts(upload), {}, dismantle_step));
    volume::change end;
    for (const auto& row : rows) {
        auto part = wire::decode<part_record>(row.value);
        if (!part) return error(errc::corrupt, "the record of a part of upload " + upload + " cannot be read");
        if (part->blob) end.drop(part->blob);
        end.erase(row.key);
    }
    const bool done = rows.size() < dismantle_step;
    if (done) end.erase(at::ended_upload(upload));
    CHECK_OK(m_head->apply(end));
    return done;
}

blob_writer::blob_writer(bucket& to) : m_bucket(to) {}

blob_writer::~blob_writer() {
    if (m_listed && !m_committed) m_bucket.discard(m_blob);
}

result<void> blob_writer::start(volume::change& with) {
    if (m_blob == 0) {
        TRY(m_blob, m_bucket.new_blob());
    }
    if (!m_listed) with.put(at::dropped_blob(m_blob), {});
    return {};
}

result<void> blob_writer::write(byte_view data) {
    if (data.empty()) return {};
    volume::change with;
    CHECK_OK(start(with));
    with.write(m_blob, m_size, data);
    CHECK_OK(m_bucket.m_head->apply(with));
    m_listed = true;
    m_size += data.size();
    return {};
}

result<void> blob_writer::finish(volume::change& with, byte_view tail) {
    if (!tail.empty()) {
        if (m_blob == 0) {
            TRY(m_blob, m_bucket.new_blob());
        }
        with.write(m_blob, m_size, tail);
        m_size += tail.size();
    }
    if (m_listed) with.erase(at::dropped_blob(m_blob));
    return {};
}

}  // namespace cess::s3
