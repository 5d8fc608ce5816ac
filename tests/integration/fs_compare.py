#!/usr/bin/python3
"""Random operations on a few files of a mount, each beside the same on bytes in memory: every read, size and hole must be
what the model says, through every way of reading and writing that Linux has, with clean remounts and with kill -9 after an
fsync of everything between. The pages that the kernel holds are dropped often, so that the daemon's bytes are compared.

    fs_compare.py [--seed N] [--operations N] [--remounts N]     a network and a volume of its own
    fs_compare.py --directory DIR ...                            a folder that is mounted already; no remounts
The same numbers do the same operations. A difference shows the last ones.
"""
import argparse
import collections
import errno
import mmap
import os
import pathlib
import random
import time

import fs_support
from blockdev_support import Failure, check, main, say
from fs_support import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, drop_pages

SIZE_MAX = 98 * 4096
FILES = 4


class File:
    """One file, the ways in which it is open, and what it must hold."""

    def __init__(self, path):
        self.path, self.model, self.mapping = path, bytearray(), None
        os.close(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
        self.open()

    def open(self):
        self.fds = [os.open(self.path, os.O_RDWR), os.open(self.path, os.O_RDWR)]
        self.direct = os.open(self.path, os.O_RDWR | os.O_DIRECT)
        self.append = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self.reader = os.open(self.path, os.O_RDONLY)

    def close(self):
        self.unmap()
        for fd in [*self.fds, self.direct, self.append, self.reader]:
            os.close(fd)

    def unmap(self):
        if self.mapping:
            self.mapping.close()
        self.mapping = None

    def store(self, offset, data):
        self.grow(offset + len(data) if data else 0)
        self.model[offset:offset + len(data)] = data

    def grow(self, size):
        if size > len(self.model):
            self.model.extend(bytes(size - len(self.model)))

    def resize(self, size):
        del self.model[size:]
        self.grow(size)

    def clear(self, offset, length):
        end = min(offset + length, len(self.model))
        if offset < end:
            self.model[offset:end] = bytes(end - offset)


class Comparison:
    def __init__(self, directory, seed):
        self.random = random.Random(seed)
        self.directory, self.seed, self.count = pathlib.Path(directory), seed, 0
        self.last = collections.deque(maxlen=30)
        self.buffer = mmap.mmap(-1, SIZE_MAX)  # aligned, for O_DIRECT
        self.files = [File(self.directory / f"f{i}") for i in range(FILES)]
        steps = {self.read: 20, self.read_direct: 8, self.read_mapped: 6, self.write: 14, self.write_vector: 4, self.write_append: 4,
                 self.write_direct: 8, self.write_mapped: 8, self.truncate: 7, self.allocate: 4, self.zero: 8, self.seek: 8,
                 self.copy: 8, self.drop: 6, self.reopen: 2, self.replace: 1, self.sync: 0.3, self.compare_whole: 2}
        self.steps, self.weights = list(steps), list(steps.values())

    def run(self, operations):
        chosen = self.random.choices(self.steps, self.weights, k=operations)
        for step in chosen:
            self.count += 1
            self.file = self.random.choice(self.files)
            try:
                step()
            except (OSError, Failure) as error:
                raise Failure(f"--seed {self.seed}, operation {self.count}, {step.__name__} of {self.file.path.name}: {error}\n" + "\n".join(self.last))
        self.compare_all()

    def note(self, what, *numbers):
        self.last.append(f"  {self.count} {self.file.path.name} ({len(self.file.model)}): {what} {' '.join(map(str, numbers))}")

    def offset(self, most=SIZE_MAX - 1):
        """Often at an end of a page, of the file, or of nothing."""
        size, kind = len(self.file.model), self.random.random()
        if kind < 0.25:
            return min(most, self.random.randrange(most + 1) // 4096 * 4096)
        if kind < 0.5:
            return min(most, max(0, size + self.random.randrange(-5000, 3000)))
        return self.random.randrange(most + 1) if kind < 0.7 else self.random.randrange(max(1, min(size, most)))

    def length(self, offset):
        longest = self.random.choice([100, 5000, 20_000, 140_000])
        return min(1 + self.random.randrange(longest), SIZE_MAX - offset)

    def range(self):
        offset = self.offset()
        return offset, self.length(offset)

    def bytes(self, length):
        return self.random.randbytes(length)

    def same(self, got, offset, length):
        wanted = self.file.model[offset:offset + length]
        if got == wanted:
            return
        check(len(got) == len(wanted), f"{len(got)} bytes at {offset} instead of {len(wanted)}")
        wrong = [i for i in range(len(got)) if got[i] != wanted[i]]
        raise Failure(f"{len(wrong)} of {len(got)} bytes at {offset} differ, from {offset + wrong[0]} to {offset + wrong[-1]}: "
                      f"{got[wrong[0]:wrong[0] + 8].hex()} instead of {wanted[wrong[0]:wrong[0] + 8].hex()}")

    def read(self):
        offset, length = self.range()
        self.note("read", offset, length)
        self.same(os.pread(self.random.choice([*self.file.fds, self.file.reader]), length, offset), offset, length)

    def read_direct(self):
        offset, length = self.range()
        if self.random.random() < 0.7:
            offset, length = offset // 4096 * 4096, (length + 4095) // 4096 * 4096
        self.note("read direct", offset, length)
        n = os.preadv(self.file.direct, [memoryview(self.buffer)[:length]], offset)
        self.same(self.buffer[:n], offset, length)

    def map(self):
        """The bytes that may be touched: a mapping outlives changes of the size."""
        f = self.file
        if f.mapping and (len(f.mapping) < len(f.model) or self.random.random() < 0.1):
            f.unmap()
        if not f.mapping and f.model:
            f.mapping = mmap.mmap(f.fds[0], len(f.model))
        return min(len(f.mapping), len(f.model)) if f.mapping else 0

    def read_mapped(self):
        if not self.map():
            return
        offset = self.offset(len(self.file.model) - 1)
        length = min(self.length(offset), len(self.file.model) - offset)
        self.note("read mapped", offset, length)
        self.same(self.file.mapping[offset:offset + length], offset, length)

    def write(self):
        offset, length = self.range()
        self.note("write", offset, length)
        data = self.bytes(length)
        check(os.pwrite(self.random.choice(self.file.fds), data, offset) == length, "a short write")
        self.file.store(offset, data)

    def write_vector(self):
        offset, length = self.range()
        data = self.bytes(length)
        cut = sorted(self.random.randrange(length) for _ in range(3))
        self.note("write vector", offset, length, cut)
        parts = [data[a:b] for a, b in zip([0, *cut], [*cut, length])]
        check(os.pwritev(self.random.choice(self.file.fds), parts, offset) == length, "a short write")
        self.file.store(offset, data)

    def write_append(self):
        offset = len(self.file.model)
        length = min(self.length(0), SIZE_MAX - offset)
        self.note("append", length)
        data = self.bytes(length)
        check(os.write(self.file.append, data) == length, "a short write")
        self.file.store(offset, data)

    def write_direct(self):
        offset, length = self.range()
        if self.random.random() < 0.7:
            offset, length = offset // 4096 * 4096, (length + 4095) // 4096 * 4096
        self.note("write direct", offset, length)
        self.buffer[:length] = data = self.bytes(length)
        check(os.pwritev(self.file.direct, [memoryview(self.buffer)[:length]], offset) == length, "a short write")
        self.file.store(offset, data)

    def write_mapped(self):
        if not self.map():
            return
        offset = self.offset(len(self.file.model) - 1)
        length = min(self.length(offset), len(self.file.model) - offset)
        synced = self.random.random() < 0.02
        self.note("write mapped", offset, length, "msync" if synced else "")
        data = self.bytes(length)
        self.file.mapping[offset:offset + length] = data
        self.file.store(offset, data)
        if synced:
            self.file.mapping.flush()

    def truncate(self):
        size = self.random.choice([self.offset(), self.offset(), len(self.file.model), 0])
        self.note("truncate", size)
        if self.random.random() < 0.3:
            os.truncate(self.file.path, size)
        else:
            os.ftruncate(self.random.choice([*self.file.fds, self.file.append, self.file.direct]), size)
        self.file.resize(size)
        self.check_size()

    def allocate(self):
        offset, length = self.range()
        mode = self.random.choice([0, KEEP_SIZE])
        self.note("allocate", offset, length, mode)
        fs_support.fallocate(self.file.fds[0], mode, offset, length)
        if mode == 0:
            self.file.grow(offset + length)
        self.check_size()

    def zero(self):
        offset, length = self.range()
        mode = self.random.choice([PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE])
        self.note("zero", offset, length, hex(mode))
        fs_support.fallocate(self.random.choice(self.file.fds), mode, offset, length)
        self.file.clear(offset, length)
        if mode == ZERO_RANGE:
            self.file.grow(offset + length)
        self.check_size()

    def seek(self):
        offset, size, model = self.offset(), len(self.file.model), self.file.model
        whence = self.random.choice([os.SEEK_DATA, os.SEEK_HOLE])
        self.note("seek data" if whence == os.SEEK_DATA else "seek hole", offset)
        try:
            at = os.lseek(self.random.choice([self.file.reader, *self.file.fds]), offset, whence)
        except OSError as error:
            check(error.errno == errno.ENXIO, error)
            check(offset >= size or (whence == os.SEEK_DATA and not any(model[offset:])), "no data where there is some")
            return
        check(offset <= at <= size and offset < size, f"found at {at}")
        if whence == os.SEEK_DATA:
            check(at < size and not any(model[offset:at]), f"data before {at}")
        elif at < size:
            check(model[at] == 0, f"data at {at}, which is said to be a hole")

    def copy(self):
        f, to = self.file, self.random.choice([self.file, *self.files])
        source, length = self.range()
        target = min(self.offset(), SIZE_MAX - length)
        self.note("copy", source, length, "to", to.path.name, target)
        n = max(0, min(length, len(f.model) - source))
        overlap = f is to and n > 0 and source < target + n and target < source + n
        try:
            copied = os.copy_file_range(f.reader, to.fds[1], length, source, target)
        except OSError as error:
            check(error.errno == errno.EINVAL and overlap, error)
            return
        check(not overlap, "a copy onto itself was not refused")
        check(copied == n, f"{copied} bytes copied instead of {n}")
        to.store(target, f.model[source:source + n])

    def drop(self):
        self.note("drop pages")
        drop_pages(self.file.fds[0])

    def check_size(self):
        size = os.fstat(self.file.reader).st_size
        check(size == len(self.file.model), f"size {size} instead of {len(self.file.model)}")

    def reopen(self):
        """The kernel asks for the number of blocks when the last page was written back and the file is closed."""
        self.note("reopen")
        f = self.file
        f.close()
        found = os.stat(f.path)
        check(found.st_size == len(f.model), f"size {found.st_size} instead of {len(f.model)}")
        least = len(f.model) - f.model.count(0)
        check(least <= found.st_blocks * 512 <= len(f.model) + 511, f"{found.st_blocks} blocks for {least} bytes that are not 0 of {len(f.model)}")
        if self.random.random() < 0.1:
            os.close(os.open(f.path, os.O_WRONLY | os.O_TRUNC))
            f.resize(0)
        f.open()

    def replace(self):
        """A new file takes the place of the old, which stays what it was for those who have it open."""
        f, data = self.file, self.bytes(self.length(0))
        self.note("replace", len(data))
        new = f.path.with_suffix(".new")
        with open(new, "wb", buffering=0) as out:
            out.write(data)
            os.rename(new, f.path)
        self.same(os.pread(f.reader, SIZE_MAX, 0), 0, SIZE_MAX)
        f.close()
        f.model = bytearray(data)
        f.open()

    def sync(self):
        self.note("sync")
        self.random.choice([os.fsync, os.fdatasync])(self.file.fds[0])

    def compare_whole(self):
        self.note("compare")
        if self.random.random() < 0.5:
            drop_pages(self.file.fds[0])
        self.check_size()
        self.same(os.pread(self.file.reader, SIZE_MAX + 1, 0), 0, SIZE_MAX)

    def compare_all(self):
        for self.file in self.files:
            drop_pages(self.file.fds[0])
            self.compare_whole()

    def close(self, sync=False):
        for f in self.files:
            f.unmap()
            if sync:
                os.fsync(f.fds[0])
            f.close()

    def open(self):
        for f in self.files:
            f.open()
        self.compare_all()


def compare(house, how):
    mount = None if how.directory else fs_support.Mount(house, trash=how.trash)
    comparison = Comparison(how.directory or mount.at, how.seed)
    started, parts = time.monotonic(), how.remounts + 1 if mount else 1
    for part in range(parts):
        comparison.run(how.operations // parts)
        killed = part % 2 == 0
        comparison.close(sync=killed)
        if not mount:
            break
        mount.crash() if killed else mount.unmount()
        mount.mount()
        comparison.open()
    say(f"{comparison.count} operations in {time.monotonic() - started:.0f} s")


arguments = argparse.ArgumentParser()
arguments.add_argument("--trash", action="store_true", help="what is deleted is kept, and nobody notices")
arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
arguments.add_argument("--operations", type=int, default=20_000)
arguments.add_argument("--remounts", type=int, default=3)
arguments.add_argument("--directory")
options = arguments.parse_args()
say(f"seed {options.seed}, {options.operations} operations")
main("compare", lambda house: compare(house, options))
