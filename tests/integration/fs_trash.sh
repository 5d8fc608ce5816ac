#!/usr/bin/env bash
# The trash on a real mount: what is deleted is there at once, whatever the kernel has cached, comes back usable, survives the
# daemon, is out of everybody else's sight, and goes.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 setfattr getfattr
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
chmod 755 "$work"
mount_volume home "$m" -o allow_other
trash() { find "$m/.trash" -mindepth 2 -maxdepth 2 -printf '%f\n' | sort; }
in_trash() { find "$m/.trash" -mindepth 2 -maxdepth 2 -name "*-$1"; }

say "none by default"
echo gone > "$m/gone" && rm "$m/gone"
[ ! -e "$m/.trash" ] || fail "there is a trash that nobody wanted"
[ "$(cess trash info "$m")" = "no trash: what is deleted is gone" ] || fail "info: $(cess trash info "$m")"
mkdir "$m/.trash" && expect 1 'which is not a trash: already exists' cess trash set "$m" 3
rmdir "$m/.trash"
expect 2 '' cess trash set "$m" 40000
expect 2 '' cess trash set "$m" -- -1
mkdir "$m/sub" && expect 1 'not where cessfs mounted' cess trash set "$m/sub" 3
expect 2 'not where a filesystem is mounted' cess trash info "$m/sub"
expect 1 'not where cessfs mounted' cess trash info "$work"
cess trash set "$m" 3
[ "$(cess trash info --json "$m" | tr -d ' \n')" = '{"days":3}' ] || fail "info: $(cess trash info --json "$m")"
[ "$(ls -A "$m")" = sub ] || fail "the trash is listed: $(ls -A "$m")"
ls "$m/.trash" > /dev/null || fail "a name that was not there before is there now"

left=$((3600 - $(date +%s) % 3600))
[ "$left" -gt 90 ] || sleep $((left + 1))  # no hour ends until the last look into this one

say "what is deleted is there, and comes back"
mkdir -p "$m/tree/dir" && echo one > "$m/tree/one" && head -c 3M /dev/urandom > "$m/tree/dir/big" && ln -s one "$m/tree/link"
setfattr -n user.k -v v "$m/tree/one" && chmod 751 "$m/tree/dir" && sum=$(sha256sum < "$m/tree/dir/big")
top=$(stat -c %i "$m/tree") dir=$(stat -c %i "$m/tree/dir") big=$(stat -c %i "$m/tree/dir/big")
rm -r "$m/tree"
[ "$(trash | wc -l)" = 5 ] && [ "$(basename "$(in_trash big)")" = "$dir-$big-big" ] && [ -d "$m/.trash/$(date -u +%F-%H)" ] || fail "the trash holds: $(trash)"
[ "$(cat "$(in_trash one)")" = one ] && [ "$(getfattr --only-values -n user.k "$(in_trash one)" 2> /dev/null)" = v ] || fail "a file in the trash differs"
[ "$(sha256sum < "$(in_trash big)")" = "$sum" ] || fail "bytes in the trash differ"
mv "$(in_trash tree)" "$m/tree" && mv "$(in_trash dir)" "$m/tree/dir" && mv "$m"/.trash/*/"$dir"-* "$m/tree/dir/big" && mv "$m"/.trash/*/"$top"-*-one "$m/tree/one"
[ "$(stat -c '%i %a' "$m/tree/dir")" = "$dir 751" ] && [ "$(sha256sum < "$m/tree/dir/big")" = "$sum" ] || fail "what comes back differs"
echo new > "$m/tree/dir/new" && mkdir "$m/tree/more" || fail "a directory that comes back is dead"
[ "$(trash)" = "$(basename "$(in_trash link)")" ] || fail "what came back is still in the trash: $(trash)"
# To the kernel a directory that was removed while somebody was in it stays removed until it forgets it.
mkdir "$m/held" && exec 8< "$m/held" && rmdir "$m/held" && mv "$(in_trash held)" "$m/held"
expect 1 'No such file' touch "$m/held/x"
exec 8<&-
ls "$m/held" && rmdir "$m/held" && rmdir "$(in_trash held)" || fail "a directory that was brought back while it was open cannot be removed"

say "nothing is cached that changed"
hour=$m/.trash/$(date -u +%F-%H)
touch "$m/a" "$m/b" && ino=$(stat -c %i "$m/b")
ls -l "$hour" > /dev/null && [ ! -e "$hour/1-$ino-b" ] && before=$(stat -c %Y%Z "$hour") && sleep 1.1
rm "$m/b"
[ -e "$hour/1-$ino-b" ] || fail "a name in the trash is still missing"
[ "$(stat -c %Y%Z "$hour")" != "$before" ] || fail "the trash's directory has old times"
ls "$hour" | grep -qx "1-$ino-b" || fail "the listing of the trash is old: $(ls "$hour")"
rm "$m/a" && ls "$hour" | grep -q -- '-a$' || fail "the listing of the trash is old again: $(ls "$hour")"

say "renames over, hard links, open files"
python3 - "$m" << 'P'
import glob, os, sys
os.chdir(sys.argv[1])
def write(name, text):
    with open(name, "w") as f: f.write(text)
