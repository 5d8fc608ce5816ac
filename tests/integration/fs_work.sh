#!/usr/bin/env bash
# Real work on the mount: a C project built and checked, git, SQLite with WAL; then kill -9 and everything compared.
#     CESS_SOURCES: a folder with a zlib source tarball (zlib_*.orig.tar.*); without one it is fetched by apt, and where
#     that cannot be, a project made here is built instead.
. "$(dirname "$0")/lib.sh"
need_fuse
need git sqlite3 python3 make cc
start_network
cess volume create work --type fs > /dev/null
m=$work/mnt
mount_volume work "$m"

fetch_sources() {
    mkdir -p "$work/apt/lists/partial" "$work/apt/src"
    . /etc/os-release
    printf 'deb-src http://deb.debian.org/debian %s main\n' "$VERSION_CODENAME" > "$work/apt/sources.list"
    local o=(-o "Dir::Etc::sourcelist=$work/apt/sources.list" -o "Dir::Etc::sourceparts=-" -o "Dir::State::lists=$work/apt/lists")
    timeout 120 apt-get "${o[@]}" update > /dev/null 2>&1 || return 1
    (cd "$work/apt/src" && timeout 120 apt-get "${o[@]}" source --download-only zlib > /dev/null 2>&1)
}

make_project() {
    local i
    mkdir -p "$1" && cd "$1"
    for i in $(seq 200); do printf '#include <string.h>\nint f%d(const char *s) { return (int)strlen(s) + %d; }\n' "$i" "$i" > "f$i.c"; done
    { echo '#include <stdio.h>'; for i in $(seq 200); do echo "int f$i(const char *);"; done
      echo 'int main(void) { int n = 0;'; for i in $(seq 200); do echo "n += f$i(\"x\");"; done; echo 'printf("%d\n", n); return n != 20300; }'; } > main.c
    printf 'OBJ=$(patsubst %%.c,%%.o,$(wildcard *.c))\nprog: $(OBJ)\n\t$(CC) -o $@ $^\ntest: prog\n\t./prog\n' > Makefile
}

say "a C project"
tarball=$(ls "${CESS_SOURCES:-/nonexistent}"/zlib_*.orig.tar.* 2> /dev/null | grep -v asc | head -n 1 || true)
if [ -z "$tarball" ] && fetch_sources; then tarball=$(ls "$work"/apt/src/zlib_*.orig.tar.* | grep -v asc | head -n 1); fi
if [ -n "$tarball" ]; then
    mkdir "$m/src" && tar -xf "$tarball" -C "$m/src" --strip-components=1
    (cd "$m/src" && ./configure > /dev/null && make -j2 test) > "$work/build.log" 2>&1 || fail "the build: $(tail -n 3 "$work/build.log")"
    grep -q 'zlib test OK' "$work/build.log" || fail "zlib's own test"
else
    say "no zlib source to be had: building a project made here"
    (make_project "$m/src" && make -j2 test) > "$work/build.log" 2>&1 || fail "the build: $(tail -n 3 "$work/build.log")"
fi

say "git"
export GIT_CONFIG_NOSYSTEM=1
git -c init.defaultBranch=main init -q "$m/repo"
cd "$m/repo"
git config user.name test && git config user.email test@localhost
for i in $(seq 20); do mkdir -p "d$i" && seq "$i" 3000 > "d$i/f" && git add . && git commit -qm "change $i"; done
git gc -q && git fsck --strict > /dev/null 2>&1 || fail "git fsck"
git clone -q "$m/repo" "$m/clone" && git -C "$m/clone" fsck > /dev/null 2>&1 && [ -z "$(git -C "$m/clone" status --porcelain)" ] || fail "the clone"
cd /

say "SQLite with WAL"
python3 - "$m/x.db" <<'P'
import sqlite3, sys, threading
path = sys.argv[1]
c = sqlite3.connect(path)
assert c.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
c.execute("create table t(w int, n int, text text)"); c.commit()
def work(w):
    mine = sqlite3.connect(path, timeout=120)
    for n in range(60):
        mine.execute("insert into t values(?, ?, ?)", (w, n, "x" * 500)); mine.commit()
threads = [threading.Thread(target=work, args=(w,)) for w in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert c.execute("select count(*) from t").fetchone()[0] == 240
assert c.execute("pragma integrity_check").fetchone()[0] == "ok"
P

say "kill -9, again and again: what fsync and rename promised"
for round in 1 2 3; do
    rm -f "$work/acknowledged" && touch "$work/acknowledged"
    python3 - "$m" "$work/acknowledged" "$round" <<'P' &
import hashlib, os, sys
mnt, log, round = sys.argv[1:]
out = open(log, "w")
try:
    for n in range(10**6):
        data = os.urandom(1 + n * 997 % 20000)
        path = f"{mnt}/r{round}-{n % 50}"
        with open(path + ".new", "wb") as f:
            f.write(data)
            if n % 2 == 0:
                f.flush(); os.fsync(f.fileno())
        os.rename(path + ".new", path)
        if n % 10 == 0:
            d = os.open(mnt, os.O_RDONLY); os.fsync(d); os.close(d)
            print("synced", n, file=out, flush=True)
        else:
            print("wrote", path, len(data), hashlib.sha256(data).hexdigest(), file=out, flush=True)
except OSError:
    pass
P
    writer=$!
    sleep 3
    kill -9 "$(mount_pid "$m")"
    wait "$writer" || true
    umount -l "$m"
    mount_volume work "$m"
    grep -q synced "$work/acknowledged" || fail "the writer never came to an fsync"
    python3 - "$m" "$work/acknowledged" <<'P' || fail "round $round"
import hashlib, os, sys
mnt, log = sys.argv[1:]
# Of each name: the versions written, and which was the last before the last fsync that returned.
versions, floor, last = {}, {}, {}
for line in open(log):
    word = line.split()
    if word[0] == "synced":
        floor.update({p: len(v) - 1 for p, v in versions.items()})
    elif len(word) == 4:
        versions.setdefault(word[1], []).append((int(word[2]), word[3]))
for path, known in versions.items():
    if not os.path.exists(path):
        assert path not in floor, ("lost", path)
        continue
    data = open(path, "rb").read()
    digest = hashlib.sha256(data).hexdigest()
    places = [i for i, v in enumerate(known) if v == (len(data), digest)]
    # The very last rename may have happened without being logged: then its content is not known here.
    if not places:
        assert len(data) > 0, ("empty after rename", path)
        continue
    assert max(places) >= floor.get(path, 0), ("older than the fsync", path)
P
done
git -C "$m/clone" fsck > /dev/null 2>&1 || fail "git fsck after the crashes"
[ "$(sqlite3 "$m/x.db" 'pragma integrity_check; select count(*) from t')" = $'ok\n240' ] || fail "SQLite after the crashes"
umount.fuse.cessfs "$m"
say "passed"
