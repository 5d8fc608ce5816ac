#!/usr/bin/env bash
# The mount as programs see it: file types, links, renames, holes, mmap, xattrs, permissions, big directories, snapshots,
# and the ways to mount and unmount.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 getfattr setfattr curl
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
chmod 755 "$work"  # other users are to reach the mount
mount_volume home "$m" -o allow_other
pid=$(pgrep -f "cessfs home $m" | head -n 1)

say "what is mounted"
grep -q "^home $m fuse.cessfs rw," /proc/mounts || fail "/proc/mounts: $(grep "$m" /proc/mounts)"

say "files, links, renames, holes, mmap, xattrs"
python3 - "$m" <<'P'
import ctypes, errno, fcntl, mmap, os, socket, stat, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)

def refuses(number, f, *a, **k):
    try:
        f(*a, **k)
    except OSError as e:
        assert e.errno == number, (errno.errorcode[e.errno], f, a)
    else:
        raise AssertionError(("not refused", f, a))

def write(path, data):
    with open(path, "wb") as f:
        f.write(data)

def rename(a, b, flags):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")

os.mkfifo("fifo"); assert stat.S_ISFIFO(os.stat("fifo").st_mode)
s = socket.socket(socket.AF_UNIX); s.bind("sock"); assert stat.S_ISSOCK(os.stat("sock").st_mode)
if os.getuid() == 0:
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)); assert open("null", "rb").read() == b""
os.symlink("x" * 4000, "link"); assert os.readlink("link") == "x" * 4000

write("a", b"one"); os.link("a", "b")
assert os.stat("a").st_nlink == 2 and os.stat("a").st_ino == os.stat("b").st_ino
write("c", b"two")
refuses(errno.EEXIST, rename, "c", "a", 1)
rename("c", "a", 2); assert open("c").read() == "one" and open("a").read() == "two"
os.rename("c", "b"); assert open("b").read() == "one" and os.stat("b").st_nlink == 1 or os.path.exists("c")
os.mkdir("d1"); os.mkdir("d1/d2"); refuses(errno.EINVAL, os.rename, "d1", "d1/d2/x"); refuses(errno.ENOTEMPTY, os.rmdir, "d1")
os.rename("d1/d2", "d2"); assert os.stat("d1").st_nlink == 2 and os.stat("d2/..").st_ino == os.stat(".").st_ino
refuses(errno.ENAMETOOLONG, write, "n" * 256, b""); write("n" * 255, b"")

with open("sparse", "wb+") as f:
    f.seek(1 << 40); f.write(b"end"); f.flush()
    assert os.lseek(f.fileno(), 0, os.SEEK_DATA) == 1 << 40, "dirty pages are data"
    assert os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 0
    f.flush(); os.fsync(f.fileno())
    assert os.fstat(f.fileno()).st_blocks < 100
    f.truncate(10); f.seek(0); assert f.read() == bytes(10)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    f.seek(0); f.write(b"A" * 20000); f.flush()
    assert libc.fallocate(f.fileno(), 3, 4096, 8192) == 0
    f.seek(0); assert f.read() == b"A" * 4096 + bytes(8192) + b"A" * (20000 - 12288)
    assert libc.fallocate(f.fileno(), 0, 0, 50000) == 0 and os.fstat(f.fileno()).st_size == 50000
with open("copy", "wb") as to, open("sparse", "rb") as source:
    n = os.copy_file_range(source.fileno(), to.fileno(), 50000); assert n == 50000
assert open("copy", "rb").read() == open("sparse", "rb").read()

with open("map", "wb+") as f:
    f.write(bytes(100000)); f.flush()
    shared = mmap.mmap(f.fileno(), 0); shared[50000:50005] = b"mmap!"; shared.flush()
    private = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE); private[0:1] = b"x"
    f.seek(50000); assert f.read(5) == b"mmap!"; f.seek(0); assert f.read(1) == b"\0"

f = open("gone", "wb+"); f.write(b"still"); f.flush(); os.unlink("gone"); f.seek(0); assert f.read() == b"still" and os.fstat(f.fileno()).st_nlink == 0
with open("append", "ab") as a1, open("append", "ab") as a2:
    for i in range(100):
        a1.write(b"1"); a1.flush(); a2.write(b"2"); a2.flush()
assert open("append").read() == "12" * 100
os.utime("a", ns=(5_000_000_000_123_456_789, 5_000_000_000_987_654_321)); assert os.stat("a").st_mtime_ns == 5_000_000_000_987_654_321

os.setxattr("a", "user.k", b"v"); refuses(errno.EEXIST, os.setxattr, "a", "user.k", b"w", os.XATTR_CREATE)
refuses(errno.ENODATA, os.setxattr, "a", "user.z", b"w", os.XATTR_REPLACE); refuses(errno.ENODATA, os.getxattr, "a", "user.z")
os.setxattr("a", "user.big", b"b" * 65536); assert len(os.getxattr("a", "user.big")) == 65536 and sorted(os.listxattr("a")) == ["user.big", "user.k"]
os.removexattr("a", "user.k"); refuses(errno.EOPNOTSUPP, os.setxattr, "a", "system.nonsense", b"v")

