#!/usr/bin/env bash
# Quotas of directories as programs meet them: refusals at the limit, a df that tells the truth, names that do not cross,
# counting what is there while it changes and across a kill, and a database that survives a full quota.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 getfattr setfattr
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
chmod 755 "$work"
mount_volume home "$m" -o allow_other

# value DIR KEY: of the quota as cess quota list --json tells it.
value() {
    cess quota list "$m" --json | python3 -c 'import json, sys
for q in json.load(sys.stdin):
    if q["directory"] == sys.argv[1]: print(q[sys.argv[2]])' "$1" "$2"
}
# recount DIR: the quota says what a walk finds. Each file's last block may be there in part.
recount() {
    sync -f "$m" 2> /dev/null || true  # tells again of what was refused
    python3 - "$1" "$(value "$1" bytes)" "$(value "$1" files)" "$(value "$1" counting)" << 'P' || fail "the quota of $1 does not count what is there"
import os, sys
top, bytes_, files, counting = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
seen = {}
def look(path):
    s = os.lstat(path)
    seen[s.st_ino] = s.st_blocks * 512
look(top)
for where, directories, names in os.walk(top):
    for name in directories + names:
        look(os.path.join(where, name))
blocks = sum(seen.values())
assert counting == "False", counting
assert files == len(seen), (files, len(seen))
assert bytes_ <= blocks < bytes_ + 512 * len(seen), (bytes_, blocks)
P
}

say "setting, listing, and what is refused"
mkdir -p "$m/box/sub" "$m/other" "$m/a b"
cess quota set "$m/box" --size 8M --files 100
cess quota set "$m/a b" --files 5
[ "$(value "$m/box" max_bytes) $(value "$m/box" files) $(value "$m/a b" max_files)" = "8388608 2 5" ] || fail "list: $(cess quota list "$m")"
cess quota list "$m" | grep -Eq "^$m/box +0 B +8 MiB +2 +100 +counted$" || fail "list: $(cess quota list "$m")"
cess quota set "$m/a b" --size 1M --files none
[ "$(getfattr --only-values -n cess.quota.max_bytes "$m/a b" 2> /dev/null)" = 1048576 ] || fail "the xattr of a quota"
[ -z "$(getfattr -d -m - "$m/box" 2> /dev/null)" ] || fail "quotas are listed as xattrs: cp -a would copy them"
expect 1 'lies in the tree of another quota, or holds one' cess quota set "$m/box/sub" --size 1M
expect 1 'lies in the tree of another quota, or holds one' cess quota set "$m" --size 1M
expect 1 'not in a mounted CESS filesystem' cess quota set "$work" --size 1M
expect 1 'no such file' cess quota set "$m/nowhere" --size 1M
expect 1 'has no quota' cess quota clear "$m/box/sub"
expect 2 'is missing' cess quota set "$m/box"
expect 2 '' cess quota set "$m/box" --size lots
expect 2 'not where a filesystem is mounted' cess quota list "$m/box"
cess quota clear "$m/a b"
[ -z "$(value "$m/a b" bytes)" ] || fail "cleared, and still listed"
if [ "$(id -u)" = 0 ]; then
    chmod 777 "$m/box" "$m/other"
    expect 1 'for who mounted' setpriv --reuid 4242 --clear-groups "$CESS_BIN/cess" quota set "$m/box" --size 1G
    expect 1 'for who mounted' setpriv --reuid 4242 --clear-groups "$CESS_BIN/cess" quota list "$m"
fi

