#!/usr/bin/env bash
# The block device: protocol, ext4 over a loop device, verified random I/O, snapshots, clones, refusals.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy nbdsh fio qemu-img

start_network
cess volume create disk --type block --size 1G > /dev/null
cess volume create tree --type fs > /dev/null

say "what is offered"
serve "$work/disk.sock" volume=disk
nbdinfo --json "$(uri "$work/disk.sock")" > "$work/info.json"
python3 - "$work/info.json" << 'END'
import json, sys
e = json.load(open(sys.argv[1]))["exports"][0]
assert e["export-size"] == 1 << 30, e
for k in ("can_multi_conn", "can_fua", "can_flush", "can_trim", "can_zero", "can_fast_zero", "can_cache"):
    assert e[k] is True, (k, e)
assert e["is_read_only"] is False and e["is_rotational"] is False
assert (e["block_size_minimum"], e["block_size_preferred"], e["block_size_maximum"]) == (512, 4096, 32 << 20), e
END

say "holes, data, trim and zero"
nbdsh -u "$(uri "$work/disk.sock")" -c - << 'END'
h.pwrite(b"\x5a" * 65536, 1 << 20)
h.pwrite(b"\xa5" * 512, 4096 + 512, nbd.CMD_FLAG_FUA)
assert h.pread(512, 4608) == b"\xa5" * 512 and h.pread(512, 4096) == bytes(512)
h.trim(32768, 1 << 20)
assert h.pread(65536, 1 << 20) == bytes(32768) + b"\x5a" * 32768
h.zero(4096, (1 << 20) + 32768, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(8192, (1 << 20) + 32768) == bytes(4096) + b"\x5a" * 4096
h.zero(1 << 29, 1 << 29)
h.flush()
END
nbdinfo --map "$(uri "$work/disk.sock")" | grep -q hole || fail "no holes in an almost empty device"

say "verified random I/O over four connections"
fio --name=verify --ioengine=nbd --uri="$(uri "$work/disk.sock")" --rw=randwrite --bsrange=4k-64k --size=48m --offset=64m --iodepth=16 \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --do_verify=1 --fsync=64 --minimal > "$work/fio.log" 2>&1 || { cat "$work/fio.log"; fail "fio --verify"; }

say "copy in and out"
head -c 20M /dev/urandom > "$work/random"
nbdcopy --flush "$work/random" "$(uri "$work/disk.sock")" || fail "nbdcopy in"
qemu-img convert -f raw -O raw "$(uri "$work/disk.sock")" "$work/back"
cmp -n $((20 << 20)) "$work/random" "$work/back" || fail "what was copied differs"

say "a restart keeps everything; SIGTERM stores it"
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
serve "$work/disk.sock" volume=disk
starts_with "$(uri "$work/disk.sock")" "$work/random" || fail "lost after a restart"

say "snapshot under load, read-only export, clone"
cess snapshot create disk@one
nbdsh -u "$(uri "$work/disk.sock")" -c 'h.pwrite(b"new!" * 1024, 0); h.flush()'
end_pid "$nbd_pid"
probe=disk serve "$work/all.sock"
nbdinfo --list "$(uri "$work/all.sock")" > "$work/list"
grep -q 'export="disk"' "$work/list" && grep -q 'export="disk@one"' "$work/list" || fail "exports: $(cat "$work/list")"
starts_with "$(uri "$work/all.sock" disk@one)" "$work/random" || fail "the snapshot changed"
[ "$(nbdsh -u "$(uri "$work/all.sock" disk)" -c 'print(h.pread(512, 0)[:4].decode())')" = 'new!' ] || fail "the head lost its write"
nbdinfo --is read-only "$(uri "$work/all.sock" disk@one)" || fail "a snapshot is writable"
cess clone disk@one copy > /dev/null
nbdsh -u "$(uri "$work/all.sock" copy)" -c 'assert h.pread(512, 0)[:4] != b"new!"; h.pwrite(b"copy" * 128, 0); h.flush()'
starts_with "$(uri "$work/all.sock" disk@one)" "$work/random" || fail "the clone wrote into its base"
end_pid "$nbd_pid"

say "refusals before anything is served"
expect 1 'not found' nbdkit -f -U "$work/x.sock" "$plugin" volume=none
expect 1 'fs|filesystem' nbdkit -f -U "$work/x.sock" "$plugin" volume=tree
expect 1 'snapshot' nbdkit -f -U "$work/x.sock" "$plugin" volume=disk@never
expect 1 'invalid|name' nbdkit -f -U "$work/x.sock" "$plugin" volume=../x
expect 1 'nope.toml' nbdkit -f -U "$work/x.sock" "$plugin" conf="$work/nope.toml"
expect 1 'unknown' nbdkit -f -U "$work/x.sock" "$plugin" colour=blue

need_loop
need_fuse
need nbdfuse mkfs.ext4 e2fsck
say "ext4 over nbdfuse and loop"
serve "$work/disk.sock" volume=disk
touch "$work/image"
mounts+=("$work/image")
nbdfuse "$work/image" "$(uri "$work/disk.sock")" &
pids+=($!)
for _ in $(seq 100); do [ "$(stat -c %s "$work/image")" = $((1 << 30)) ] && break; sleep 0.1; done
loop=$(losetup -f --show "$work/image")
loops+=("$loop")
mkfs.ext4 -q -E nodiscard "$loop"
mkdir "$work/ext4"
mounts+=("$work/ext4")
mount "$loop" "$work/ext4"
cp -r /usr/include/linux "$work/ext4/"
sync -f "$work/ext4"
diff -r /usr/include/linux "$work/ext4/linux" || fail "files on ext4 differ"
umount "$work/ext4"
e2fsck -fn "$loop" > "$work/fsck.log" || { cat "$work/fsck.log"; fail "e2fsck"; }
losetup -d "$loop"
fusermount3 -u "$work/image"
end_pid "$nbd_pid"
say "ext4 after the plugin was killed"
serve "$work/disk.sock" volume=disk
touch "$work/image"
nbdfuse "$work/image" "$(uri "$work/disk.sock")" &
pids+=($!)
for _ in $(seq 100); do [ "$(stat -c %s "$work/image")" = $((1 << 30)) ] && break; sleep 0.1; done
loop=$(losetup -f --show "$work/image")
loops+=("$loop")
mount "$loop" "$work/ext4"
diff -r /usr/include/linux "$work/ext4/linux" || fail "files are lost after a restart"
cp -r /usr/include/linux "$work/ext4/again"
sync -f "$work/ext4"
end_pid "$nbd_pid" KILL
umount -l "$work/ext4" || true
losetup -d "$loop" || true
fusermount3 -uz "$work/image" || true
serve "$work/disk.sock" volume=disk force=true
nbdcopy "$(uri "$work/disk.sock")" "$work/dump"
e2fsck -fy "$work/dump" > "$work/fsck.log" 2>&1 || [ $? = 1 ] || { cat "$work/fsck.log"; fail "e2fsck after a crash"; }
debugfs -R "rdump again $work" "$work/dump" > /dev/null 2>&1
diff -r /usr/include/linux "$work/again" || fail "synced files are lost after the plugin was killed"
cess fsck disk > /dev/null || fail "cess fsck disk"
say "passed"
