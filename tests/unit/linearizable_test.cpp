#include <support/linearizable.hpp>

#include <core/base/random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace cess;
using test::linearizable;

namespace {

using history = std::vector<test::name_operation>;

test::name_operation done(bool take, unsigned who, std::int64_t began, std::int64_t ended, bool answer) { return {{take, who}, began, ended, answer}; }
test::name_operation lost(bool take, unsigned who, std::int64_t began) { return {{take, who}, began, test::name_operation::never, std::nullopt}; }

// All orders of all subsets that leave nothing out but what has no answer: the definition, word by word.
bool by_definition(const history& all) {
    std::vector<std::size_t> order(all.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    do {
        for (std::size_t left_out = 0; left_out < (std::size_t{1} << all.size()); ++left_out) {
            std::optional<std::optional<unsigned>> state(std::in_place);
            std::int64_t latest_start = 0;
            for (std::size_t i = 0; i < order.size() && state; ++i) {
                const auto& op = all[order[i]];
                if ((left_out >> order[i] & 1) != 0) {
                    if (op.answer) state.reset();
                    continue;
                }
                if (op.ended < latest_start) state.reset();  // it was over before something that is to come earlier began
                else state = test::name_model::step(*state, op.asked, op.answer);
                latest_start = std::max(latest_start, op.began);
            }
            if (state) return true;
        }
    } while (std::next_permutation(order.begin(), order.end()));
    return false;
}

}  // namespace

TEST_CASE("what can have happened one after the other is linearizable") {
    CHECK(linearizable({}));
    CHECK(linearizable({done(true, 1, 0, 1, true), done(true, 2, 2, 3, false), done(false, 1, 4, 5, true), done(true, 2, 6, 7, true)}));
    CHECK(linearizable({done(true, 1, 0, 9, true), done(true, 2, 1, 5, true), done(false, 2, 6, 7, true)}));  // 2 was first
    CHECK(linearizable({lost(true, 1, 0), done(true, 2, 5, 6, false)}));                                     // it happened
    CHECK(linearizable({lost(true, 1, 0), done(true, 2, 5, 6, true)}));                                      // not yet, or never
    CHECK(linearizable({done(true, 2, 0, 1, true), lost(false, 2, 2), done(true, 1, 3, 4, true), done(true, 2, 5, 6, false)}));
}

TEST_CASE("what cannot have is not") {
    CHECK_FALSE(linearizable({done(true, 1, 0, 1, true), done(true, 2, 2, 3, true)}));   // two have it
    CHECK_FALSE(linearizable({done(true, 1, 0, 1, false)}));                             // refused by nobody
    CHECK_FALSE(linearizable({done(true, 1, 0, 1, true), done(false, 1, 2, 3, false)})); // lost
    CHECK_FALSE(linearizable({done(true, 2, 5, 6, false), lost(true, 1, 7)}));           // by who came later
    CHECK_FALSE(linearizable({lost(true, 1, 0), done(true, 2, 1, 2, false), done(true, 3, 3, 4, true)}));
}

TEST_CASE("it is what the definition says") {
    seeded_random random(5);
    unsigned good = 0, bad = 0;
    for (int round = 0; round < 3000; ++round) {
        history all;
        for (auto n = 2 + random.below(4); n > 0; --n) {
            const bool take = random.below(3) > 0;
            const auto who = static_cast<unsigned>(random.below(2));
            const auto began = static_cast<std::int64_t>(random.below(12));
            const auto ended = began + static_cast<std::int64_t>(random.below(6));
            all.push_back(random.below(5) == 0 ? lost(take, who, began) : done(take, who, began, ended, random.below(2) == 0));
        }
        const bool is = by_definition(all);
        ++(is ? good : bad);
        INFO("round " << round);
        CHECK(linearizable(all) == is);
    }
    CHECK(good > 300);
    CHECK(bad > 300);
}
