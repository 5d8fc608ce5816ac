#!/usr/bin/env bash
# Snapshots as history: what changed, as a list, as an export and as a stream to another network.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdinfo nbdcopy nbdsh qemu-img cmp

there=$work/there  # another network, with an account of its own
on_other() { CESS_CONF=$there/client.toml "$@"; }
other_up=
finish_both() {
    local status=$?
    set +e
    [ -z "$other_up" ] || cess dev down --dir "$there" > /dev/null 2>&1
    (exit $status)
    finish
}
trap finish_both EXIT

start_network
cess dev up --dir "$there" --capacity 2G > "$work/there.log" || fail "a second network"
other_up=yes

say "cess diff"
cess volume create disk --type block --size 64M > /dev/null
cess volume create tree --type fs > /dev/null
with_disk disk '
import os
h.pwrite(os.urandom(8 << 20), 0)
h.flush()'
cess snapshot create disk@one > /dev/null
with_disk disk '
import os
h.pwrite(os.urandom(65536), 1 << 20)
h.zero(1 << 20, 4 << 20)
h.pwrite(os.urandom(4096), 32 << 20)
h.flush()'
cess snapshot create disk@two > /dev/null
[ "$(cess diff disk@one disk@two)" = "1048576 65536 data
4194304 1048576 zero
33554432 4096 data" ] || fail "diff: $(cess diff disk@one disk@two)"
[ -z "$(cess diff disk@two disk@two)" ] || fail "a snapshot differs from itself"
with_disk disk 'h.pwrite(b"x" * 512, 63 << 20); h.flush()'
[ "$(cess diff disk@two)" = "66060288 512 data" ] || fail "diff up to the head"
[ "$(cess diff disk@two disk)" = "66060288 512 data" ] || fail "diff up to the head, named"
cess diff --json disk@one disk@two | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert [x["content"] for x in d] == ["data", "zero", "data"] and d[0]["offset"] == 1 << 20, d'
cess snapshot list disk --json | python3 -c '
import json, sys
assert [s["name"] for s in json.load(sys.stdin)] == ["one", "two"], "a temporary snapshot stayed"'
cess snapshot create tree@now > /dev/null
expect 1 'block volumes' cess diff tree@now
expect 1 'not found' cess diff disk@none
expect 2 'snapshot' cess diff disk

say "the change map over NBD, with stock tools"
image disk@one "$work/one"
image disk@two "$work/two"
serve "$work/map.sock" volume=disk@one..two
map=$(uri "$work/map.sock" disk@one..two)
nbdinfo --is read-only "$map" || fail "a change map is writable"
nbdinfo --map --json "$map" | python3 -c '
import json, sys
changed = [(e["offset"], e["length"], e["type"]) for e in json.load(sys.stdin) if e["type"] != 1]
assert changed == [(1 << 20, 65536, 0), (4 << 20, 1 << 20, 2), (32 << 20, 4096, 0)], changed'
nbdcopy "$map" "$work/whole" && cmp "$work/whole" "$work/two" || fail "the change map has other contents than its snapshot"
qemu-img convert -f raw -O qcow2 "$work/one" "$work/one.qcow2"
qemu-img convert -f raw -O qcow2 -B one.qcow2 -F qcow2 "$map" "$work/two.qcow2" || fail "qemu-img: an incremental backup"
[ "$(stat -c %s "$work/two.qcow2")" -lt $((2 << 20)) ] || fail "the incremental backup holds $(stat -c %s "$work/two.qcow2") bytes"
qemu-img compare -f qcow2 -F raw "$work/two.qcow2" "$work/two" > /dev/null || fail "the incremental backup restores something else"
cp "$work/one" "$work/patched"
nbdsh --base-allocation -u "$map" -c "
import os
out = os.open('$work/patched', os.O_WRONLY)
found = []
def extent(context, offset, entries, error):
    for length, flags in zip(entries[::2], entries[1::2]):
        found.append((offset, length, flags)); offset += length
at = 0
while at < h.get_size():
    del found[:]
    h.block_status(h.get_size() - at, at, extent)
    for offset, length, flags in found:
        if not flags & nbd.STATE_HOLE:
            for part in range(offset, offset + length, 1 << 20):
                n = min(1 << 20, offset + length - part)
                os.pwrite(out, h.pread(n, part), part)
    at = found[-1][0] + found[-1][1]
" || fail "nbdsh: applying the change map"
cmp "$work/patched" "$work/two" || fail "what nbdsh patched differs"
end_pid "$nbd_pid"
expect 1 'snapshot' nbdkit -f -U "$work/x.sock" "$plugin" volume=disk@one..none
expect 1 'change map' nbdkit -f -U "$work/x.sock" "$plugin" volume=disk@one..
expect 1 'name' nbdkit -f -U "$work/x.sock" "$plugin" volume=disk@..two

# import_of FILE VOLUME
import_of() { CESS_CONF=$there/client.toml cess import-diff "$2" < "$1"; }
refused() {  # PATTERN FILE VOLUME
    import_of "$2" "$3" > "$work/out" 2> "$work/err" && fail "accepted: $2 into $3"
    [ "$(wc -l < "$work/err")" = 1 ] && grep -qiE -- "$1" "$work/err" || fail "not refused with /$1/: $(cat "$work/err")"
}
say "a clone is flattened, detached and attached, and its base goes"
cess clone disk@one alone > /dev/null
cess clone disk@two busy > /dev/null
expect 1 'no clone' cess volume flatten disk
expect 1 'clones' cess snapshot rename disk@one other
cess snapshot create busy@own > /dev/null
cess clone busy@own child > /dev/null
expect 1 'busy@own' cess volume flatten busy
cess volume delete child > /dev/null
[ "$(cess volume flatten alone 2> "$work/err")" = "volume alone stands alone now" ] || fail "flatten: $(cat "$work/err")"
[ ! -s "$work/err" ] || fail "something extra in a pipe: $(cat "$work/err")"
expect 1 'no clone' cess volume flatten alone
serve "$work/busy.sock" volume=busy
cess volume flatten busy > /dev/null || fail "flatten of an attached clone"
nbdcopy "$(uri "$work/busy.sock" busy)" "$work/back" && cmp "$work/back" "$work/two" || fail "flattening changed an attached clone"
end_pid "$nbd_pid" || fail "nbdkit did not end"
image alone "$work/back" && cmp "$work/back" "$work/one" || fail "flattening changed a clone"
image busy "$work/back" && cmp "$work/back" "$work/two" || fail "a flattened clone was detached as something else"
cess snapshot rename disk@one uno > /dev/null && cess snapshot rename disk@uno one > /dev/null || fail "a flattened clone holds its base"
cess fsck alone > /dev/null || fail "fsck of a flattened clone"
cess fsck busy > /dev/null || fail "fsck of a flattened clone with a snapshot"
image busy@own "$work/back" && cmp "$work/back" "$work/two" || fail "flattening changed a snapshot of a clone"
cess snapshot delete busy@own > /dev/null
cess volume delete busy > /dev/null

say "to another network: a whole stream, then a difference"
cess export-diff disk@one > "$work/full.stream"
cess export-diff disk@one disk@two > "$work/part.stream" 2> "$work/err" || fail "export-diff: $(cat "$work/err")"
[ ! -s "$work/err" ] || fail "something extra in a pipe: $(cat "$work/err")"
[ "$(stat -c %s "$work/part.stream")" -lt 80000 ] || fail "the difference is $(stat -c %s "$work/part.stream") bytes"
refused 'not found' "$work/part.stream" copy
on_other cess import-diff copy < "$work/full.stream" > /dev/null || fail "import of a whole stream"
CESS_CONF=$there/client.toml image copy@one "$work/back" && cmp "$work/back" "$work/one" || fail "the copy differs"
on_other cess import-diff --json copy < "$work/part.stream" | python3 -c '
import json, sys
r = json.load(sys.stdin)
assert r["snapshot"] == "copy@two" and r["data"] == 69632 and r["zeros"] == 1 << 20 and not r["created"], r' || fail "import of a difference"
CESS_CONF=$there/client.toml image copy@two "$work/back" && cmp "$work/back" "$work/two" || fail "the second copy differs"

say "half a stream, damage, garbage, the wrong base"
refused 'exists' "$work/part.stream" copy
refused 'exists' "$work/full.stream" copy
with_disk disk 'h.pwrite(b"third" * 1024, 5 << 20); h.zero(65536, 1 << 20); h.flush()'
cess snapshot create disk@three > /dev/null
cess export-diff disk@two disk@three > "$work/third.stream"
head -c $(($(stat -c %s "$work/third.stream") - 20)) "$work/third.stream" > "$work/half.stream"
refused 'half a stream.*as copy@two again' "$work/half.stream" copy
CESS_CONF=$there/client.toml image copy "$work/back" && cmp "$work/back" "$work/two" || fail "half a stream changed the volume"
on_other cess snapshot list copy | grep -q three && fail "half a stream made a snapshot"
python3 - "$work" << 'END'
import sys
d = bytearray(open(sys.argv[1] + "/third.stream", "rb").read())
d[len(d) // 2] ^= 1
open(sys.argv[1] + "/damaged.stream", "wb").write(d)
END
refused 'checksum' "$work/damaged.stream" copy
head -c 100000 /dev/urandom > "$work/noise"
refused 'no difference stream' "$work/noise" copy
refused 'no difference stream' /dev/null copy
head -c 3000000 "$work/full.stream" > "$work/half.stream"
refused 'half a stream.*gone again' "$work/half.stream" fresh
expect 1 'not found' env CESS_CONF="$there/client.toml" cess volume info fresh
on_other cess volume create wrong --type block --size 64M > /dev/null
on_other cess snapshot create wrong@two > /dev/null
refused 'not the state' "$work/third.stream" wrong
import_of "$work/third.stream" copy > /dev/null || fail "import after failed ones"
image disk@three "$work/three"
CESS_CONF=$there/client.toml image copy@three "$work/back" && cmp "$work/back" "$work/three" || fail "the third copy differs"
CESS_CONF=$there/client.toml with_disk copy 'h.pwrite(b"y" * 512, 0); h.flush()'
with_disk disk 'h.pwrite(b"four" * 128, 0); h.flush()'
cess snapshot create disk@four > /dev/null
cess export-diff disk@three disk@four > "$work/fourth.stream"
refused 'was changed' "$work/fourth.stream" copy
expect 1 'block volumes' cess export-diff tree@now

say "passed"
