#!/usr/bin/env bash
# A device and a mount keep within the memory that they were given (`memory`, 512 MiB unless said otherwise), whatever is
# written and read: all block sizes mixed at random, at the full speed of the machine, with nobody syncing. And miners do not
# fill the machine's memory with what is written to them.
. "$(dirname "$0")/lib.sh"
need nbdkit fio dd
need_fuse

cess dev up --dir "$work/net" --capacity 8G > "$work/up.log" || { cat "$work/up.log"; fail "cess dev up"; }  # with the disk tier, whose index counts
cess volume create disk --type block --size 2G > /dev/null
serve "$work/disk.sock" volume=disk

# within WHAT PID
within() {
    local peak
    peak=$(awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$2/status")
    say "$1: $peak MiB at its peak"
    [ "$peak" -le 512 ] || fail "$1 took $peak MiB, more than 512"
}

stream() { fio --name=stream --ioengine=nbd --uri="$(uri "$work/disk.sock")" --size=1g --rw=write --bs=1m --iodepth=8 "$@" > "$work/fio.log" || fail "fio write"; }
stream --end_fsync=1
case $(stat -f -c %T "$work") in tmpfs | ramfs) ;; *)  # their memory is the disk
python3 - "$work/net" << 'P' || fail "miners keep in memory what was written to them"
import errno, glob, os, sys
files = [f for f in glob.glob(sys.argv[1] + "/**/fragments/**", recursive=True) if os.path.isfile(f) and os.path.getsize(f) > 1 << 20]
def in_memory(path):
    with open(path, "rb", buffering=0) as f:
        try:
            return os.preadv(f.fileno(), [bytearray(1 << 16)], 1 << 19, os.RWF_NOWAIT) > 0
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.EOPNOTSUPP):  # not there; this file system cannot say
                return False
            raise
kept = sum(map(in_memory, files))
print(f"{kept} of {len(files)} large fragments are in memory")
sys.exit(not files or kept > len(files) / 4)
P
;; esac

for pass in randwrite randread randwrite randread; do
    fio --name=mixed --ioengine=nbd --uri="$(uri "$work/disk.sock")" --size=2g --io_size=600m --rw=$pass --iodepth=16 --end_fsync=1 \
        --bssplit=512/5:1k/5:4k/40:8k/15:16k/15:64k/10:256k/5:1m/5 > "$work/fio.log" || fail "fio $pass"
done
within "a device under mixed writes and reads" "$nbd_pid"
stream
within "a device under a stream" "$nbd_pid"

cess volume create files --type fs > /dev/null
mount_volume files "$work/mnt"
for i in 1 2; do
    dd if=/dev/urandom of="$work/mnt/large" bs=1M count=800 conv=fsync status=none
    dd if="$work/mnt/large" of=/dev/null bs=1M iflag=direct status=none
    dd if="$work/mnt/large" of="$work/mnt/copy.$i" bs=64K status=none
done
within "a mount" "$(mount_pid "$work/mnt")"
cess umount "$work/mnt"
say "done"
