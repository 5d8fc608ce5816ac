// Is a history of operations linearizable: does each seem to happen at one moment between its call and its answer?
//
// After Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), with Lowe's memory of what was tried ("Testing for
// Linearizability", 2017): operations are taken in every order that their times allow, against a sequential model, but no set of them is
// looked at twice with the same state. Exponential in how many overlap at most, not in how many there are.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <vector>

namespace cess::test {

template <class Question, class Answer>
struct operation {
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
    Question asked;
    std::int64_t began = 0;
    std::int64_t ended = never;    // never: nobody knows whether it happened, or when
    std::optional<Answer> answer;  // none: then
};

// A model has a type `state` with an order, a member `start` of it, and
//   std::optional<state> step(state, question, answer or none)   the state afterwards; none if that is no answer to it in this state
template <class Model, class Question, class Answer>
class linearizability {
public:
    using history = std::vector<operation<Question, Answer>>;
    linearizability(const Model& model, const history& all) : m_model(model), m_all(all) {}

    [[nodiscard]] bool holds() {
        std::vector<position> way{{std::vector<bool>(m_all.size()), m_model.start}};
        m_seen.insert(way.front());
        while (!way.empty()) {
            const auto at = std::move(way.back());
            way.pop_back();
            const auto latest = first_end(at.taken);
            if (!latest) return true;
            for (std::size_t i = 0; i < m_all.size(); ++i) {
                if (at.taken[i] || m_all[i].began > *latest) continue;
                auto after = m_model.step(at.state, m_all[i].asked, m_all[i].answer);
                if (!after) continue;
                position next{at.taken, std::move(*after)};
                next.taken[i] = true;
                if (m_seen.insert(next).second) way.push_back(std::move(next));
            }
        }
        return false;
    }

private:
    struct position {
        std::vector<bool> taken;
        typename Model::state state;
        friend auto operator<=>(const position&, const position&) = default;
    };
    // Of what has an answer and is not taken: the first one. Whatever began later comes later. None: all are.
    [[nodiscard]] std::optional<std::int64_t> first_end(const std::vector<bool>& taken) const {
        std::optional<std::int64_t> out;
        for (std::size_t i = 0; i < m_all.size(); ++i)
            if (!taken[i] && m_all[i].answer && (!out || m_all[i].ended < *out)) out = m_all[i].ended;
        return out;
    }

    const Model& m_model;
    const history& m_all;
    std::set<position> m_seen;
};

// A name that one of many may have: it is free, or somebody's.
struct name_question {
    bool take = true;  // else give it back
    unsigned who = 0;
};
struct name_model {
    using state = std::optional<unsigned>;  // whose it is
    state start;
    static std::optional<state> step(const state& before, const name_question& asked, const std::optional<bool>& answer) {
        const bool can = asked.take ? !before : before == asked.who;
        if (answer && *answer != can) return std::nullopt;
        return can ? (asked.take ? state(asked.who) : state()) : before;
    }
};
using name_operation = operation<name_question, bool>;
[[nodiscard]] inline bool linearizable(const std::vector<name_operation>& history) {
    const name_model model;
    return linearizability<name_model, name_question, bool>(model, history).holds();
}

}  // namespace cess::test
