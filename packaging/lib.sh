# Shared by run, stop and test. Source it from bash with `set -euo pipefail`.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(dirname "$here")

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo > /dev/null || die "$1 needs root, and there is no sudo"
    sudo "$@"
}

# Names listed under the given sections of packages.txt.
packages_of() {
    awk -v wanted=" $* " '/^#/ { on = index(wanted, " " $2 " ") } /^[a-z0-9]/ && on { print $1 }' "$here/packages.txt"
}

# Installs what is missing of the given sections, and nothing if nothing is.
install_packages() {
    local missing=() name
    while read -r name; do
        dpkg-query -W -f '${Status}' "$name" 2> /dev/null | grep -q '^install ok installed' || missing+=("$name")
    done < <(packages_of "$@")
    if [ ${#missing[@]} = 0 ]; then say "packages: all there"; return; fi
    command -v apt-get > /dev/null || die "missing ${missing[*]}, and there is no apt-get; see packaging/packages.txt"
    say "packages: installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"
}

# build PRESET FOLDER TARGET... (no target: everything)
build() {
    local preset=$1 folder=$2
    shift 2
    say "building ($preset) in $folder"
    (cd "$source_dir" && cmake --preset "$preset" -B "$folder" > "/tmp/cess-configure.$$" 2>&1) || { cat "/tmp/cess-configure.$$" >&2; die "cmake failed"; }
    rm -f "/tmp/cess-configure.$$"
    local target=()
    [ $# = 0 ] || target=(--target "$@")
    cmake --build "$folder" ${target[0]+"${target[@]}"}
}

# The pid in a file if that process is the named program, else nothing.
pid_in() {
    local file=$1 program=$2 pid
    pid=$(cat "$file" 2> /dev/null) || return 0
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$program" ] && echo "$pid"
    return 0
}

# end PIDFILE PROGRAM: SIGTERM, and waits until it is gone (it stores everything first).
end() {
    local pid waited=0
    pid=$(pid_in "$1" "$2")
    [ -n "$pid" ] || { rm -f "$1"; return 0; }
    kill -TERM "$pid" 2> /dev/null || true
    while [ "$(pid_in "$1" "$2")" = "$pid" ]; do
        sleep 0.1
        waited=$((waited + 1))
        [ $waited -lt 900 ] || die "$2 (pid $pid) did not end within 90 s"
    done
    rm -f "$1"
}

# Waits for a command to succeed: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || die "$what: not there after $seconds s"
        sleep 0.1
    done
}

# Where run keeps the network and shows the filesystem; the same for run and stop.
state_dir=${CESS_DIR:-$([ "$(id -u)" = 0 ] && echo /var/lib/cess || echo "${XDG_DATA_HOME:-$HOME/.local/share}/cess")}
mount_dir=${CESS_MOUNT:-$([ "$(id -u)" = 0 ] && echo /mnt/cess || echo "$HOME/cess")}
gateway=${CESS_GATEWAY:-127.0.0.1:9000}
prefix=${CESS_PREFIX:-/usr/local}
disk_socket=$state_dir/run/disk.sock
