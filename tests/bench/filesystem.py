#!/usr/bin/env python3
"""Measures the mount, alternating in one run with libfuse's passthrough_ll over the same disk and, where its programs
are installed, with ceph-fuse (three OSDs, size 3). Prints medians, ratios, and the processor time of all servers.

usage: tests/bench/filesystem.py [--rounds N=3] [--files N=2000] [--size MIB=512] [--ceph SCRIPT]
  --ceph SCRIPT  starts and ends a cluster (SCRIPT up prints "conf: PATH"; SCRIPT down) with a filesystem
Needs root (to drop the kernel's caches), gcc, libfuse3-dev (its examples), python3, tar. Environment: CESS_BIN."""
import argparse, glob, gzip, os, random, shutil, signal, sqlite3, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--files", type=int, default=2000)
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--ceph")
how = parser.parse_args()
binaries = os.environ.get("CESS_BIN") or sys.exit("set CESS_BIN to the folder of the built programs, such as build/release/bin")
work = tempfile.mkdtemp(prefix="cess-bench-")
os.environ.update(HOME=work, CESS_CONF=work + "/net/client.toml", PATH=binaries + ":" + os.environ["PATH"])


def run(*words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, **more)
    return done.stdout if done.returncode == 0 else sys.exit(f"failed: {' '.join(words)}")


def pids_of(pattern):
    return [int(p) for p in subprocess.run(["pgrep", "-f", pattern], stdout=subprocess.PIPE, text=True).stdout.split()]


class peer:
    """A mounted filesystem, and the processes that serve it."""
    def __init__(self, name):
        self.name, self.at = name, f"{work}/{name}"
        os.mkdir(self.at)
        self.start()
        self.mount()

    def remount(self):  # nothing of the tree is in a memory afterwards but the servers' and the disk's own
        self.unmount()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        self.mount()

    def ticks(self):
        total = 0
        for pid in self.servers():
            try:
                total += sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
            except OSError:
                pass
        return total / os.sysconf("SC_CLK_TCK")


class cess(peer):
    def start(self):
        run("cess", "dev", "up", "--dir", work + "/net", "--capacity", "8G")
        run("cess", "volume", "create", "home", "--type", "fs")

    def mount(self):
        run("cessfs", "home", self.at)

    def unmount(self):
        run("cess", "umount", self.at)

    def servers(self):
        return pids_of(f"cessfs home {self.at}") + [int(open(f).read().split()[0]) for f in glob.glob(work + "/net/run/*.pid")]

    def end(self):
        self.unmount()
        run("cess", "dev", "down", "--dir", work + "/net")


class passthrough(peer):
    def start(self):
        examples = "/usr/share/doc/libfuse3-dev/examples/"
        for name in ("passthrough_ll.c", "passthrough_helpers.h"):
            plain = os.path.exists(examples + name)
            with (open(examples + name, "rb") if plain else gzip.open(examples + name + ".gz")) as f, open(f"{work}/{name}", "wb") as to:
                to.write(f.read())
        flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
        run("gcc", "-O2", "-w", work + "/passthrough_ll.c", "-o", work + "/passthrough_ll", *flags)
        os.mkdir(work + "/disk")

    def mount(self):
        run(work + "/passthrough_ll", "-o", f"source={work}/disk,writeback,cache=always", self.at)

    def unmount(self):
        run("fusermount3", "-u", self.at)

    def servers(self):
        return pids_of(work + "/passthrough_ll")

    end = unmount


class ceph(peer):
    def start(self):
        self.conf = [line[6:] for line in run(how.ceph, "up").splitlines() if line.startswith("conf: ")][0]

    def mount(self):
        run("ceph-fuse", "-c", self.conf, "--id", "admin", self.at, stderr=subprocess.DEVNULL)

    def unmount(self):
        run("umount", self.at)
        while pids_of("ceph-fuse .*" + self.at):  # it locks a file until it has ended
            time.sleep(0.05)

    def servers(self):
        return pids_of("ceph-(osd|mon|mgr|mds|fuse)|radosgw")

    def end(self):
        self.unmount()
        run(how.ceph, "down")


block = os.urandom(4096)


def write_file(path, data):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, data)
    os.close(fd)


def create(d):
    for i in range(how.files):
        write_file(f"{d}/{i}", block)


def stat(d):
    for i in range(how.files):
        os.stat(f"{d}/{i}")


def open_read(d):
    for i in range(how.files):
        fd = os.open(f"{d}/{i}", os.O_RDONLY)
        assert os.read(fd, 8192) == block
        os.close(fd)


def rename(d):
    for i in range(how.files):
        os.rename(f"{d}/{i}", f"{d}/r{i}")


def unlink(d):
    for i in range(how.files):
        os.unlink(f"{d}/r{i}")


