#!/usr/bin/env bash
# The examples of cessfs(1) for those who mount on demand: systemd takes the units, and makes of the lines for fstab what they say.
. "$(dirname "$0")/lib.sh"
page=$(dirname "$0")/../../fs/cessfs.1
generator=/usr/lib/systemd/system-generators/systemd-fstab-generator
need systemd-analyze
[ -x "$generator" ] || skip "no $generator"

# example PATTERN: the lines of the first example after a line that matches.
example() { sed -n "/$1/,\$p" "$page" | sed -n '/^\.nf$/,/^\.fi$/p' | sed '/^\.fi$/q' | grep -v '^\.[nf]' | sed 's/\\-/-/g'; }

say "units"
units=$work/units
mkdir -p "$units" "$work/made"
example '^.IR .*mnt.-home.mount' > "$units/mnt-home.mount"
example '^.IR .*mnt.-home.automount' > "$units/mnt-home.automount"
grep -q '^Type=fuse.cessfs$' "$units/mnt-home.mount" && grep -q '^TimeoutIdleSec=' "$units/mnt-home.automount" || fail "the page has no such units: $(cat "$units"/*)"
systemd-analyze verify "$units/mnt-home.mount" "$units/mnt-home.automount" > "$work/said" 2>&1 || fail "systemd does not take them: $(cat "$work/said")"
! grep -E 'mnt-home' "$work/said" || fail "systemd says of them: $(cat "$work/said")"

say "fstab"
example 'mounted by' > "$work/fstab"
[ "$(wc -l < "$work/fstab")" = 1 ] || fail "the page has no such line: $(cat "$work/fstab")"
SYSTEMD_FSTAB=$work/fstab "$generator" "$work/made" "$work/made" "$work/made" || fail "the generator does not take the line"
grep -q '^Type=fuse.cessfs$' "$work/made/mnt-home.mount" && grep -q '^TimeoutIdleSec=10min$' "$work/made/mnt-home.automount" ||
    fail "systemd makes of it: $(cat "$work"/made/*)"
say "passed"
