#!/usr/bin/env bash
# .snapshots: every snapshot of a mounted volume, entered beside the head while that is in use.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 tar sha256sum
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
s=$m/.snapshots
chmod 755 "$work"
mount_volume home "$m" -o allow_other

# hashes DIR: of all that is in it.
hashes() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2 && find . -printf '%y %m %p %l\n' | sort); }
# refused PATTERN COMMAND...
refused() { local p=$1; shift; "$@" > "$work/out" 2> "$work/err" && fail "not refused: $*"; grep -qiE -- "$p" "$work/err" || fail "$*: $(cat "$work/err")"; }

say "an empty directory that is not listed"
[ -d "$s" ] && [ -z "$(ls -A "$s")" ] || fail "no empty .snapshots"
! ls -A "$m" | grep -q snapshots || fail ".snapshots is listed"
refused 'exists' mkdir "$s"
refused 'permitted|exists|directory' mv "$(mktemp -p "$work")" "$s/file"
mkdir "$m/x" && refused 'permitted' python3 -c "import os; os.rename('$m/x', '$s')" && rmdir "$m/x"
refused 'permitted' rmdir "$s"
refused 'permitted' touch "$s/file"

say "snapshots taken by mkdir hold what was written before, while the head is being written"
mkdir "$m/tree" "$m/busy"
(while [ ! -e "$work/stop" ]; do dd if=/dev/urandom of="$m/busy/$RANDOM" bs=64K count=4 status=none 2> /dev/null; rm -f "$m"/busy/1*; done) &
writer=$!
pids+=("$writer")
for i in $(seq 30); do
    mkdir -p "$m/tree/d$((i % 5))"
    head -c $((i * 3000)) /dev/urandom > "$m/tree/d$((i % 5))/f$i"
    ln -s "to $i" "$m/tree/link$i"
    [ $i -lt 8 ] || rm "$m/tree/d$(((i - 7) % 5))/f$((i - 7))"
    hashes "$m/tree" > "$work/then.$i"
    mkdir "$s/s$i" || fail "mkdir of snapshot $i"
done
[ "$(ls "$s" | wc -l)" = 30 ] && [ "$(cess snapshot list home | grep -c 's[0-9]')" = 30 ] || fail "$(ls "$s" | wc -l) snapshots of 30"
for i in $(seq 30); do
    hashes "$s/s$i/tree" | cmp - "$work/then.$i" || fail "snapshot $i is another tree"
done
open=$(find "$(sed -n 's/^directory *= *"\(.*\)"/\1/p' "$CESS_CONF")/volumes" -mindepth 1 -maxdepth 1 -type d | wc -l)
[ "$open" -gt 1 ] && [ "$open" -le 9 ] || fail "$open volumes and snapshots are open, of at most 1 and 8"
for i in 3 17 29 8; do hashes "$s/s$i/tree" | cmp - "$work/then.$i" & ps[$i]=$!; done
for i in 3 17 29 8; do wait "${ps[$i]}" || fail "snapshot $i is another tree while others are read"; done
exec 5< "$s/s30/tree/d0/f30" && for i in $(seq 1 12); do ls "$s/s$i/tree/d1" > /dev/null; done
cmp /dev/fd/5 "$m/tree/d0/f30" || fail "an open file of a snapshot lost it"
exec 5<&-
touch "$work/stop"
wait "$writer" || true

say "much that only the kernel holds, and several at once"
head -c 150M /dev/urandom > "$m/large"
for i in 1 2 3; do mkdir "$s/large$i" & ps[$i]=$!; done
for i in 1 2 3; do wait "${ps[$i]}" || fail "one of several mkdir at once"; done
for i in 1 2 3; do cmp "$m/large" "$s/large$i/large" || fail "a snapshot lacks what was written before it"; done
rmdir "$s"/large{1,2,3} && rm "$m/large"
python3 - "$m" << 'P' || fail "a snapshot lacks what a file that is still open holds"
import mmap, os, sys
os.chdir(sys.argv[1])
for i in range(5):
    data = os.urandom(8 << 20)
    with open("open", "wb+") as f:
        f.write(data)
        f.flush()
        with mmap.mmap(f.fileno(), 0) as mapped:
            mapped[5 << 20:(5 << 20) + 6] = b"mapped"
            os.mkdir(f".snapshots/open{i}")
            expected = mapped[:]
    assert open(f".snapshots/open{i}/open", "rb").read() == expected, i
    os.rmdir(f".snapshots/open{i}")
