#!/bin/bash
# Reads of a block volume through nbdkit, beside nbdkit's file plugin over the same disk, alternating in one run:
#   in cache   random 4 KiB reads at depth 1 and 32, the working set (64 MiB) in the memory cache
#   cold       reads by a process that has nothing cached: in order, 1 MiB and 4 KiB, and 4 KiB at random
#   disk       with a disk tier (`[cache] disk_size`): the same sequential read by a process that was restarted
# Starts a network of its own below a temporary directory and ends it. Prints medians and ratios to the file plugin: of
# reads a second, and of the server's processor time for each read, which depends less on what else the machine does.
# usage: CESS_BIN=build/release/bin tests/bench/reads.sh [ROUNDS=3] [SECONDS=5]
# Needs: fio (with the nbd engine), nbdkit, nbdcopy, python3.
set -euo pipefail
: "${CESS_BIN:?set it to the folder of the built programs, such as build/release/bin}"
rounds=${1:-3} seconds=${2:-5}
work=$(mktemp -d) pids=()
export PATH=$CESS_BIN:$PATH HOME=$work CESS_CONF=$work/net/client.toml
finish() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do while kill -0 "$p" 2>/dev/null; do sleep 0.1; done; done
  cess dev down --dir "$work/net" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

serve() {  # SOCKET PLUGIN ARGUMENT...
  rm -f "$1"
  nbdkit -U "$1" --pidfile "$1.pid" "${@:2}"
  pids+=("$(cat "$1.pid")")
}
stop() { local p; p=$(cat "$1.pid"); kill "$p"; while kill -0 "$p" 2>/dev/null; do sleep 0.1; done; }
ticks() { awk '{print $14 + $15}' "/proc/$(cat "$1.pid")/stat"; }
measure() {  # SOCKET RW BS DEPTH SIZE [MORE...]: reads a second, processor µs a read
  local before reads
  before=$(ticks "$1")
  reads=$(fio --name=x --ioengine=nbd --uri="nbd+unix:///?socket=$1" --rw="$2" --bs="$3" --iodepth="$4" --size="$5" --output-format=json "${@:6}" |
    python3 -c 'import json,sys; s=sys.stdin.read(); r=json.loads(s[s.index("{"):])["jobs"][0]["read"]; print(r["iops"], r["total_ios"])')
  python3 -c 'import os, sys; i, n, t = map(float, sys.argv[1:]); print(round(i), round(t / os.sysconf("SC_CLK_TCK") * 1e6 / max(n, 1), 2))' \
    $reads $(($(ticks "$1") - before))
}
row() {  # NAME OURS... -- THEIRS...
  python3 - "$@" <<'P'
import statistics, sys
name, rest = sys.argv[1], sys.argv[2:]
digits = 1 if "µs" in name else 0
cut = rest.index("--")
a, b = (statistics.median(map(float, part)) for part in (rest[:cut], rest[cut + 1:]))
print(f"{name:<44} {a:>10.{digits}f} {b:>10.{digits}f} {a / max(b, 0.01):>8.2f}", flush=True)
P
}
compare() {  # NAME RW BS DEPTH SIZE [MORE...]; a function `before`, if there is one, runs before each of ours
  local a=() b=() ta=() tb=() i n t
  for i in $(seq "$rounds"); do
    before
    read -r n t < <(measure "$work/cess.sock" "${@:2}"); a+=("$n") ta+=("$t")
    read -r n t < <(measure "$work/file.sock" "${@:2}"); b+=("$n") tb+=("$t")
  done
  row "$1" "${a[@]}" -- "${b[@]}"
  row "  processor µs a read" "${ta[@]}" -- "${tb[@]}"
}
before() { :; }
restart() { stop "$work/cess.sock"; serve "$work/cess.sock" "$plugin" volume=disk; }

plugin=$CESS_BIN/nbdkit-cess-plugin.so
cess dev up --dir "$work/net" --capacity 4G >/dev/null
printf '\n[cache]\ndisk_size = 0\n' >>"$work/net/client.toml"
cess volume create disk --type block --size 1G >/dev/null
head -c 256M /dev/urandom >"$work/image"
serve "$work/cess.sock" "$plugin" volume=disk
serve "$work/file.sock" file "$work/image"
nbdcopy --flush "$work/image" "nbd+unix:///?socket=$work/cess.sock"
restart  # everything is in segments now

printf '%-44s %10s %10s %8s\n' 'reads a second' cess file ratio
measure "$work/cess.sock" read 256k 4 64m >/dev/null  # into the cache
for depth in 1 32; do compare "in cache, random 4 KiB, depth $depth" randread 4k $depth 64m --time_based --runtime="$seconds"; done
before() { restart; }
compare 'cold, sequential 1 MiB, depth 1' read 1m 1 256m
compare 'cold, sequential 1 MiB, depth 4' read 1m 4 256m
compare 'cold, sequential 4 KiB, depth 1' read 4k 1 32m
compare 'cold, random 4 KiB, depth 32' randread 4k 32 256m --io_size=64m
sed -i 's/^disk_size = 0/disk_size = "512MiB"/' "$work/net/client.toml"
restart
measure "$work/cess.sock" read 1m 4 256m >/dev/null  # onto the disk
compare 'from the disk tier, sequential 1 MiB, depth 4' read 1m 4 256m
compare 'from the disk tier, random 4 KiB, depth 32' randread 4k 32 256m --time_based --runtime="$seconds"
