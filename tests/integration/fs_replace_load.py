#!/usr/bin/env python3
"""Programs that use a mount while its cessfs is replaced, and see no error and nothing wrong.

fs_replace_load.py run DIR STOP    all of them, until the file STOP is there; prints the longest times that a statfs(2) took
fs_replace_load.py check DIR       what they left, after another mount
"""
import fcntl
import hashlib
import json
import mmap
import multiprocessing
import os
import queue
import random
import sqlite3
import subprocess
import sys
import time

BLOCK = 5000


def block(name, number):
    return hashlib.sha256(f"{name}/{number}".encode()).digest() * (BLOCK // 32)


class load:
    def __init__(self, directory, stop):
        self.directory, self.stop = directory, stop

    def path(self, name):
        return os.path.join(self.directory, name)

    def rounds(self):
        number = 0
        while not os.path.exists(self.stop):
            yield number
            number += 1

    def appending(self):
        """One open file, appended to and synced; read back as a whole now and then."""
        running = hashlib.sha256()
        with open(self.path("appended"), "ab+", buffering=0) as f:
            for n in self.rounds():
                data = block("appended", n)
                running.update(data)
                assert f.write(data) == len(data)
                if n % 3 == 0:
                    os.fsync(f.fileno())
                if n % 50 == 0:
                    f.seek(0)
                    assert hashlib.sha256(f.read()).digest() == running.digest()
            os.fsync(f.fileno())
        return n + 1

    def database(self):
        base = sqlite3.connect(self.path("base.sqlite"), timeout=120)
        base.execute("create table if not exists t (n integer primary key, s text)")
        for n in self.rounds():
            with base:
                base.execute("insert into t values (?, ?)", (n, block("base", n).hex()[:200]))
            if n % 20 == 0:
                assert base.execute("select count(*) from t").fetchone()[0] == n + 1
        assert base.execute("pragma integrity_check").fetchone()[0] == "ok"
        return n + 1

    def repository(self):
        """git, in the folder as its working directory."""
        def git(*words):
            subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, stdout=subprocess.DEVNULL, timeout=180)
        os.makedirs(self.path("repository"), exist_ok=True)
        os.chdir(self.path("repository"))
        git("init", "-q", ".")
        for n in self.rounds():
            with open(f"file{n % 7}", "wb") as f:
                f.write(block("git", n))
            git("add", ".")
            git("commit", "-q", "-m", str(n))
        assert os.getcwd() == os.path.realpath(self.path("repository"))
        os.chdir("/")
        subprocess.run(["git", "-C", self.path("repository"), "fsck", "--strict"], check=True, stderr=subprocess.DEVNULL, timeout=180)
        return n + 1

    def unlinked(self):
        """Without a name, for as long as it is open."""
        with open(self.path("unlinked"), "wb+", buffering=0) as f:
            os.unlink(self.path("unlinked"))
            for n in self.rounds():
                place = n % 100
                os.pwrite(f.fileno(), block("unlinked", n), place * BLOCK)
                for back in (0, min(n, 50)):
                    at = n - back
                    want = block("unlinked", at)
                    assert os.pread(f.fileno(), len(want), (at % 100) * BLOCK) == want
                assert os.fstat(f.fileno()).st_nlink == 0
                time.sleep(0.003)
        return n + 1

    def seeking(self, name="seeking"):
        """For data, which makes the kernel write back what is dirty, while cessfs answers: almost all the time."""
        data = b"data" * 4096
        with open(self.path(name), "wb+", buffering=0) as f:
            for n in self.rounds():
                at = n % 8 << 20
                os.pwrite(f.fileno(), data, at)
                assert os.lseek(f.fileno(), at, os.SEEK_DATA) == at
                if n % 8 == 7:
                    f.truncate(0)
        return n + 1

    def seeking_too(self):
        """So that there is always somebody who does."""
        return self.seeking("seeking_too")

    def renaming(self):
        """Of a file that is being written, over another: that waits for what the kernel holds of it."""
        names = [self.path("renamed0"), self.path("renamed1")]
        with open(names[0], "wb", buffering=0) as f:
            for n in self.rounds():
                os.close(os.open(names[1 - n % 2], os.O_CREAT | os.O_WRONLY))
                os.pwrite(f.fileno(), block("renamed", n), 0)
                os.rename(names[n % 2], names[1 - n % 2])
                assert os.fstat(f.fileno()).st_ino == os.stat(names[1 - n % 2]).st_ino
                time.sleep(0.001)
        return n + 1

    def snapshots(self):
        """A file that is open in one is read from cessfs, and its directory listed."""
        with open(self.path(".snapshots/before/in_snapshot"), "rb", buffering=0) as f:
            for n in self.rounds():
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                assert os.pread(f.fileno(), 100, 0) == b"old\n"
                assert "in_snapshot" in os.listdir(self.path(".snapshots/before"))
                time.sleep(0.005)
        return n + 1

    def taking(self):
        """Snapshots are taken and deleted."""
        for n in self.rounds():
            os.mkdir(self.path(".snapshots/taken"))
            assert "in_snapshot" in os.listdir(self.path(".snapshots/taken"))
            os.rmdir(self.path(".snapshots/taken"))
            time.sleep(0.5)
        return n + 1

    def mapped(self):
        size = 1 << 20
        with open(self.path("mapped"), "wb+") as f:
            f.truncate(size)
            memory = mmap.mmap(f.fileno(), size)
            shadow = bytearray(size)
            for n in self.rounds():
                at = random.randrange(size - 8)
                memory[at : at + 8] = shadow[at : at + 8] = n.to_bytes(8, "little")
                if n % 40 == 0:
                    memory.flush()
                    assert memory[:] == bytes(shadow)
                time.sleep(0.001)
            memory.flush()
            os.fsync(f.fileno())
        with open(self.path("mapped.sum"), "w") as f:
            f.write(hashlib.sha256(shadow).hexdigest())
            f.flush()
            os.fsync(f.fileno())
        return n + 1

    def locked(self):
        """One holds a lock for all the time; another never gets it."""
        with open(self.path("lock"), "w") as holder, open(self.path("lock"), "w") as other:
            fcntl.flock(holder, fcntl.LOCK_EX)
            fcntl.lockf(holder, fcntl.LOCK_EX, 10)
            for n in self.rounds():
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    raise AssertionError("a lock was lost")
                except BlockingIOError:
                    pass
                time.sleep(0.01)
        return n + 1

    def listing(self):
        """Names come and go; listings that are under way show those that stay exactly once."""
        names = self.path("names")
        os.makedirs(names, exist_ok=True)
        for i in range(500):
            os.close(os.open(f"{names}/stays{i}", os.O_CREAT | os.O_WRONLY))
        for n in self.rounds():
            seen = []
            with os.scandir(names) as entries:
                for i, entry in enumerate(entries):
                    seen.append(entry.name)
                    if i % 100 == 0:
                        with open(f"{names}/comes", "w") as f:
                            f.write("x")
                        os.rename(f"{names}/comes", f"{names}/goes")
                        os.unlink(f"{names}/goes")
            stays = [name for name in seen if name.startswith("stays")]
            assert len(stays) == len(set(stays)) == 500
        return n + 1

    def asking(self):
        """statfs(2) is never answered from a cache: how long the mount pauses."""
        longest = []
        for n in self.rounds():
            begun = time.monotonic()
            os.statvfs(self.directory)
            longest = sorted(longest + [time.monotonic() - begun])[-30:]
            time.sleep(0.002)
        return longest


