/* One slot of the DAG, from its leader's blocks to the anchors' histories: the facts that docs/CONSENSUS.md, "Agreement",
 * stands on, for every way in which four members, one of them Byzantine, can choose their parents.
 *
 *   one certified block   no certificates for two blocks of the slot
 *   a skip is for ever    where a quorum of authors did not vote, there is no certificate
 *   a commit is seen      where a quorum of authors has certificates for a block, every later block has one in its history
 *
 * What two members can conclude of a slot from different parts of the DAG can both be concluded from the whole of it, so
 * there are no members' views here: what is asserted of the whole holds for any two of them. anchors.pml goes on from there.
 *
 * Left out: signatures, payload, weak links, time (any block may be late for any other), members that make no block (one that
 * nobody refers to), a third copy by the Byzantine one (a fact that fails needs two), n > 4. Members 0 to 2 make one block a
 * round, the blocks 0 to 2; member 3 makes the blocks 3 and 4. The leader may be anybody: its two blocks are 1 and 2.
 *
 * Settings: COIN (a coin slot's wave of five rounds), and, to see the facts fail, wrong numbers.
 */
#ifndef PARENTS
#define PARENTS 3 /* authors that a block must refer to */
#endif
#ifndef CERTIFIES
#define CERTIFIES 3 /* votes among a certificate's parents */
#endif
#ifndef COMMITS
#define COMMITS 3 /* authors of certificates */
#endif
#ifndef SKIPS
#define SKIPS 3 /* authors of non-votes */
#endif
#ifndef ANCHOR
#define ANCHOR 1 /* rounds from the certificates to the first anchor */
#endif
#ifdef COIN
#define VOTE 3 /* the round of votes; the leader's is 0 */
#else
#define VOTE 1
#endif
#define BLOCKS 5
#define LATER 2 /* rounds after the certificates */

byte known[BLOCKS]; /* of the last round: whom each votes for (0: nobody), then the set of blocks it has certificates for */
byte next[BLOCKS];  /* of the one in the making */
byte b, round;
bool skipped, committed[3];

/* What the chosen parents say. */
byte parents, first, votes[3], set;

inline refer_to(p) {
    d_step {
        parents++;
        if :: first == 0 -> first = known[p] :: else fi;
        if :: known[p] != 0 && known[p] < 3 -> votes[known[p]]++ :: else fi;
        set = set | known[p]
    }
}

/* Any blocks of the last round, one an author, of enough of them; in the order of authors. */
inline choose_parents() {
    d_step { parents = 0; first = 0; votes[1] = 0; votes[2] = 0; set = 0 }
    if :: refer_to(0) :: skip fi;
    if :: refer_to(1) :: skip fi;
    if :: refer_to(2) :: skip fi;
    if :: refer_to(3) :: refer_to(4) :: skip fi;
    parents >= PARENTS
}

inline end_round() {
    d_step {
        for (b in known) { known[b] = next[b]; next[b] = 0 }
        b = 0; parents = 0; first = 0; votes[1] = 0; votes[2] = 0; set = 0
    }
}

#define authors(what) (((known[0] what) != 0) + ((known[1] what) != 0) + ((known[2] what) != 0) + ((known[3] what) || (known[4] what)))
#define nobody(what) (!(known[0] what) && !(known[1] what) && !(known[2] what) && !(known[3] what) && !(known[4] what))
#define all(what) ((known[0] what) && (known[1] what) && (known[2] what) && (known[3] what) && (known[4] what))

active proctype committee() {
    /* Round 1: one of the leader's blocks is a parent, or none; the others are enough. */
    for (b in known) {
        if :: known[b] = 0 :: known[b] = 1 :: known[b] = 2 fi
    }
    b = 0;
    /* A vote further up is what is met first. */
    round = 1;
    do
    :: round < VOTE ->
        for (b in known) { choose_parents(); next[b] = first }
        end_round();
        round++
    :: else -> break
    od;
    skipped = authors(== 0) >= SKIPS;
    for (b in known) {
        choose_parents();
        next[b] = (votes[1] >= CERTIFIES) | ((votes[2] >= CERTIFIES) << 1)
    }
    end_round();
    assert(nobody(== 1) || nobody(== 2));
    assert(nobody(== 3));
    assert(!skipped || nobody(!= 0));
    committed[1] = authors(& 1) >= COMMITS;
    committed[2] = authors(& 2) >= COMMITS;
    for (round : 0 .. LATER) {
        assert(round < ANCHOR || !committed[1] || all(& 1));
        assert(round < ANCHOR || !committed[2] || all(& 2));
        for (b in known) { choose_parents(); next[b] = set }
        end_round()
    }
}
