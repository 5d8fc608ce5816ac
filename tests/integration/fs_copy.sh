#!/usr/bin/env bash
# cess copy: everything a tree has, in a copy that shares its bytes; whole or not at all, whatever refuses, interrupts or kills it.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 setfacl setfattr fallocate
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
chmod 755 "$work"
mount_volume home "$m" -o allow_other
mkdir "$m/box"

no_leftovers() { [ -z "$(find "$m" -name '.cess-copy-*')" ] || fail "$1 leaves $(find "$m" -name '.cess-copy-*')"; }

# Prints all that one can know of a tree, but for inode numbers, ctime, and when directories and links were read.
cat > "$work/tell.py" << 'P'
import hashlib, os, stat, sys
top, first = os.fsencode(sys.argv[1]), {}

def holes(path, size):
    out, at, f = [], 0, os.open(path, os.O_RDONLY | os.O_NOATIME)
    while at < size:
        try:
            at = os.lseek(f, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(f, at, os.SEEK_HOLE)
        hashed, where = hashlib.sha256(), at
        while where < end:
            part = os.pread(f, min(1 << 20, end - where), where)
            hashed.update(part); where += len(part)
        out.append((at, end, hashed.hexdigest()))
        at = end
    os.close(f)
    return out

def tell(path, name):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    same = first.setdefault(s.st_ino, name)
    said = [name, oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev, same]
    if kind != stat.S_IFDIR: said += [s.st_size, s.st_blocks]
    said += [os.readlink(path)] if kind == stat.S_IFLNK else [] if kind == stat.S_IFDIR else [s.st_atime_ns]
    if kind == stat.S_IFREG: said += holes(path, s.st_size)
    said += sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in os.listxattr(path, follow_symlinks=False))
    print(*map(repr, said))
    if kind == stat.S_IFDIR:
        back = os.open(".", os.O_PATH)
        os.chdir(path)  # paths may be longer than one may say
        for n in sorted(os.listdir(".")): tell(os.fsencode(n), name + b"/" + os.fsencode(n))
        os.fchdir(back); os.close(back)

tell(top, b"")
P
same_tree() {
    python3 "$work/tell.py" "$1" > "$work/one" && python3 "$work/tell.py" "$2" > "$work/two" || fail "a tree cannot be read"
    cmp -s "$work/one" "$work/two" || fail "$2 is not $1: $(diff "$work/one" "$work/two" | head -n 6 | cut -c -400)"
}

say "all kinds of files, with all they have"
python3 - "$m/tree" << 'P'
import os, socket, stat, sys
os.mkdir(sys.argv[1]); os.chdir(sys.argv[1])
def write(name, data, at=0):
    with open(name, "wb") as f:
        f.seek(at); f.write(data)
write("empty", b""); write("small", b"small\n"); write("odd", os.urandom(12345)); write(b"bytes \xff\n", b"name")
write("sparse", b"end", 1 << 40); os.truncate("sparse", (1 << 40) + 10_000_000)
with open("sparse", "r+b") as f: f.seek(5_000_000); f.write(os.urandom(100_000))
write("hole", b""); os.truncate("hole", 3_000_000)
write("tail", os.urandom(8192)); os.truncate("tail", 3_000_000_000)
os.symlink("t" * 4000, "long"); os.symlink("nowhere", "dangling"); os.symlink("..", "up")
os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("sock")
os.makedirs("a/b/c"); write("a/b/c/deep", b"deep"); os.link("a/b/c/deep", "a/link"); os.link("small", "a/b/small"); os.link("a/b/c/deep", "z")
os.link("long", "a/long"); os.link("fifo", "a/fifo")
write("a/outside", b"x"); os.link("a/outside", "../box/outside")
os.setxattr("small", "user.k", b"v" * 65536); os.setxattr("a", "user.of a directory", b"\0\1")
at = "."
for i in range(40): at += "/" + "d" * 200; os.mkdir("d" * 200); os.chdir("d" * 200)
write("far", b"away"); os.link("far", sys.argv[1] + "/near")
os.chdir(sys.argv[1])
if os.getuid() == 0:
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)); os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(259, 1 << 18))
    os.chown("odd", 1234, 4321); os.chmod("odd", 0o6755); os.lchown("up", 1234, 4321); os.chown("a/b", 7, 8); os.chmod("a/b", 0o7555)
    os.setxattr("dangling", "trusted.link", b"t", follow_symlinks=False); os.setxattr("null", "trusted.device", b"d")
    os.setxattr("odd", "security.capability", bytes.fromhex("0100000202000000000000000000000000000000"))