with open("lock", "w") as l1, open("lock", "w") as l2:
    fcntl.flock(l1, fcntl.LOCK_EX); refuses(errno.EAGAIN, fcntl.flock, l2, fcntl.LOCK_EX | fcntl.LOCK_NB)

os.mkdir("big")
for i in range(20000):
    os.close(os.open(f"big/{i}", os.O_CREAT | os.O_WRONLY))
seen = []
with os.scandir("big") as it:
    for n, e in enumerate(it):
        seen.append(e.name)
        if n % 100 == 0:
            write(f"big/new{n}", b"")
assert len(seen) == len(set(seen)) and set(map(str, range(20000))) <= set(seen)
space = os.statvfs("."); assert 0 < space.f_bfree <= space.f_blocks and space.f_namemax == 255
P

if [ "$(id -u)" = 0 ]; then
    say "permissions, setgid, setuid, sticky"
    mkdir -m 1777 "$m/tmp" && mkdir "$m/shared" && chgrp 1234 "$m/shared" && chmod 2775 "$m/shared"
    touch "$m/shared/f" && [ "$(stat -c %g "$m/shared/f")" = 1234 ] || fail "setgid directories pass on their group"
    cp /bin/true "$m/suid" && chmod 4755 "$m/suid" && chown 99 "$m/suid" && [ "$(stat -c %a "$m/suid")" = 755 ] || fail "chown clears setuid"
    chmod 4777 "$m/suid" && setpriv --reuid 4242 --clear-groups sh -c "echo x >> $m/suid" && [ "$(stat -c %a "$m/suid")" = 777 ] || fail "a write clears setuid"
    touch "$m/tmp/mine" && chmod 600 "$m/tmp/mine"
    ! setpriv --reuid 4242 --clear-groups cat "$m/tmp/mine" 2> /dev/null || fail "permissions are checked"
    ! setpriv --reuid 4242 --clear-groups rm -f "$m/tmp/mine" 2> /dev/null || fail "sticky directories protect others' files"
fi

say "snapshots"
echo before > "$m/note" && sync "$m/note"
cess snapshot create home@one > /dev/null
echo after > "$m/note"
mount_volume home@one "$work/snap"
[ "$(cat "$work/snap/note")" = before ] || fail "a snapshot shows what was"
! touch "$work/snap/x" 2> /dev/null || fail "a snapshot is read-only"
umount.fuse.cessfs "$work/snap"

say "metrics"
stats=$m/.stats
# metric NAME FILE: the value of a line of metrics.
metric() { awk -v name="$1" '$1 == name { print $2 }' "$2"; }
! ls -a "$m" | grep -q '^\.stats$' || fail ".stats is listed"
[ "$(stat -c '%a %u %s %F' "$stats")" = "400 $(id -u) 0 regular empty file" ] || fail ".stats is $(stat -c '%a %u %s %F' "$stats")"
cat "$stats" > "$work/one" && grep -q '^# TYPE cess_fs_operation_seconds histogram$' "$work/one" || fail "cat .stats"
for name in 'cess_fs_operation_seconds_count{op="lookup"}' 'cess_fs_operation_seconds_count{op="rename"}' 'cess_fs_errors_total{op="setxattr"}' \
    cess_fs_read_bytes_total cess_fs_written_bytes_total cess_fs_inodes 'cess_volume_changes_total{volume="home"}'; do
    [ "$(metric "$name" "$work/one")" -gt 0 ] || fail "$name is $(metric "$name" "$work/one")"
done
for name in 'cess_cache_hits_total{tier="memory"}' 'cess_volume_buffer_bytes{volume="home"}' 'cess_volume_unstored_bytes{volume="home"}' cess_fs_open_files; do
    [ -n "$(metric "$name" "$work/one")" ] || fail "no $name"
done
echo counted > "$m/counted" && sync "$m/counted"
cat "$stats" > "$work/two"
more() { echo $(($(metric "$1" "$work/two") - $(metric "$1" "$work/one"))); }
[ "$(more 'cess_fs_operation_seconds_count{op="create"}')" = 1 ] || fail "one file made, $(more 'cess_fs_operation_seconds_count{op="create"}') counted"
[ "$(more cess_fs_written_bytes_total)" = 8 ] || fail "8 bytes written, $(more cess_fs_written_bytes_total) counted"
# What other threads than FUSE's answer, as they do for snapshots, is counted too; a .stats does not count itself.
cat "$stats" > "$work/one" && [ "$(cat "$m/.snapshots/one/note")" = before ] && cat "$stats" > "$work/two"
[ "$(more 'cess_fs_operation_seconds_count{op="open"}')" = 2 ] || fail "2 files opened, $(more 'cess_fs_operation_seconds_count{op="open"}') counted"
python3 - "$stats" << 'P' || fail "an open .stats changes"
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
first = os.pread(f, 1 << 20, 0)
os.listdir(os.path.dirname(sys.argv[1]))
assert first and os.pread(f, 1 << 20, 0) == first and os.pread(f, 10, len(first)) == b"" and os.pread(f, 10, 5) == first[5:15]
assert os.lseek(f, 0, os.SEEK_HOLE) == len(first) and os.lseek(f, 3, os.SEEK_DATA) == 3
P
cp "$stats" "$work/copied" && [ "$(grep -c '^#' "$work/copied")" = "$(grep -c '^#' "$work/one")" ] || fail "cp .stats"
for change in "rm -f $stats" "mv $stats $m/other" "mv -T $m/counted $stats" "ln $m/counted $stats" "chmod 644 $stats" "sh -c 'echo > $stats'" "mkdir $stats"; do
    ! eval "$change" 2> /dev/null || fail "allowed: $change"
