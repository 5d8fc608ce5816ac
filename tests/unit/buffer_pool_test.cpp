// The pool of write buffers by itself: who waits for what, and for how long.
#include "buffer_pool.hpp"

#include <catch2/catch.hpp>

#include <future>

using namespace cess;
using namespace cess::volume;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t segment = 64 * KiB;

// Puts wait while it is shut.
class bed {
public:
    explicit bed(net::duration patience = 10s) : m_patience(patience) { m_table.set_own(0); }
    ~bed() {
        m_shut = false;
        pool.stop();
    }
    void shut(bool yes) { m_shut = yes; }
    result<void> place(std::uint64_t size) {
        std::vector<buffer_pool::hold> pinned;  // for good: what no change names would be forgotten
        return pool.place(bytes(size), pinned);
    }
    std::future<result<void>> place_beside(std::uint64_t size) {
        return std::async(std::launch::async, [this, size] { return place(size); });
    }

private:
    buffer_pool::hooks hooks() {
        buffer_pool::hooks out;
        out.put = [this](segment_number number, byte_view content) -> result<ledger::segment_record> {
            while (m_shut) std::this_thread::sleep_for(1ms);
            ledger::segment_record at;
            at.number = number;
            at.length = content.size();
            return at;
        };
        out.stored = [this](const std::shared_ptr<segment_buffer>& buffer, const ledger::segment_record& at, const squeezed_buffer*) {
            m_table.stored(at, false);
            buffer->stored = true;
        };
        out.durable = [] { return sequence_number{0}; };
        out.deposed = [](const error&) {};
        return out;
    }

    const net::duration m_patience;
    std::atomic<bool> m_shut{false};
    segment_table m_table;

public:
    buffer_pool pool{m_table, hooks(), {segment, 8 * segment, m_patience, 1, {}}, {1}};
};

bool waits(std::future<result<void>>& what) { return what.wait_for(60ms) == std::future_status::timeout; }

}  // namespace

TEST_CASE("while writers pause no new buffer is begun, and they go on at once when the pause ends") {
    bed on;
    REQUIRE(on.place(segment / 2));
    std::optional<buffer_pool::pause> pause(std::in_place, on.pool, 1min);
    REQUIRE(on.place(segment / 4));  // where there is room
    on.pool.seal_open();
    auto late = on.place_beside(1);
    CHECK(waits(late));
    pause.reset();
    REQUIRE(late.wait_for(10s) == std::future_status::ready);
    CHECK(late.get());
}

TEST_CASE("a pause ends by its bound, though it lives") {
    bed on;
    const buffer_pool::pause pause(on.pool, 200ms);
    auto held = on.place_beside(1);
    REQUIRE(held.wait_for(10s) == std::future_status::ready);
    CHECK(held.get());
}

TEST_CASE("a pause that comes sooner after another than that took does nothing") {
    for (int tries = 0; tries < 20; ++tries) {
        bed on;
        const auto began = std::chrono::steady_clock::now();
        {
            const buffer_pool::pause first(on.pool, 1min);
            std::this_thread::sleep_for(100ms);
        }
        const auto ended = std::chrono::steady_clock::now();
        const buffer_pool::pause second(on.pool, 1min);
        if (std::chrono::steady_clock::now() - ended > ended - began) continue;  // the machine slept in between
        auto free = on.place_beside(1);
        CHECK(free.wait_for(10s) == std::future_status::ready);
        on.pool.abandon();
        return;
    }
    FAIL("the machine sleeps");
}

TEST_CASE("a pause that lived on while another began does not end it") {
    bed on;
    std::optional<buffer_pool::pause> first(std::in_place, on.pool, 50ms);
    std::this_thread::sleep_for(120ms);
    const buffer_pool::pause second(on.pool, 1min);
    auto held = on.place_beside(1);
    CHECK(waits(held));
    first.reset();
    CHECK(waits(held));
    on.pool.abandon();
}

TEST_CASE("the time of a pause is not of a writer's patience") {
    bed on(2s);
    on.shut(true);
    REQUIRE(on.place(8 * segment));  // full
    const buffer_pool::pause pause(on.pool, 2500ms);
    auto held = on.place_beside(1);
    CHECK(held.wait_for(2600ms) == std::future_status::timeout);
    on.shut(false);
    REQUIRE(held.wait_for(10s) == std::future_status::ready);
    CHECK(held.get());
}

TEST_CASE("who is held by a pause is let go when the pool is abandoned") {
    bed on;
    const buffer_pool::pause pause(on.pool, 1min);
    auto held = on.place_beside(1);
    CHECK(waits(held));
    on.pool.abandon();
    on.pool.wake();
    CHECK(held.get().error() == errc::canceled);
}

TEST_CASE("settling waits for what was placed before, and for nothing that came later") {
    bed on;
    on.shut(true);
    REQUIRE(on.place(2 * segment));
    const auto upto = on.pool.placed();
    REQUIRE(on.place(segment / 2));
    auto settled = std::async(std::launch::async, [&on, upto]() -> result<void> {
        on.pool.settle(upto, 0, 1min);
        return {};
    });
    CHECK(waits(settled));
    on.shut(false);
    REQUIRE(settled.wait_for(10s) == std::future_status::ready);  // the open buffer is not sealed by anybody
    CHECK(on.pool.unstored_bytes() == segment / 2);
}