P
setfacl -m u:99:rwx,g:98:r-x,m::r-x "$m/tree/small" "$m/tree/a"
setfacl -d -m u:97:rwx "$m/tree/a"
python3 - "$m/tree" << 'P'
import os, sys
for n, (where, directories, names, fd) in enumerate(os.fwalk(sys.argv[1], topdown=False)):
    for name in directories + names:
        n += 1
        os.utime(name, ns=(10**18 + n * 1_000_000_007, 10**18 - n * 999_999_937), dir_fd=fd, follow_symlinks=False)
os.utime(sys.argv[1], ns=(1, 2_000_000_003))
P
setfacl -d -m u:96:rwx "$m/box" && chmod g+s "$m/box" && chgrp 77 "$m/box" 2> /dev/null || true  # a copy takes nothing over from where it is put
cess copy "$m/tree" "$m/box/copy" > "$work/said" || fail "cess copy"
grep -Eq '^[0-9]+ files and directories copied, sharing ' "$work/said" || fail "cess copy says: $(cat "$work/said")"
same_tree "$m/tree" "$m/box/copy"
cess copy --json "$m/tree" "$m/box" | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["entries"] == int(sys.argv[1]) and 110_000 < d["bytes"] < 1_000_000, d' "$(find "$m/tree" -printf . | wc -c)" || fail "cess copy --json"
same_tree "$m/tree" "$m/box/tree"
cess copy "$m/tree/odd" "$m/box/odd" > /dev/null
same_tree "$m/tree/odd" "$m/box/odd"
cess copy "$m/tree/long" "$m/box" > /dev/null
[ "$(readlink "$m/box/long")" = "$(readlink "$m/tree/long")" ] || fail "a link is copied as what it is"
(cd "$m/tree" && cess copy . ../here > /dev/null)
same_tree "$m/tree" "$m/here"
echo more >> "$m/here/small"
[ "$(cat "$m/tree/small" "$m/tree/a/b/small")" = $'small\nsmall' ] || fail "a copy is the original"
no_leftovers "a copy"