done
if [ "$(id -u)" = 0 ]; then ! setpriv --reuid 4242 --clear-groups cat "$stats" 2> /dev/null || fail "anybody reads .stats"; fi
cess volume create counted --type fs > /dev/null
port=$(free_port)
mount_volume counted "$work/counted" -o "metrics=127.0.0.1:$port,nostats"
[ ! -e "$work/counted/.stats" ] && echo mine > "$work/counted/.stats" || fail "nostats reserves the name"
curl -sf "http://127.0.0.1:$port/metrics" > "$work/scraped" && [ "$(metric 'cess_fs_operation_seconds_count{op="create"}' "$work/scraped")" = 1 ] || fail "curl /metrics"
[ "$(curl -s "http://127.0.0.1:$port/healthz")" = ok ] || fail "/healthz"
mkdir -p "$work/busy" && cess volume create other --type fs > /dev/null && expect 1 'metrics endpoint' cessfs other "$work/busy" -o "metrics=127.0.0.1:$port"
umount.fuse.cessfs "$work/counted"
! curl -s "http://127.0.0.1:$port/metrics" > /dev/null || fail "metrics of what is unmounted"
mount_volume counted "$work/counted"
[ "$(cat "$work/counted/.stats")" = mine ] || fail "an own .stats is hidden"
umount.fuse.cessfs "$work/counted"

say "a full volume"
cess volume create small --type fs --size 16M > /dev/null
mount_volume small "$work/small"
timeout 60 cat /dev/zero > "$work/small/endless" 2> "$work/err" && fail "a full volume takes everything" || [ $? = 1 ] || fail "a full volume takes on and on"
grep -q 'No space left' "$work/err" || fail "a full volume refuses with: $(cat "$work/err")"
expect 1 '' sh -c "dd if=/dev/zero of=$work/small/none bs=1M count=8 conv=fsync status=none"
rm -f "$work/small/endless" "$work/small/none" && echo again > "$work/small/again" && sync "$work/small/again" || fail "a volume with room again takes nothing"
umount.fuse.cessfs "$work/small"

say "refusals"
expect 1 'already a mount point' cessfs home "$m"
expect 1 'no such file' cessfs home "$work/nowhere"
touch "$work/file" && expect 1 'not a directory' cessfs home "$work/file"
mkdir -p "$work/empty" && expect 1 'not found' cessfs nothing "$work/empty"
expect 2 'unknown option' cessfs home "$work/empty" -o nonsense
expect 2 'which volume' cessfs
cess volume create disk --type block --size 64M > /dev/null && expect 1 'block' cessfs disk "$work/empty"
expect 1 'in use' bash -c "cd $m && exec umount.fuse.cessfs $m"
! grep -q "$work/empty" /proc/mounts || fail "a failed mount leaves nothing"

say "unmounting waits, and all is there again"
find "$m" -type f -size -1M -not -path '*/big/*' -exec sha256sum {} + | sort > "$work/before"
umount.fuse.cessfs "$m"
gone "$pid" || fail "umount returned before its daemon was gone"
mount_volume home "$m" -o ro
find "$m" -type f -size -1M -not -path '*/big/*' -exec sha256sum {} + | sort | cmp - "$work/before" || fail "another tree after a remount"
! touch "$m/x" 2> /dev/null || fail "-o ro is read-only"
umount.fuse.cessfs "$m"

if [ "$(id -u)" = 0 ]; then
    say "as mount -t fuse.cessfs does it; SIGTERM"
    # What mount(8) runs for this type; itself it looks for cessfs in the system's folders only.
    PATH=$PATH:/sbin mount.fuse3 home "$m" -t fuse.cessfs -o "rw,dev,suid,conf=$CESS_CONF,noatime,nofail,_netdev"
    pid=$(pgrep -f "cessfs home $m" | head -n 1)
    echo last > "$m/last"
    kill -TERM "$pid"
    for i in $(seq 300); do gone "$pid" && break; sleep 0.1; done
    gone "$pid" || fail "SIGTERM does not end the mount"
    ! grep -q " $m " /proc/mounts || fail "SIGTERM leaves the mount"
    mount_volume home "$m"
    [ "$(cat "$m/last")" = last ] || fail "SIGTERM loses what was written"
    umount.fuse.cessfs "$m"
fi
say "passed"
