#!/usr/bin/env bash
# A test that is cut off with a file open and data not stored yet leaves nothing behind.
. "$(dirname "$0")/lib.sh"
need_fuse
here=$(dirname "$(realpath "$0")")
if [ -n "${CUT_OFF-}" ]; then
    start_network
    cess volume create home --type fs > /dev/null
    mount_volume home "$work/mnt"
    head -c 8M /dev/urandom > "$work/mnt/data"
    exec 8< "$work/mnt/data"
    echo "$work" > "$CUT_OFF"
    fail "cut off"
fi
! CUT_OFF=$work/where bash "$here/cut_off.sh" > "$work/cut.log" 2>&1 || fail "a test that fails passed"
where=$(cat "$work/where") || fail "$(cat "$work/cut.log")"
! pgrep -af "$where" || fail "a process is left"
! grep "$where" /proc/mounts || fail "a mount is left"
[ ! -e "$where" ] || fail "files are left"
say "passed"
