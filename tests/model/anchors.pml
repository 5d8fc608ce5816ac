/* Two members with different views of one DAG decide its slots, from the last one down: docs/CONSENSUS.md's "Slots",
 * "Agreement" and "Going on without timing".
 *
 *   agreement   no slot is decided by both, and differently
 *   gap rule    a member that has a coin slot committed has decided every slot before that one
 *
 * Of blocks only what votes.pml shows is left: what can be concluded directly of a slot, its one certified block or that it is
 * skipped, is the same for both, whether or not a member sees it, and an anchor's history says nothing else. Where there is no
 * such thing, the history of an anchor says either, but the same to both. That is more than a DAG allows, so what holds here
 * holds there. Two members stand for any number.
 *
 * Left out besides: how likely it is that a coin slot is committed; that slots are put into the sequence in order.
 *
 * Settings, to see it fail: GAP, K, and PASSES_OVER (a member passes undecided slots over in looking for an anchor).
 */
#ifndef GAP
#define GAP 2
#endif
#ifndef K
#define K 6 /* rounds from one coin slot to the next */
#endif
#define LEADERS 2  /* deterministic slots a round */
#define ROUNDS 14  /* above them nothing is known */
#define AFTER 3    /* rounds to the first anchor */
#define COIN_AFTER 5

mtype = { undecided, committed, skipped };

/* The first slot from a round on that a member does not skip: whether it has that committed, so that it is an anchor. Which
 * slot it is matters in one way: whether it is the same for both. */
typedef from_round {
    bool anchor[2];
    bool same;
};
from_round from[ROUNDS + COIN_AFTER + 2];
bool past_coin[2]; /* a coin slot after this one is committed */

byte round, rank;
mtype truth, says[2], decided[2];

inline hear_anchors(at) {
    if
    :: truth != undecided -> says[0] = truth; says[1] = truth
    :: else ->
        if :: says[0] = committed :: says[0] = skipped fi;
        if
        :: from[at].same -> says[1] = says[0]
        :: else -> if :: says[1] = committed :: says[1] = skipped fi
        fi
    fi
}

inline conclude(member, at) {
    if
    :: truth != undecided -> decided[member] = truth /* directly */
    :: from[at].anchor[member] -> decided[member] = says[member]
    :: !from[at].anchor[member] -> decided[member] = undecided
    fi;
    assert(decided[member] != undecided || !past_coin[member])
}

#ifdef PASSES_OVER
#define passed(member) (decided[member] != committed)
#else
#define passed(member) (decided[member] == skipped)
#endif

inline decide(at, coin) {
    if :: truth = undecided :: truth = committed :: truth = skipped fi;
    hear_anchors(at);
    conclude(0, at);
    conclude(1, at);
    assert(decided[0] == decided[1] || decided[0] == undecided || decided[1] == undecided);
    d_step {
        if
        :: passed(0) && passed(1)
        :: else -> from[round].same = (!passed(0) && !passed(1))
        fi;
        if :: passed(0) :: else -> from[round].anchor[0] = (decided[0] == committed) fi;
        if :: passed(1) :: else -> from[round].anchor[1] = (decided[1] == committed) fi;
        past_coin[0] = past_coin[0] || (coin && decided[0] == committed);
        past_coin[1] = past_coin[1] || (coin && decided[1] == committed);
        truth = 0; says[0] = 0; says[1] = 0; decided[0] = 0; decided[1] = 0
    }
}

active proctype members() {
    round = ROUNDS;
    do
    :: round > 0 ->
        d_step {
            from[round].anchor[0] = from[round + 1].anchor[0];
            from[round].anchor[1] = from[round + 1].anchor[1];
            from[round].same = from[round + 1].same;
            from[round + COIN_AFTER + 1].anchor[0] = false; /* no slot below looks there: states become the same */
            from[round + COIN_AFTER + 1].anchor[1] = false;
            from[round + COIN_AFTER + 1].same = false
        }
        rank = LEADERS;
        do
        :: rank > 0 && (round % K) + GAP < K -> decide(round + AFTER, false); rank--
        :: else -> break
        od;
        rank = 0; /* the coin slot is the first of its round */
        if
        :: round % K == 0 -> decide(round + COIN_AFTER, true)
        :: else
        fi;
        round--
    :: else -> break
    od
}
