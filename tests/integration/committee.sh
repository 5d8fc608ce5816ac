#!/usr/bin/env bash
# A committee of four processes: one dies and it goes on, two and it waits, all and nothing acknowledged is lost.
. "$(dirname "$0")/lib.sh"

net=$work/net
create() { local i; for i in $(seq "$1" "$2"); do cess volume create "v$i" --type bucket > "$work/out" || fail "create v$i"; done; }
kill_member() { end_pid "$(node_pid "consensus-$1")" KILL || fail "consensus-$1 does not die"; }
# The members' heights, one line, once all answer at one height; that they differ after 60 s is a failure. A member certifies only
# what it has computed itself, so one height is one state.
agreed() {
    local i
    for i in $(seq 120); do
        cess status --json 2> /dev/null | python3 -c '
import json, sys
v = json.load(sys.stdin)["validators"]
sys.exit(not (len(v) == 4 and all(m["answers"] for m in v) and len({m["height"] for m in v}) == 1))' && return 0
        sleep 0.5
    done
    fail "members do not agree: $(cess status --json)"
}

say "a committee"
expect 2 'committee of 4' cess dev up --dir "$work/none" --consensus 3
start_network --consensus 4 --storage 3 --separate
grep -q 'committee of 4' "$work/up.log" || fail "dev up says: $(cat "$work/up.log")"
for i in 1 2 3 4; do
    [ "$(stat -c %a "$net/nodes/consensus-$i/coin.key")" = 600 ] || fail "others may read coin.key of member $i"
done
[ "$(cat "$net"/nodes/consensus-*/coin.key | sort -u | wc -l)" = 4 ] || fail "members share a secret"
create 1 5
agreed
expect 2 'committee cannot change' cess dev up --dir "$net" --consensus 5

say "one member dies"
kill_member 2
create 6 15
cess dev status --dir "$net" > "$work/status" && fail "a committee without a member is healthy"
grep -q '3 of 4 answer' "$work/status" || fail "dev status says: $(cat "$work/status")"
cess dev up --dir "$net" --separate > /dev/null || fail "dev up brings the member back"
agreed

say "two members die"
kill_member 2
kill_member 3
timeout 20 cess volume create lost --type bucket > "$work/out" 2> "$work/err" && fail "two of four acknowledged"
cess dev up --dir "$net" --separate > /dev/null || fail "dev up brings the members back"
create 16 20
agreed

say "all members die"
for i in 1 2 3 4; do kill_member "$i"; done
cess dev up --dir "$net" --separate > /dev/null || fail "dev up brings all members back"
agreed
cess volume list > "$work/list"
for i in $(seq 20); do grep -qw "v$i" "$work/list" || fail "v$i was acknowledged and is lost"; done
create 21 22
agreed
say "ok"
