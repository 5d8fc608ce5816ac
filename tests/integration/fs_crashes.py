#!/usr/bin/python3
"""Kills cessfs while two writers work on the mount, mounts the volume again, and compares what is there with what cessfs(1)
promises, round after round from a seed.

  ordered  every operation is one change, and reaches the daemon before it returns: names of all kinds, attributes, and bytes
           past the page cache. The tree must be what it was after some operation, at or after the last fsync of anything.
  cached   what programs do: bytes through the page cache and mappings, in units that carry file, place and version. A unit
           holds what it held at the file's last fsync or something written there since; a file that was renamed over another
           is whole, fsynced or not.

    fs_crashes.py [--seed N] [--rounds N]
"""
import argparse
import contextlib
import errno
import hashlib
import mmap
import os
import pathlib
import random
import stat
import struct
import threading
import time

import fs_support
from blockdev_support import Failure, check, main, run, say
from fs_support import EXCHANGE, KEEP_SIZE, NOREPLACE, PUNCH_HOLE, ZERO_RANGE, rename

GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}  # what a caller hears of a dead daemon


class Inode:
    def __init__(self, kind, content=b""):
        self.kind, self.content, self.mode, self.xattrs = kind, content, None, {}

    def copy(self):
        other = Inode(self.kind, self.content)
        other.mode, other.xattrs = self.mode, dict(self.xattrs)
        return other


class Tree:
    """Paths below a folder, and inodes: what each operation makes of them."""

    def __init__(self):
        self.names = {"": Inode("directory")}

    def copy(self):
        copies = {id(node): node.copy() for node in self.names.values()}
        other = Tree()
        other.names = {path: copies[id(node)] for path, node in self.names.items()}
        return other

    def image(self):
        """For each path all that can be seen of it, its other names included."""
        others = {}
        for path, node in sorted(self.names.items()):
            others.setdefault(id(node), []).append(path)
        return {path: (node.kind, node.mode, node.content, sorted(node.xattrs.items()), others[id(node)]) for path, node in self.names.items()}

    def apply(self, operation, *arguments):
        getattr(self, operation)(*arguments)

    def make(self, path, kind, mode, content=b""):
        self.names[path] = Inode(kind, content)
        self.names[path].mode = mode

    def link(self, old, new):
        self.names[new] = self.names[old]

    def remove(self, path):
        del self.names[path]

    def move(self, old, new):
        if self.names.get(new) is self.names[old]:
            return  # two names of one file stay
        self.names.pop(new, None)
        for path in [p for p in self.names if p == old or p.startswith(old + "/")]:
            self.names[new + path[len(old):]] = self.names.pop(path)

    def exchange(self, a, b):
        self.move(a, "\0")
        self.move(b, a)
        self.move("\0", b)

    def write(self, path, offset, data):
        old = self.names[path].content
        self.names[path].content = old[:offset].ljust(offset, b"\0") + data + old[offset + len(data):]

    def truncate(self, path, size):
        self.names[path].content = self.names[path].content[:size].ljust(size, b"\0")

    def punch(self, path, offset, length):
        old = self.names[path].content
        end = min(len(old), offset + length)
        if offset < end:
            self.write(path, offset, bytes(end - offset))

    def copy_range(self, source, start, target, at, length):
        self.write(target, at, self.names[source].content[start:start + length])

    def chmod(self, path, mode):
        self.names[path].mode = mode

    def set_xattr(self, path, name, value):
        self.names[path].xattrs[name] = value


def observe(top):
    """The image of what is there."""
    tree, inodes = Tree(), {}
    for directory, _, files in os.walk(top):
        for full in [directory, *(os.path.join(directory, name) for name in files)]:
            path, found = os.path.relpath(full, top), os.lstat(full)
            tree.names["" if path == "." else path] = inodes.setdefault(found.st_ino, look_at(full, found))
    for path, node in tree.names.items():
        if node.kind == "directory":
            wanted = 2 + sum(other.kind == "directory" and other is not node and os.path.dirname(name) == path for name, other in tree.names.items())
        else:
            wanted = sum(other is node for other in tree.names.values())
        check(node.links == wanted, f"ordered/{path} has {node.links} links instead of {wanted}")
    return tree.image()


def look_at(path, found):
    if stat.S_ISLNK(found.st_mode):
        node = Inode("link", os.fsencode(os.readlink(path)))
    elif stat.S_ISDIR(found.st_mode):
        node = Inode("directory")
    else:
        node = Inode("file", pathlib.Path(path).read_bytes())
        node.xattrs = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    node.mode = None if node.kind == "link" else stat.S_IMODE(found.st_mode)
    node.links = found.st_nlink
    return node


