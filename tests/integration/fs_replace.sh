#!/usr/bin/env bash
# The running cessfs is replaced under load, ten times in a row; then either process dies at each step of the handover. Programs
# on the mount notice nothing but a pause.
. "$(dirname "$0")/lib.sh"
need_fuse
need python3 git setfacl getfacl setpriv setsid
here=$(dirname "$(realpath "$0")")
rounds=${ROUNDS:-10}
cd "$work"
chmod 755 "$work"  # other users are to reach the mount
start_network
cess volume create home --type fs > /dev/null
m=$work/mnt
metrics=127.0.0.1:$(free_port)
with=nosuid,metrics=$metrics
[ "$(id -u)" != 0 ] || with=allow_other,$with
mount_volume home "$m" -o "$with"
socket() {
    local below=/run/cessfs
    [ "$(id -u)" = 0 ] || below=${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/cessfs}
    echo "${below:-/tmp/cessfs-$(id -u)}/$(mountpoint -d "$m" | cut -d: -f2).socket"
}
log() { find "$work" -name 'cessfs-home.log' -exec cat {} +; }
echo old > "$m/in_snapshot"
mkdir "$m/.snapshots/before" "$m/acls" "$m/quota"
setfacl -d -m u:4242:rwx "$m/acls"
cess quota set "$m/quota" --size 1M
echo new > "$m/in_snapshot"
exec 8< "$m/.snapshots/before/in_snapshot"
exec 7< "$m/.stats"
# With a process group of its own: git and the others end with it when this test fails.
setsid python3 "$here/fs_replace_load.py" run "$m" "$work/stop" > "$work/load.log" 2>&1 &
load=$!
process_groups+=("$load")
pids+=("$load")
ends() {  # PID: within a while
    for _ in $(seq 300); do gone "$1" && return; sleep 0.1; done
    return 1
}
# replace DIR [OPTIONS]: sets pid to the new process when the old one has gone.
replace() {
    local before
    before=$(mount_pid "$1")
    cessfs --replace "$@" || fail "cessfs --replace $*"
    ends "$before" || fail "the replaced process stays"
    pid=$(mount_pid "$1")
    [ -n "$pid" ] && [ "$pid" != "$before" ] || fail "nothing was replaced"
}
stand_between() {
    : > "$work/between"
    python3 "$here/fs_replace_between.py" "$(socket)" "$@" >> "$work/between" 2>&1 &
    between=$!
    pids+=("$between")
    for _ in $(seq 100); do grep -q ready "$work/between" && return; sleep 0.1; done
    fail "nobody stands between: $(cat "$work/between")"
}
going() { ! gone "$load" || fail "a program on the mount saw an error: $(cat "$work/load.log")"; }
sleep 2
cess trash set "$m" 2

say "replaced $rounds times under load"
for ((i = 0; i < rounds; i++)); do
    replace "$m"
    grep -q "^home $m fuse.cessfs rw,nosuid," /proc/mounts || fail "/proc/mounts: $(grep "$m" /proc/mounts)"
    going
    sleep 0.5
done
[ "$(log | grep -c 'replaced by pid=')" = "$rounds" ] || fail "the log names not all replacements"
say "pauses, ms: $(log | sed -n 's/.*replaced by .*paused_ms=//p' | sort -n | tr '\n' ' ')"

say "what was agreed with the kernel, quotas, and a file that is open in a snapshot are as before"
[ "$(cat <&8)" = old ] || fail "a file that was open in a snapshot shows something else"
exec 8<&-
[ "$(cat "$m/.snapshots/before/in_snapshot" "$m/in_snapshot")" = $'old\nnew' ] || fail "the snapshot shows something else"
grep -q '^cess_fs_operation_seconds' <&7 || fail "an open .stats is lost"
exec 7<&-
grep -q '^cess_fs_operation_seconds' "$m/.stats" || fail "there is no .stats any more"
(exec 3<> "/dev/tcp/${metrics%:*}/${metrics#*:}") || fail "nobody serves metrics any more"
echo gone > "$m/gone"
rm "$m/gone"
[ "$(cat "$m"/.trash/*/*-gone)" = gone ] || fail "the trash is forgotten"
touch "$m/acls/f"
getfacl -cp "$m/acls/f" | grep -q '^user:4242:rwx' || fail "a default list is not inherited: $(getfacl -cp "$m/acls/f")"
if [ "$(id -u)" = 0 ]; then
    touch "$m/acls/suid" "$m/acls/sgid"
    chown 500:600 "$m/acls/suid" "$m/acls/sgid"
    chmod 6777 "$m/acls/suid"
    chmod 2777 "$m/acls/sgid"
    setpriv --reuid 500 --regid 500 --clear-groups sh -c "echo x >> '$m/acls/suid' && setfacl -m u:1:rwx '$m/acls/sgid'"
    ! stat -c %A "$m/acls/suid" "$m/acls/sgid" | grep -i s || fail "a mode keeps what it has to lose"
