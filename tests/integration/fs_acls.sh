#!/usr/bin/env bash
# Access control lists on the mount: the same story is told on a local ext4 and on the mount, and must end the same, word
# for word. Then what ext4 has no part in: a remount, a snapshot, noacl.
. "$(dirname "$0")/lib.sh"
need_fuse
need_loop
need setfacl getfacl getfattr setpriv tar rsync python3 mkfs.ext4
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
chmod 755 "$work"  # other users are to reach the mounts
mount_volume home "$m" -o allow_other

mkdir "$work/ext4"
truncate -s 64M "$work/image" && mkfs.ext4 -q "$work/image"
mounts+=("$work/ext4")
mount -o loop,acl "$work/image" "$work/ext4"

# as UID GIDS COMMAND...: as another user, whose first group is the first of GIDS and who is in all of them
as() { local uid=$1 gids=$2; shift 2; setpriv --reuid "$uid" --regid "${gids%%,*}" --groups "$gids" "$@"; }
# show FILES...: modes, lists and attributes
show() {
    local f
    for f in "$@"; do
        stat -c '%n %A %u:%g' "$f"
        [ -L "$f" ] || getfacl -cnpsE "$f"
        getfattr -h -d -m - -e hex "$f" 2> /dev/null | sort | grep . || true
    done
}
# lists DIR: of all below that has any, in one order on every filesystem
lists() { (cd "$1" && find . ! -type l | sort | getfacl -np -); }
# can UID GIDS FILES...: what that user may do with each
can() {
    local uid=$1 gids=$2 f
    shift 2
    for f in "$@"; do
        printf '%s may' "$uid/$gids"
        as "$uid" "$gids" test -r "$f" && printf ' read' || true
        as "$uid" "$gids" test -w "$f" && printf ' write' || true
        as "$uid" "$gids" test -x "$f" && printf ' execute' || true
        printf ' %s\n' "$f"
    done
}
try() { "$@" 2> /dev/null && echo "done: $*" || echo "refused: $*"; }

set_and_show() {
    umask 022
    echo "text" > f && chmod 640 f
    setfacl -m u:4242:rw,g:77:r f && show f
    setfacl -m m::r f && show f
    setfacl -x u:4242 f && show f
    setfacl -b f && show f
    setfacl -m u::7,g::5,o::0 f && show f          # no more than a mode says
    setfacl -m m::rwx f && show f                  # a mask alone is more
    mkdir d && setfacl -m u:4242:rwx,d:u:4242:rwx,d:g:77:rx d && show d
    setfacl -k d && show d
    try setfacl -d -m u:1:r f
    try setfacl -k f
    try as 4242 4242 setfacl -m u:1:r f            # not the owner
    chown 4242 f && try as 4242 4242 setfacl -m u:1:r f && show f
}

# Values as no setfacl would write them; every errno, and what is left.
raw_values() {
    python3 - <<'P'
import errno, itertools, os, struct
NO = 0xffffffff
def value(entries, version=2):
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *e) for e in entries)
U, u, G, g, M, O = (1, 7, NO), (2, 6, 5), (4, 5, NO), (8, 4, 6), (16, 3, NO), (32, 1, NO)
cases = [value(c) for n in range(5) for c in itertools.permutations((U, u, G, g, M, O), n)]
cases += [value(c) for c in ([U, u, G, M, O], [U, u, G, g, M, O], [U, u, u, G, M, O], [U, (2, 1, 4), u, G, M, O], [U, G, O, O], [U, G, M, M, O])]
cases += [value([U, G, O], 1), value([U, G, O], 3), value([U, G, O])[:-1], value([U, G, O]) + b"x", b"\2\0\0", b"\2\0\0\0", b""]
cases += [value([(1, 8, NO), G, O]), value([U, (2, 7, NO), G, M, O]), value([U, G, (64, 7, NO), O]), value([(1, 7, 3), (4, 7, 3), (32, 7, 3)])]
os.mkdir("raw-d"); open("raw-f", "w").close(); os.symlink("raw-f", "raw-l")
for path in ("raw-f", "raw-d", "raw-l"):
    for name in ("system.posix_acl_access", "system.posix_acl_default", "system.posix_acl_other"):
        for v in cases:
            for flags in (0, os.XATTR_CREATE, os.XATTR_REPLACE):
                if flags and len(v) != 36:
                    continue
                try:
                    os.setxattr(path, name, v, flags, follow_symlinks=False)
                    said = "taken"
                except OSError as e:
                    said = errno.errorcode[e.errno]
                try:
                    left = os.getxattr(path, name, follow_symlinks=False).hex()
                except OSError as e:
                    left = errno.errorcode[e.errno]
                print(path, name, v.hex(), flags, said, "%o" % os.lstat(path).st_mode, left, sorted(os.listxattr(path, follow_symlinks=False)))
        for again in (1, 2):
            try:
                os.removexattr(path, name, follow_symlinks=False)
                print(path, name, "removed")
            except OSError as e:
                print(path, name, errno.errorcode[e.errno])