class Writer(threading.Thread):
    """Works until the daemon is gone; what it knows stays in the object."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error, self.steps = work, None, 0

    def run(self):
        try:
            while True:
                self.work.step()
                self.steps += 1
        except OSError as error:
            if error.errno not in GONE:
                self.error = error
        except Exception as error:  # shown by the main thread, with the seed
            self.error = error


class Ordered:
    def __init__(self, top, seed):
        self.top, self.random = top, random.Random(f"{seed}-ordered")
        self.syncing = 0.02
        top.mkdir()
        self.tree = Tree()
        self.tree.names[""].mode = 0o755
        os.chmod(top, 0o755)
        self.buffer = mmap.mmap(-1, 65536)
        self.begin()
        self.sync()

    def begin(self):
        self.floor, self.history = self.tree.copy(), []  # the state that must be there, and what was tried since

    def at(self, path):
        return self.top / path if path else self.top

    def doing(self):
        return "ordered: " + "\n  ".join(" ".join(map(shorten, operation)) for operation in self.history[-30:])

    def do(self, operation, *arguments):
        """Before the call: it may take effect though we never hear of it."""
        self.history.append((operation, *arguments))
        self.tree.apply(operation, *arguments)

    def paths(self, *kinds):
        return sorted(path for path, node in self.tree.names.items() if path and node.kind in kinds)

    def any(self, *kinds):
        found = self.paths(*kinds)
        return self.random.choice(found) if found else None

    def name(self):
        directory = self.random.choice(["", *self.paths("directory")])
        if directory.count("/") > 2:
            directory = ""
        return f"{directory}/{self.random.choice('abcdefgh')}".lstrip("/")

    def step(self):
        if self.random.random() < self.syncing:
            return self.sync()
        self.random.choices([self.make, self.remove, self.move, self.link, self.bytes, self.attribute], [4, 3, 4, 1, 8, 2])[0]()

    def sync(self):
        """Of anything: all that happened before is there from now on."""
        floor = self.tree.copy(), len(self.history)
        path = self.random.choice(["", *self.paths("file", "directory")])
        fd = os.open(self.at(path), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self.floor, self.history = floor[0], self.history[floor[1]:]

    def make(self):
        path, kind = self.name(), self.random.choice(["file", "file", "file", "directory", "link"])
        if path in self.tree.names:
            return
        if kind == "link":
            target = b"t" * self.random.randrange(1, 300)
            self.do("make", path, kind, None, target)
            os.symlink(target, self.at(path))
        elif kind == "directory":
            self.do("make", path, kind, 0o755)
            os.mkdir(self.at(path), 0o755)
        else:
            self.do("make", path, kind, 0o644)
            os.mknod(self.at(path), 0o644 | stat.S_IFREG)

    def empty(self, path):
        return not any(other.startswith(path + "/") for other in self.tree.names)

    def remove(self):
        path = self.any("file", "link", "directory")
        if path is None or not self.empty(path):
            return
        directory = self.tree.names[path].kind == "directory"
        self.do("remove", path)
        os.rmdir(self.at(path)) if directory else os.unlink(self.at(path))

    def move(self):
        old, new = self.any("file", "link", "directory"), self.name()
        if old is None or (new + "/").startswith(old + "/") or (old + "/").startswith(new + "/"):
            return
        source, target = self.tree.names[old], self.tree.names.get(new)
        if target is None:
            self.do("move", old, new)
            rename(self.at(old), self.at(new), self.random.choice([0, NOREPLACE]))
        elif self.random.random() < 0.4 and source is not target:
            self.do("exchange", old, new)
            rename(self.at(old), self.at(new), EXCHANGE)
        elif (source.kind == "directory") == (target.kind == "directory") and self.empty(new):
            self.do("move", old, new)
            rename(self.at(old), self.at(new))

    def link(self):
        old, new = self.any("file"), self.name()
        if old is not None and new not in self.tree.names:
            self.do("link", old, new)
            os.link(self.at(old), self.at(new))

    def bytes(self):
        path = self.any("file")
        if path is None:
            return
        kind = self.random.choice(["write", "write", "write", "truncate", "punch", "copy"])
        offset, length = self.random.randrange(16) * 4096, self.random.randrange(1, 9) * 4096
        fd = os.open(self.at(path), os.O_RDWR | os.O_DIRECT)
        try:
            if kind == "write":
                self.buffer[:length] = data = self.random.randbytes(length)
                self.do("write", path, offset, data)
                check(os.pwritev(fd, [memoryview(self.buffer)[:length]], offset) == length, "a short write")
            elif kind == "truncate":
                self.do("truncate", path, offset + length % 999)
                os.ftruncate(fd, offset + length % 999)
            elif kind == "punch":
                self.do("punch", path, offset, length)
                fs_support.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
            else:
                self.copy(path, fd, offset, length)
        finally:
            os.close(fd)

    def copy(self, path, fd, offset, length):
        source = self.any("file")
        node = self.tree.names[source]
        if node is self.tree.names[path] or not node.content:
            return
        reader = os.open(self.at(source), os.O_RDONLY)
        try:
            start = self.random.randrange(len(node.content))
            length = min(length, len(node.content) - start)
            self.do("copy_range", source, start, path, offset, length)
            check(os.copy_file_range(reader, fd, length, start, offset) == length, "a short copy")
        finally:
            os.close(reader)

    def attribute(self):
        path = self.any("file")
        if path is None:
            return
        if self.random.random() < 0.5:
            mode = self.random.choice([0o600, 0o644, 0o755, 0o700])
            self.do("chmod", path, mode)
            os.chmod(self.at(path), mode)
        else:
            name, value = f"user.{self.random.choice('abc')}", self.random.randbytes(self.random.randrange(200))
            self.do("set_xattr", path, name, value)
            os.setxattr(self.at(path), name, value)

    def verify(self):
        found, tree, closest = observe(self.top), self.floor.copy(), None
        for count, operation in enumerate([None, *self.history]):
            if operation:
                tree.apply(*operation)
            image = tree.image()
            if image == found:
                tried = len(self.history)
                self.tree = tree
                self.begin()
                return f"{count} of {tried} operations"
            different = [path for path in sorted({*image, *found}) if image.get(path) != found.get(path)]
            if closest is None or len(different) < len(closest[1]):
                closest = count, different, {path: image.get(path) for path in different}
        count, different, wanted = closest
        lines = [f"ordered: {len(self.history)} operations since the last fsync, and the tree is what it was after none of them; after {count} differ"]
        lines += [f"  {path}: {brief(found.get(path))} instead of {brief(wanted[path])}" for path in different[:8]]
        lines += [f"  {i + 1}: {' '.join(map(shorten, operation))}" for i, operation in enumerate(self.history)][max(0, count - 15):count + 15]
        raise Failure("\n".join(lines))


def shorten(value):
    return f"<{len(value)} {hashlib.sha256(value).hexdigest()[:8]}>" if isinstance(value, bytes) and len(value) > 20 else str(value)


def brief(seen):
    """An inode of an image."""
    if seen is None:
        return "nothing"
    kind, mode, content, xattrs, names = seen
    return f"{kind} {mode or 0:o} {shorten(content)} {[f'{name}={shorten(value)}' for name, value in xattrs]} {names}"


class Cached:
    UNIT, UNITS, FILES = 256, 800, 4
    HEAD = struct.Struct("<QQQ")  # file, unit, version

    def __init__(self, top, seed):
        self.top, self.random = top, random.Random(f"{seed}-cached")
        self.syncing = 0.02
        top.mkdir()
        self.version = 0
        self.files, self.sizes = {}, {}  # file: for each unit the versions that may be there; the sizes that may be
        self.replaced = {}               # name: the digests that may be there, and whether the name must be
        for i in range(self.FILES):
            self.files[i] = [{0} for _ in range(self.UNITS)]
            self.sizes[i] = [0, 0, 0]    # least, most, now
            fd = os.open(self.top / f"u{i}", os.O_CREAT | os.O_WRONLY)
            os.fsync(fd)
            os.close(fd)
        self.now = {i: [0] * self.UNITS for i in self.files}

    def doing(self):
        return f"cached: version {self.version}"

    def unit(self, file, index, version):
        return (self.HEAD.pack(file, index, version) * 11)[:self.UNIT] if version else bytes(self.UNIT)

    def step(self):
        if self.random.random() < self.syncing:
            return self.sync()
        self.random.choices([self.write, self.write_mapped, self.resize, self.punch, self.replace], [12, 4, 3, 2, 4])[0]()

    def range(self, limit):
        first = self.random.randrange(limit)
        return first, min(limit - first, self.random.choice([1, 3, 17, 130, 700]))

    def change(self, file, first, count, version):
        for index in range(first, first + count):
            self.files[file][index].add(version)
            self.now[file][index] = version

    def note_size(self, file, units):
        least, most, _ = self.sizes[file]
        self.sizes[file] = [min(least, units), max(most, units), units]

    def content(self, file, first, count):
        self.version += 1
        self.change(file, first, count, self.version)
        return b"".join(self.unit(file, index, self.version) for index in range(first, first + count))

    def opened(self, file):
        return open(self.top / f"u{file}", "rb+", buffering=0)

    def write(self):
        file = self.random.randrange(self.FILES)
        first, count = self.range(self.UNITS)
        with self.opened(file) as f:
            self.note_size(file, max(self.sizes[file][2], first + count))
            data = self.content(file, first, count)
            check(os.pwrite(f.fileno(), data, first * self.UNIT) == len(data), "a short write")
            self.maybe_sync(f, file)

    def write_mapped(self):
        file = self.random.randrange(self.FILES)
        size = self.sizes[file][2]
        if size == 0:
            return
        with self.opened(file) as f, mmap.mmap(f.fileno(), size * self.UNIT) as mapping:
            f.read()  # a page that must come from a dead daemon would be a SIGBUS
            first, count = self.range(size)
            mapping[first * self.UNIT:(first + count) * self.UNIT] = self.content(file, first, count)
            self.maybe_sync(f, file)

    def resize(self):
        file, units = self.random.randrange(self.FILES), self.random.randrange(self.UNITS + 1)
        least = min(units, self.sizes[file][2])
        self.change(file, least, self.UNITS - least, 0)
        self.note_size(file, units)
        with self.opened(file) as f:
            os.ftruncate(f.fileno(), units * self.UNIT)

    def punch(self):
        file = self.random.randrange(self.FILES)
        first, count = self.range(self.UNITS)
        self.change(file, first, count, 0)
        with self.opened(file) as f:
            fs_support.fallocate(f.fileno(), self.random.choice([PUNCH_HOLE, ZERO_RANGE]) | KEEP_SIZE, first * self.UNIT, count * self.UNIT)

    def maybe_sync(self, f, file):
        if self.random.random() < 2 * self.syncing:
            self.sync_file(f, file)

    def sync(self):
        file = self.random.randrange(self.FILES)
        with self.opened(file) as f:
            self.sync_file(f, file)

    def sync_file(self, f, file):
        self.random.choice([os.fsync, os.fdatasync])(f.fileno())
        self.keep(file)

    def keep(self, file):
        self.files[file] = [{version} for version in self.now[file]]
        self.sizes[file] = [self.sizes[file][2]] * 3

    def replace(self):
        """Write anew, rename over, without an fsync: closed before, open still, or mapped still."""
        name, data = f"r{self.random.randrange(6)}", self.random.randbytes(self.random.choice([1, 5000, 300_000]))
        how = self.random.choice(["closed", "open", "mapped"])
        known, must = self.replaced.get(name, ([], False))
        new = self.top / f"{name}.new"
        with open(new, "wb+", buffering=0) as f:
            if how == "mapped":
                f.truncate(len(data))
                f.read()
                with mmap.mmap(f.fileno(), len(data)) as mapping:
                    mapping[:] = data
                    self.move(new, name, known, must, data)
            else:
                check(f.write(data) == len(data), "a short write")
                if how == "open":
                    self.move(new, name, known, must, data)
        if how == "closed":
            self.move(new, name, known, must, data)
        if self.random.random() < 2 * self.syncing:
            directory = os.open(self.top, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
            self.replaced = {n: (digests[-1:], bool(digests)) for n, (digests, _) in self.replaced.items()}

    def move(self, new, name, known, must, data):
        """The first version is synced: only what takes a place is promised to be whole."""
        digest = hashlib.sha256(data).hexdigest()
        if not known:
            fd = os.open(new, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        self.replaced[name] = ([*known, digest], must)
        os.rename(new, self.top / name)

    def verify(self):
        for file in self.files:
            self.verify_units(file)
        for name, (known, must) in self.replaced.items():
            self.verify_replaced(name, known, must)
        for left in self.top.glob("*.new"):
            left.unlink()
        return f"version {self.version}"

    def verify_units(self, file):
        data = (self.top / f"u{file}").read_bytes()
        units, rest = divmod(len(data), self.UNIT)
        least, most, _ = self.sizes[file]
        check(least * self.UNIT <= len(data) <= most * self.UNIT, f"cached/u{file}: size {len(data)}, from {least} to {most} units were possible")
        check(rest == 0, f"cached/u{file}: size {len(data)} is none that it had")
        for index in range(units):
            found, allowed = data[index * self.UNIT:(index + 1) * self.UNIT], self.files[file][index]
            versions = [v for v in allowed if self.unit(file, index, v) == found]
            check(versions, f"cached/u{file}: unit {index} holds {self.describe(found)}, and may hold versions {sorted(allowed)[-10:]}")
            self.now[file][index] = versions[0]
        for index in range(units, self.UNITS):
            self.now[file][index] = 0
        self.sizes[file][2] = units
        with self.opened(file) as f:
            self.sync_file(f, file)

    def describe(self, found):
        if not any(found):
            return "zeros"
        return "file %d, unit %d, version %d" % self.HEAD.unpack(found[:self.HEAD.size])

    def verify_replaced(self, name, known, must):
        path = self.top / name
        if not path.exists():
            check(not must, f"cached/{name} is gone")
            self.replaced[name] = ([], False)
            return
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        check(digest in known, f"cached/{name}: {len(data)} bytes that are none of the {len(known)} files renamed to it")
        self.replaced[name] = ([digest], True)


def fsync_covers_others(mount):
    """All that happened before is stored, though the file itself has not changed since its last fsync."""
    quiet, other = mount.at / "quiet", mount.at / "other"
    fd = os.open(quiet, os.O_CREAT | os.O_WRONLY)
    os.fsync(fd)
    other.write_bytes(b"other")
    os.fsync(fd)
    mount.crash()
    with contextlib.suppress(OSError):
        os.close(fd)
    mount.mount()
    check(other.exists() and other.read_bytes() == b"other", "an fsync of a file that had not changed did not cover what happened before")


def dies_among_renames(mount):
    """Renames that wait for pages to be written back end with the daemon that was to take them."""
    def work(folder):
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            while True:
                with open(folder / "new", "wb", buffering=0) as new:
                    new.write(bytes(200_000))
                    os.rename(folder / "new", folder / "name")

    threads = [threading.Thread(target=work, args=(mount.at / f"busy{i}",), daemon=True) for i in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    mount.kill()
    end = time.monotonic() + 30
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    check(not any(thread.is_alive() for thread in threads), "a rename hangs after the daemon's death")
    mount.detach()
    mount.mount()


def crashes(house, how):
    mount, chance = fs_support.Mount(house, trash=how.trash), random.Random(how.seed)
    fsync_covers_others(mount)
    for _ in range(3):
        dies_among_renames(mount)
    works = [Ordered(mount.at / "ordered", how.seed), Cached(mount.at / "cached", how.seed)]
    steps = 0
    for count in range(1, how.rounds + 1):
        syncing = chance.choice([0, 0, 0.005, 0.05])  # an fsync of either covers both
        for work in works:
            work.syncing = syncing
        writers = [Writer(work) for work in works]
        for writer in writers:
            writer.start()
        time.sleep(chance.choice([0.02, 0.1, 0.3, 1.0]) * chance.uniform(0.5, 1.5))
        alive = all(writer.is_alive() for writer in writers)
        mount.kill()
        for writer in writers:
            writer.join(30)
            check(not writer.is_alive(), f"--seed {how.seed}, round {count}: a call hangs after the daemon's death: {writer.work.doing()}")
            check(not writer.error, f"--seed {how.seed}, round {count}: {writer.work.doing()}: {writer.error!r}")
            steps += writer.steps
        check(alive, f"round {count}: a writer met an error before the daemon was killed")
        mount.detach()
        mount.mount()
        try:
            found = [work.verify() for work in works]
        except Failure as failure:
            raise Failure(f"--seed {how.seed}, round {count}: {failure}")
        say(f"crash {count}: {', '.join(found)}")
    mount.unmount()
    run("cess", "fsck", mount.volume, timeout=300)
    say(f"{how.rounds} crashes, {steps} steps")


arguments = argparse.ArgumentParser()
arguments.add_argument("--trash", action="store_true", help="what is deleted is kept, and nobody notices")
arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
arguments.add_argument("--rounds", type=int, default=12)
options = arguments.parse_args()
os.umask(0o022)
say(f"seed {options.seed}, {options.rounds} rounds")
main("crashes", lambda house: crashes(house, options))
