// Would the simulation notice? Each rule of the protocol is broken once, and some seed must then show a conflict, a loss or a
// standstill. CESS_MUTANT_SEEDS=n looks at n seeds at most.
#include "mutants.hpp"

#include <support/consensus_world.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>

using namespace cess;
using namespace cess::simulation;
using consensus::mutant;

namespace {

constexpr std::uint64_t seeds_max = 3000;

struct broken_rule {
    const char* what;
    std::function<void(committee_plan&)> breaks;
    mutant bug = mutant::none;
    committee_plan (*plan)(std::uint64_t seed) = random_plan;
};

std::size_t one_honest(const committee_plan& plan) { return plan.by.faulty_max() + 1; }

const std::vector<broken_rule>& broken_rules() {
    static const std::vector<broken_rule> all{
        {"f+1 certificates commit", [](auto& p) { p.by.commit_quorum = one_honest(p); }},
        {"f+1 votes make a certificate", [](auto& p) { p.by.certificate_quorum = one_honest(p); }},
        {"f+1 non-votes skip", [](auto& p) { p.by.skip_quorum = one_honest(p); }},
        {"f+1 parents are enough", [](auto& p) { p.by.parent_quorum = one_honest(p); }},
        {"an anchor lies in the wave's last round", [](auto& p) { p.by.anchor_after = 2; }},
        {"a coin slot's anchor lies in its wave's last round", [](auto& p) { p.by.coin_anchor_after = 4; }},
        {"no gap before a coin slot", [](auto& p) { p.by.gap = 0; }, mutant::none, hostile_plan},
        {"a gap of one round before a coin slot", [](auto& p) { p.by.gap = 1; }, mutant::none, hostile_plan},
        {"no coin slots", [](auto& p) { p.by.coin_interval = 1'000'000; }, mutant::none, hostile_plan},
        {"the coin is revealed before the votes", [](auto& p) { p.by.share_after = 0; }, mutant::none, hostile_plan},
        {"fewer shares than the sharing's threshold reveal the coin", [](auto& p) { p.by.coin_quorum = p.by.faulty_max(); }},
        {"votes for copies count together", {}, mutant::vote_for_any_copy},
        {"blocks are counted instead of authors", {}, mutant::count_blocks},
        {"an anchor commits what it merely refers to", {}, mutant::link_is_enough},
        {"undecided slots are passed over as anchors", {}, mutant::pass_undecided},
        {"history is sequenced twice", {}, mutant::sequence_twice},
        {"history is cut where the node stands", {}, mutant::local_horizon},
        {"history is sequenced in the order of addresses", {}, mutant::address_order},
        {"what is named from long ago is taken to exist", {}, mutant::trust_below_floor, lagging_plan},
        {"late blocks are linked to by nobody", {}, mutant::no_weak_links},
        {"shares are not checked", {}, mutant::accept_any_share},
        {"a block is sent before it is durable", [](auto& p) { p.send_early = true; }},
        {"a block is in an answer before it is durable", [](auto& p) { p.answer_early = true; }, mutant::none, crashing_plan},
        {"a restart sends what was never synced", [](auto& p) { p.start_unsynced = true; }, mutant::none, crashing_plan},
        {"a restart forgets own blocks", [](auto& p) { p.forget_own = true; }},
        {"weak links to what is forgotten", {}, mutant::link_to_forgotten},
        {"copies that waited enter uncounted", {}, mutant::enter_uncounted, flooded_plan},
        {"what a liar's own blocks need is taken", {}, mutant::any_need_counts, flooded_plan},
        {"a replay proposes again what went out again", {}, mutant::propose_twice, crashing_plan},
        {"a checkpoint forgets what is in the sequence", {}, mutant::forget_leaders, crashing_plan},
        {"a checkpoint leaves own payload behind", {}, mutant::leave_payload, crashing_plan},
        {"a checkpoint counts before the log is synced", [](auto& p) { p.unsynced_checkpoint = true; }, mutant::none, crashing_plan},
        {"wishes for the epoch's end count before they are in the sequence", {}, mutant::early_wishes, closing_plan},
        {"a checkpoint forgets such wishes", {}, mutant::forget_wishes, closing_plan},
        {"what the epoch's end leaves out is not handed on", {}, mutant::drop_unsequenced, closing_plan},
        {"payload of own blocks that are forgotten is lost", {}, mutant::forget_payload, lagging_plan},
    };
    return all;
}

// The first seed that shows it, or 0.
std::uint64_t caught_by(const broken_rule& rule) {
    const char* text = std::getenv("CESS_MUTANT_SEEDS");
    const std::uint64_t count = text ? std::strtoull(text, nullptr, 10) : seeds_max;
    consensus::seeded = rule.bug;
    for (std::uint64_t seed = 1; seed <= count; ++seed) {
        auto plan = rule.plan(seed);
        if (rule.breaks) rule.breaks(plan);
        const auto report = run_committee(plan);
        if (!report.violation) continue;
        WARN(rule.what << ": caught by seed " << seed << ": " << *report.violation);
        return seed;
    }
    return 0;
}

}  // namespace

TEST_CASE("every broken rule is noticed") {
    for (const auto& rule : broken_rules()) {
        INFO(rule.what);
        CHECK(caught_by(rule) != 0);
    }
    consensus::seeded = mutant::none;
}

TEST_CASE("with no rule broken nothing is noticed") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CHECK_FALSE(run_committee(random_plan(seed)).violation.has_value());
        CHECK_FALSE(run_committee(hostile_plan(seed)).violation.has_value());
        CHECK_FALSE(run_committee(lagging_plan(seed)).violation.has_value());
        CHECK_FALSE(run_committee(crashing_plan(seed)).violation.has_value());
        CHECK_FALSE(run_committee(flooded_plan(seed)).violation.has_value());
        CHECK_FALSE(run_committee(closing_plan(seed)).violation.has_value());
    }
}
