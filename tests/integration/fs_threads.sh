#!/usr/bin/env bash
# Threads on one mount, beside the model (tests/support/fs_threads.cpp); then the same tree after a remount, and nothing for fsck.
#     CESS_SEED, CESS_OPERATIONS: of each thread
. "$(dirname "$0")/lib.sh"
need_fuse
start_network
cess volume create many --type fs > /dev/null
m=$work/mnt
mount_volume many "$m" -o attr-timeout=0,entry-timeout=0  # so that the daemon is asked for what is compared
seed=${CESS_SEED:-$RANDOM}
say "seed $seed"
timeout 800 fs_threads "$m" "$seed" "${CESS_OPERATIONS:-1000}" 12 || fail "threads with CESS_SEED=$seed"
tree() { (cd "$m" && find . -printf '%p %y %m %n %s %g %l\n' && find . -type f -exec sha256sum {} +) | sort; }
tree > "$work/before"
umount.fuse.cessfs "$m"
mount_volume many "$m"
tree | cmp - "$work/before" || fail "another tree after a remount"
umount.fuse.cessfs "$m"
cess fsck many > "$work/fsck" || fail "fsck: $(cat "$work/fsck")"
say "passed"
