#!/usr/bin/env bash
# durability=local: what was acknowledged while no miner answered is there after a kill; without the disk, a prefix is;
# what another owner went on without is set aside, and said.
. "$(dirname "$0")/lib.sh"
need_fuse
need nbdkit nbdsh aws

start_network --separate --storage 4
cess volume create files --type fs > /dev/null
cess volume create disk --type block --size 256M > /dev/null
local_journals() { find "$work/net" -path '*/local/*' -name '*.journal' | wc -l; }
set_aside() { find "$work/net" -path '*/local/*' -name '*.lost' | wc -l; }
miners() { local i; for i in 1 2 3 4; do node_pid "storage-$i"; done; }
stopped=$(miners)
pids+=($stopped)
silence() { kill -STOP $stopped; }
noise() { kill -CONT $stopped; }

# synced FIRST LAST: writes and fsyncs so many files, each of its own content.
synced() {
    python3 - "$work/mnt" "$1" "$2" << 'END' || { noise; fail "fsync in the silence"; }
import os, sys
where, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(first, last):
    fd = os.open(f"{where}/{i:04}", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"%d " % i * 2000)
    os.fsync(fd)
    os.close(fd)
END
}
# present FIRST LAST: prints how many of the files are there, and fails if one is there behind one that is not.
present() {
    python3 - "$work/mnt" "$1" "$2" << 'END'
import os, sys
where, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
there = [os.path.exists(f"{where}/{i:04}") for i in range(first, last)]
count = there.index(False) if False in there else len(there)
assert not any(there[count:]), there
for i in range(first, first + count - (count < len(there))):  # the last one may be there before its content
    assert open(f"{where}/{i:04}", "rb").read() == b"%d " % i * 2000, i
print(count)
END
}
kill_mount() {
    end_pid "$(mount_pid "$work/mnt")" KILL || true
    umount -l "$work/mnt" 2> /dev/null || fusermount3 -uz "$work/mnt"
}

say "words"
mkdir -p "$work/mnt"
expect 2 'durability is remote or local' cessfs files "$work/mnt" -o durability=fast
expect 2 'durability is remote or local' cess-gateway --durability fast
expect 1 '' nbdkit -U "$work/no.sock" "$plugin" volume=disk durability=fast

say "a filesystem, killed after fsyncs that no miner saw"
mount_volume files "$work/mnt" -o durability=local
synced 0 5
sleep 1
silence
synced 5 40
kill_mount
noise
[ "$(local_journals)" = 1 ] || fail "no local journal"
mount_volume files "$work/mnt"
[ "$(present 0 40)" = 40 ] || fail "lost: $(present 0 40) of 40 are there"
[ "$(local_journals)" = 0 ] || fail "the local journal stayed"
cess umount "$work/mnt"

