#!/usr/bin/env bash
# A committee of four processes: one dies and it goes on, two and it waits, all and nothing acknowledged is lost. Epochs end under a mounted
# filesystem, and a member that has lost its disk comes back.
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
epoch() { cess status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["consensus"]["epoch"])'; }
# until_epoch N: more volumes until it has begun.
volumes=22
until_epoch() {
    local i
    for i in $(seq 200); do
        [ "$(epoch)" -ge "$1" ] && return
        volumes=$((volumes + 1))
        create "$volumes" "$volumes"
    done
    fail "epoch $1 does not begin: $(cess status --json)"
}
# of_member N METRIC
of_member() { curl -fs "http://$(sed -n 's/^metrics = "\(.*\)"/\1/p' "$net/nodes/consensus-$1/node.toml")/metrics" | sed -n "s/^$2{[^}]*} //p"; }

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

say "epochs end"
need_fuse
need curl
cess volume create files --type fs > "$work/out"
mount_volume files "$work/m"
date > "$work/m/first"
for i in 1 2 3 4; do
    printf 'epoch_rounds = 150\n' >> "$net/nodes/consensus-$i/node.toml"
    kill_member "$i"
done
cess dev up --dir "$net" --separate > /dev/null || fail "dev up with short epochs"
until_epoch 2
date > "$work/m/second"
sync "$work/m/second"
agreed
cess status | grep -q 'epoch [2-9]' || fail "cess status says: $(cess status)"
cess umount "$work/m"
mount_volume files "$work/m"  # with a lease that the miners cannot judge without the new committee
[ -s "$work/m/first" ] && [ -s "$work/m/second" ] || fail "files are missing"

say "a member loses its disk"
lost_in=$(epoch)
kill_member 3
rm -r "$net/nodes/consensus-3/data"
cess dev up --dir "$net" --separate > /dev/null || fail "dev up brings back the member without its disk"
create 500 501
agreed
[ "$(of_member 3 cess_chain_epoch)" -ge "$lost_in" ] || fail "member 3 is in epoch $(of_member 3 cess_chain_epoch)"
until_epoch "$((lost_in + 3))"
agreed
[ "$(of_member 3 cess_consensus_own_blocks_total)" -gt 0 ] || fail "member 3 makes no blocks: $(tail -5 "$net/log/consensus-3.log")"
kill_member 2  # so it is needed
create 502 503
date > "$work/m/third"
cess dev up --dir "$net" --separate > /dev/null || fail "dev up brings member 2 back"
agreed
cess volume list > "$work/list"
for i in $(seq "$volumes") 500 501 502 503; do grep -qw "v$i" "$work/list" || fail "v$i was acknowledged and is lost"; done
cess umount "$work/m"
cess fsck files > "$work/out" || fail "fsck: $(cat "$work/out")"
say "ok"