def in_trash(name): return glob.glob(f".trash/*/*-{name}")
write("doc", "old"); write("doc.tmp", "new"); os.rename("doc.tmp", "doc")
[old] = in_trash("doc"); assert open(old).read() == "old" and open("doc").read() == "new"
os.rename(old, "doc"); assert open("doc").read() == "old"
[new] = in_trash("doc"); assert open(new).read() == "new"
write("many", "m"); os.link("many", "names"); os.unlink("many"); assert not in_trash("many")
os.unlink("names"); [last] = in_trash("names"); assert os.stat(last).st_nlink == 1
f = open("open", "w+"); f.write("first "); f.flush(); os.unlink("open"); f.write("second"); f.flush()
f.seek(0); assert f.read() == "first second"
f.close(); [kept] = in_trash("open"); assert open(kept).read() == "first second", open(kept).read()
os.unlink(kept); assert not in_trash("open")
P

say "its place"
expect 1 'not permitted' touch "$m/.trash/x"
expect 1 'not permitted' touch "$hour/x"
expect 1 'not permitted' mkdir "$hour/x"
expect 1 'not permitted' ln "$m/doc" "$hour/x"
expect 1 'not permitted' mv "$m/doc" "$hour/x"
expect 1 'not permitted' mv "$hour" "$m/hour"
expect 1 'not permitted' rmdir "$m/.trash"
expect 1 'file exists' mkdir "$m/.trash"
expect 1 '' mv "$m/.trash" "$m/other"
expect 1 '' mv -T "$m/sub" "$m/.trash"
if [ "$(id -u)" = 0 ]; then
    chmod 777 "$m"
    expect 1 'for who mounted' setpriv --reuid 4242 --clear-groups "$CESS_BIN/cess" trash set "$m" 0
    expect 2 'Permission denied' setpriv --reuid 4242 --clear-groups ls "$m/.trash"
    setpriv --reuid 4242 --clear-groups sh -c "echo users > $m/users && rm $m/users" || fail "who may not see the trash cannot delete"
    [ "$(cat "$(in_trash users)")" = users ] || fail "what users delete is not in the trash"
    chmod 755 "$m"
fi
mkdir "$m/.snapshots/now" && [ ! -e "$m/.snapshots/now/.trash" ] && rmdir "$m/.snapshots/now"
[ "$(find "$m" -name '*-doc' | wc -l)" = 0 ] || fail "a walk of the tree enters the trash"

say "room"
head -c 20M /dev/urandom > "$m/large" && sync "$m/large"
of_home() { cess volume info --json home | python3 -c 'import json, sys; print(json.load(sys.stdin)["mapped"])'; }
before=$(of_home) && rm "$m/large"
[ "$(of_home)" = "$before" ] || fail "what is in the trash takes no room"
rm "$(in_trash large)"
[ "$(of_home)" = "$((before - (20 << 20)))" ] || fail "rm in the trash gives back $((before - $(of_home)))"

say "over a kill and a remount"
echo kill > "$m/kill" && rm "$m/kill" && sync "$m/doc"
trash > "$work/before"
pid=$(mount_pid "$m")
kill -KILL "$pid" && umount -l "$m"
for i in $(seq 100); do gone "$pid" && break; sleep 0.1; done
mount_volume home "$m" -o force
trash | cmp - "$work/before" || fail "another trash after a kill: $(trash | diff - "$work/before")"
[ "$(cess trash info "$m")" = "what is deleted is kept for 3 days" ] && [ "$(cat "$(in_trash kill)")" = kill ] || fail "the trash after a kill"
umount.fuse.cessfs "$m"
mount_volume home "$m" -o ro
trash | cmp - "$work/before" || fail "another trash on a mount that is read-only"
expect 1 'read-only' cess trash set "$m" 0
umount.fuse.cessfs "$m"

say "off again"
mount_volume home "$m"
# What somebody looks at the kernel knows: it is told, and gives it back.
mkdir "$m/seen" && head -c 5M /dev/urandom > "$m/seen/file" && sync "$m/seen/file" && rm -r "$m/seen"
cat "$(in_trash file)" > /dev/null && ls -l "$(in_trash seen)" > /dev/null && exec 8< "$(in_trash file)"
cess trash set "$m" 0
for i in $(seq 100); do [ -z "$(ls "$m/.trash")" ] && break; sleep 0.1; done
[ -z "$(ls "$m/.trash")" ] || fail "a trash that is off keeps $(ls -R "$m/.trash")"
orphans() { cess fsck home --records --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["records"]["orphans"])'; }
# The one that is open, and the hour that it was in.
for i in $(seq 20); do [ "$(orphans)" = 2 ] && break; sleep 0.2; done
[ "$(orphans)" = 2 ] || fail "one file is open, and $(orphans) inodes stay"
[ "$(head -c 5M <&8 | wc -c)" = 5242880 ] || fail "a file that expired while it was open cannot be read"
exec 8<&-
for i in $(seq 20); do [ "$(orphans)" = 0 ] && break; sleep 0.2; done
[ "$(orphans)" = 0 ] || fail "what was looked at keeps its room: $(orphans)"
rm "$m/doc" && [ -z "$(ls "$m/.trash")" ] || fail "a trash that is off takes more"
umount.fuse.cessfs "$m"
say "passed"
