#!/usr/bin/env bash
# cess fsck and cess export of a filesystem's records: they count and tell what is there, mounted and in use, unmounted, and after a
# kill, and say what they cannot do.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 setfattr
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
mount_volume home "$m"
pid=$(mount_pid "home $m")

say "one of everything"
python3 - "$m" << 'P'
import os, sys
os.chdir(sys.argv[1])
os.makedirs("a/b/c/d"); os.mkfifo("a/fifo"); os.symlink("x" * 300, "a/link")
for i in range(300):
    with open(f"a/b/{i}", "wb") as f:
        f.write(b"x" * i * 100)
os.link("a/b/7", "a/b/c/seven"); os.setxattr("a/b/8", "user.k", b"v" * 3000); os.rename("a/b/c", "a/c"); os.unlink("a/b/9")
with open("sparse", "wb") as f:
    for i in range(50):
        f.seek(i * 10_000_000); f.write(b"here"); f.truncate()
with open("copy", "wb") as to, open("sparse", "rb") as source:
    os.copy_file_range(source.fileno(), to.fileno(), 1 << 30)
os.mkdir("limited")
P
cess quota set "$m/limited" --size 1G > /dev/null
cp "$m/a/b/299" "$m/limited/" && command -v setfacl > /dev/null && setfacl -m u:1234:r "$m/a/b/10" && setfacl -d -m u:1234:rwx "$m/a/c"
exec 7> "$m/orphan" && rm "$m/orphan" && echo still >&7 && sync "$m/a"

# records VOLUME: checks them; sets the counts.
records() {
    cess fsck "$1" --records --json > "$work/json" || fail "fsck of $1: $(cat "$work/json")"
    eval "$(python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))["records"]
assert r["listed"] == [] and r["flaws"] == 0
for k in "inodes", "entries", "orphans", "quotas", "bytes": print(f"{k}={r[k]}")' "$work/json")"
}

say "mounted"
records home
names=$(find "$m" -mindepth 1 | wc -l)
# One is a second name; the root and the orphan have none.
[ "$entries" = "$names" ] && [ "$inodes" = $((names - 1 + 2)) ] || fail "$entries entries and $inodes inodes of $names names"
[ "$orphans" = 1 ] && [ "$quotas" = 1 ] || fail "$orphans orphans, $quotas quotas"
cess fsck home > "$work/text" || fail "fsck: $(cat "$work/text")"
grep -q '^volume home: .* 0 faults$' "$work/text" && grep -q '^records of home: .* 0 flaws$' "$work/text" || fail "fsck says $(cat "$work/text")"

say "exported"
cess export home > "$work/export" || fail "cess export"
python3 - "$m" "$work/export" << 'P' || fail "cess export tells another tree than the mount shows"
import hashlib, json, os, stat, sys
top, path = sys.argv[1:]
raw = open(path, "rb").read().splitlines(keepends=True)
lines = [json.loads(l) for l in raw]
assert lines[0]["version"] == 1 and lines[0]["volume"] == "home" and "snapshot" not in lines[0]
end = lines[-1]
assert end["end"] and end["sha256"] == hashlib.sha256(b"".join(raw[:-1])).hexdigest()
inodes = {l["inode"]: l for l in lines if "type" in l}
entries, xattrs, mapped = {}, {}, {}
for l in lines:
    if "in" in l: entries.setdefault(l["in"], {})[l["name"]] = l["inode"]
    if "of" in l and "xattr" in l: xattrs.setdefault(l["of"], set()).add(l["xattr"])
    if "of" in l and "offset" in l: mapped.setdefault(l["of"], []).append((l["offset"], l["length"], l["lineage"], l["segment"], l["at"]))
assert len(inodes) == end["inodes"] and sum(map(len, entries.values())) == end["entries"]
names = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
seen = set()
def compare(path, ino):
    s, e = os.lstat(path), inodes[ino]
    seen.add(ino)
    assert s.st_ino == ino and e["type"] == names[stat.S_IFMT(s.st_mode)] and int(e["mode"], 8) == stat.S_IMODE(s.st_mode), path
    assert (e["uid"], e["gid"], e["nlink"], e["size"]) == (s.st_uid, s.st_gid, s.st_nlink, s.st_size), path
    # Of what the kernel wrote back, it keeps the time of the write; here it may be that of the arrival.
    assert 0 <= int(e["mtime"].replace(".", "")) - s.st_mtime_ns < 1_000_000_000, (path, e["mtime"], s.st_mtime_ns)
    assert set(os.listxattr(path, follow_symlinks=False)) == xattrs.get(ino, set()), path
    if e["type"] == "symlink": assert os.readlink(path) == e["target"]
    if e["type"] == "file": assert sum(l for _, l, *_ in mapped.get(ino, [])) == e["allocated"] and (e["allocated"] + 511) // 512 == s.st_blocks, path
    if e["type"] == "directory":
        assert set(os.listdir(path)) == set(entries.get(ino, {})), path
        for name, child in entries.get(ino, {}).items(): compare(os.path.join(path, name), child)
compare(top, 1)
assert len(set(inodes) - seen) == 1, "the orphan alone has no name"
at = lambda name: mapped[os.stat(os.path.join(top, name)).st_ino]
assert [x[2:] for x in at("sparse")] == [x[2:] for x in at("copy")], "a copy shares its bytes"
P
cess snapshot create home@kept > /dev/null
cess export home@kept > "$work/export-1" && cess export home@kept | cmp - "$work/export-1" || fail "two exports of a snapshot differ"
grep -q '"snapshot":"kept","sequence":' "$work/export-1" || fail "the export does not say of what it is"
expect 1 'standard output' sh -c 'exec cess export home > /dev/full'

say "while it is changed"
(
    cd "$m"
    for i in $(seq 100000); do
        [ -e "$work/enough" ] && break
        mkdir "t$i" && echo "$i" > "t$i/f" && ln "t$i/f" "t$i/g" && mv "t$i/g" "limited/g$i" 2> /dev/null || true
        mv "t$i" "a/c/t$i" && rm "a/c/t$i/f" && truncate -s "$i" "copy"
    done
) > /dev/null 2>&1 &
writer=$!
pids+=("$writer")
for i in 1 2 3; do records home; done
touch "$work/enough"
wait "$writer"

say "after a kill, and unmounted"
exec 7>&-
kill -KILL "$pid"
umount -l "$m"
for i in $(seq 100); do gone "$pid" && break; sleep 0.1; done
records home
mount_volume home "$m"
umount.fuse.cessfs "$m"
records home
[ "$orphans" = 0 ] || fail "$orphans orphans after a mount that ended"
[ -z "$(cess snapshot list home | grep -E 'cess-(fsck|export)')" ] || fail "a temporary snapshot stays"

say "what has no records"
cess volume create disk --type block --size 64M > /dev/null
cess volume create empty --type fs > /dev/null
records empty
[ "$inodes" = 0 ] || fail "an empty volume has $inodes inodes"
expect 1 'no filesystem' cess fsck disk --records
expect 1 'not found' cess fsck nothing --records
expect 1 'block' cess export disk
expect 1 'not found' cess export home@nothing
[ "$(cess export empty | wc -l)" = 2 ] || fail "the export of an empty volume"
cess fsck disk > "$work/text" && ! grep -q records "$work/text" || fail "fsck of a disk"
say "passed"
