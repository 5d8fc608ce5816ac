#!/usr/bin/env bash
# cess import: what was exported becomes a filesystem again, without a byte copied, beside the one it came from and after that one has
# gone on; what cannot be is refused, and leaves nothing.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 setfattr
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
mount_volume home "$m"

say "one of everything"
python3 - "$m" << 'P'
import os, sys
os.chdir(sys.argv[1])
os.makedirs("a/b/c"); os.mkfifo("a/fifo"); os.symlink("x" * 300, "a/link"); os.mknod("a/socket", 0o140644)
try: os.mknod("a/null", 0o20640, os.makedev(1, 3)); os.chown("a/fifo", 1234, 5678)
except PermissionError: pass
for i in range(200):
    with open(f"a/b/{i}", "wb") as f: f.write(bytes([i]) * i * 100)
os.link("a/b/7", "a/b/c/seven"); os.setxattr("a/b/8", "user.k", bytes(range(256)) * 10); os.setxattr("a", "user.d", b"")
os.utime("a/b/9", ns=(123456789123456789, -5_000_000_001)); os.chmod("a/b/10", 0o4711)
with open("sparse", "wb") as f:
    for i in range(50):
        f.seek(i * 10_000_000); f.write(b"here")
    f.truncate(1 << 33)
with open("big", "wb") as f: f.write(os.urandom(20 << 20))
with open("copy", "wb") as to, open("big", "rb") as source: os.copy_file_range(source.fileno(), to.fileno(), 5 << 20)
open(b"\xff\n\"", "w").close()
os.mkdir("limited")
P
cess quota set "$m/limited" --size 1G --files 50 > /dev/null
cp "$m/a/b/199" "$m/limited/" && mkdir "$m/limited/sub" && command -v setfacl > /dev/null && setfacl -m u:1234:r "$m/a/b/11" && setfacl -d -m u:1234:rwx "$m/a/b/c"
cess trash set "$m" 5 && rm "$m/a/b/12"
exec 7> "$m/orphan" && rm "$m/orphan"
python3 -c "import sys; [open('$m/limited/f' + str(i), 'w').write('x') for i in range(20)]"

# tree DIR: all that can be seen of it.
tree() {
    python3 - "$1" << 'P'
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
def holes(path, size):
    out, at = [], 0
    with open(path, "rb") as f:
        while at < size:
            try: data = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError: break
            at = os.lseek(f.fileno(), data, os.SEEK_HOLE)
            f.seek(data); out.append((data, at, hashlib.sha256(f.read(at - data)).hexdigest()))
    return out
def show(path, name):
    s = os.lstat(path)
    more = ""
    if stat.S_ISLNK(s.st_mode): more = os.readlink(path)
    elif stat.S_ISREG(s.st_mode): more = holes(path, s.st_size)
    xattrs = [(n, os.getxattr(path, n, follow_symlinks=False)) for n in sorted(os.listxattr(path, follow_symlinks=False))]
    print(name, s.st_ino, oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_size, s.st_blocks, s.st_mtime_ns, s.st_ctime_ns, xattrs, more)
    if stat.S_ISDIR(s.st_mode):
        for child in os.listdir(path): show(os.path.join(path, child), name + b"/" + child)  # in the order of the listing
show(top, b"")
show(os.path.join(top, b".trash"), b"trash")
P
}
limits() { cess quota list "$1" | tail -n +2 | sed "s#^$1##" | tr -s ' '; }
# same VOLUME: it is sound, and mounted it is what the first mount was.
same() {
    cess fsck "$1" > "$work/text" || fail "fsck of $1: $(cat "$work/text")"
    mount_volume "$1" "$work/$1"
    tree "$work/$1" > "$work/tree-$1" || fail "the tree of $1"
    diff "$work/tree" "$work/tree-$1" > "$work/diff" || fail "$1 differs: $(head -c 2000 "$work/diff")"
    [ "$(limits "$work/$1")" = "$quotas" ] || fail "quotas: $(limits "$work/$1"), not $quotas"
    [ "$(cess trash info "$work/$1")" = "what is deleted is kept for 5 days" ] || fail "trash: $(cess trash info "$work/$1")"
}