say "the same, and the disk is lost: a prefix"
mount_volume files "$work/mnt" -o durability=local
synced 40 45
for i in $(seq 100); do [ "$(local_journals)" = 0 ] && break; sleep 0.1; done
[ "$(local_journals)" = 0 ] || fail "what the miners have stays in the local journal"
silence
synced 45 60
kill_mount
rm -rf "$work"/net/*/local "$work"/net/local
noise
mount_volume files "$work/mnt" -o durability=local
kept=$(present 0 60) || fail "not a prefix"
[ "$kept" -ge 45 ] && [ "$kept" -le 60 ] || fail "$kept of 60 files"
synced 45 60
cess umount "$work/mnt"
[ "$(local_journals)" = 0 ] || fail "a clean end leaves a local journal"

say "a hung mount: its journal is not read before it is gone"
mount_volume files "$work/mnt" -o durability=local
mounted=$(mount_pid "$work/mnt")
kill -STOP "$mounted"
mkdir -p "$work/other"
expect 1 'in use by process' cessfs files "$work/other" -o force
kill -CONT "$mounted"

say "another machine takes the volume: what this one knew alone is set aside"
silence
synced 60 70
kill_mount
noise
where=$(dirname "$(dirname "$(find "$work/net" -path '*/local/*' -name '*.journal')")")
mv "$where" "$work/away"
mount_volume files "$work/mnt"
kept=$(present 0 70)
[ "$kept" -lt 70 ] || fail "the miners had it all"
echo theirs > "$work/mnt/theirs"
cess umount "$work/mnt"
rm -rf "$where"
mv "$work/away" "$where"
mount_volume files "$work/mnt" -o durability=local,log="$work/mount.log"
[ "$(cat "$work/mnt/theirs")" = theirs ] || fail "their write is gone"
[ "$(present 0 70)" = "$kept" ] || fail "mixed histories"
[ "$(set_aside)" = 1 ] || fail "$(set_aside) journals set aside"
grep -q 'local journal set aside.*\.lost' "$work/mount.log" || fail "not said: $(cat "$work/mount.log")"
synced 100 105
cess umount "$work/mnt"

say "a block device, killed after flushes that no miner saw"
serve "$work/disk.sock" volume=disk durability=local
silence
nbdsh -u "$(uri "$work/disk.sock")" -c - << 'END' || { noise; fail "flush in the silence"; }
for i in range(64):
    h.pwrite(bytes([i + 1]) * 8192, i << 16, nbd.CMD_FLAG_FUA if i % 2 else 0)
    if i % 2 == 0:
        h.flush()
END
end_pid "$nbd_pid" KILL || true
noise
serve "$work/disk.sock" volume=disk
nbdsh -u "$(uri "$work/disk.sock")" -c - << 'END' || fail "lost after a kill"
for i in range(64):
    assert h.pread(8192, i << 16) == bytes([i + 1]) * 8192, i
END
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"

say "what was set aside of a block device is told, and made a volume of"
[ -z "$(cess volume lost disk)" ] || fail "lost before anything was: $(cess volume lost disk)"
expect 1 'no journal here' cess volume lost disk --stream
serve "$work/disk.sock" volume=disk durability=local
silence
nbdsh -u "$(uri "$work/disk.sock")" -c - << 'END' || { noise; fail "flush in the silence"; }
h.pwrite(b"L" * 8192, 100 << 20, nbd.CMD_FLAG_FUA)
h.pwrite(b"M" * 4096, (100 << 20) + 4096, nbd.CMD_FLAG_FUA)
END
end_pid "$nbd_pid" KILL || true
noise
where=$(dirname "$(dirname "$(find "$work/net" -path '*/local/*' -name '*.journal' | head -n 1)")")
mv "$where" "$work/away"
serve "$work/disk.sock" volume=disk
nbdsh -u "$(uri "$work/disk.sock")" -c 'h.pwrite(b"T" * 4096, 101 << 20, nbd.CMD_FLAG_FUA)' || fail "somebody else's write"
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
rm -rf "$where"
mv "$work/away" "$where"
serve "$work/disk.sock" volume=disk durability=local
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
cess volume lost disk > "$work/out"
[ "$(grep -c '^term [0-9]*: until 20.*written' "$work/out")" = 1 ] || fail "told: $(cat "$work/out")"
cess volume lost disk --ranges | grep -qx '  blob 1 104857600 8192 data' || fail "ranges: $(cess volume lost disk --ranges)"
cess volume lost disk --json --ranges | python3 -c 'import json, sys; j, = json.load(sys.stdin); assert j["damage"] is None and j["elsewhere"] == 0, j'
cess volume lost disk --stream > "$work/lost.stream" || fail "stream of what was lost"
cess import-diff found < "$work/lost.stream" || fail "import of what was lost"
serve "$work/found.sock" volume=found
nbdsh -u "$(uri "$work/found.sock")" -c 'assert h.pread(8192, 100 << 20) == b"L" * 4096 + b"M" * 4096 and h.pread(4096, 101 << 20) == bytes(4096)' || fail "what was lost is not found"
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
expect 1 'no block volume' cess volume lost files --stream
cess volume resize disk 64M --shrink > /dev/null
expect 1 '8(\.0)? KiB of what was written lies past the end.*resize' cess volume lost disk --stream
cess volume resize disk 256M > /dev/null
lost=$(cess volume lost disk --json | python3 -c 'import json, sys; j, = json.load(sys.stdin); print(j["files"][0])')
disk_id=$(cess volume info disk --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
lost=$(find "$work/net" -path "*/local/$disk_id/$lost")
printf 'x' | dd of="$lost" bs=1 seek=20 conv=notrunc status=none
expect 1 'journal of term [0-9]* is incomplete: .*checksum' cess volume lost disk
grep -q 'cannot be read: .*checksum' "$work/out" || fail "the row does not say so: $(cat "$work/out")"

say "a bucket, killed after a 2xx that no miner saw"
# A gateway answers nobody while too few miners have confirmed its term lately: here that is a minute.
{ cat "$work/net/client.toml"; printf '\n[deadlines]\nowner_silence = "60s"\n'; } > "$work/net/patient.toml"
start_gateway --durability local --conf "$work/net/patient.toml"
s3 s3 mb s3://things > /dev/null
echo first | s3 s3 cp - s3://things/first > /dev/null
silence
echo second | s3 s3 cp - s3://things/second > /dev/null || { noise; fail "put in the silence"; }
end_pid "$gateway_pid" KILL || true
noise
start_gateway
[ "$(s3 s3 cp s3://things/second -)" = second ] || fail "an object is lost"
end_pid "$gateway_pid"
say "passed"
