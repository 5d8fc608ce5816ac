#!/usr/bin/env bash
# The commands: what they do, and one clear line for everything that is wrong.
. "$(dirname "$0")/lib.sh"

say "without a network"
expect 1 'client.toml' env -u CESS_CONF cess volume list
expect 1 'no development network' cess dev status --dir "$work/none"
expect 1 'no development network' cess dev down --dir "$work/none"
expect 2 'cache' cess dev up --dir "$work/none" --cache 1
expect 2 'consensus' cess dev up --dir "$work/none" --consensus 3
expect 2 'storage miners' cess dev up --dir "$work/none" --storage 2 --ec 4+2
expect 2 'ec' cess dev up --dir "$work/none" --ec 2x1
expect 2 'capacity' cess dev up --dir "$work/none" --capacity 1M
[ ! -e "$work/none" ] || fail "a network that was refused leaves $work/none behind"
[ ! -e "$work/none/network.toml" ] || fail "a refused network was half made"
mkdir "$work/full"
touch "$work/full/precious"
expect 1 'not empty' cess dev up --dir "$work/full"
expect 2 'usage|help|subcommand|required' cess
expect 2 'unknown command.*"nonsense"' cess nonsense
expect 2 'unknown option "--nonsense"' cess volume create --nonsense
expect 2 'help' cess volume create

say "up, status, up again"
start_network
cess dev status --dir "$work/net" > /dev/null || fail "dev status"
cess status --json | python3 -c 'import json, sys; s = json.load(sys.stdin); assert s["healthy"] and len(s["miners"]) == 4, s'
cess dev up --dir "$work/net" | grep -q 'already' || fail "a second up did not notice the first"
[ -f "$HOME/.config/cess/client.toml" ] || fail "no configuration was installed"
env -u CESS_CONF cess volume list > /dev/null || fail "the installed configuration does not work"
[ "$(stat -c %a "$work/net/account.key")" = 600 ] || fail "the account's key can be read by others"

