#!/usr/bin/env bash
# fs_replace.sh as a user who is not root: fusermount3 mounts, and the socket is elsewhere.
. "$(dirname "$0")/lib.sh"
need_fuse
need setpriv
here=$(dirname "$(realpath "$0")")
[ "$(id -u)" = 0 ] || skip "is that already"
as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups env -u XDG_RUNTIME_DIR "$@"; }
as_nobody test -x "$CESS_BIN/cessfs" -a -r "$here/fs_replace.sh" || skip "others may not read the programs"
chmod 711 "$work"
mkdir -m 777 "$work/nobody"
as_nobody HOME="$work/nobody" TMPDIR="$work/nobody" ROUNDS="${ROUNDS:-2}" bash "$here/fs_replace.sh" || fail "as nobody"
