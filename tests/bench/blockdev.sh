#!/usr/bin/env bash
# Measures the block device with fio's nbd engine, alternating in one run with nbdkit's file plugin on the same disk and,
# where its programs are installed, with Ceph RBD (three OSDs, size 3). Prints medians, ratios, and the processor time of
# all processes, client and servers together; and what reached the disk for each byte written.
# usage: tests/bench/blockdev.sh [--rounds N=3] [--seconds S=8] [--size MIB=512] [--ceph SCRIPT]
#   --ceph SCRIPT  starts and ends a cluster (SCRIPT up prints "conf: PATH"; SCRIPT down) with a pool named rbd
# Needs: fio (nbd engine), nbdkit, nbdinfo, python3. Environment: CESS_BIN.
set -euo pipefail
: "${CESS_BIN:?set it to the folder of the built programs, such as build/release/bin}"
rounds=3 seconds=8 size=512 ceph=
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --size) size=$2 ;;
        --ceph) ceph=$2 ;;
        *) sed -n 2,8p "$0"; exit 2 ;;
    esac
    shift 2
done
export PATH=$CESS_BIN:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/cess-bench-XXXXXX")
export HOME=$work/home CESS_CONF=$work/net/client.toml
mkdir -p "$HOME"
pids=()
finish() {
    for p in ${pids[0]+"${pids[@]}"}; do kill "$p" 2> /dev/null || true; done
    sleep 1
    cess dev down --dir "$work/net" > /dev/null 2>&1 || true
    [ -z "$ceph" ] || "$ceph" down > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

cess dev up --dir "$work/net" --capacity 8G > "$work/up.log"
cess volume create disk --type block --size "${size}M" > /dev/null
nbdkit -f -U "$work/cess.sock" "$CESS_BIN/nbdkit-cess-plugin.so" volume=disk > "$work/nbdkit.log" 2>&1 &
pids+=($!)
truncate -s "${size}M" "$work/image"
nbdkit -f -U "$work/file.sock" file "$work/image" &
pids+=($!)
for s in cess file; do for _ in $(seq 600); do nbdinfo --size "nbd+unix:///?socket=$work/$s.sock" > /dev/null 2>&1 && break; sleep 0.1; done; done
peers="cess file"
servers_cess="${pids[0]} $(awk '{ print $1 }' "$work"/net/run/*.pid | tr '\n' ' ')"
servers_file=${pids[1]}
servers_rbd=
if [ -n "$ceph" ] && command -v ceph > /dev/null && fio --enghelp 2> /dev/null | grep -q rbd; then
    export CEPH_CONF
    CEPH_CONF=$("$ceph" up | sed -n 's/^conf: //p')
    rbd create --size "${size}M" bench
    servers_rbd=$(pgrep -d' ' -x 'ceph-(osd|mon|mgr|mds)|radosgw')
    peers+=" rbd"
fi

engine() {
    if [ "$1" = rbd ]; then echo --ioengine=rbd --clientname=admin --pool=rbd --rbdname=bench
    else echo --ioengine=nbd "--uri=nbd+unix:///?socket=$work/$1.sock"; fi
}
# Processor seconds of processes so far.
ticks() { cat $(printf '/proc/%s/stat ' "$@") 2> /dev/null | python3 -c '
import os, sys
print(sum(sum(map(int, line.rsplit(")", 1)[1].split()[11:13])) for line in sys.stdin) / os.sysconf("SC_CLK_TCK"))'; }
written() { awk '{ print $7 }' /sys/dev/block/"$(mountpoint -d "$(df --output=target "$work" | tail -n 1)")"/stat 2> /dev/null || echo 0; }

# run PEER JOB...: "operations-a-second MiB-a-second processor-seconds-of-all operations MiB sectors-that-reached-the-disk"
run() {
    local peer=$1 servers=servers_$1 before after sectors
    shift
    before=$(ticks ${!servers})
    sectors=$(written)
    fio --name=job $(engine "$peer") --size="${size}M" --output-format=json --output="$work/out.json" "$@" > "$work/fio.log" 2>&1 || { cat "$work/fio.log" >&2; exit 1; }
    after=$(ticks ${!servers})
    python3 - "$work/out.json" "$before" "$after" "$sectors" "$(written)" << 'P'
import json, sys
text = open(sys.argv[1]).read()
job = json.loads(text[text.index("{"):])["jobs"][0]
before, after, first, last = map(float, sys.argv[2:])
sides = (job["read"], job["write"])
own = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
print(sum(s["iops"] for s in sides), sum(s["bw_bytes"] for s in sides) / 2**20, after - before + own, sum(s["total_ios"] for s in sides),
      sum(s["io_bytes"] for s in sides) / 2**20, last - first)
P
}

jobs=(
    "4 KiB random write, depth 32|--rw=randwrite --bs=4k --iodepth=32 --time_based --runtime=$seconds"
    "4 KiB random write, depth 1, flush each|--rw=randwrite --bs=4k --iodepth=1 --fsync=1 --time_based --runtime=$seconds"
    "4 KiB random write, depth 32, flush every 32|--rw=randwrite --bs=4k --iodepth=32 --fsync=32 --time_based --runtime=$seconds"
    "1 MiB sequential write|--rw=write --bs=1m --iodepth=4 --end_fsync=1"
    "1 MiB sequential read|--rw=read --bs=1m --iodepth=4"
    "4 KiB random read, depth 1|--rw=randread --bs=4k --iodepth=1 --time_based --runtime=$seconds"
    "4 KiB random read, depth 32|--rw=randread --bs=4k --iodepth=32 --time_based --runtime=$seconds"
)
for peer in $peers; do run "$peer" --rw=write --bs=1m --iodepth=4 --end_fsync=1 > /dev/null; done  # nothing measured reads holes
for i in "${!jobs[@]}"; do
    for _ in $(seq "$rounds"); do
        for peer in $peers; do echo "$i $peer $(run "$peer" ${jobs[i]#*|})" >> "$work/results"; done
    done
    echo "measured: ${jobs[i]%%|*}" >&2
done
printf '%s\n' "${jobs[@]%%|*}" > "$work/names"
python3 - "$work" $peers << 'P'
import collections, statistics, sys
work, peers = sys.argv[1], sys.argv[2:]
names = open(work + "/names").read().splitlines()
rows = collections.defaultdict(list)
for line in open(work + "/results"):
    job, peer, *numbers = line.split()
    rows[int(job), peer].append([float(n) for n in numbers])
median = {key: [statistics.median(column) for column in zip(*values)] for key, values in rows.items()}
others = peers[1:]
print(f"{'':46}" + "".join(f"{p:>10}" for p in peers) + "".join(f"{'/ ' + p:>9}" for p in others) + "   unit")
for i, name in enumerate(names):
    column, unit = (0, "operations/s") if name.startswith("4") else (1, "MiB/s")
    got = {p: median[i, p][column] for p in peers}
    print(f"{name:46}" + "".join(f"{got[p]:10.0f}" for p in peers) + "".join(f"{got['cess'] / max(got[p], 1e-9):8.2f}x" for p in others) + f"   {unit}")
print("processor seconds of all processes, client and servers")
for i, name in enumerate(names):
    million = name.startswith("4")
    got = {p: median[i, p][2] / max(median[i, p][3] / 1e6 if million else median[i, p][4] / 1024, 1e-9) for p in peers}
    print(f"{name:46}" + "".join(f"{got[p]:10.1f}" for p in peers) + "".join(f"{got['cess'] / max(got[p], 1e-9):8.2f}x" for p in others) +
          ("   a million" if million else "   a GiB"))
print("bytes that reached the disk / bytes written (all of the machine's)")
for i, name in enumerate(names):
    if "write" in name:
        print(f"{name:46}" + "".join(f"{median[i, p][5] / 2048 / max(median[i, p][4], 1e-9):10.1f}" for p in peers))
P