fi
! dd if=/dev/zero of="$m/quota/much" bs=64K count=32 conv=fsync status=none 2> /dev/null || fail "a quota is forgotten"
rm "$m/quota/much"

say "other options; without metrics where somebody else listens"
busy=$(free_port)
python3 -c "import socket, time; s = socket.create_server(('127.0.0.1', $busy)); time.sleep(60)" &
listener=$!
pids+=("$listener")
until (exec 3<> "/dev/tcp/127.0.0.1/$busy") 2> /dev/null; do sleep 0.1; done
replace "$m" -o "metrics=127.0.0.1:$busy"
log | grep -q 'no metrics until the next replacement' || fail "who listens where somebody else does?"
kill "$listener"
replace "$m" -o cache-size=256M,attr-timeout=10 -o log=new.log
[ -f "$work/new.log" ] || fail "log= of a replacement"
expect 2 'cannot change' cessfs --replace "$m" -o ro
expect 2 'directory alone' cessfs --replace home "$m"
expect 1 'not a mount point' cessfs --replace "$work"
expect 1 'no such file' cessfs --replace "$work/nowhere"
replace "$m" -o "log=$(find "$work" -name cessfs-home.log)"
going

say "who does not speak our language is refused, and nothing has happened"
for what in rubbish version; do
    python3 "$here/fs_replace_between.py" "$(socket)" speak "$what" > "$work/said" || fail "$what is not refused"
done
grep -q 'unmount, and mount again' "$work/said" || fail "a foreign version hears: $(cat "$work/said")"
python3 "$here/fs_replace_between.py" "$(socket)" speak nonsense > /dev/null 2>&1 && fail "nonsense was believed" || [ $? = 137 ] || fail "who talks nonsense lives on"
for _ in $(seq 300); do log | tail -n 1 | grep -q 'serving again' && break; sleep 0.1; done
[ "$(mount_pid "$m")" = "$pid" ] || fail "another process serves"
timeout 60 ls "$m" > /dev/null || fail "the mount does not go on"
going

for at in offer handed; do
    say "the new process is told to end at $at"
    # shellcheck disable=SC2016
    stand_between none "$at" sh -c 'kill -TERM "$NEW"'
    expect 1 'told to end' cessfs --replace "$m"
    wait "$between" || fail "$(cat "$work/between")"
    timeout 60 stat -f "$m" > /dev/null || fail "the mount does not answer"
    [ "$(mount_pid "$m")" = "$pid" ] || fail "another process serves"
    going
done

say "two want to replace it at once"
for i in 1 2; do
    cessfs --replace "$m" 2> "$work/at_once$i" &
    both[i]=$!
done
won=0
for i in 1 2; do wait "${both[i]}" && won=$((won + 1)) || [ "$(wc -l < "$work/at_once$i")" = 1 ] || fail "the other says: $(cat "$work/at_once$i")"; done
[ "$won" -ge 1 ] || fail "none of the two replaced it: $(cat "$work"/at_once?)"
ends "$pid" || fail "the replaced process stays"
[ "$(pgrep -fc "^[^ ]*cessfs .*$m( |\$)")" = 1 ] || fail "not one process: $(pgrep -fa "cessfs .*$m( |\$)")"
pid=$(mount_pid "$m")
going

for at in hello take handed attached; do
    say "the new process is killed at $at"
    stand_between new "$at"
    expect 1 'died before' cessfs --replace "$m"
    wait "$between" 2> /dev/null || true  # the running process may kill it
    grep -q "killed new .* at $at" "$work/between" || fail "nobody was killed: $(cat "$work/between")"
    timeout 60 ls "$m" > /dev/null || fail "the mount does not go on"
    timeout 60 stat -f "$m" > /dev/null || fail "the mount does not answer"
    [ "$(mount_pid "$m")" = "$pid" ] || fail "another process serves"
    going
