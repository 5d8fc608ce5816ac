#!/usr/bin/env bash
# The cache's disk tier as it comes: what one process read is read by the next without asking the miners, damage in it
# changes no byte, and it keeps its bounds.
. "$(dirname "$0")/lib.sh"
need nbdkit nbdsh nbdcopy cmp curl

# Bytes that the miners have sent so far.
sent() {
    local address
    for address in $(sed -n 's/^metrics *= *"\(.*\)"/\1/p' "$work"/net/*.toml "$work"/net/nodes/*/node.toml | sort -u); do
        curl -s "http://$address/metrics" || true
    done | awk '/^cess_storage_sent_bytes_total/ { sum += $2 } END { printf "%.0f", sum }'
}
# Reads the device and sets `asked` to the percentage of its bytes that came from miners.
read_device() {
    local before
    before=$(sent)
    image disk "$work/now"
    cmp "$work/written" "$work/now" || fail "wrong bytes"
    asked=$((($(sent) - before) * 100 / size))
    say "$asked % came from miners"
}

size=$((64 << 20))
start_network
cess volume create disk --type block --size $size > /dev/null
head -c $size /dev/urandom > "$work/written"
serve "$work/disk.sock" volume=disk
nbdcopy --flush "$work/written" "$(uri "$work/disk.sock")"
end_pid "$nbd_pid" || fail "nbdkit did not end"

say "without the tier"
read_device
[ "$asked" -ge 100 ] || fail "the device was read without its miners: nothing here measures anything"

say "with the default"
sed -i '/^disk_size/d' "$work/net/client.toml"
read_device
folder=$(sed -n 's/^directory *= *"\(.*\)"/\1/p' "$work/net/client.toml")/cache/0
[ -f "$folder/blocks" ] || fail "no tier in $folder"
for _ in $(seq 20); do read_device; [ "$asked" -gt 10 ] || break; done  # it drops what comes faster than it can take
[ "$asked" -le 10 ] || fail "read again and again, and $asked % still come from miners"
[ "$(stat -c %a "$folder/blocks")" = 600 ] || fail "others may read it"
free=$(df --output=avail -B1 "$folder" | tail -n 1)
[ "$(stat -c %s "$folder/blocks")" -le $(((free + $(du -B1 "$folder/blocks" | cut -f1)) / 2 + (64 << 20))) ] || fail "it takes more than half of what is free"

say "damaged"
python3 - "$folder/blocks" << 'END'
import os, sys
with open(sys.argv[1], "r+b") as f:
    end = os.stat(sys.argv[1]).st_blocks * 512
    for at in range(0, end, 50000):
        f.seek(at)
        f.write(os.urandom(64))
END
read_device

say "two processes at once have a folder each"
serve "$work/one.sock" volume=disk
other=$nbd_pid
cess volume create more --type block --size 16M > /dev/null
serve "$work/two.sock" volume=more
[ -f "${folder%/0}/1/blocks" ] || fail "the second has none"
end_pid "$nbd_pid" && end_pid "$other" || fail "nbdkit did not end"
say "passed"
