#!/usr/bin/python3
"""ext4 and XFS on the device (plugin, nbdfuse, loop), and fio on the bare device: the plugin is killed at random, again
and again. After each crash the filesystem's log is replayed, everything that an fsync, a rename or a database's commit
acknowledged must be there, and its checker must find nothing.

    blockdev_crash.py ext4|xfs|fio [--seed N] [--rounds 3]       prints the seed
Environment: CESS_BIN; CESS_CRASH_ROUNDS (many for a long run).
"""
import argparse
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time

from blockdev_support import WAIT, Skip, check, fsck, main, need, run, say, until

MiB = 1 << 20
SIZE = 512 * MiB


class Filesystem:
    """The device as a mounted filesystem, and back."""

    def __init__(self, house, kind):
        self.house, self.kind = house, kind
        self.plugin = house.plugin("disk", "volume=disk", "force=true")
        self.image, self.at = house.work / "image", house.work / "mnt"
        self.image.touch()
        self.at.mkdir()
        self.loop = self.fuse = None
        house.closing.callback(self.drop)

    def attach(self):
        self.plugin.start()
        self.fuse = subprocess.Popen(["nbdfuse", str(self.image), self.plugin.uri()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("nbdfuse", lambda: self.image.stat().st_size == SIZE)
        self.loop = run("losetup", "-f", "--show", self.image).strip()

    def make(self):
        run(*(["mkfs.ext4", "-q", "-F"] if self.kind == "ext4" else ["mkfs.xfs", "-q", "-f"]), self.loop, timeout=300)

    def mount(self):
        run("mount", "-t", self.kind, "-o", "discard", self.loop, self.at)

    def unmount(self):
        run("umount", self.at, timeout=300)

    def checked(self):
        """Of an unmounted filesystem whose log has been replayed."""
        run(*(["e2fsck", "-fn"] if self.kind == "ext4" else ["xfs_repair", "-n"]), self.loop, timeout=300)

    def detach(self):
        run("losetup", "-d", self.loop)
        self.loop = None
        until("the end of the loop device", lambda: subprocess.run(["fusermount3", "-u", str(self.image)], stderr=subprocess.DEVNULL).returncode == 0)
        self.fuse.terminate()
        self.fuse.wait(WAIT)

    def drop(self):
        subprocess.run(["umount", "-l", str(self.at)], stderr=subprocess.DEVNULL)
        if self.loop:
            subprocess.run(["losetup", "-d", self.loop], stderr=subprocess.DEVNULL)
        subprocess.run(["fusermount3", "-uz", str(self.image)], stderr=subprocess.DEVNULL)
        if self.fuse:
            self.fuse.kill()


class Unsure(OSError):
    """A call succeeded when the device was about to be killed."""


class Worker(threading.Thread):
    """Works until a call fails, as all do after the crash, or it is told to stop. What it knows stays in `load`."""

    def __init__(self, load):
        super().__init__(daemon=True)
        self.load, self.stopping, self.problem = load, False, None
        load.dying = threading.Event()

    def run(self):
        try:
            while not self.stopping:
                self.load.step()
        except (OSError, sqlite3.Error):
            pass  # nothing was acknowledged
        except Exception as problem:
            self.problem = problem
        self.load.leave()


def count(load):
    """Before anything counts as acknowledged. ext4's fsync of a directory says "nothing to commit" where the transaction has failed already
    (__jbd2_journal_force_commit): what succeeds on a dead device promises nothing."""
    if load.dying.is_set():
        raise Unsure("acknowledged by nobody")


class Files:
    """Appends with fsync, replacements by rename, deletions: each acknowledged when its fsync has returned, before the crash."""

    def __init__(self, at, seed):
        self.at = at / f"files-{seed}"
        self.random = random.Random(f"{seed}")
        self.known, self.possible = {}, {}  # name: contents; None = absent
        self.steps = 0

    def begin(self):
        self.at.mkdir(exist_ok=True)
        self.sync_folder()

    def leave(self):
        pass

    def sync_folder(self):
        folder = os.open(self.at, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @staticmethod
    def write(path, mode, data):
        with open(path, mode, buffering=0) as f:
            view = memoryview(data)
            while view:
                view = view[f.write(view):]
            os.fsync(f.fileno())

    def step(self):
        name = f"f{self.random.randrange(16)}"
        old = self.known.get(name)
        data = f"{self.steps:08}".encode() + self.random.randbytes(self.random.choice([1, 500, 4096, 30_000, 200_000]))
        kind = self.random.choices(["append", "replace", "delete", "noise"], [4, 4, 1, 2])[0]
        if kind == "append" and len(old or b"") < 500_000:
            self.possible[name] = ("append", data)
            self.write(self.at / name, "ab", data)
            self.sync_folder()
            count(self)
            self.known[name] = (old or b"") + data
        elif kind == "replace":
            self.possible[name] = ("replace", data)
            self.write(self.at / f".{name}", "wb", data)
            os.rename(self.at / f".{name}", self.at / name)
            self.sync_folder()
            count(self)
            self.known[name] = data
        elif kind == "delete" and old is not None:
            self.possible[name] = ("replace", None)
            os.unlink(self.at / name)
            self.sync_folder()
            count(self)
            self.known[name] = None
        else:
            self.noise()
        self.possible.pop(name, None)
        self.steps += 1

    def noise(self):
        """What nobody syncs: folders, links, holes, truncations, in between."""
        folder = self.at / f"noise{self.random.randrange(4)}"
        if folder.exists() and self.random.random() < 0.3:
            for path in sorted(folder.iterdir()):
                path.unlink()
            folder.rmdir()
            return
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.random.randrange(20)}"
        with open(path, "ab") as f:
            f.truncate(self.random.randrange(1 << 20))
            f.write(self.random.randbytes(self.random.randrange(50_000)))
        if self.random.random() < 0.3:
            os.replace(path, folder / f"{self.random.randrange(20)}")
        elif self.random.random() < 0.3:
            (folder / f"link{self.steps}").symlink_to(path)

    def verify(self):
        for name in sorted(set(self.known) | set(self.possible)):
            path, old = self.at / name, self.known.get(name)
            found = path.read_bytes() if path.exists() else None
            kind, more = self.possible.get(name, ("", None))
            right = found == old or (kind == "replace" and found == more)
            if kind == "append" and found is not None:
                tail = found[len(old or b""):]
                right = right or (found.startswith(old or b"") and len(tail) <= len(more) and all(a in (b, 0) for a, b in zip(tail, more)))
            check(right, f"{path}: {len(found) if found is not None else 'no'} bytes found, {len(old) if old is not None else 'none'} acknowledged, under way: {kind}")
            self.known[name] = found
        self.possible.clear()


class Database:
    """SQLite with a write-ahead log: every committed transaction is there, whole; of the one under way all or nothing."""

    def __init__(self, at, seed):
        self.path = at / "data.sqlite"
        self.random = random.Random(f"{seed}-database")
        self.committed, self.steps, self.connection = 0, 0, None

    def open(self):
        out = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        out.execute("PRAGMA journal_mode=WAL")
        out.execute("PRAGMA synchronous=FULL")
        out.execute("PRAGMA wal_autocheckpoint=50")
        return out

    def begin(self):
        self.connection = self.open()
        self.connection.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER, part INTEGER, parts INTEGER, data BLOB, PRIMARY KEY (number, part))")

    def step(self):
        number, parts = self.committed + 1, self.random.randrange(1, 20)
        self.connection.execute("BEGIN IMMEDIATE")
        for part in range(parts):
            self.connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (number, part, parts, self.random.randbytes(self.random.randrange(2000))))
        if number > 200:
            self.connection.execute("UPDATE rows SET data = ? WHERE number = ?", (b"old", number - 200))
        self.connection.execute("COMMIT")
        count(self)
        self.committed = number
        self.steps += 1

    def leave(self):
        try:
            self.connection.close()
        except sqlite3.Error:
            pass

    def verify(self):
        connection = self.open()
        check(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "SQLite: integrity_check")
        rows = connection.execute("SELECT number, count(*), min(parts), max(parts) FROM rows GROUP BY number ORDER BY number").fetchall()
        check(all(count == least == most for _, count, least, most in rows), "SQLite: a torn transaction")
        numbers = [number for number, *_ in rows]
        check(numbers == list(range(1, len(numbers) + 1)) and self.committed <= len(numbers) <= self.committed + 1,
              f"SQLite: {len(numbers)} transactions found, {self.committed} committed")
        self.committed = len(numbers)
        connection.close()


