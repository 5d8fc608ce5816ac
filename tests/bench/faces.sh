#!/bin/bash
# Measures the three faces beside what they can be compared with, alternating in one run, and prints ratios:
#   the mount      against libfuse's passthrough_ll over the same disk
#   the device     against nbdkit's file plugin over the same disk
# usage: tests/bench/faces.sh MOUNT NBD_URI [ROUNDS=3]
#   MOUNT    a directory inside a mounted filesystem volume
#   NBD_URI  of a served block volume, for instance nbd+unix:///?socket=/run/cess/disk.sock
# Needs: fio (with the nbd engine), libfuse3-dev (its examples), gcc, nbdkit, python3.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,9p "$0"; exit 2; }
mount=$1 uri=$2 rounds=${3:-3}
work=$(mktemp -d); pids=()
finish() { fusermount3 -u "$work/pass" 2>/dev/null || true; for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; rm -rf "$work" "$mount/.bench"; }
trap finish EXIT

examples=/usr/share/doc/libfuse3-dev/examples
cp "$examples"/passthrough_ll.c* "$examples"/passthrough_helpers.h* "$work/"; gunzip -f "$work"/*.gz 2>/dev/null || true
gcc -O2 -w "$work/passthrough_ll.c" -o "$work/passthrough_ll" $(pkg-config --cflags --libs fuse3)
mkdir -p "$work/disk" "$work/pass" "$mount/.bench"
"$work/passthrough_ll" -o source="$work/disk" -o writeback,cache=always "$work/pass"

truncate -s 2G "$work/image"
nbdkit -U "$work/file.sock" --pidfile "$work/file.pid" file "$work/image"
pids+=("$(cat "$work/file.pid")")

seconds() { local s e; s=$(date +%s.%N); "$@" >/dev/null; e=$(date +%s.%N); python3 -c "print(f'{$e-$s:.3f}')"; }
create() { python3 - "$1" <<'P'
import os, sys
d = sys.argv[1] + "/create"; os.makedirs(d); b = b"x" * 4096
for i in range(3000):
    with open(f"{d}/{i}", "wb") as f: f.write(b)
P
}
untar() { mkdir "$1/untar"; tar -C "$1/untar" -xf "$work/tree.tar"; }
sequential_write() { dd if=/dev/zero of="$1/big" bs=1M count=512 conv=fsync status=none; }
sequential_read() { echo 1 >/proc/sys/vm/drop_caches 2>/dev/null || true; dd if="$1/big" of=/dev/null bs=1M status=none; }
synced_writes() { python3 - "$1" <<'P'
import os, random, sys
f = os.open(sys.argv[1] + "/synced", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 64 << 20); b = os.urandom(4096)
for i in range(500):
    os.pwrite(f, b, random.randrange(16384) * 4096); os.fsync(f)
P
}
tar -C /usr/include -cf "$work/tree.tar" boost/asio linux openssl 2>/dev/null || tar -C /usr -cf "$work/tree.tar" include

printf '%-18s %10s %14s %8s\n' 'mount' 'cess s' 'passthrough s' 'ratio'
for what in create untar sequential_write sequential_read synced_writes; do
  for _ in $(seq "$rounds"); do
    [ $what = sequential_read ] || rm -rf "$mount/.bench/"{create,untar,big,synced} "$work/pass/"{create,untar,big,synced}
    a=$(seconds $what "$mount/.bench"); b=$(seconds $what "$work/pass")
    printf '%-18s %10s %14s %8s\n' $what "$a" "$b" "$(python3 -c "print(f'{$a/$b:.2f}')")"
  done
done

device() { fio --name=x --ioengine=nbd --uri="$1" --rw="$2" --bs="$3" --iodepth="$4" --size=1G --time_based --runtime=8 --fsync="$5" --output-format=json |
  python3 -c 'import json,sys; s=sys.stdin.read(); j=json.loads(s[s.index("{"):])["jobs"][0]; print(int(j["read"]["iops"]+j["write"]["iops"]))'; }
printf '%-34s %10s %10s %8s\n' 'device' 'cess IOPS' 'file IOPS' 'ratio'
for job in "randwrite 4k 32 0" "randwrite 4k 1 1" "write 1m 4 0" "randread 4k 32 0" "read 1m 4 0"; do
  set -- $job
  a=$(device "$uri" "$1" "$2" "$3" "$4"); b=$(device "nbd+unix:///?socket=$work/file.sock" "$1" "$2" "$3" "$4")
  printf '%-34s %10s %10s %8s\n' "$1 bs=$2 depth=$3 fsync=$4" "$a" "$b" "$(python3 -c "print(f'{$a/max($b,1):.2f}')")"
done
