#!/usr/bin/env bash
# cess snapshot rollback on a device and on a filesystem: refused while attached, interrupted in the middle, ended later.
. "$(dirname "$0")/lib.sh"
need_fuse
need nbdkit nbdsh nbdcopy cmp

start_network
cess volume create disk --type block --size 192M > /dev/null
cess volume create files --type fs > /dev/null

say "a device"
with_disk disk '
import os
for i in range(24):
    h.pwrite(os.urandom(4 << 20), i * (4 << 20))
h.flush()'
cess snapshot create disk@one > /dev/null
image disk@one "$work/one"
cess volume limit disk --iops 123456 > /dev/null
with_disk disk '
import os
for i in range(24):
    h.pwrite(os.urandom(4 << 20), i * (4 << 20))
h.trim(1 << 20, 2 << 20)
h.pwrite(b"new!" * 1024, 150 << 20)
h.flush()'
cess snapshot create disk@two > /dev/null
image disk@two "$work/two"
cess volume resize disk 256M > /dev/null

serve "$work/busy.sock" volume=disk
expect 1 'attached.*detach it' cess snapshot rollback disk@one
end_pid "$nbd_pid" || fail "nbdkit did not end"
expect 1 'not found' cess snapshot rollback disk@none
expect 2 'names no snapshot|snapshot' cess snapshot rollback disk
expect 1 'not half rolled back' cess snapshot rollback --abandon disk@one

say "killed in the middle"
for delay in 0.5 0.3 0.2 0.1 0.05; do
    cess snapshot rollback disk@one > "$work/rollback.log" 2>&1 &
    rolling=$!
    pids+=("$rolling")
    sleep "$delay"
    end_pid "$rolling" KILL
    cess volume limit disk > /dev/null 2> "$work/err" || break
    cess snapshot rollback disk@two > /dev/null  # it had ended, or not begun
done
grep -q 'half rolled back to disk@one.*cess snapshot rollback disk@one' "$work/err" || fail "a rollback that was killed: $(cat "$work/err")"
expect 1 'half rolled back' cess snapshot create disk@mixture
cess snapshot rollback disk@one > "$work/out" || fail "the second rollback"
grep -q 'as it was at disk@one' "$work/out" || fail "the second rollback said: $(cat "$work/out")"
image disk "$work/now"
cmp "$work/one" "$work/now" || fail "the device is not what the snapshot is"
image disk@two "$work/now"
cmp "$work/two" "$work/now" || fail "the later snapshot changed"
cess volume limit disk | grep -q 123456 || fail "the device's limits: $(cess volume limit disk)"
cess snapshot rollback disk@two > /dev/null
image disk "$work/now"
cmp "$work/two" "$work/now" || fail "forward again"

say "a filesystem"
mount_volume files "$work/mnt"
cp -r /usr/share/doc/fuse3 "$work/mnt/tree"
ln "$work/mnt/tree/$(ls "$work/mnt/tree" | head -n 1)" "$work/mnt/link"
cp -r "$work/mnt" "$work/before"
cess snapshot create files@before > /dev/null
rm -r "$work/mnt/tree"
dd if=/dev/urandom of="$work/mnt/new" bs=1M count=8 status=none
echo changed > "$work/mnt/link"
expect 1 'attached.*detach it' cess snapshot rollback files@before
cess umount "$work/mnt"
cess snapshot rollback files@before > /dev/null
mount_volume files "$work/mnt"
diff -r "$work/before" "$work/mnt" || fail "the filesystem is not what the snapshot is"
echo after > "$work/mnt/after"
cess umount "$work/mnt"
cess fsck files > /dev/null || fail "fsck"