def work(loads, rng, kill):
    """Runs the loads, and kill() when they have done a random number of steps."""
    workers = [Worker(load) for load in loads]
    wanted = sum(load.steps for load in loads) + rng.randrange(5, 80)
    for w in workers:
        w.start()
    end = time.monotonic() + WAIT
    while sum(load.steps for load in loads) < wanted and any(w.is_alive() for w in workers) and time.monotonic() < end:
        time.sleep(0.005)
    early = [w for w in workers if not w.is_alive()]
    check(not early, f"{len(early)} of the loads failed before any crash: {[w.problem for w in early]}")
    time.sleep(rng.uniform(0, 0.3))
    for load in loads:
        load.dying.set()
    kill()
    for w in workers:
        w.stopping = True
        w.join(WAIT)
        check(not w.is_alive(), f"a call hangs for {WAIT} s after the plugin was killed")
        check(w.problem is None, f"the load itself failed: {w.problem!r}")


def filesystem(house, kind, rng, seed, rounds):
    need("nbdfuse", "fusermount3", *(("mkfs.ext4", "e2fsck") if kind == "ext4" else ("mkfs.xfs", "xfs_repair")))
    if os.geteuid() != 0 or subprocess.run(["losetup", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode or not os.access("/dev/fuse", os.W_OK):
        raise Skip("no loop devices or no FUSE here")
    disk = Filesystem(house, kind)
    disk.attach()
    disk.make()
    disk.mount()
    loads = [Files(disk.at, f"{seed}-{i}") for i in range(3)] + [Database(disk.at, seed)]
    for i in range(1, rounds + 1):
        for load in loads:
            load.begin()
        work(loads, rng, disk.plugin.kill)
        say(f"{kind}: crash {i} of {rounds} after {loads[3].committed} transactions and {sum(load.steps for load in loads[:3])} steps on files")
        disk.unmount()
        disk.detach()
        disk.attach()
        disk.mount()  # replays the log
        for load in loads:
            load.verify()
        disk.unmount()
        disk.checked()
        disk.mount()
    disk.unmount()
    disk.detach()
    disk.plugin.stop()


def fio(house, rng, rounds):
    """What one fio wrote and synced before the crash, another verifies after it; a third writes elsewhere while it happens."""
    need("fio")
    served = house.plugin("disk", "volume=disk", "force=true").start()
    half = SIZE // 2

    def command(name, *more):
        return ["fio", f"--name={name}", "--ioengine=nbd", f"--uri={served.uri()}", "--rw=randwrite", "--bsrange=512-64k",
                "--iodepth=16", *more]

    for i in range(1, rounds + 1):
        # The same options and the same seed write the same blocks in the same order.
        same = [f"--randseed={rng.randrange(1 << 30)}", "--offset=0", f"--size={half}", "--io_size=24m", "--verify=crc32c", "--verify_fatal=1",
                "--verify_state_save=0", "--randrepeat=1", "--serialize_overlap=1"]
        run(*command("known", *same, "--do_verify=0", "--end_fsync=1", "--fsync=64"), timeout=300)
        with open(house.work / "fio.log", "ab") as log:
            noise = subprocess.Popen(command("noise", f"--offset={half}", f"--size={half}", "--time_based", "--runtime=120", "--fsync=16"),
                                     cwd=house.work, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        house.closing.callback(noise.kill)
        time.sleep(rng.uniform(0.5, 4))
        check(noise.poll() is None, "fio ended before the crash; see fio.log")
        served.kill()
        try:
            noise.wait(WAIT)
        except subprocess.TimeoutExpired:
            noise.kill()  # fio's engine may wait for replies that never come
        say(f"fio: crash {i} of {rounds}")
        served.start()
        run(*command("known", *same, "--verify_only"), timeout=300)
    served.stop()


def test(house):
    arguments = argparse.ArgumentParser()
    arguments.add_argument("what", choices=["ext4", "xfs", "fio"])
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    arguments.add_argument("--rounds", type=int, default=int(os.environ.get("CESS_CRASH_ROUNDS", "3")))
    how = arguments.parse_args()
    say(f"{how.what}, seed {how.seed}, {how.rounds} rounds")
    need("nbdkit", "nbdinfo")
    house.up()
    run("cess", "volume", "create", "disk", "--type", "block", "--size", SIZE)
    rng = random.Random(how.seed)
    if how.what == "fio":
        fio(house, rng, how.rounds)
    else:
        filesystem(house, how.what, rng, how.seed, how.rounds)
    fsck("disk")


main("crash", test)