done

devices=$(find "/proc/$pid/fd" -lname /dev/fuse | wc -l)
[ "$devices" -le 18 ] || fail "it keeps $devices devices open, for 16 threads, the session, and who tells of names that are gone"

say "the running process is killed when the new one has taken over"
stand_between old attached
cessfs --replace "$m" || fail "the new process gave up"
wait "$between" || fail "$(cat "$work/between")"
ends "$pid" || fail "the running process was to die"
timeout 60 stat -f "$m" > /dev/null || fail "the mount does not answer"
going

say "unmounting waits, and all is there"
touch "$work/stop"
wait "$load" || fail "a program on the mount: $(cat "$work/load.log")"
say "$(grep rounds "$work/load.log")"
say "$(grep longest "$work/load.log")"
pid=$(mount_pid "$m")
umount.fuse.cessfs "$m"
gone "$pid" || fail "umount returned before the daemon was gone"
cess fsck home > "$work/fsck" || fail "fsck: $(cat "$work/fsck")"
mount_volume home "$m"
python3 "$here/fs_replace_load.py" check "$m" || fail "what is there after another mount"

say "what the manual shows"
example=$(sed -n 's/^\(cessfs --replace .*\)/\1/p' "$here/../../fs/cessfs.1")
[ -n "$example" ] || fail "the manual has no example"
before=$(mount_pid "$m")
eval "${example//\/mnt\/home/$m}" || fail "$example"
ends "$before" || fail "the replaced process stays"
pid=$(mount_pid "$m")
grep -z '^--replace$' "/proc/$pid/cmdline" > /dev/null || fail "nothing was replaced"

unmount=(python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0))')  # umount(8) asks who is paused
[ "$(id -u)" = 0 ] || unmount=(fusermount3 -u)
for whom in none new; do
    say "unmounted in the middle of it, ${whom/none/neither} killed"
    stand_between "$whom" attached "${unmount[@]}" "$m"
    cessfs --replace "$m" 2> "$work/unmounted" || [ "$whom" = new ] || fail "replaced, and unmounted: $(cat "$work/unmounted")"
    wait "$between" 2> /dev/null || [ "$whom" = new ] || fail "$(cat "$work/between")"
    for i in $(seq 200); do daemons > /dev/null || break; sleep 0.1; done
    ! daemons || fail "an unmounted cessfs stays"
    ! log | tail -n 5 | grep 'lost' || fail "not ended as unmounted"
    mount_volume home "$m"
done

say "SIGTERM to the running process ends the mount, whatever it is just doing"
for after in 0 0.05 0.1 0.2 0.3 0.4 0.6; do
    before=$(mount_pid "$m")
    replaced=$(log | grep -c 'replaced by')
    cessfs --replace "$m" 2> "$work/told" &
    replacing=$!
    sleep "$after"
    told=$before
    [ "$(log | grep -c 'replaced by')" = "$replaced" ] || told=  # it only has to exit
    [ -z "$told" ] || kill -TERM "$told" 2> /dev/null || fail "it ended after $after s"
    wait "$replacing" || [ "$(wc -l < "$work/told")" = 1 ] || fail "after $after s: $(cat "$work/told")"
    [ -n "$told" ] || umount.fuse.cessfs "$m"
    for i in $(seq 300); do daemons > /dev/null || break; sleep 0.1; done
    ! daemons || fail "told to end after $after s, one stays: $(log | tail -n 5)"
    ! grep " $m " /proc/mounts || fail "told to end after $after s, the mount stays"
    mount_volume home "$m"
done
[ "$(cat "$m/in_snapshot")" = new ] || fail "what is there after all that"

say "SIGTERM ends the one that took over; snapshots change hands, too"
replace "$m"
kill -TERM "$pid"
ends "$pid" && ! grep -q " $m " /proc/mounts || fail "SIGTERM does not end the mount"
cess snapshot create home@one > /dev/null
mount_volume home@one "$work/snap"
exec 9< "$work/snap/appended"
replace "$work/snap"
cmp "$work/snap/appended" - <&9 || fail "a snapshot shows something else"
exec 9<&-
umount.fuse.cessfs "$work/snap"
say "passed"
