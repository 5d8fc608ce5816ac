"""What the filesystem's random tests in Python share: a mount that can be killed, and calls that Python has no names for."""
import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess

from blockdev_support import Skip, need, run, until

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10
NOREPLACE, EXCHANGE = 1, 2
FORCE, DETACH = 1, 2  # of umount2(2)

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fallocate(fd, mode, offset, length):
    call(libc.fallocate, fd, mode, offset, length)


def rename(old, new, flags=0):
    call(libc.renameat2, -100, os.fsencode(old), -100, os.fsencode(new), flags)


def write_back(fd):
    """Dirty pages go to the daemon, which need not make them durable."""
    call(libc.sync_file_range, fd, 0, 0, 7)


def drop_pages(fd):
    """The next read asks the daemon."""
    write_back(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


class Mount:
    """A network, and a new filesystem volume, mounted."""

    def __init__(self, house, volume="files", trash=False):
        need("fusermount3")
        if not os.access("/dev/fuse", os.W_OK):
            raise Skip("no FUSE here")
        self.volume, self.at = volume, house.work / "mnt"
        self.at.mkdir()
        house.up()
        house.closing.callback(self.end)
        run("cess", "volume", "create", volume, "--type", "fs")
        self.mount()
        if trash:
            run("cess", "trash", "set", self.at, "1")

    def mount(self):
        run("cessfs", self.volume, self.at, "-o", "force")

    def unmount(self):
        run("umount.fuse.cessfs", self.at)

    def pids(self):
        """No other program is asked: a fork of ours would, in closing the writers' files, flush them."""
        wanted = b"\0".join(os.fsencode(word) for word in ["cessfs", self.volume, self.at])
        return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit() and wanted in command_of(entry)]

    def kill(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until("the killed mount's end", lambda: not self.pids())

    def detach(self, how=DETACH):
        if libc.umount2(os.fsencode(self.at), how) != 0:
            subprocess.run(["fusermount3", "-uz", self.at], stderr=subprocess.DEVNULL)

    def crash(self):
        self.kill()
        self.detach()

    def end(self):
        """Cuts off whoever still waits."""
        self.kill()
        self.detach(DETACH | FORCE)


def command_of(process):
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes()
    return b""