P
}

access_decisions() {
    umask 022
    local f who
    mkdir open && cp /bin/true open/prog && echo secret > open/file && mkdir open/sub && echo x > open/sub/x
    for f in open/prog open/file open/sub; do chown 100:200 "$f" && chmod 700 "$f" && setfacl -m u:101:rwx,u:102:r,u:103:-,g:201:rx,g:202:w,o::x "$f"; done
    for who in 100:200 101:300 102:300 103:201 104:200 105:201 106:202 107:201,202 108:300 109:300,200; do can "${who%:*}" "${who#*:}" open/*; done
    setfacl -m m::r open/prog open/file open/sub
    for who in 100:200 101:300 104:200 106:202 107:201,202 108:300; do can "${who%:*}" "${who#*:}" open/*; done
    setfacl -m m::rwx open/sub open/file
    # What is really done, not what access(2) says of it; twice, since the kernel remembers lists.
    for f in 1 2; do
        for who in 101:300 102:300 103:201 105:201 106:202 108:300; do
            try as "${who%:*}" "${who#*:}" cat open/file
            try as "${who%:*}" "${who#*:}" ls open/sub
            try as "${who%:*}" "${who#*:}" cat open/sub/x
            try as "${who%:*}" "${who#*:}" touch "open/sub/by-${who%:*}"
            try as "${who%:*}" "${who#*:}" rm -f "open/sub/by-${who%:*}"
        done
        setfacl -m u:101:-,u:102:rwx,u:103:rwx open/file open/sub
    done
    chmod 700 open/file open/sub && can 102 300 open/*  # chmod takes the mask
    setfacl -b open/file && chmod 604 open/file && can 103 201 open/file
}

chmod_changes() {
    umask 022
    local mode
    touch plain masked && setfacl -m u:1:rwx,g:2:rx masked && setfacl -m m::rwx plain
    for mode in 000 777 640 4711 2750 1007 g+w,o= u=rw,go=x a+r; do chmod "$mode" plain masked && show plain masked; done
}

make_all() {  # in the directory $1, under names that start with $2
    touch "$1/$2-f"
    mkdir "$1/$2-d" && mkdir -m 750 "$1/$2-m" && mkdir -p -m 2711 "$1/$2-p/sub"
    mkfifo -m 666 "$1/$2-fifo" && mknod "$1/$2-node" c 1 3
    ln -s nowhere "$1/$2-link"
    python3 - "$1/$2" <<'P'
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + "-sock")
for mode in (0, 0o111, 0o421, 0o640, 0o777, 0o4755, 0o2777, 0o1666):
    os.close(os.open("%s-%o" % (sys.argv[1], mode), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
P
    show "$1/$2"-*
    show "$1/$2-p/sub"
}

inheritance() {
    local mask
    for mask in 000 022 077 777; do
        umask "$mask"
        mkdir -m 755 "in$mask" && chmod 755 "in$mask"
        make_all "in$mask" without
        setfacl -d -m u:4242:rwx,g:77:rx,o::r "in$mask" && make_all "in$mask" named
        setfacl -k -d -m u::rx,g::rwx,o::- "in$mask" && make_all "in$mask" plain
        setfacl -d -m m::x "in$mask" && make_all "in$mask" masked
        setfacl -k "in$mask" && make_all "in$mask" gone
        setfacl -m u:4242:rwx "in$mask" && make_all "in$mask" access  # which nobody inherits
    done
    umask 022
}

setgid() {
    umask 022
    local who f
    mkdir pool && chown 500:600 pool && chmod 2777 pool
    for who in 500:501 500:600 500:501,600 700:700 700:700,600; do
        as "${who%:*}" "${who#*:}" python3 - "pool/${who//[:,]/-}" <<'P'
import os, sys
for mode in (0o2777, 0o2755, 0o2745, 0o6711):
    os.close(os.open("%s-%o" % (sys.argv[1], mode), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    os.mkdir("%s-d%o" % (sys.argv[1], mode), mode)
    os.mknod("%s-n%o" % (sys.argv[1], mode), mode | 0o010000)
P
    done
    show pool/*
    # chmod, and setting a list, by an owner in the file's group, in it besides others, not in it; by root; by root without
    # the capability
    touch g
    for who in 500:600 500:501,600 500:501; do
        for f in 'chmod 2775' 'chmod 2644' 'chmod g+s' 'setfacl -m u:1:rwx' 'setfacl -m g::rwx' 'setfacl -b'; do
            setfacl -b g && chown 500:600 g && chmod 2755 g && as "${who%:*}" "${who#*:}" $f g && echo "$who $f" && show g
        done
    done
    for f in 'chmod 2775' 'setfacl -m u:1:rwx' 'setfacl -m g::x'; do
        setfacl -b g && chown 500:600 g && chmod 2755 g && $f g && echo "root $f" && show g
        chmod 2755 g && setpriv --bounding-set -fsetid --inh-caps -fsetid $f g && echo "root without CAP_FSETID $f" && show g
    done
    mkdir gd && chown 500:600 gd && chmod 2755 gd && as 500 501 setfacl -d -m u:1:rwx gd && show gd
    as 500 501 setfacl -m u:1:rwx gd && show gd
}

copies() {
    umask 022
    mkdir tree && setfacl -m u:4242:rwx,d:u:4242:rx,d:g:77:rwx tree && touch tree/f && mkdir tree/sub && touch tree/sub/f tree/sub/bare
    setfacl -b tree/sub/bare && setfacl -m u:1:x tree/sub/f && chmod 2750 tree/sub
    lists tree > tree.acls && cat tree.acls
    cp -a tree by-cp
    mkdir by-tar && tar --acls -C tree -cf - . | tar --acls -C by-tar -xpf -
    rsync -aA tree/ by-rsync/
    cp -r tree by-hand && chmod 2750 by-hand/sub && (cd by-hand && setfacl --restore=../tree.acls)
    for copy in by-cp by-tar by-rsync by-hand; do lists $copy | diff tree.acls - || echo "$copy is not as tree"; done
    cp --no-preserve=mode tree/f no-preserve && show no-preserve
    mv tree/sub moved && show moved moved/*
    ln moved/f hard && setfacl -m u:9:r hard && show moved/f
    rm -rf by-tar && rmdir by-tar 2> /dev/null || true
    ls
}

tell() {  # the story, in the directory $1
    mkdir "$1/story" && cd "$1/story"
    for chapter in set_and_show raw_values access_decisions chmod_changes inheritance setgid copies; do
        echo "== $chapter"
        mkdir "$chapter"
        (cd "$chapter" && $chapter)
    done
}

say "the story on ext4"
(tell "$work/ext4") > "$work/story.ext4" 2>&1 || fail "the story does not end on ext4: $(tail -n 3 "$work/story.ext4")"
for line in 'done: as 101 300 cat open/file' 'refused: as 103 201 cat open/file' 'pool/500-501-2777 -rwxr-xr-x 500:600' 'by-rsync'; do
    grep -qx "$line" "$work/story.ext4" || fail "the story on ext4 does not say: $line"
done
say "the story on the mount, $(wc -l < "$work/story.ext4") lines"
(tell "$m") > "$work/story.mount" 2>&1 || fail "the story does not end on the mount: $(tail -n 3 "$work/story.mount")"
diff "$work/story.ext4" "$work/story.mount" > "$work/story.diff" || fail "another story than on ext4: $(head -n 20 "$work/story.diff")"

say "a remount and a snapshot show and enforce the same"
lists "$m/story" > "$work/lists"
cd "$work" && sync "$m/story/setgid/g"
cess snapshot create home@one > /dev/null
umount.fuse.cessfs "$m"
mount_volume home@one "$work/snap" -o allow_other
lists "$work/snap/story" | cmp - "$work/lists" || fail "other lists in a snapshot"
secret=story/access_decisions/open
setfacl -m u:103:- "$work/snap/$secret/prog" 2> /dev/null && fail "a snapshot takes a list"
as 102 300 ls "$work/snap/$secret/sub" > /dev/null 2>&1 && fail "a snapshot lets in whom the mask keeps out"
as 101 300 test -r "$work/snap/$secret/prog" || fail "a snapshot keeps out a named user"
as 101 300 test -w "$work/snap/$secret/prog" && fail "a snapshot forgets the mask"
umount.fuse.cessfs "$work/snap"

say "noacl"
mount_volume home "$m" -o allow_other,noacl
expect 1 'Operation not supported' setfacl -m u:1:r "$m/story/setgid/g"
python3 - "$m/story" <<'P'
import errno, os, sys
os.chdir(sys.argv[1])
for f in (os.getxattr, os.removexattr):
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        try:
            f("copies/tree", name)
        except OSError as e:
            assert e.errno == errno.EOPNOTSUPP, e
        else:
            raise AssertionError(f)
assert not os.listxattr("copies/tree"), os.listxattr("copies/tree")
os.umask(0o027)
os.close(os.open("copies/tree/plain", os.O_CREAT | os.O_WRONLY, 0o666))
os.mkdir("copies/tree/plain-d", 0o777)
assert os.stat("copies/tree/plain").st_mode & 0o7777 == 0o640
assert os.stat("copies/tree/plain-d").st_mode & 0o7777 == 0o750
P
umount.fuse.cessfs "$m"
mount_volume home "$m" -o allow_other
rm -r "$m/story/copies/tree/plain" "$m/story/copies/tree/plain-d"
lists "$m/story" | cmp - "$work/lists" || fail "other lists after noacl"
umount.fuse.cessfs "$m"
say "passed"