say "what is written and not yet stored is copied"
python3 - "$m/tree/open" "$m/taken" << 'P'
import os, subprocess, sys
f = open(sys.argv[1], "wb"); f.write(b"x" * 3_000_000); f.flush(); f.seek(9_000_000); f.write(b"y" * 5000); f.flush()
subprocess.run(["cess", "copy", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
assert open(sys.argv[2], "rb").read() == b"x" * 3_000_000 + bytes(6_000_000) + b"y" * 5000
assert os.stat(sys.argv[2]).st_blocks * 512 < 3_100_000
P

say "no byte of a tree is stored again"
mkdir "$m/heavy"
python3 - "$m/heavy" << 'P'
import os, sys
for i in range(100):
    with open(f"{sys.argv[1]}/{i}", "wb") as f: f.write(os.urandom(2 << 20))
P
metrics=$(grep -ho 'http://.*/metrics' "$work/net/log/network.log" | head -n 1)
# What the miners were sent by the time all is stored.
received() {
    cess snapshot create "home@$1" > /dev/null
    python3 -c 'import re, sys, urllib.request
text = urllib.request.urlopen(sys.argv[1], timeout=30).read().decode()
print(sum(int(float(n)) for n in re.findall(r"^cess_storage_received_bytes_total(?:{.*})? (\S+)$", text, re.M)))' "$metrics"
}
of_home() { cess volume info --json home | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
sync "$m/heavy"
before=$(received before) data=$(of_home stored) mapped=$(of_home mapped)
cess copy "$m/heavy" "$m/light" > /dev/null
after=$(received after)
say "200 MiB copied: the miners are sent $((after - before)) bytes, $(($(of_home stored) - data)) of data, $(($(of_home mapped) - mapped)) mapped"
[ "$(($(of_home mapped) - mapped))" -ge $((200 << 20)) ] || fail "the copy does not have its bytes"
[ "$(($(of_home stored) - data))" -lt $((1 << 20)) ] || fail "bytes were stored again: $(($(of_home stored) - data))"
[ "$before" -gt $((200 << 20)) ] && [ "$((after - before))" -lt $((2 << 20)) ] || fail "the miners were sent $((after - before)) bytes"
diff -r "$m/heavy" "$m/light" || fail "the copy of a heavy tree differs"
rm -r "$m/heavy" && cess copy "$m/light" "$m/heavy" > /dev/null && cmp "$m/light/99" "$m/heavy/99" || fail "a copy outlives its original"

say "refusals"
echo there > "$m/box/there" && ln -s nowhere "$m/box/dangling"
expect 1 'box/there: already exists' cess copy "$m/tree" "$m/box/there"
expect 1 'box/dangling: already exists' cess copy "$m/tree" "$m/box/dangling"
expect 1 'box/tree: already exists' cess copy "$m/tree" "$m/box"
expect 1 'box/there: already exists' cess copy "$m/tree/small" "$m/box/there"
[ "$(cat "$m/box/there")" = there ] || fail "a refused copy writes"
expect 2 'lies within' cess copy "$m/tree" "$m/tree/a/b/new"
expect 2 'lies within' cess copy "$m/tree" "$m/tree"
expect 2 'lies within' cess copy "$m" "$m/box"/whole
expect 2 'needs a name' cess copy "$m/tree/." "$m/box"
expect 1 'no such file' cess copy "$m/nothing" "$m/box/new"
expect 1 'no such file' cess copy "$m/tree" "$m/no/where"
expect 1 'not in a filesystem that cessfs mounted' cess copy "$work/home" "$m/box/new"
expect 1 'in two filesystems, which share no bytes' cess copy "$m/tree" "$work/new"
cess volume create other --type fs > /dev/null && mount_volume other "$work/other"
expect 1 'in two filesystems, which share no bytes' cess copy "$m/tree" "$work/other"
expect 1 'is in a snapshot' cess copy "$m/.snapshots/before/tree" "$m/box/new"
expect 1 '' cess copy "$m/tree" "$m/.snapshots/before/new"
if [ "$(id -u)" = 0 ]; then
    mkdir "$m/light/inner" && mounts+=("$m/light/inner") && mount -t tmpfs none "$m/light/inner"
    expect 1 'light/inner is in another filesystem' cess copy "$m/light" "$m/box/new"
    umount "$m/light/inner" && rmdir "$m/light/inner"
fi
[ ! -e "$m/box/new" ] && [ ! -e "$work/new" ] || fail "a refused copy is there"
no_leftovers "a refusal"

say "a full quota, a full volume"
mkdir "$m/full" && cess quota set "$m/full" --size 1M --files 50
expect 1 'nothing is copied: .*full/new.*: quota exceeded' cess copy "$m/light" "$m/full/new"
expect 1 'nothing is copied: .*full/new.*: quota exceeded' cess copy "$m/tree" "$m/full/new"
[ -z "$(ls -A "$m/full")" ] || fail "what did not fit leaves $(ls -A "$m/full")"
cess quota list --json "$m" | grep -q '"bytes": 0' || fail "what did not fit still counts: $(cess quota list "$m")"
cess quota set "$m/full" --size 1G --files 0
cess copy "$m/light" "$m/full" > /dev/null
cess quota list --json "$m" | python3 -c 'import json, sys; [q] = json.load(sys.stdin); assert q["bytes"] == 200 << 20 and q["files"] == 102, q' || fail "a copy counts in its quota"

cess volume create small --type fs --size 16M > /dev/null && mount_volume small "$work/small"
head -c 10M /dev/urandom > "$work/small/one"
expect 1 'nothing is copied: .*small/two: No space left' cess copy "$work/small/one" "$work/small/two"
[ "$(ls -A "$work/small")" = one ] || fail "what did not fit a volume leaves $(ls -A "$work/small")"
umount.fuse.cessfs "$work/small"

if [ "$(id -u)" = 0 ]; then
    say "who is not root keeps what he copies, without what only root may give"
    mkdir -m 777 "$m/users"
    as_user=(setpriv --reuid 4242 --regid 4242 --clear-groups --inh-caps=-all --bounding-set=-all "$CESS_BIN/cess")
    "${as_user[@]}" copy "$m/tree/odd" "$m/users/odd" > /dev/null || fail "a user copies what he may read"
    [ "$(stat -c '%u %g %a' "$m/users/odd")" = '4242 4242 755' ] || fail "a user's copy: $(stat -c '%u %g %a' "$m/users/odd")"
    cmp "$m/tree/odd" "$m/users/odd" && [ -z "$(getfattr -d -m - "$m/users/odd" 2> /dev/null)" ] || fail "a user's copy has capabilities"
    mkdir "$m/light/sub" && touch "$m/light/sub/file" && chmod 555 "$m/light/sub" && install -m 600 /dev/null "$m/light/secret"
    expect 1 'nothing is copied: .*light/secret: ' "${as_user[@]}" copy "$m/light" "$m/users/light"
    [ "$(ls -A "$m/users")" = odd ] || fail "a refused copy of a user leaves $(ls -A "$m/users")"
    expect 1 'Permission denied' "${as_user[@]}" copy "$m/tree/odd" "$m/light/odd"
fi

say "interrupted"
mkdir "$m/many" && python3 -c 'import os, sys
for i in range(20000): os.close(os.open(f"{sys.argv[1]}/{i}", os.O_CREAT | os.O_WRONLY))' "$m/many"
begun() { for i in $(seq 300); do [ "$(ls -A "$m/many.copy" "$m" 2> /dev/null | grep -c '^\.cess-copy-')" = 1 ] && sleep 0.3 && return; sleep 0.02; done; fail "no copy begins"; }
cess copy "$m/many" "$m/many.copy" > "$work/said" 2> "$work/err" &
pids+=($!) && begun && kill -INT $! && code=0 && wait $! || code=$?
[ "$code" = 1 ] && grep -qi '^cess: nothing is copied: .*interrupted' "$work/err" || fail "SIGINT ends it with $code: $(cat "$work/said" "$work/err")"
[ ! -e "$m/many.copy" ] || fail "an interrupted copy is there"
no_leftovers "SIGINT"
cess copy "$m/many" "$m/many.copy" > /dev/null &
pids+=($!) && begun && kill -KILL $! && ! wait $! 2> /dev/null || fail "no copy to kill"
[ ! -e "$m/many.copy" ] && [ "$(find "$m" -maxdepth 1 -name '.cess-copy-*' | wc -l)" = 1 ] || fail "a killed copy looks whole: $(ls -A "$m")"
rm -r "$m"/.cess-copy-*

say "names that move meanwhile"
ln "$m/many/3" "$m/many/three"
python3 - "$m/many" << 'P' &
import os, sys, time
os.chdir(sys.argv[1])
while True:  # what comes again is at the end of the listing, and so in it twice
    for i in range(8):
        os.rename(f"{i}", "../moved"); os.rename("../moved", f"{i}"); time.sleep(0.001)
P
mover=$! && pids+=($mover)
cess copy --json "$m/many" "$m/many.copy" > "$work/said" || fail "a file that comes and goes ends the copy"
kill $mover && wait $mover 2> /dev/null || true
found=$(find "$m/many.copy" -printf . | wc -c)
[ "$found" -ge 19994 ] && grep -q "\"entries\": $found\b" "$work/said" || fail "of 20,002 names $found are there: $(cat "$work/said")"

say "all of it after a remount"
umount.fuse.cessfs "$m"
mount_volume home "$m" -o ro
rm -f "$work/one"
same_tree "$m/box/copy" "$m/box/tree"
diff -r "$m/full/light" "$m/heavy" || fail "copies differ after a remount"
umount.fuse.cessfs "$m"
umount.fuse.cessfs "$work/other"
say "passed"
