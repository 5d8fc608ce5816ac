#!/usr/bin/env bash
# Space comes back: a device overwritten again and again, with a snapshot that is taken, read and deleted, and then
# trimmed whole, at real miners.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdcopy nbdsh cmp

size=$((192 << 20))
mib=$((1 << 20))
start_network
# Miners delete what was freed after ten minutes; here at once.
cess dev down --dir "$work/net" > /dev/null
for node in "$work"/net/nodes/storage-*/node.toml; do echo 'free_horizon = "1s"' >> "$node"; done
start_network
cess volume create disk --type block --size 192M > /dev/null
serve "$work/disk.sock" volume=disk

used() { cess status --json | python3 -c 'import json, sys; print(sum(m.get("used", 0) for m in json.load(sys.stdin)["miners"]))'; }
info() { cess volume info disk --json | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
# comes_down TO WHAT...: waits until the number that a function says is at most TO.
comes_down() {
    local i to=$1 now=
    shift
    for i in $(seq 240); do
        now=$("$@")
        [ "$now" -le "$to" ] && { say "$*: $((now / mib)) MiB, at most $((to / mib))"; return 0; }
        sleep 1
    done
    fail "$*: $((now / mib)) MiB, more than $((to / mib))"
}

say "96 MiB, a snapshot, and 24,000 random overwrites of 16 KiB"
head -c 96M /dev/urandom > "$work/before"
nbdcopy --flush "$work/before" "$(uri "$work/disk.sock")"
cess snapshot create disk@one
cat > "$work/overwrite.py" << 'END'
import os, random
random.seed(int(os.environ["SEED"]))
image = bytearray(open(os.environ["FROM"], "rb").read())
noise = os.urandom(1 << 20)
for i in range(24000):
    at = random.randrange(len(image) >> 14) << 14
    start = random.randrange(len(noise) - 16384)
    image[at:at + 16384] = noise[start:start + 16384]
    h.pwrite(image[at:at + 16384], at)
h.flush()
open(os.environ["TO"], "wb").write(image)
END
SEED=1 FROM=$work/before TO=$work/after nbdsh -u "$(uri "$work/disk.sock")" -c "$(cat "$work/overwrite.py")"

# What the head and the snapshot need is 192 MiB at most; 64 MiB of slack; without cleaning some 470 MiB would be stored.
say "cleaned while the snapshot stands"
comes_down $((3 * 192 * mib / 2 + 64 * mib)) info stored
starts_with "$(uri "$work/disk.sock")" "$work/after" || fail "the head changed"
probe=disk@one serve "$work/one.sock"
starts_with "$(uri "$work/one.sock" disk@one)" "$work/before" || fail "the snapshot changed"
end_pid "$nbd_pid"

say "the snapshot deleted, the head overwritten once more"
cess snapshot delete disk@one
SEED=2 FROM=$work/after TO=$work/last nbdsh -u "$(uri "$work/disk.sock")" -c "$(cat "$work/overwrite.py")"
comes_down $((3 * 96 * mib / 2 + 64 * mib)) info stored
# Two data fragments and one of parity; metadata, journals, and what waits for its horizon come on top.
comes_down $((3 * (3 * 96 * mib / 2 + 64 * mib) / 2 + 96 * mib)) used
starts_with "$(uri "$work/disk.sock")" "$work/last" || fail "the head changed"
cess fsck disk > /dev/null || fail "cess fsck disk"

say "trimmed whole"
nbdsh -u "$(uri "$work/disk.sock")" -c "h.trim($size, 0); h.flush()"
comes_down 0 info mapped
comes_down 0 info stored
comes_down $((96 * mib)) used
say "passed"
