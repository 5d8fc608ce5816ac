#!/usr/bin/env bash
# qemu-img, qemu-io, nbdcopy, nbdinfo and nbdsh against snapshots and clones while the volume itself is being written.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy nbdsh fio qemu-img qemu-io
start_network
cess volume create disk --type block --size 256M > /dev/null
probe=disk serve "$work/all.sock"
disk=$(uri "$work/all.sock" disk)
at() { uri "$work/all.sock" "$1"; }
part=$((128 << 20))  # the lower half holds images, the upper half is written all the time

say "an image in"
head -c 24M /dev/urandom > "$work/random"
qemu-img create -q -f qcow2 "$work/in.qcow2" 128M
qemu-io -f qcow2 -c "write -q -s $work/random 3M 24M" -c "write -q -P 17 100M 4M" -c "write -q -z 110M 1M" "$work/in.qcow2"
qemu-img convert -n -O raw -W -m 8 "$work/in.qcow2" "$disk"

say "a writer that does not stop"
fio --name=writer --ioengine=nbd --uri="$disk" --rw=randwrite --bsrange=4k-64k --offset=$part --size=$part --iodepth=8 --fsync=32 --rate=8m,8m \
    --time_based --runtime=900 > "$work/writer.log" 2>&1 &
writer=$!
pids+=("$writer")
sleep 1

say "a snapshot taken meanwhile is one instant, and stays"
cess snapshot create disk@a
qemu-img convert -O qcow2 "$(at disk@a)" "$work/first.qcow2"
gone "$writer" && fail "the writer ended: $(cat "$work/writer.log")"
qemu-img convert -O raw "$(at disk@a)" "$work/second.raw"
qemu-img compare -q -f qcow2 -F raw "$work/first.qcow2" "$work/second.raw" || fail "two copies of a snapshot differ"
qemu-img check -q "$work/first.qcow2" || fail "qemu-img check"
cmp -n $((24 << 20)) -i $((3 << 20)):0 "$work/second.raw" "$work/random" || fail "the image in the snapshot differs"
qemu-io -r -f raw -c 'read -q -P 17 100M 4M' -c 'read -q -P 0 110M 1M' "$(at disk@a)" | grep -q 'Pattern verification failed' && fail "the image's patterns differ"

say "a clone is its snapshot, until it is written"
cess clone disk@a copy > /dev/null
qemu-img compare -q -f raw -F raw "$(at copy)" "$(at disk@a)" || fail "a clone differs from its snapshot"
qemu-img bench -q -f raw -w -c 600 -d 16 -s 8k -S 40k --flush-interval=50 "$(at copy)" > /dev/null
qemu-img bench -q -f raw -c 600 -d 16 -s 12k -o 1M "$(at disk@a)" > /dev/null
qemu-img bench -q -f raw -c 300 -d 8 -s 64k "$(at copy)" > /dev/null
qemu-img compare -q -f raw -F raw "$(at copy)" "$(at disk@a)" && fail "what was written into a clone is not there"
qemu-img compare -q -f raw -F qcow2 "$(at disk@a)" "$work/first.qcow2" || fail "writing a clone changed its snapshot"

say "a qcow2 image kept on a device"
cess volume create images --type block --size 256M > /dev/null
nbdcopy --flush "$work/first.qcow2" "$(at images)"
qemu-img check -q -f qcow2 "$(at images)" || fail "qemu-img check of an image on the device"
qemu-io -f qcow2 -c 'write -q -P 33 50M 3M' -c 'flush' "$(at images)"
qemu-img check -q -f qcow2 "$(at images)" || fail "qemu-img check after writing"
qemu-io -r -f qcow2 -c 'read -P 33 50M 3M' "$(at images)" | grep -q 'Pattern verification failed' && fail "what was written into the image differs"

say "nbdcopy from a snapshot to a clone of another, nbdinfo and nbdsh beside it"
nbdcopy --flush --connections=4 "$(at disk@a)" "$(at copy)"
qemu-img compare -q -f raw -F raw "$(at copy)" "$(at disk@a)" || fail "nbdcopy from device to device"
nbdinfo --map "$(at disk@a)" | awk '{ at += $2 } END { exit at != 268435456 }' || fail "the map does not cover the device"
nbdinfo --is read-only "$(at disk@a)" && nbdinfo --can multi-conn "$(at copy)" && nbdinfo --can fast-zero "$(at copy)" || fail "nbdinfo"
nbdsh -u "$(at copy)" -c 'h.zero(1 << 27, 1 << 27, nbd.CMD_FLAG_FAST_ZERO)' -c 'h.flush()' -c 'assert h.pread(4096, (1 << 28) - 4096) == bytes(4096)'
gone "$writer" && fail "the writer ended: $(cat "$work/writer.log")"
end_pid "$writer" || fail "fio does not end"
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
grep -q 'error' "$work/writer.log" && fail "the writer met errors: $(cat "$work/writer.log")"
for volume in disk copy images; do cess fsck $volume > /dev/null || cess fsck $volume || fail "cess fsck $volume"; done
say "passed"