say "volumes"
cess volume create files --type fs > /dev/null
cess volume create disk --type block --size 10G > /dev/null
cess volume create bucket --type bucket --ec 1+2 > /dev/null
cess volume list --json | python3 -c '
import json, sys
v = {x["name"]: x for x in json.load(sys.stdin)}
assert set(v) == {"files", "disk", "bucket"}, v
assert v["disk"]["size"] == 10 << 30 and v["disk"]["type"] == "block" and v["bucket"]["geometry"] == "1+2", v'
cess volume info disk | grep -q '10 GiB' || fail "volume info"
cess volume rename disk device > /dev/null
cess volume resize device 20G > /dev/null
cess volume info device --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["size"] == 20 << 30'
expect 2 'shrink' cess volume resize device 1G
cess snapshot create files@now > /dev/null
cess snapshot list files | grep -q 'files@now' || fail "snapshot list"
cess snapshot rename files@now then > /dev/null
cess snapshot list files | grep -q 'files@then' || fail "snapshot rename"
expect 1 'not found' cess snapshot info files@now
cess snapshot rename files@then now > /dev/null
cess snapshot info files@now | grep -q '^state: anchored$' || fail "snapshot info: $(cess snapshot info files@now)"
cess snapshot create files@pair device@pair > "$work/pair"
[ "$(cat "$work/pair")" = "snapshot files@pair
snapshot device@pair" ] || fail "snapshot create of two: $(cat "$work/pair")"
expect 1 'no snapshot of the group was made.*exists' cess snapshot create files@other device@pair
expect 2 'twice' cess snapshot create files@other files@more
expect 1 'not found: snapshot files@other|not found' cess snapshot info files@other
cess clone device@pair copy > /dev/null
cess snapshot info device@pair --json | python3 -c '
import json, sys
s = json.load(sys.stdin)
assert (s["volume"], s["name"], s["size"], s["pending"], s["clones"]) == ("device", "pair", 20 << 30, False, ["copy"]), s'
expect 1 'clones' cess snapshot rename device@pair other
cess volume delete copy > /dev/null
cess snapshot delete files@pair > /dev/null
cess snapshot delete device@pair > /dev/null
cess clone files@now copy > /dev/null
cess volume info copy > /dev/null
expect 1 'clone' cess snapshot delete files@now
cess volume delete copy > /dev/null
cess snapshot delete files@now > /dev/null
cess fsck files > /dev/null || fail "fsck of a sound volume"

say "wrong names, sizes and types"
long=$(head -c 10000 /dev/zero | tr '\0' a)
for name in a/b .. . a..b -x '' Big $'a\nb' $'a\x01' "$long" 'a b' @ @s; do
    expect 2 'name|invalid|option|required|argument|a volume|subcommand|following' cess volume create --type fs -- "$name"
done
expect 2 'snapshot' cess snapshot create files
expect 2 'name|invalid' cess snapshot create "files@a/b"
for size in 0 -1 1180591620717411303424 10X 1.5G ''; do expect 2 'size' cess volume create wrong --type block --size="$size"; done
expect 1 'size|at most' cess volume create wrong --type block --size 8192P
expect 2 'size' cess volume create wrong --type block
expect 2 'type' cess volume create wrong --type tape
expect 1 'miners' cess volume create wrong --type fs --ec 10+4
expect 1 'exists' cess volume create files --type fs
expect 1 'not found' cess volume info none
expect 1 'not found' cess volume delete none
expect 1 'not found' cess fsck none
expect 1 'not found' cess snapshot create none@x
expect 1 'not found' cess clone files@none new
[ "$(cess volume list --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" = 3 ] || fail "something half-made stayed: $(cess volume list)"
expect 1 'not mounted' cess umount "$work"

say "the account's key"
cess account export "$work/backup" 2> /dev/null
[ "$(stat -c %a "$work/backup")" = 600 ] || fail "the backup can be read by others"
expect 1 'there' cess account export "$work/backup"
mv "$work/net/account.key" "$work/away"
expect 1 'account' cess volume list
cess account import "$work/backup" > /dev/null
cmp "$work/away" "$work/net/account.key" || fail "what was imported differs"
cess volume info files > /dev/null
expect 2 'cess-account' cess account import /etc/hostname
cess account s3-key | grep -q '^AWS_ACCESS_KEY_ID=CESS' || fail "s3-key"

say "a network that is down: bounded, and everything is kept"
cess dev down --dir "$work/net" > /dev/null
expect 1 '' cess dev status --dir "$work/net"
expect 1 'up|unavailable|timed out' cess volume list
cess dev up --dir "$work/net" > /dev/null
cess volume info device > /dev/null || fail "a volume is lost after a restart"
expect 1 'dev down' cess dev up --dir "$work/net" --storage 5
expect 2 'cannot be taken away' cess dev up --dir "$work/net" --storage 3
expect 2 'made with' cess dev up --dir "$work/net" --ec 1+1
cess dev down --dir "$work/net" > /dev/null
cess dev up --dir "$work/net" --storage 5 > /dev/null
cess status --json | python3 -c 'import json, sys; assert len(json.load(sys.stdin)["miners"]) == 5'

say "occupied port"
cess dev down --dir "$work/net" > /dev/null
address=$(sed -n 's/^listen = "\(.*\)"/\1/p' "$work/net/nodes/storage-1/node.toml")
python3 -c "
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', ${address##*:})); s.listen(1); time.sleep(300)" &
pids+=($!)
sleep 0.5
expect 1 "$address.*in use" cess dev up --dir "$work/net"
end_pid "${pids[-1]}" KILL || true
cess dev up --dir "$work/net" > /dev/null

say "one process a node"
cess dev down --dir "$work/net" > /dev/null
cess dev up --dir "$work/net" --separate > /dev/null
[ "$(cess dev status --dir "$work/net" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["processes"]))')" -ge 5 ] || fail "not one process a node"
end_pid "$(node_pid storage-2)" KILL || true
expect 1 '' cess dev status --dir "$work/net"
cess dev up --dir "$work/net" > /dev/null || fail "up does not bring a killed node back"
cess dev status --dir "$work/net" > /dev/null
say "passed"