os.unlink("open")
P
mkdir "$m/box" && cess quota set "$m/box" --size 1M && ! dd if=/dev/zero of="$m/box/much" bs=1M count=8 status=none 2> /dev/null || fail "a full quota takes everything"
mkdir "$s/full" && rmdir "$s/full" || fail "somebody's full quota keeps others from taking snapshots"
cess quota clear "$m/box" && rm -r "$m/box"
peak=$(awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$(mount_pid "$m")/status")
[ "$peak" -le 512 ] || fail "the mount took $peak MiB"

say "inode numbers are those of one tree only"
[ "$(stat -c %i "$m")" != "$(stat -c %i "$s/s1")" ] || fail "a snapshot's root has the number of the head's"
find "$m/tree" "$s/s9" "$s/s30" -printf '%i\n' | sort | uniq -d | grep . && fail "inode numbers repeat"
ls -liR "$s/s1" > /dev/null || fail "ls -li"
find "$s"/s{1,15,30} -printf '%i %P\n' > "$work/numbers"

say "copying out, and nothing into"
cp -a "$s/s12/tree" "$m/restored" && hashes "$m/restored" | cmp - "$work/then.12" || fail "cp -a out of a snapshot"
cp --reflink=auto "$s/s30/tree/d0/f30" "$m/reflinked" && cmp "$m/reflinked" "$s/s30/tree/d0/f30" || fail "cp --reflink=auto"
python3 - "$s/s30/tree/d0/f30" "$m/ranged" <<'P' || fail "copy_file_range out of a snapshot"
import os, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as to:
    size = os.fstat(source.fileno()).st_size
    while (n := os.copy_file_range(source.fileno(), to.fileno(), size)) > 0: pass
assert open(sys.argv[1], "rb").read() == open(sys.argv[2], "rb").read()
P
mkdir "$work/moved" && refused 'read-only' mv "$s/s1/tree" "$work/moved/"
refused 'read-only' touch "$s/s1/new"
refused 'read-only' rm "$s/s1/tree/link1"
refused 'read-only' chmod 777 "$s/s1/tree"
refused 'cross-device' ln "$s/s1/tree/d1/f1" "$m/hardlink"
[ "$(stat -c %Z "$s/s1")" -ge $(($(date +%s) - 600)) ] || fail "a snapshot's ctime is not that of its making"

say "walks of the tree do not enter it"
! tar -C "$m" -cf - . | tar -tf - | grep -q snapshots || fail "tar packs .snapshots"
! find "$m" -name 's[0-9]*' | grep . || fail "find enters .snapshots"

say "mkdir's and rmdir's errors"
refused 'exists' mkdir "$s/s1"
refused 'invalid' mkdir "$s/No.Good_name"
cess clone home@s2 stands > /dev/null
refused 'busy' rmdir "$s/s2"
refused 'no such' rmdir "$s/none"
if [ "$(id -u)" = 0 ]; then
    refused 'denied|permitted' setpriv --reuid 4242 --clear-groups mkdir "$s/theirs"
    refused 'denied|permitted' setpriv --reuid 4242 --clear-groups rmdir "$s/s3"
    setpriv --reuid 4242 --clear-groups ls "$s/s3" > /dev/null || fail "others may read what permissions let them read"
fi

say "deleted while somebody is in it"
(
    cd "$s/s4/tree" && exec 3< d4/f4
    rmdir "$s/s4" || exit 1
    ! cat d4/f4 > /dev/null 2> "$work/err" || exit 2
    grep -qiE 'stale|no such' "$work/err" || exit 3
    ! ls d1 > /dev/null 2>&1 || exit 4
    timeout 20 dd bs=1 count=1 iflag=direct <&3 > /dev/null 2> "$work/err" && exit 5
    grep -qiE 'stale|no such' "$work/err" || exit 6
) || fail "after a deletion: $? $(cat "$work/err")"
[ ! -e "$s/s4" ] && ! ls "$s" | grep -qx s4 || fail "a deleted snapshot is still there"
cess snapshot delete home@s5 > /dev/null && sleep 1.1
refused 'no such|stale' ls "$s/s5"
! ls "$s" | grep -qx s5 || fail "what cess snapshot delete deleted is listed"
mkdir "$s/s4" && [ -e "$s/s4/restored" ] && [ ! -e "$s/s5" ] || fail "a name is used again"
cess snapshot create home@other > /dev/null && [ -d "$s/other/tree" ] || fail "what cess snapshot create made is not there"
cess snapshot rename home@other another > /dev/null && sleep 1.1 && [ -d "$s/another/tree" ] && [ ! -e "$s/other" ] || fail "rename"

say "a remount"
before=$(stat -c %i "$s/another")
umount.fuse.cessfs "$m"
mount_volume home "$m" -o ro,allow_other
find "$s"/s{1,15,30} -printf '%i %P\n' | cmp - "$work/numbers" || fail "other inode numbers after a remount"
refused 'read-only' mkdir "$s/t"
refused 'read-only' rmdir "$s/s1"
umount.fuse.cessfs "$m"
mount_volume home "$m" -o allow_other

say "the head does not wait for snapshots that cannot be opened now"
net=$(node_pid network)
for i in $(seq 6 30); do
    (cd "$s/s$i/tree" && touch "$work/in.$i" && until [ -e "$work/go" ]; do sleep 0.1; done && exec ls > /dev/null) &
    ps[$i]=$!
done
for i in $(seq 6 30); do for try in $(seq 100); do [ -e "$work/in.$i" ] && break; sleep 0.1; done; done
kill -STOP "$net"
touch "$work/go"
for i in $(seq 6 30); do  # until all are at it: at most 8 of the snapshots are open, and FUSE has 16 threads
    for try in $(seq 100); do gone "${ps[$i]}" || [ "$(cat "/proc/${ps[$i]}/comm" 2> /dev/null)" = ls ] && break; sleep 0.1; done
done
sleep 1
timeout 5 sh -c "mkdir $m/alive && echo yes > $m/alive/f && ls $m/alive && cat $m/alive/f" > "$work/alive" || alive=no
kill -CONT "$net"
[ -z "${alive-}" ] || fail "the head waits"
for i in $(seq 6 30); do wait "${ps[$i]}" || fail "snapshot $i cannot be entered after the network was away for a moment"; done

say "killed"
exec 4< "$s/s7/tree/d2/f7"
mkdir "$s/last"
pid=$(mount_pid "$m")
kill -KILL "$pid"
for i in $(seq 100); do gone "$pid" && break; sleep 0.1; done
exec 4<&-
umount -l "$m" 2> /dev/null || fusermount3 -uz "$m"
mount_volume home "$m" -o force,allow_other
[ -d "$s/last" ] || fail "a snapshot is lost"
[ "$(stat -c %i "$s/another")" = "$before" ] || fail "another number after a death"
for i in 1 7 30; do hashes "$s/s$i/tree" | cmp - "$work/then.$i" || fail "snapshot $i is another tree after a death"; done
umount.fuse.cessfs "$m"

say "without it, and of a snapshot"
mount_volume home "$m" -o nosnapdir
[ ! -e "$s" ] && echo mine > "$s" || fail "nosnapdir"
umount.fuse.cessfs "$m"
mount_volume home "$m"
[ "$(cat "$s")" = mine ] || fail "an entry of that name is hidden"
umount.fuse.cessfs "$m"
mount_volume home@s1 "$m"
[ ! -e "$s" ] || fail "a snapshot has snapshots"
umount.fuse.cessfs "$m"
say "passed"