say "bytes up to the limit, and df"
df_of() { df -B1 --output="$1" "$m/box/sub" | tail -n 1 | tr -d ' '; }
[ "$(df_of size) $(df_of used) $(df_of avail) $(df_of iavail)" = "8388608 0 8388608 98" ] || fail "df of an empty quota: $(df "$m/box/sub")"
[ "$(df -B1 --output=size "$m" | tail -n 1)" -gt 8388608 ] || fail "df outside of a quota tells the quota"
timeout 60 dd if=/dev/zero of="$m/box/endless" bs=64k count=100000 2> "$work/err" && fail "a full quota takes everything"
grep -q 'Disk quota exceeded' "$work/err" || fail "a full quota refuses with: $(cat "$work/err")"
recount "$m/box"
used=$(value "$m/box" bytes)
[ "$used" -gt 6000000 ] && [ "$used" -le 8388608 ] || fail "a full quota of 8M holds $used"
[ "$(df_of used)" = "$(((used + 4095) / 4096 * 4096))" ] || fail "df of a full quota: $(df_of used), not $used"
! cp "$CESS_BIN/cess" "$m/box/big" 2> "$work/err" || fail "cp into a full quota succeeds"
grep -Eq 'Disk quota exceeded|No space left' "$work/err" || fail "cp into a full quota says: $(cat "$work/err")"
dd if=/dev/zero of="$m/other/free" bs=1M count=20 conv=fsync status=none || fail "another directory is refused too"
rm -f "$m/box/endless" "$m/box/big"
[ "$(df_of used)" = 0 ] || fail "rm does not give back: $(df_of used)"
dd if=/dev/zero of="$m/box/fits" bs=1M count=8 conv=fsync status=none || fail "a quota with room again takes nothing"
dd if=/dev/zero of="$m/box/fits" bs=1M count=8 conv=fsync,notrunc status=none || fail "writing again takes more"
! cp /etc/passwd "$m/box/more" 2> "$work/err" || fail "cp into a quota without a byte left succeeds"
grep -q 'writing.*Disk quota exceeded' "$work/err" || fail "the first byte past a quota is taken: $(cat "$work/err")"
rm "$m/box/more"
truncate -s 1M "$m/box/fits" && [ "$(df_of avail)" = $((7 << 20)) ] || fail "truncate gives back"
truncate -s 1T "$m/box/sparse" && recount "$m/box"
cp --reflink=auto "$m/box/fits" "$m/box/copy" && sync -f "$m" && [ "$(value "$m/box" bytes)" = $((2 << 20)) ] || fail "a copy counts"
fallocate -p -o 0 -l 512K "$m/box/copy" && [ "$(value "$m/box" bytes)" = $((3 << 19)) ] || fail "a hole gives back"

say "files up to the limit"
for i in $(seq 200); do touch "$m/box/sub/$i" 2> "$work/err" || break; done
grep -q 'Disk quota exceeded' "$work/err" || fail "files without end: $(cat "$work/err")"
[ "$(value "$m/box" files) $(df_of iavail)" = "100 0" ] || fail "files: $(cess quota list "$m")"
expect 1 'quota exceeded' mkdir "$m/box/sub/d"
expect 1 'quota exceeded' ln -s x "$m/box/sub/l"
rm -r "$m/box/sub" && mkdir "$m/box/sub" && recount "$m/box"

say "names that would cross"
python3 - "$m" << 'P'
import errno, os, sys
os.chdir(sys.argv[1])
def refuses(f, *a):
    try:
        f(*a)
    except OSError as e:
        assert e.errno == errno.EXDEV, (errno.errorcode[e.errno], a)
    else:
        raise AssertionError(a)
refuses(os.rename, "box/fits", "other/fits"); refuses(os.rename, "other/free", "box/free"); refuses(os.rename, "box/sub", "sub")
refuses(os.link, "box/fits", "other/fits"); refuses(os.link, "other/free", "box/free")
os.link("box/fits", "box/sub/fits"); os.rename("box/sub/fits", "box/again"); os.rename("box", "box2"); os.rename("box2", "box")
P
recount "$m/box"
echo moved > "$m/other/note" && mv "$m/other/note" "$m/box/note" && [ "$(cat "$m/box/note")" = moved ] && [ ! -e "$m/other/note" ] || fail "mv into a quota"
mv "$m/box/note" "$m/other/note" && [ -e "$m/other/note" ] && recount "$m/box" || fail "mv out of a quota"

say "a database at its limit"
python3 - "$m" << 'P'
import os, sqlite3, subprocess, sys
m = sys.argv[1]
os.mkdir(f"{m}/db")
subprocess.run(["cess", "quota", "set", f"{m}/db", "--size", "2M"], check=True)
rows, refused = 0, None
db = sqlite3.connect(f"{m}/db/one")
db.execute("create table t (n integer primary key, text)")
db.commit()
try:
    for n in range(3000):
        db.execute("insert into t values (?, ?)", (n, "x" * 2000))
        if n % 10 == 9:
            db.commit()
            rows = n + 1
