#!/usr/bin/env bash
# A real /dev/nbd0: Debian's cloud kernel, booted under QEMU's software emulation, attaches the plugin with nbd-client.
# The guest (vm_guest.sh) makes a filesystem and writes; the host snapshots, clones and resizes meanwhile.
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64 nbd-client cpio busybox mkfs.ext4 resize2fs e2fsck nbdkit nbdinfo modprobe
kernel=$(ls /boot/vmlinuz-*-cloud-amd64 2> /dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] || skip "no kernel of linux-image-cloud-amd64; see packaging/packages.txt"
limit=${CESS_VM_SECONDS:-400}  # of the whole life of the guest: emulated, on a busy machine

start_network
cess volume create disk --type block --size 256M > /dev/null
port=$(free_port)
nbdkit -f -i 127.0.0.1 -p "$port" "$plugin" >> "$work/nbdkit.log" 2>&1 &
nbd_pid=$!
pids+=("$nbd_pid")
for _ in $(seq 300); do nbdinfo --size "nbd://127.0.0.1:$port/disk" > /dev/null 2>&1 && break; sleep 0.1; done

say "the guest's root"
root=$work/root
mkdir -p "$root"/{bin,dev,etc,lib/modules,mnt,proc,run,sys}
ln -s /proc/self/mounts "$root/etc/mtab"
cp "$(command -v busybox)" "$root/bin/"
for a in sh mount umount insmod ip sed cat dd md5sum cut awk df rm sync fstrim blkdiscard poweroff; do ln -sf busybox "$root/bin/$a"; done
for program in nbd-client mkfs.ext4 e2fsck resize2fs; do
    rm -f "$root/bin/$program"
    cp -L "$(command -v "$program")" "$root/bin/"
    ldd "$(command -v "$program")" | grep -oE '/[^ ]+' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -Ln "$library" "$root$library"
    done
done
for m in virtio_pci virtio_net nbd ext4 crc32c_generic; do modprobe -S "${kernel##*/vmlinuz-}" --show-depends $m; done |
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$work/modules"
while read -r m; do cp "$m" "$root/lib/modules/"; basename "$m" >> "$root/modules"; done < "$work/modules"
cp "$(dirname "$0")/vm_guest.sh" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initrd"

say "the guest runs (at most $limit s)"
mkfifo "$work/to" "$work/from"
timeout "$limit" qemu-system-x86_64 -accel tcg -m 512 -display none -monitor none -no-reboot -kernel "$kernel" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=1 nbdport=$port" -netdev user,id=n -device virtio-net-pci,netdev=n \
    -serial stdio < "$work/to" > "$work/from" 2>> "$work/qemu.log" &
qemu_pid=$!
pids+=("$qemu_pid")
exec 3> "$work/to" 4< "$work/from"

stored() { cess volume info disk --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["used"])'; }
mapped() { nbdinfo --map --totals --json "nbd://127.0.0.1:$port/disk" | python3 -c 'import json, sys; print(sum(r["size"] for r in json.load(sys.stdin) if r["type"] == 0))'; }

# What the host does at each of the guest's steps.
at_step() {
    case $1 in
        snapshot) cess snapshot create disk@one > /dev/null && cess clone disk@one copy > /dev/null ;;
        second) cess snapshot create copy@two > /dev/null ;;
        resize) cess volume resize disk 384M > /dev/null ;;
        full) full=$(stored) && large=$(mapped) ;;
        trimmed)
            local left
            left=$(mapped)
            [ "$left" -lt $((large - (90 << 20))) ] || fail "a discard of 96 MiB leaves $left of $large bytes mapped" ;;
        *) fail "unknown step $1" ;;
    esac
}

end='' full='' large=''
while read -r -t "$limit" -u 4 line; do
    line=${line%$'\r'}
    case $line in
        *GUEST-STEP\ *) say "guest waits: ${line#*GUEST-STEP }"; at_step "${line#*GUEST-STEP }" || fail "at ${line#*GUEST-STEP }"; echo "${line#*GUEST-STEP }" >&3 ;;
        *GUEST-OK*) end=ok ;;
        *GUEST-FAILED*) end=failed ;;
        *[a-z]*) say "guest: $line" ;;
    esac
done
exec 3>&- 4<&-
wait "$qemu_pid" || true
[ "$end" = ok ] || fail "the guest did not end well (${end:-it said nothing more within $limit s}): $(tail -n 3 "$work/qemu.log")"

# The snapshot pins what it holds; what was written later goes.
say "a device that the guest discarded whole is given back to the network"
for i in $(seq 60); do
    now=$(stored)
    [ "$now" -lt $((full - (48 << 20))) ] && break
    [ "$i" = 60 ] && fail "the volume stores $now bytes after a discard of all, $full before"
    sleep 0.5
done
end_pid "$nbd_pid" || fail "nbdkit did not end on SIGTERM"
cess fsck disk > /dev/null && cess fsck copy > /dev/null || fail "cess fsck"
say "passed"
