#!/usr/bin/env bash
# The JSON API through curl and a stranger's eyes: of a single validator and of a committee, whose members say the same; proofs hold
# without our code; it is the same after kill -9, and hostile clients do no harm.
. "$(dirname "$0")/lib.sh"
need curl openssl python3

net=$work/net
check() { python3 "$(dirname "$0")/explorer_check.py" "$@"; }
address() { sed -n 's/^explorer = "\(.*\)"/\1/p' "$net/nodes/consensus-${1:-1}/node.toml"; }
api() { curl -sS --fail --max-time 20 "http://$(address)/v1/$1"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }
genesis() { sed -n 's/^genesis = "\(.*\)"/\1/p' "$net/nodes/consensus-1/node.toml"; }
fill() { local i; for i in $(seq "$1" "$2"); do cess volume create "v$i" --type bucket > /dev/null || fail "create v$i"; done; }
# One height at all members: they stand still.
settled() {
    local i j heights
    for i in $(seq 120); do
        heights=$(for j in "$@"; do curl -s --max-time 5 "http://$(address "$j")/v1/status" | field '["height"]' 2> /dev/null || echo none; done | sort -u)
        [ "$(wc -l <<< "$heights")" = 1 ] && [ "$heights" != none ] && return 0
        sleep 0.5
    done
    fail "members do not agree: $heights"
}
indexed() {
    local i
    for i in $(seq 240); do [ "$(curl -s --max-time 5 "http://$(address "$1")/v1/status" | field '["indexed"]["from"]' 2> /dev/null)" = 1 ] && return 0; sleep 0.5; done
    fail "the index of consensus-$1 is not complete: $(curl -s "http://$(address "$1")/v1/status")"
}
proofs() {
    local volume account last
    volume=$(api volumes | field '["volumes"][0]["id"]')
    account=$(api volumes | field '["volumes"][0]["owner"]')
    last=$(api "accounts/$account/transactions?limit=1" | field '["transactions"][0]["id"]')
    check prove "$(address)" "$(genesis)" totals "volumes/$volume" "names/$account/v1" "transactions/$last" "names/$account/none" "volumes/$(printf '7%.0s' $(seq 32))" > "$work/proofs" || fail "proofs"
    [ "$(grep -c '^absent$' "$work/proofs")" = 2 ] && [ "$(wc -l < "$work/proofs")" = 6 ] || fail "proofs: $(cat "$work/proofs")"
}

say "a single validator"
start_network
cess dev status --dir "$net" | grep -q "JSON API of consensus-1: http://$(address)/v1" || fail "dev status does not show the API"
[ "$(cess dev status --dir "$net" --json | field '["nodes"][0]["explorer"]')" = "$(address)" ] || fail "dev status --json"
fill 1 3
cess volume create tree --type fs > /dev/null
cess snapshot create tree@monday > /dev/null
expect 1 '' cess volume create v1 --type bucket
api status | field '["members"][0]["behind"]' | grep -qx 0 || fail "status: $(api status)"
tree=$(api volumes | python3 -c 'import json, sys; print(next(v["id"] for v in json.load(sys.stdin)["volumes"] if v["name"] == "tree"))')
[ "$(api "volumes/$tree/views" | field '["views"][0]["name"]')" = monday ] || fail "views: $(api "volumes/$tree/views")"
[ "$(api nodes | field '["nodes"].__len__()')" = 5 ] || fail "nodes: $(api nodes)"
head=$(curl -sS -I --max-time 20 "http://$(address)/v1/blocks/1")
grep -qi '^cache-control:.*max-age=300' <<< "$head" && grep -qi '^access-control-allow-origin: \*' <<< "$head" || fail "headers: $head"
tag=$(sed -n 's/^ETag: \(.*\)\r$/\1/p' <<< "$head")
[ "$(curl -sS -o /dev/null -w '%{http_code}' -H "If-None-Match: $tag" "http://$(address)/v1/blocks/1")" = 304 ] || fail "a known answer is sent again"
[ "$(curl -sS -o /dev/null -w '%{http_code}' -X OPTIONS "http://$(address)/v1/blocks")" = 204 ] || fail "preflight"
[ "$(curl -sS -o /dev/null -w '%{http_code}' -d x "http://$(address)/v1/blocks")" = 413 ] || fail "a body"
check walk "$(address)" > "$work/before" || fail "walk"
grep -c '"kind": "create_view"' "$work/before" | grep -qx 1 || fail "the snapshot's transaction is not there"
proofs
check hostile "$(address)" || fail "hostile clients"
fill 4 5
{ echo 'explorer = "127.0.0.1:0"'; cat "$net/nodes/storage-1/node.toml"; } > "$work/storage.toml"
expect 1 'explorer is for consensus nodes' cess-node --conf "$work/storage.toml"

say "kill -9, and the same answers"
api status > /dev/null
check walk "$(address)" > "$work/before"
end_pid "$(node_pid network)" KILL || fail "the network does not die"
cess dev up --dir "$net" > /dev/null || fail "dev up"
check walk "$(address)" > "$work/after"
cmp "$work/before" "$work/after" || fail "after kill -9 the API says something else"
exec 7<> "/dev/tcp/127.0.0.1/$(address | sed 's/.*://')"  # stays open meanwhile
cess dev down --dir "$net" > "$work/down.log" 2>&1 || fail "dev down"
! grep -q killed "$work/down.log" || fail "an open connection holds the node up: $(cat "$work/down.log")"
exec 7>&-
rm -rf "$net"

say "a committee says one thing"
rm -rf "$HOME/.config"
start_network --consensus 4 --storage 3 --separate
fill 1 6
cess volume create tree --type fs > /dev/null
cess snapshot create tree@monday > /dev/null
settled 1 2 3 4
for i in 1 2 3 4; do check walk "$(address "$i")" > "$work/of-$i" || fail "walk of member $i"; done
for i in 2 3 4; do cmp "$work/of-1" "$work/of-$i" || fail "member $i says something else"; done
[ "$(api committee | field '["quorum"]')" = 3 ] || fail "committee: $(api committee)"
proofs

say "all members die, and say the same"
for i in 1 2 3 4; do end_pid "$(node_pid "consensus-$i")" KILL || fail "consensus-$i does not die"; done
cess dev up --dir "$net" --separate > /dev/null || fail "dev up"
settled 1 2 3 4
for i in 1 2 3 4; do
    check walk "$(address "$i")" > "$work/again-$i" || fail "walk of member $i"
    cmp "$work/of-1" "$work/again-$i" || fail "member $i says something else after kill -9"
done

say "a member without an index gets one"
line=$(grep '^explorer' "$net/nodes/consensus-4/node.toml")
sed -i '/^explorer/d' "$net/nodes/consensus-4/node.toml"
end_pid "$(node_pid consensus-4)" KILL
fill 7 9
behind=$(api status | field '["members"][3]["behind"]')
[ "$behind" -ge 1 ] || fail "a dead member is not behind: $(api status)"
cess dev up --dir "$net" --separate > /dev/null || fail "dev up without the API"
fill 10 12
settled 1 2 3
printf '%s\n' "$line" > "$work/toml" && cat "$net/nodes/consensus-4/node.toml" >> "$work/toml" && cp "$work/toml" "$net/nodes/consensus-4/node.toml"
end_pid "$(node_pid consensus-4)" KILL
cess dev up --dir "$net" --separate > /dev/null || fail "dev up with the API again"
indexed 4
settled 1 2 3 4
check walk "$(address 1)" > "$work/of-1"
check walk "$(address 4)" > "$work/of-4"
cmp "$work/of-1" "$work/of-4" || fail "an index that was made later says something else"
say "ok"
