#!/usr/bin/env bash
# One network, three faces: files, blocks and objects beside each other; snapshots and clones of each; a byte flipped at
# a miner is read right and found by fsck; one of four miners killed; a whole network killed.
. "$(dirname "$0")/lib.sh"
need_fuse
need nbdkit nbdcopy nbdsh aws

start_network --separate
cess dev down --dir "$work/net" > /dev/null
for i in 1 2 3 4; do printf 'scrub_period = "8s"\n' >> "$work/net/nodes/storage-$i/node.toml"; done
start_network --separate
cess volume create files --type fs > /dev/null
cess volume create disk --type block --size 256M > /dev/null
cess volume create bucket --type bucket > /dev/null
mount_volume files "$work/mnt"
serve "$work/disk.sock" volume=disk
start_gateway

tree=/usr/include/linux
head -c 24M /dev/urandom > "$work/big"
compare() {
    diff -r "$tree" "$work/mnt/tree" > /dev/null || fail "$1: the tree differs"
    cmp -s "$work/big" "$work/mnt/big" || fail "$1: the file differs"
    starts_with "$(uri "$work/disk.sock")" "$work/big" || fail "$1: the device differs"
    s3 s3 cp --quiet s3://bucket/big "$work/object" && cmp -s "$work/big" "$work/object" || fail "$1: the object differs"
}
drop_caches() { # what the faces cache themselves goes with their processes
    cess umount "$work/mnt"
    end_pid "$nbd_pid" || fail "nbdkit does not end"
    end_pid "$gateway_pid" || fail "cess-gateway does not end"
    mount_volume files "$work/mnt"
    serve "$work/disk.sock" volume=disk
    start_gateway
}

say "writing"
cp -r "$tree" "$work/mnt/tree"
cp "$work/big" "$work/mnt/big"
sync -f "$work/mnt"
nbdcopy --flush "$work/big" "$(uri "$work/disk.sock")"
s3 s3 cp --quiet "$work/big" s3://bucket/big
compare "just written"
drop_caches
compare "after detaching and attaching"

say "snapshots, attached; clones that go their own way; miners' bytes grow by metadata only"
used() { cess status --json | python3 -c 'import json, sys; print(sum(m.get("used", 0) for m in json.load(sys.stdin)["miners"]))'; }
before=$(used)
for v in files disk bucket; do cess snapshot create $v@one > /dev/null; cess clone $v@one $v-clone > /dev/null; done
grown=$(($(used) - before))
[ $grown -lt $((8 << 20)) ] || fail "three snapshots and clones took $grown bytes"
echo new > "$work/mnt/new"
rm "$work/mnt/big"
mount_volume files@one "$work/snap"
cmp "$work/big" "$work/snap/big" || fail "the snapshot changed with the head"
[ ! -e "$work/snap/new" ] || fail "the snapshot shows the head's file"
! touch "$work/snap/x" 2> /dev/null || fail "a snapshot could be written"
mount_volume files-clone "$work/clone"
cmp "$work/big" "$work/clone/big" && echo other > "$work/clone/other" && rm -r "$work/clone/tree"
sync -f "$work/clone"
[ -d "$work/snap/tree" ] && [ ! -e "$work/mnt/other" ] || fail "clone and base are not apart"
cess umount "$work/snap"
cess umount "$work/clone"
cp "$work/big" "$work/mnt/big"
sync -f "$work/mnt"
s3 s3 ls s3://bucket-clone/ | grep -q big || fail "the bucket's clone is empty"

say "commands for an attached volume, and a second owner refused by name"
expect 1 '127.0.0.1|owned|attached|busy' cessfs files "$work/mnt"
mkdir -p "$work/mnt2"
expect 1 '127.0.0.1|owned|attached|busy' cessfs files "$work/mnt2"
expect 1 'fs|filesystem|block' cessfs disk "$work/mnt2"

say "a flipped byte at a miner: reads are right, fsck names it"
drop_caches # checkpoints too
victim=$(node_directory storage-1)
fragment=$(find "$victim/data" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
flip() { # a bit of the byte in its middle; twice is as it was
    python3 - "$fragment" << 'END'
import os, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(os.path.getsize(sys.argv[1]) // 2)
    byte = f.read(1)
    f.seek(-1, 1)
    f.write(bytes([byte[0] ^ 1]))
END
}
flip
compare "a flipped byte"
got=0
for v in files disk bucket; do cess fsck $v > "$work/fsck-$v.log" || got=1; done
[ $got = 1 ] || fail "fsck found nothing"
id=$({ cess status --json || true; } | python3 -c "
import json, sys
address = next(l.split('\"')[1] for l in open('$victim/node.toml') if l.startswith('listen'))
print(next(m['id'] for m in json.load(sys.stdin)['miners'] if m['address'] == address))")
grep -h "miner $id: segment [0-9a-f]\{64\}" "$work"/fsck-*.log || fail "fsck does not name the miner $id"
healthy() { cess status > /dev/null 2>&1; }
for i in $(seq 300); do healthy || break; sleep 0.2; done
! healthy || fail "the miner does not find the damaged fragment"
flip # with a miner gone it would be the second fault of its segment, and 2+1 survives one
for i in $(seq 300); do healthy && break; sleep 0.2; done
healthy || fail "a mended fragment is still listed"
for v in files disk bucket; do cess fsck $v > /dev/null || fail "fsck of $v finds what is mended"; done

say "one of four miners killed: everything goes on"
end_pid "$(node_pid storage-3)" KILL || true
drop_caches
compare "one miner down"
cp -r "$tree" "$work/mnt/more"
sync -f "$work/mnt"
s3 s3 cp --quiet "$work/big" s3://bucket/again
nbdsh -u "$(uri "$work/disk.sock")" -c 'h.pwrite(b"x" * 4096, 128 << 20); h.flush()'
diff -r "$tree" "$work/mnt/more" || fail "written with a miner down, and different"
expect 1 '' cess status
cess dev up --dir "$work/net" > /dev/null
cess status > /dev/null || fail "not healthy with the miner back"

say "everything killed at once"
cp "$work/big" "$work/mnt/last"
sync "$work/mnt/last"
pid=$(mount_pid "$work/mnt")
for n in "$work"/net/run/*.pid; do kill -KILL "$(awk '{print $1}' "$n")"; done
for p in "$pid" "$nbd_pid" "$gateway_pid"; do kill -KILL "$p"; done
umount -l "$work/mnt" 2> /dev/null || true
sleep 0.5
cess dev up --dir "$work/net" > /dev/null || fail "the network does not come back"
mount_volume files "$work/mnt" -o force
serve "$work/disk.sock" volume=disk force=true
start_gateway
compare "everything killed"
cmp "$work/big" "$work/mnt/last" || fail "a synced file is lost"

say "deleting frees the miners' space in time"
cess umount "$work/mnt"
for v in files disk bucket; do cess volume delete $v-clone > /dev/null; cess snapshot delete $v@one > /dev/null; done
cess volume delete files > /dev/null
expect 1 'not found' cess volume info files
say "passed"
