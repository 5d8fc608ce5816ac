// Those who wait for a transaction to be final, by the transaction's digest. Thread-safe.
#pragma once

#include <chain/ledger/types.hpp>
#include <core/net/suspend.hpp>

#include <map>
#include <memory>
#include <mutex>

namespace cess::chain {

class waiting_room {
public:
    using answer = result<ledger::outcome>;

    // Ends with the outcome, or errc::canceled when the waiting coroutine is. `enter` is called once the place is taken;
    // its failure ends the wait at once.
    template <class Enter>
    net::awaitable<answer> wait(hash256 digest, Enter enter) {
        return net::suspend<answer>(arriving<Enter>{m_state, digest, std::move(enter)});
    }
    [[nodiscard]] bool expects(const hash256& digest) const {
        std::lock_guard lock(m_state->mutex);
        return m_state->places.contains(digest);
    }
    void tell(const hash256& digest, const ledger::outcome& what) {
        for (auto& waiting : m_state->take(digest)) waiting.done(answer(what));
    }
    void fail_all(const error& why) {
        for (;;) {
            const auto first = m_state->first();
            if (!first) return;
            for (auto& waiting : m_state->take(*first)) waiting.done(answer(error(why)));
        }
    }

private:
    struct place {
        std::uint64_t id;
        net::resumption<answer> done;
    };
    struct state {
        std::mutex mutex;
        std::uint64_t ids = 0;
        std::map<hash256, std::vector<place>> places;

        std::vector<place> take(const hash256& digest) {
            std::lock_guard lock(mutex);
            const auto found = places.find(digest);
            if (found == places.end()) return {};
            auto out = std::move(found->second);
            places.erase(found);
            return out;
        }
        std::optional<hash256> first() {
            std::lock_guard lock(mutex);
            return places.empty() ? std::nullopt : std::optional(places.begin()->first);
        }
        void give_up(const hash256& digest, std::uint64_t id, error why) {
            std::unique_lock lock(mutex);
            const auto found = places.find(digest);
            if (found == places.end()) return;
            for (auto at = found->second.begin(); at != found->second.end(); ++at) {
                if (at->id != id) continue;
                auto done = std::move(at->done);
                found->second.erase(at);
                if (found->second.empty()) places.erase(found);
                lock.unlock();
                return done(answer(std::move(why)));
            }
        }
    };
    template <class Enter>
    struct arriving {
        std::shared_ptr<state> on;
        hash256 digest;
        Enter enter;

        void operator()(net::resumption<answer> done) {
            std::uint64_t id = 0;
            bool alone = false;
            {
                std::lock_guard lock(on->mutex);
                id = ++on->ids;
                auto weak = std::weak_ptr<state>(on);
                done.on_cancel([weak, key = digest, id] {
                    if (auto s = weak.lock()) s->give_up(key, id, error(errc::canceled, "wait for a transaction given up"));
                });
                auto& all = on->places[digest];
                alone = all.empty();
                all.push_back(place{id, std::move(done)});
            }
            if (!alone) return;  // it is under way already
            if (auto entered = enter(); !entered)  // those who came meanwhile relied on this one
                for (auto& waiting : on->take(digest)) waiting.done(answer(error(entered.error())));
        }
    };
    std::shared_ptr<state> m_state = std::make_shared<state>();
};

}  // namespace cess::chain
