# Helpers of the integration tests: a network of its own for each test, in a directory of its own, on ports of its own.
# Source it from bash. CESS_BIN is the folder of the built programs.
set -euo pipefail

: "${CESS_BIN:?set it to the folder of the built programs, such as build/release/bin}"
export PATH=$CESS_BIN:/usr/bin:/usr/sbin:$PATH  # the system's python3 has libnbd
plugin=$CESS_BIN/nbdkit-cess-plugin.so
work=$(mktemp -d "${TMPDIR:-/tmp}/cess-test-XXXXXX")
export HOME=$work/home CESS_CONF=$work/net/client.toml
unset XDG_DATA_HOME
mkdir -p "$HOME"
mounts=() loops=() pids=() process_groups=()
test_name=$(basename "$0")

say() { printf '%s  %s: %s\n' "$(date +%H:%M:%S)" "$test_name" "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }
skip() { say "skipped: $*"; exit 77; }
need() { local p; for p in "$@"; do command -v "$p" > /dev/null || skip "no $p; see packaging/packages.txt"; done; }
need_fuse() { [ -w /dev/fuse ] && command -v fusermount3 > /dev/null || skip "no FUSE here"; }
need_loop() { [ "$(id -u)" = 0 ] && losetup -f > /dev/null 2>&1 || skip "no loop devices here"; }

gone() { ! kill -0 "$1" 2> /dev/null || [ "$(awk '{print $3}' "/proc/$1/stat" 2> /dev/null)" = Z ]; }

# end_pid PID [SIGNAL]: ends one process of ours and waits.
end_pid() {
    local i
    kill "-${2:-TERM}" "$1" 2> /dev/null || true
    for i in $(seq 600); do gone "$1" && { wait "$1" 2> /dev/null || true; return 0; }; sleep 0.1; done
    kill -KILL "$1" 2> /dev/null || true
    return 1
}

daemons() { pgrep -f "^[^ ]*cessfs .*$work"; }

finish() {
    local status=$? i
    set +e
    trap - EXIT
    cd /
    if [ $status != 0 ] && [ $status != 77 ]; then
        say "logs of the failed test:" >&2
        tail -n 15 "$work"/net/log/*.log "$work"/*.log >&2 2> /dev/null
    fi
    # First: whoever waits for a mount would keep it, and start more.
    for i in ${process_groups[0]+"${process_groups[@]}"}; do kill -KILL -- "-$i" 2> /dev/null; done
    for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount -l "${mounts[i]}" 2> /dev/null || fusermount3 -uz "${mounts[i]}" 2> /dev/null; done
    for i in ${loops[0]+"${loops[@]}"}; do losetup -d "$i" 2> /dev/null; done
    for i in ${pids[0]+"${pids[@]}"}; do end_pid "$i" KILL; done
    # A mount's process outlives a lazy unmount until all files there are closed, by this shell, too, and it has stored
    # everything, for which it needs the network.
    for i in $(seq 50); do daemons > /dev/null || break; sleep 0.1; done
    for i in $(daemons); do end_pid "$i" KILL; done
    [ -f "$work/net/network.toml" ] && cess dev down --dir "$work/net" > /dev/null
    if [ -n "${CESS_KEEP-}" ]; then say "kept: $work"; else rm -rf "$work"; fi
    exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

# start_network [OPTIONS of cess dev up]: without the cache's disk tier, which would hide what becomes of the miners' bytes.
start_network() {
    cess dev up --dir "$work/net" --capacity 4G "$@" > "$work/up.log" || { cat "$work/up.log"; fail "cess dev up $*"; }
    grep -q '^\[cache\]' "$work/net/client.toml" || printf '\n[cache]\ndisk_size = 0\n' >> "$work/net/client.toml"
}

# expect CODE[|CODE] PATTERN COMMAND...: it exits with CODE, within 60 s, and says one line that matches on standard error.
expect() {
    local code=$1 pattern=$2 got=0
    shift 2
    timeout 60 "$@" > "$work/out" 2> "$work/err" < /dev/null || got=$?
    [[ $got =~ ^($code)$ ]] || fail "exit $got, not $code: $(printf '%.200s' "$*"): $(head -c 400 "$work/err")"
    [ "$code" = 0 ] && return
    [ "$(wc -l < "$work/err")" -le 1 ] || fail "more than one line of error: $(printf '%.200s' "$*"): $(cat "$work/err")"
    [ -z "$pattern" ] || grep -qiE -- "$pattern" "$work/err" || fail "error does not match /$pattern/: $(printf '%.200s' "$*"): $(head -c 400 "$work/err")"
}

# mount_volume VOLUME DIR [OPTIONS...]
mount_volume() { mkdir -p "$2"; mounts+=("$2"); cessfs "$@" || fail "cessfs $*"; }
# Of the process that serves a mount.
mount_pid() { pgrep -f "cessfs .*$1( |\$)" | head -n 1; }

# [probe=EXPORT] serve SOCKET [nbdkit arguments]: runs the plugin; sets nbd_pid and waits until it answers.
serve() {
    local socket=$1 i
    shift
    rm -f "$socket"
    nbdkit -f -U "$socket" "$plugin" "$@" >> "$work/nbdkit.log" 2>&1 &
    nbd_pid=$!
    pids+=("$nbd_pid")
    for i in $(seq 600); do
        [ -S "$socket" ] && nbdinfo --size "$(uri "$socket" "${probe-}")" > /dev/null 2>&1 && return 0
        gone "$nbd_pid" && fail "nbdkit ended: $(tail -n 3 "$work/nbdkit.log")"
        sleep 0.1
    done
    fail "nbdkit does not answer at $socket"
}
# with_disk EXPORT PYTHON: runs python against an export, served for as long as that takes.
with_disk() {
    serve "$work/with.sock" "volume=$1"
    nbdsh -u "$(uri "$work/with.sock" "$1")" -c "$2" || fail "nbdsh on $1"
    end_pid "$nbd_pid" || fail "nbdkit did not end"
}
# image EXPORT FILE
image() {
    rm -f "$2"
    serve "$work/image.sock" "volume=$1"
    nbdcopy "$(uri "$work/image.sock" "$1")" "$2" || fail "nbdcopy of $1"
    end_pid "$nbd_pid" || fail "nbdkit did not end"
}
uri() { printf 'nbd+unix:///%s?socket=%s' "${2-}" "$1"; }

# start_gateway [OPTIONS...]: runs cess-gateway on a free port; sets gateway_pid and endpoint.
start_gateway() {
    local port i
    port=$(free_port)
    cess-gateway --listen "127.0.0.1:$port" "$@" >> "$work/gateway.log" 2>&1 &
    gateway_pid=$!
    pids+=("$gateway_pid")
    endpoint=http://127.0.0.1:$port
    for i in $(seq 300); do
        (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
        gone "$gateway_pid" && fail "cess-gateway ended: $(tail -n 3 "$work/gateway.log")"
        sleep 0.1
    done
    export AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-east-1
    # shellcheck disable=SC2046
    export $(cess account s3-key)
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
s3() { aws --endpoint-url "$endpoint" "$@"; }

# The pid of a network's process: node_pid network|storage-2|...
node_pid() { awk '{print $1}' "$work/net/run/$1.pid"; }
node_directory() { echo "$work/net/nodes/$1"; }
# starts_with URI FILE: whether the device begins with the file's bytes.
starts_with() {
    rm -f "$work/copy"
    nbdcopy "$1" "$work/copy" && cmp -s -n "$(stat -c %s "$2")" "$work/copy" "$2"
}
