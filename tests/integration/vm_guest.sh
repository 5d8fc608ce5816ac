#!/bin/sh
# Runs as init inside the virtual machine of vm_nbd.sh: attaches the host's NBD server as real block devices and uses
# them. It says each step on the console and waits for the host's word; the last thing it says is GUEST-OK or GUEST-FAILED.
export PATH=/bin
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
for m in $(cat /modules); do insmod "/lib/modules/$m"; done
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
port=$(sed -n 's/.*nbdport=\([0-9]*\).*/\1/p' /proc/cmdline)

attach() { nbd-client -N "$2" -b 4096 -C "${3:-1}" -t 60 10.0.2.2 "$port" "/dev/$1" > /log 2>&1 || { cat /log; return 1; }; }
detach() { nbd-client -d "/dev/$1" > /log 2>&1 || { cat /log; return 1; }; }
sectors() { cat "/sys/block/$1/size"; }
# The host does something, and says so.
host() { echo "GUEST-STEP $1"; read -r word && [ "$word" = "$1" ]; }
sum() { md5sum < "$1" | cut -d' ' -f1; }
same() { [ "$(sum "$1")" = "$2" ] || { echo "$1 is not what was written"; return 1; }; }
file() { dd if=/dev/urandom of="$1" bs=64k count="$2" conv=fsync 2> /dev/null; }

life() {
    set -e
    echo "a filesystem, two connections"
    attach nbd0 disk 2
    [ "$(sectors nbd0)" = $((256 << 11)) ]
    mkfs.ext4 -q -F /dev/nbd0
    mount -t ext4 -o discard /dev/nbd0 /mnt
    file /mnt/one 64
    one=$(sum /mnt/one)
    host snapshot
    file /mnt/one 64
    dd if=/dev/zero of=/mnt/large bs=1M count=96 conv=fsync 2> /dev/null
    sync
    changed=$(sum /mnt/one)
    [ "$one" != "$changed" ]
    umount /mnt
    host resize
    [ "$(sectors nbd0)" = $((256 << 11)) ]
    detach nbd0

    echo "the clone has the snapshot's bytes and goes its own way"
    attach nbd0 copy
    mount -t ext4 /dev/nbd0 /mnt
    same /mnt/one "$one"
    [ ! -e /mnt/large ]
    file /mnt/clone 16
    umount /mnt
    e2fsck -fn /dev/nbd0 > /log 2>&1 || { cat /log; return 1; }
    detach nbd0

    host second

    echo "a snapshot is read-only"
    attach nbd1 copy@two
    [ "$(cat /sys/block/nbd1/ro)" = 1 ]
    mount -t ext4 -o ro,noload /dev/nbd1 /mnt
    same /mnt/one "$one"
    [ -e /mnt/clone ]
    umount /mnt
    if dd if=/dev/zero of=/dev/nbd1 bs=4096 count=1 conv=fsync 2> /dev/null; then echo "a snapshot was written"; return 1; fi
    detach nbd1

    echo "the new size, and a discard"
    attach nbd0 disk 2
    host full
    [ "$(sectors nbd0)" = $((384 << 11)) ]
    mount -t ext4 /dev/nbd0 /mnt
    same /mnt/one "$changed"
    resize2fs /dev/nbd0 > /log 2>&1 || { cat /log; return 1; }
    [ "$(df -k /mnt | awk 'END { print $2 }')" -gt 300000 ]
    rm /mnt/large
    sync
    fstrim /mnt
    umount /mnt
    e2fsck -fn /dev/nbd0 > /log 2>&1 || { cat /log; return 1; }
    host trimmed
    blkdiscard /dev/nbd0
    detach nbd0
}
# Not in a condition: `set -e` would not count there.
(life)
if [ $? = 0 ]; then echo GUEST-OK; else echo GUEST-FAILED; fi
sync
poweroff -f
