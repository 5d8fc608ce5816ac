// How a change ends the life of the bytes it replaces (used by bucket's own files only).
#pragma once

#include "bucket.hpp"

namespace cess::s3 {

// REQUIRES: the lock under which new pins of the blob are taken is held from construction until applied().
class bucket::retiring {
public:
    retiring(bucket& in, volume::change& with, volume::blob_id blob) : m_bucket(in), m_blob(blob) {
        if (blob == 0) return;
        const std::lock_guard hold(in.m_garbage_mutex);
        m_listed = in.m_pins.count(blob) > 0;
        if (m_listed) with.put(at::dropped_blob(blob), {});
        else with.drop(blob);
    }
    // The change has been applied: the last reader, or if there is none left, the committer, drops the blob.
    void applied() {
        if (!m_listed) return;
        {
            const std::lock_guard hold(m_bucket.m_garbage_mutex);
            if (m_bucket.m_pins.count(m_blob) > 0) {
                m_bucket.m_retired.insert(m_blob);
                return;
            }
            m_bucket.m_garbage.push_back(m_blob);
        }
        m_bucket.tell_garbage();
    }

private:
    bucket& m_bucket;
    volume::blob_id m_blob;
    bool m_listed = false;
};

}  // namespace cess::s3