say "exported and imported"
cess snapshot create home@kept > /dev/null  # the kernel has written all of it back now
exec 7>&-
umount.fuse.cessfs "$m"
mount_volume home "$m"
quotas=$(limits "$m")
tree "$m" > "$work/tree"
cess export home@kept > "$work/stream"
cess import again < "$work/stream" > "$work/said" || fail "cess import"
grep -q '^volume again: [0-9]* inodes, .* of data shared with home@kept$' "$work/said" || fail "import says $(cat "$work/said")"
same again
echo new > "$work/again/new" && mkdir "$work/again/a/dir" && mv "$work/again/a/b/7" "$work/again/a/dir/" && echo more >> "$work/again/big"
umount.fuse.cessfs "$work/again"
cess fsck again --records > "$work/text" || fail "fsck after changes: $(cat "$work/text")"

say "from a later snapshot, whose files have the bytes elsewhere"
mv "$m/big" "$m/bigger" && head -c 1M "$m/a/b/199" > "$m/new" && cp --reflink=never "$m/a/b/150" "$m/other" && rm -r "$m/limited/sub"
python3 - "$m" << 'P'
import os, sys
os.chdir(sys.argv[1])
with open("kept", "wb") as to, open("bigger", "rb") as source: os.copy_file_range(source.fileno(), to.fileno(), 20 << 20)
os.truncate("bigger", 0)
P
cess snapshot create home@later > /dev/null
cess import moved --from home@later --json < "$work/stream" > "$work/said" || fail "cess import --from"
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["base"] == "home@later" and r["moved"] >= 1, r' "$work/said" || fail "$(cat "$work/said")"
same moved
umount.fuse.cessfs "$work/moved"

say "edited"
python3 - "$work/stream" > "$work/edited" << 'P'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
for line in lines:
    if "type" in line: line["uid"] = 77
    line.pop("sha256", None)
    print(json.dumps(line))
P
cess import edited < "$work/edited" > /dev/null || fail "an edited stream"
mount_volume edited "$work/edited-mnt"
[ "$(stat -c %u "$work/edited-mnt/a/b/20")" = 77 ] || fail "an edit is lost"
umount.fuse.cessfs "$work/edited-mnt"

say "what is refused leaves nothing"
# refused PATTERN STREAM [OPTIONS]
refused() {
    local pattern=$1 stream=$2
    shift 2
    expect 1 "$pattern" sh -c 'exec cess import no "$@" < "$0"' "$stream" "$@"
    cess volume list | grep -E 'cess-import|^no ' && fail "a volume stays"
    return 0
}
head -n -1 "$work/stream" > "$work/torn" && refused 'not complete' "$work/torn"
head -c 5000 "$work/stream" > "$work/torn" && refused 'not complete' "$work/torn"
sed '0,/"nlink":1/s//"nlink":2/' "$work/stream" > "$work/damaged" && refused 'hash is of another' "$work/damaged"
head -c 100K /dev/urandom > "$work/garbage" && refused 'stream' "$work/garbage"
refused 'not complete' /dev/null
expect 1 'exists' sh -c 'exec cess import again < "$0"' "$work/stream"
cess export home > "$work/head" && expect 2 'say which one' sh -c 'exec cess import no < "$0"' "$work/head"
sed 's/"sequence": [0-9]*/"sequence": 1/' "$work/edited" > "$work/other" && refused 'another snapshot' "$work/other"
sed 's/"snapshot": "kept"/"snapshot": "none"/' "$work/edited" > "$work/other" && refused 'not found' "$work/other"
cp "$work/edited" "$work/other" && sed -i '0,/"name": "199"/s//"name": "198"/' "$work/other" && refused 'twice' "$work/other"
rm "$m/a/b/180" && rm "$m"/.trash/*/*-180 && head -c 9M /dev/urandom > "$m/kept" && cess snapshot create home@without > /dev/null
refused 'no file there names' "$work/stream" --from home@without

say "the base stays while it is shared"
expect 1 '' cess snapshot delete home@kept
umount.fuse.cessfs "$m"
cess volume delete again > /dev/null && cess volume delete edited > /dev/null && cess snapshot delete home@kept > /dev/null || fail "the base is not let go"
same moved
umount.fuse.cessfs "$work/moved"
say "passed"
