#!/usr/bin/env bash
# Runs packaging/run and the README's session as it stands, in directories of their own; looks whether what they promise is
# there, runs packaging/run again, and then every command that it prints.
. "$(dirname "$0")/lib.sh"
need_fuse
need aws nbdinfo
helper=/sbin/umount.fuse.cessfs
helper_before=$(readlink "$helper" || true)
restore_helper() { if [ -n "$helper_before" ]; then ln -sf "$helper_before" "$helper"; elif [ -L "$helper" ]; then rm "$helper"; fi; }
[ "$(id -u)" != 0 ] || trap 'code=$?; set +e; restore_helper; (exit $code); finish' EXIT
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CESS_DIR=$work/net CESS_MOUNT=$work/mnt CESS_GATEWAY=127.0.0.1:$(free_port) CESS_PREFIX=$work/prefix
unset CESS_CONF
mounts+=("$CESS_MOUNT")
awk '/executes this block/ { marked = 1; next } marked && /^```/ { if (code) exit; code = 1; next } code' "$root/README.md" > "$work/session"
[ -s "$work/session" ] || fail "README.md has no block marked as executed"
sed -e "s|/tmp/photos|$work/photos|g" -i "$work/session"
mounts+=("$work/photos")
cd "$root"
say "packaging/run"
packaging/run > "$work/run.log" 2>&1 < /dev/null || { tail -n 30 "$work/run.log"; fail "packaging/run"; }
export CESS_CONF=$CESS_DIR/client.toml PATH=$CESS_PREFIX/bin:$PATH
for page in $(grep -o '`man [a-z-]*`' "$root/README.md" | tr -d '`' | cut -d ' ' -f 2); do
    ls "$CESS_PREFIX"/share/man/man[18]/"$page".[18] > /dev/null 2>&1 || fail "man $page is not installed"
done
say "the README's session: $(grep -c . "$work/session") commands"
bash -euxo pipefail "$work/session" > "$work/session.log" 2>&1 < /dev/null || { tail -n 30 "$work/session.log"; fail "the README's session"; }
say "again: it resumes"
packaging/run > "$work/again.log" 2>&1 < /dev/null || { tail -n 30 "$work/again.log"; fail "packaging/run a second time"; }
mountpoint -q "$CESS_MOUNT" || fail "nothing is mounted"
[ "$(nbdinfo --size "$(uri "$CESS_DIR/run/disk.sock")")" = $((10 << 30)) ] || fail "the block device is not served"
endpoint=http://$CESS_GATEWAY
export $(cess account s3-key) AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-east-1
s3 s3 ls | grep -q bucket || fail "the bucket is not served"
say "what it printed, as it stands"
sed -n '/What to try/,$p' "$work/run.log" | tail -n +2 | cut -c 17- | grep -v packaging/stop > "$work/printed"
[ "$(grep -c . "$work/printed")" -ge 10 ] || fail "packaging/run prints too little: $(cat "$work/run.log")"
env -i HOME="$HOME" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -euxo pipefail "$work/printed" > "$work/printed.log" 2>&1 < /dev/null ||
    { tail -n 30 "$work/printed.log"; fail "a command that packaging/run prints"; }
packaging/stop > "$work/stop.log" 2>&1 || { tail -n 30 "$work/stop.log"; fail "packaging/stop"; }
say "passed"