KINDS = ("appending", "database", "repository", "unlinked", "seeking", "seeking_too", "renaming", "snapshots", "taking", "mapped", "locked", "listing",
         "asking")


def one(kind, directory, stop, out):
    out.put((kind, getattr(load(directory, stop), kind)()))


def run(directory, stop):
    out = multiprocessing.Queue()
    children = {kind: multiprocessing.Process(target=one, args=(kind, directory, stop, out)) for kind in KINDS}
    for child in children.values():
        child.start()
    done = {}
    while any(child.is_alive() for child in children.values()) or not out.empty():
        try:
            kind, result = out.get(timeout=0.2)
            done[kind] = result
        except queue.Empty:
            pass
        failed = [kind for kind, child in children.items() if child.exitcode not in (None, 0)]
        if failed:
            open(stop, "w").close()
            for child in children.values():
                child.join(60)
            sys.exit("failed: " + ", ".join(failed))
    pauses = done.pop("asking")
    with open(os.path.join(directory, "done"), "w") as f:
        json.dump(done, f)
        f.flush()
        os.fsync(f.fileno())
    print("rounds:", json.dumps(done))
    print("longest statfs, ms:", " ".join(str(round(p * 1000)) for p in reversed(pauses)))


def check(directory):
    at = load(directory, "")
    with open(at.path("done")) as f:
        done = json.load(f)
    whole = hashlib.sha256()
    for n in range(done["appending"]):
        whole.update(block("appended", n))
    with open(at.path("appended"), "rb") as f:
        assert hashlib.sha256(f.read()).digest() == whole.digest()
    base = sqlite3.connect(at.path("base.sqlite"))
    assert base.execute("pragma integrity_check").fetchone()[0] == "ok"
    rows = base.execute("select n, s from t order by n").fetchall()
    assert rows == [(n, block("base", n).hex()[:200]) for n in range(done["database"])]
    subprocess.run(["git", "-C", at.path("repository"), "fsck", "--strict"], check=True, stderr=subprocess.DEVNULL)
    log = subprocess.run(["git", "-C", at.path("repository"), "log", "--format=%s"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert log == [str(n) for n in reversed(range(done["repository"]))]
    with open(at.path("mapped"), "rb") as f, open(at.path("mapped.sum")) as wanted:
        assert hashlib.sha256(f.read()).hexdigest() == wanted.read()
    assert not os.path.exists(at.path("unlinked"))
    assert sorted(os.listdir(at.path("names"))) == sorted(f"stays{i}" for i in range(500))


if sys.argv[1] == "run":
    run(sys.argv[2], sys.argv[3])
else:
    check(sys.argv[2])
