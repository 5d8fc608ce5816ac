#!/usr/bin/env bash
# What the command line shows of a mount, and does with it: where a file's bytes are, reflinks that share them, warming up.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 fallocate
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
mount_volume home "$m"

say "where bytes are"
head -c 30M /dev/urandom > "$m/big" && sync "$m/big"
cess snapshot create home@stored > /dev/null  # puts the buffers into segments
for i in $(seq 100); do cess info --json "$m/big" > "$work/big.json"; grep -q '"segment"' "$work/big.json" && break; sleep 0.1; done
python3 - "$work/big.json" "$(cess status --json)" << 'P' || fail "cess info of a stored file: $(cat "$work/big.json")"
import json, sys
[file] = json.load(open(sys.argv[1]))
miners = {m["id"] for m in json.loads(sys.argv[2])["miners"]}
assert file["volume"] == "home" and file["type"] == "file" and file["size"] == file["allocated"] == 30 << 20
at = 0
for part in file["parts"]:
    assert part["offset"] == at, "no hole in a dense file"
    at += part["length"]
    if "segment" in part:
        assert part["geometry"] == "2+1" and len(set(part["miners"])) == 3 and set(part["miners"]) <= miners
assert at == 30 << 20 and sum(p["length"] for p in file["parts"] if "segment" in p) > 10 << 20
P
fallocate -p -o 4M -l 8M "$m/big"
cess info --json "$m/big" | python3 -c '
import json, sys
[file] = json.load(sys.stdin)
assert file["allocated"] == 22 << 20 == sum(p["length"] for p in file["parts"]), file
assert not any(p["offset"] < 12 << 20 and p["offset"] + p["length"] > 4 << 20 for p in file["parts"]), "a hole is nowhere"' || fail "cess info of a hole"
echo small > "$m/small" && sync "$m/small"
cess info "$m/small" | grep -q 'in memory and the journal' || fail "cess info of what is not in a segment: $(cess info "$m/small")"
cess info "$m" | grep -q "directory, inode 1 of volume home" || fail "cess info of a directory"
expect 1 'not in a filesystem that cessfs mounted' cess info "$work/up.log"
expect 1 'no such file' cess info "$m/nothing"
getfattr -d -m - "$m/big" 2> /dev/null | grep -q cess && fail "cess.where is listed" || true

say "fragmented: more extents than one answer holds"
python3 - "$m/comb" << 'P'
import os, sys
f = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
for i in range(3000):
    os.pwrite(f, b"x" * 4096, i * 8192)
os.fsync(f)
P
cess info --json "$m/comb" | python3 -c '
import json, sys
[f] = json.load(sys.stdin)
parts = f["parts"]  # one of them may stand across the end of a segment
assert 3000 <= len(parts) <= 3010 and sum(p["length"] for p in parts) == 3000 * 4096, len(parts)
assert all(p["offset"] % 8192 + p["length"] <= 4096 for p in parts)' || fail "cess info of 3,000 extents"

say "copies share"
head -c 8M /dev/urandom > "$m/dense" && sync "$m/dense"
cp "$m/dense" "$m/copy"  # by copy_file_range(2), which cp takes for files without holes
cmp "$m/dense" "$m/copy" || fail "a copy differs"
segments() { cess info --json "$1" | python3 -c 'import json, sys; [f] = json.load(sys.stdin); print([(p["offset"], p["length"], p.get("segment")) for p in f["parts"]])'; }
cess snapshot create home@copied > /dev/null
same=
for i in $(seq 100); do  # what is in memory gets into a segment meanwhile
    [ "$(segments "$m/dense")" = "$(segments "$m/copy")" ] && same=1 && break
    sleep 0.1
done
[ "$same" ] || fail "cp copies bytes: $(cess info "$m/dense" "$m/copy")"

say "warming up"
umount.fuse.cessfs "$m"
mount_volume home "$m"
cess warmup --json "$m" > "$work/warm.json" || fail "cess warmup: $(cat "$work/warm.json")"
python3 - "$work/warm.json" << 'P' || fail "cess warmup: $(cat "$work/warm.json")"
import json, sys
done = json.load(open(sys.argv[1]))
assert done == {"files": 5, "bytes": (46 << 20) + 2999 * 8192 + 4096 + 6, "failed": 0}, done
P
kill -STOP "$(node_pid network)"  # what is near needs no miner
timeout 60 cat "$m/comb" "$m/small" | wc -c > "$work/count" || fail "what was warmed up is read from miners"
kill -CONT "$(node_pid network)"
[ "$(cat "$work/count")" = $((2999 * 8192 + 4096 + 6)) ] || fail "what was warmed up is short"
expect 1 'not in a filesystem that cessfs mounted' cess warmup "$work"
expect 2 '' cess warmup
umount.fuse.cessfs "$m"