except sqlite3.Error as e:
    refused = e
assert refused is not None and rows > 100, (refused, rows)
print("refused after", rows, "rows:", refused)
try:
    db.close()
except sqlite3.Error:
    pass
subprocess.run(["cess", "quota", "set", f"{m}/db", "--size", "64M"], check=True)
db = sqlite3.connect(f"{m}/db/one")
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
count, = db.execute("select count(*) from t").fetchone()
assert rows <= count <= rows + 10 and count % 10 == 0, (rows, count)
db.execute("insert into t values (9999, 'again')")
db.commit()
P
recount "$m/db"

say "a tree that is there, while others write into it"
python3 - "$m/tree" << 'P'
import os, sys
for d in range(40):
    os.makedirs(f"{sys.argv[1]}/{d}/deep/er")
    for i in range(100):
        with open(f"{sys.argv[1]}/{d}/deep/{i}", "w") as f:
            f.write("x" * (i * 10))
    os.link(f"{sys.argv[1]}/{d}/deep/1", f"{sys.argv[1]}/{d}/deep/er/1")
P
cat > "$work/writer.py" << 'P'
import errno, os, random, sys
top, until = sys.argv[1], sys.argv[2]
random.seed(1)
n = 0
while not os.path.exists(until):
    n += 1
    where, to = (f"{top}/{random.randrange(40)}/deep" for _ in range(2))
    try:
        with open(f"{where}/new{random.randrange(50)}", "w") as f:
            f.write("y" * random.randrange(5000))
        os.rename(f"{where}/{random.randrange(100)}", f"{to if n % 2 else where}/{random.randrange(100)}")
        os.unlink(f"{where}/{random.randrange(100)}")
    except FileNotFoundError:
        pass
    except OSError as e:
        if e.errno != errno.EXDEV:  # a name may not cross while its tree is being counted
            raise
print(n)
P
python3 "$work/writer.py" "$m/tree" "$work/enough" > "$work/writer.log" 2>&1 &
writer=$!
pids+=("$writer")
sleep 0.5
for i in 1 2 3; do
    cess quota set "$m/tree" --size 1G
    [ "$(value "$m/tree" counting)" = False ] || fail "set returns before all is counted"
    [ $i = 3 ] || cess quota clear "$m/tree"
done
touch "$work/enough"
wait "$writer" || fail "the writer: $(tail -n 1 "$work/writer.log")"
recount "$m/tree"

say "kill -9 while a tree is counted"
cess quota clear "$m/tree"
setfattr -n cess.quota.max_files -v 1 "$m/tree"
sync "$m/tree"  # the quota is durable, and what is counted by then
kill -KILL "$(mount_pid "$m")"
umount -l "$m" 2> /dev/null || fusermount3 -uz "$m"
mount_volume home "$m" -o allow_other,force
say "after the kill: $(cess quota list "$m" | grep "$m/tree ")"
for i in $(seq 300); do [ "$(value "$m/tree" counting)" = False ] && break; sleep 0.1; done
recount "$m/tree"
recount "$m/box"
expect 1 'quota exceeded' mkdir "$m/tree/more"
cess quota set "$m/tree" --files none --size 1G && mkdir "$m/tree/more" || fail "a raised limit lets nobody in"

say "reading in a full quota"
mkdir "$m/full" && cess quota set "$m/full" --size 64K && ! dd if=/dev/zero of="$m/full/filler" bs=64K count=2 conv=fsync status=none 2> /dev/null
python3 - "$m/full/lock" << 'P' || fail "a full quota hinders who only reads"
import os, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert os.read(f, 100) == b"" and os.lseek(f, 0, os.SEEK_END) == 0
P
cess quota clear "$m/full" && rm -r "$m/full"

say "a quota goes with its directory"
rm -r "$m/tree" "$m/db" "$m/box"
[ "$(cess quota list "$m" --json)" = '[]' ] || fail "left: $(cess quota list "$m")"
umount.fuse.cessfs "$m"
say "passed"
