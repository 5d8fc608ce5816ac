// One thread a bucket that makes its changes durable for all requests that wait, one sync for as many as have
// gathered, and drops garbage when nobody waits.
#pragma once

#include "bucket.hpp"

#include <core/net/suspend.hpp>

#include <condition_variable>
#include <thread>

namespace cess::s3 {

class committer {
public:
    explicit committer(bucket& of);  // REQUIRES: the bucket is writable and outlives it
    ~committer();                    // answers everybody who waits, then joins
    committer(const committer&) = delete;
    committer& operator=(const committer&) = delete;

    // Resumes when everything up to `upto` is durable and the bucket is confirmed to be still ours, or with the engine's error.
    [[nodiscard]] net::awaitable<result<void>> durable(sequence_number upto);

private:
    struct waiter {
        sequence_number upto;
        net::resumption<result<void>> done;
    };
    struct waiting;
    void run();
    void tidy();

    bucket& m_bucket;
    std::mutex m_mutex;
    std::condition_variable m_wake;
    std::vector<waiter> m_waiters;
    bool m_garbage = false, m_stopping = false;
    std::thread m_thread;
};

}  // namespace cess::s3
