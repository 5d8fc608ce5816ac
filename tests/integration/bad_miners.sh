#!/bin/bash
# Miners that misbehave under a mounted filesystem: one whose disk flips a byte, and all of them silent for longer than
# an append may take.
. "$(dirname "$0")/lib.sh"
need_fuse
need curl python3

start_network --storage 4 --separate
cess dev down --dir "$work/net" > /dev/null
for i in 1 2 3 4; do printf 'scrub_period = "4s"\n' >> "$work/net/nodes/storage-$i/node.toml"; done
cess-node --conf "$work/net/nodes/storage-1/node.toml" --dump-config | grep '^scrub_period = "4s"' > /dev/null || fail "the period is not taken"

say "a store of another release is refused, and nothing in it is called damaged"
python3 - "$work/net/nodes/storage-1/data/store" << 'END'
import hashlib, shutil, sys
shutil.copy(sys.argv[1], sys.argv[1] + ".right")
old = b"\1" + open(sys.argv[1], "rb").read()[1:-32]
open(sys.argv[1], "wb").write(old + hashlib.sha256(old).digest())
END
expect 1 'is a store of version 1, and this program.s is 2: run the release that made it' cess-node --conf "$work/net/nodes/storage-1/node.toml"
mv "$work/net/nodes/storage-1/data/store.right" "$work/net/nodes/storage-1/data/store"

start_network --separate
printf '[deadlines]\nappend = "3s"\nrequest = "1s"\n' >> "$work/net/client.toml"

cess volume create files --type fs > /dev/null
mount_volume files "$work/mnt"
head -c 20M /dev/urandom > "$work/data"
cp "$work/data" "$work/mnt/data"
cess umount "$work/mnt" # 20 MiB are less than a segment: a sync alone leaves them to the journal
mount_volume files "$work/mnt"

# Prints the row of a miner by its address, from `cess status --json`.
row() { { cess status --json || true; } | python3 -c "import json, sys; print(json.dumps(next(m for m in json.load(sys.stdin)['miners'] if m['address'] == '$1')))"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

say "every miner has looked at everything"
addresses=$(cess status --json | python3 -c "import json, sys; print(*[m['address'] for m in json.load(sys.stdin)['miners']])")
for a in $addresses; do
    for i in $(seq 300); do [ "$(row "$a" | field "['store']['passes']")" -ge 1 ] && break; sleep 0.2; done
    [ "$(row "$a" | field "['store']['passes']")" -ge 1 ] || fail "no pass at $a"
done
cess status | grep CHECKED > /dev/null || fail "no column for it"

say "a byte flips on a disk"
file=$(find "$work"/net/nodes/storage-*/data/fragments -type f -size +200k | head -n 1)
[ -n "$file" ] || fail "no miner stores a fragment of the file"
node=${file#"$work"/net/nodes/}
node=${node%%/*}
segment=$(basename "$file" | cut -d. -f1)
python3 - "$file" << 'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(4096 + 70000)
    byte = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([byte[0] ^ 1]))
END
address=$(sed -n 's/^listen *= *"\(.*\)"/\1/p' "$work/net/nodes/$node/node.toml")
for i in $(seq 300); do [ "$(row "$address" | field "['store']['faults']")" -ge 1 ] && break; sleep 0.2; done
row "$address" | field "['store']['listed'][0]['segment']" | grep -qx "$segment" || fail "status does not name the segment: $(row "$address")"
expect 1 '' cess status
grep -q "segment $segment fragment [0-9]*: damaged data in leaf 1" "$work/out" || fail "not said in words: $(cat "$work/out")"
metrics=$(sed -n 's/^metrics *= *"\(.*\)"/\1/p' "$work/net/nodes/$node/node.toml")
curl -s "http://$metrics/metrics" | grep '^cess_storage_faults{.*} 1$' > /dev/null || fail "not counted"
grep -q "fragment is damaged segment=$segment" "$work/net/log/$node.log" || fail "not logged"
cess umount "$work/mnt"
mount_volume files "$work/mnt"
cmp "$work/data" "$work/mnt/data" || fail "wrong bytes"

say "all miners are silent for longer than an append may take"
pids_of() { local i; for i in 1 2 3 4; do node_pid "storage-$i"; done; }
stopped=$(pids_of)
pids+=($stopped)
kill -STOP $stopped
python3 - "$work/mnt" << 'END' || { kill -CONT $stopped; fail "in the silence"; }
import errno, os, sys, time
began = time.time()
fd = os.open(sys.argv[1] + "/silent", os.O_CREAT | os.O_RDWR)
os.write(fd, b"written in the silence" * 1000)
for attempt in range(3):
    try:
        os.fsync(fd)
        sys.exit("an fsync succeeds without any miner")
    except OSError as e:
        assert e.errno == errno.EIO, e
    os.pwrite(fd, b"more", 100000 + attempt * 4)
print("refused three times in %.0f s" % (time.time() - began))
assert time.time() - began < 120, "an fsync hangs"
assert os.pread(fd, 7, 0) == b"written"
END
sleep 6
kill -CONT $stopped
say "they are back: the mount goes on as it is"
python3 - "$work/mnt" << 'END' || fail "the mount does not go on"
import os, sys, time
fd = os.open(sys.argv[1] + "/silent", os.O_RDWR)
for attempt in range(60):
    try:
        os.fsync(fd)
        break
    except OSError:
        time.sleep(1)
else:
    sys.exit("fsync fails though the miners are back")
os.pwrite(fd, b"after", 200000)
os.fsync(fd)
END
cp "$work/data" "$work/mnt/after"
sync "$work/mnt/after" # FUSE passes no syncfs on
kill -KILL "$(mount_pid "$work/mnt")"
umount -l "$work/mnt" 2> /dev/null || fusermount3 -uz "$work/mnt"
for i in $(seq 100); do cessfs files "$work/mnt" 2> "$work/err" && break; sleep 0.3; done
cmp "$work/data" "$work/mnt/after" || fail "a file written after the silence is lost"
python3 - "$work/mnt/silent" << 'END' || fail "what was written in the silence and synced after it is lost"
import sys
data = open(sys.argv[1], "rb").read()
assert data[:22000] == b"written in the silence" * 1000
assert data[100000:100012] == b"moremoremore" and data[200000:] == b"after", len(data)
END
cess umount "$work/mnt"
say "passed"