def make_tree():
    """4,600 files of a source tree: small mostly, 40 MiB in all; incompressible."""
    r = random.Random(1)
    for i in range(230):
        d = f"{work}/tree/{i % 23}/{i}"
        os.makedirs(d)
        for j in range(20):
            with open(f"{d}/file{j}.c", "wb") as f:
                f.write(r.randbytes(int(min(r.lognormvariate(8.2, 1.2), 300000))))
    run("tar", "-C", work, "-cf", work + "/tree.tar", "tree")
    shutil.rmtree(work + "/tree")


def untar(d):
    run("tar", "-C", d, "-xf", work + "/tree.tar")


def tar_tree(d):
    run("sh", "-c", f"tar -C {d} -cf - tree | cat > /dev/null")


def remove_tree(d):
    run("rm", "-rf", d + "/tree")


def sqlite_commits(d):
    db = sqlite3.connect(d + "/db", isolation_level=None)
    db.execute("create table t (k integer primary key, v blob)")
    for i in range(200):
        db.execute("insert into t values (?, ?)", (i, block[:500]))
    db.close()
    os.unlink(d + "/db")


def write_stream(d):
    data = os.urandom(1 << 20)
    fd = os.open(d + "/big", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for _ in range(how.size):
        os.write(fd, data)
    os.fsync(fd)
    os.close(fd)


def read_stream(d):
    fd = os.open(d + "/big", os.O_RDONLY)
    while os.read(fd, 1 << 20):
        pass
    os.close(fd)


def synced_writes(d):
    fd = os.open(d + "/big", os.O_WRONLY)
    r = random.Random(2)
    for _ in range(300):
        os.pwrite(fd, block, r.randrange(how.size * 256) * 4096)
        os.fsync(fd)
    os.close(fd)


# name, what is measured, how many of what, whether the mount is fresh. In this order: each finds what those before it left.
jobs = [
    ("create 4 KiB files", create, how.files, "files/s", False),
    ("stat, in memory", stat, how.files, "files/s", False),
    ("stat, fresh mount", stat, how.files, "files/s", True),
    ("open + read 4 KiB, fresh mount", open_read, how.files, "files/s", True),
    ("open + read 4 KiB, in memory", open_read, how.files, "files/s", False),
    ("rename", rename, how.files, "files/s", False),
    ("unlink", unlink, how.files, "files/s", False),
    ("untar of 4,600 files", untar, 4600, "files/s", False),
    ("tar -c of them, fresh mount", tar_tree, 4600, "files/s", True),
    ("rm -rf of them", remove_tree, 4600, "files/s", False),
    ("SQLite commits", sqlite_commits, 200, "commits/s", False),
    ("sequential write + fsync", write_stream, how.size, "MiB/s", False),
    ("sequential read, fresh mount", read_stream, how.size, "MiB/s", True),
    ("sequential read, in memory", read_stream, how.size, "MiB/s", False),
    ("4 KiB random write + fsync each", synced_writes, 300, "writes/s", False),
]


def measure(p, f):
    before, start = p.ticks(), time.monotonic()
    f(p.at)
    return time.monotonic() - start, p.ticks() - before


def main():
    make_tree()
    peers = []
    try:
        for kind in [cess, passthrough] + ([ceph] if how.ceph and shutil.which("ceph-fuse") else []):
            peers.append(kind(kind.__name__))
        rows = {(j[0], p.name): [] for j in jobs for p in peers}
        for _ in range(how.rounds):
            for name, f, n, _, fresh in jobs:
                for p in peers:
                    if fresh:
                        p.remount()
                    rows[name, p.name].append(measure(p, f))
                print("measured:", name, file=sys.stderr)
        report(peers, rows)
    finally:
        for p in peers:
            p.end()
        shutil.rmtree(work)


def report(peers, rows):
    def line(name, got, unit, better):
        others = "".join(f"{better(got[0], other):10.2f}x" for other in got[1:])
        print(f"{name:34}" + "".join(f"{g:13.1f}" for g in got) + others + "   " + unit)

    print(f"{'':34}" + "".join(f"{p.name:>13}" for p in peers) + "".join(f"{'/ ' + p.name:>11.11}" for p in peers[1:]))
    for name, _, n, unit, _ in jobs:
        line(name, [n / statistics.median(s for s, _ in rows[name, p.name]) for p in peers], unit, lambda own, other: own / other)
    print("processor milliseconds of all servers")
    for name, _, n, unit, _ in jobs:
        each = [1000 * statistics.median(c for _, c in rows[name, p.name]) / n for p in peers]
        line(name, each, "a " + unit.split("/")[0].rstrip("s"), lambda own, other: own / max(other, 1e-9))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
main()
