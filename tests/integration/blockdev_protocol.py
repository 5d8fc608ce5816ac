#!/usr/bin/python3
"""The block device through libnbd: what it offers; random I/O of all alignments against a model; durability over two
connections; who may write; resizing.

    blockdev_protocol.py [--seed N] [--steps 1500]       prints the seed
"""
import argparse
import json
import os
import random
import signal
import threading
import time

from blockdev_support import PLUGIN, WAIT, Failure, Skip, check, main, need, run, say

try:
    import nbd
except ImportError:
    nbd = None

MiB = 1 << 20
SIZE = 64 * MiB


def connect(plugin, export=""):
    h = nbd.NBD()
    plugin.clients.append(h)  # SIGTERM waits until they are gone
    h.set_export_name(export)
    h.add_meta_context("base:allocation")
    h.connect_unix(str(plugin.socket))
    return h


def refused(what, call, *words):
    """The call fails, and the error names one of the words."""
    try:
        call()
    except nbd.Error as error:
        text = f"{error.string} {error.errno}"
        check(not words or any(w in text for w in words), f"{what}: refused with: {text}")
        return
    raise Failure(f"{what}: not refused")


# ---- what is offered ---------------------------------------------------------------------------------------------

def offers(house):
    say("what is offered, to one and to a list")
    served = house.plugin("offers").start()
    info = json.loads(run("nbdinfo", "--json", served.uri("disk")))["exports"][0]
    check((info["block_size_minimum"], info["block_size_preferred"], info["block_size_maximum"]) == (512, 4096, 32 * MiB), f"block sizes: {info}")
    for name in ("can_multi_conn", "can_fua", "can_flush", "can_trim", "can_zero", "can_fast_zero", "can_cache"):
        check(info[name] is True, f"{name} is not offered: {info}")
    check(info["is_read_only"] is False and "base:allocation" in json.dumps(info["contexts"]), str(info))
    listed = {e["export-name"]: e for e in json.loads(run("nbdinfo", "--list", "--json", served.uri()))["exports"]}
    check(set(listed) == {"disk", "disk@first", "big"}, f"listed: {sorted(listed)}")
    check(listed["disk@first"]["is_read_only"] is True, "a snapshot is listed as writable")
    h = connect(served, "disk@first")
    check(h.is_read_only(), "a snapshot is writable")
    h.set_strict_mode(0)
    refused("a write to a snapshot", lambda: h.pwrite(b"x" * 512, 0), "EPERM", "EROFS", "EINVAL")
    refused("an unknown export", lambda: connect(served, "nothing"))
    refused("a filesystem as a device", lambda: connect(served, "tree"))
    served.stop()


# ---- contents ----------------------------------------------------------------------------------------------------

class Model:
    def __init__(self, handles, rng):
        self.handles, self.random = handles, rng
        self.bytes = bytearray(SIZE)

    def place(self, longest):
        """Aligned to some power of two, or to nothing at all."""
        unit = self.random.choice([1, 1, 512, 1024, 4096, 16384, 65536])
        offset = self.random.randrange(SIZE // unit) * unit
        length = max(unit, self.random.randrange(1, longest + 1) // unit * unit)
        return offset, min(length, SIZE - offset)

    def fua(self):
        return nbd.CMD_FLAG_FUA if self.random.random() < 0.1 else 0

    def step(self):
        h = self.random.choice(self.handles)
        kind = self.random.choices(["write", "read", "zero", "trim", "map", "cache", "flush"], [40, 25, 12, 8, 8, 3, 4])[0]
        offset, length = self.place(128 << 10 if kind in ("write", "read") else 4 * MiB)
        if kind == "write":
            data = self.random.randbytes(length)
            h.pwrite(data, offset, self.fua())
            self.bytes[offset:offset + length] = data
        elif kind == "zero":
            how = self.random.choice([0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FAST_ZERO])
            h.zero(length, offset, how | self.fua())
            self.bytes[offset:offset + length] = bytes(length)
        elif kind == "trim":
            h.trim(length, offset, self.fua())
            self.bytes[offset:offset + length] = bytes(length)
        elif kind == "read":
            self.compare(h, offset, length)
        elif kind == "map":
            self.map(h, offset, length)
        elif kind == "cache":
            h.cache(length, offset)
        else:
            h.flush()

    def compare(self, h, offset, length):
        check(h.pread(length, offset) == self.bytes[offset:offset + length], f"bytes {offset}+{length} are not what was written")

    def map(self, h, offset, length):
        at = offset

        def each(context, start, entries, error):
            nonlocal at
            check(start == at, f"block status of {offset}+{length} starts at {start}")
            for run_length, flags in zip(entries[::2], entries[1::2]):
                end = min(at + run_length, offset + length)
                check(not flags & nbd.STATE_ZERO or not any(self.bytes[at:end]), f"{at}+{run_length} is said to be zeros and is not")
                at += run_length

        h.block_status(length, offset, each)
        check(at > offset, f"block status of {offset}+{length} says nothing")

    def all(self):
        for offset in range(0, SIZE, 8 * MiB):
            self.compare(self.handles[0], offset, 8 * MiB)


def contents(house, seed, steps):
    say(f"{steps} random steps of all alignments over two connections (seed {seed})")
    served = house.plugin("disk", "volume=disk").start()
    model = Model([connect(served), connect(served)], random.Random(seed))
    for h in model.handles:
        h.set_strict_mode(h.get_strict_mode() & ~nbd.STRICT_ALIGN)
    for _ in range(steps):
        model.step()
    model.all()
    say("the largest request, and one past the end")
    h = model.handles[0]
    data = random.Random(seed).randbytes(32 * MiB)
    h.pwrite(data, 512, nbd.CMD_FLAG_FUA)
    check(h.pread(32 * MiB, 512) == data, "32 MiB come back wrong")
    model.bytes[512:512 + 32 * MiB] = data
    h.set_strict_mode(0)
    refused("a write past the end", lambda: h.pwrite(bytes(8192), SIZE - 4096), "ENOSPC", "EINVAL")
    refused("a read past the end", lambda: h.pread(8192, SIZE - 4096), "EINVAL")
    model.all()
    say("all of it after SIGTERM and a new start")
    served.stop()
    served.start()
    model.handles = [connect(served)]
    model.all()
    served.stop()


# ---- durability over connections ----------------------------------------------------------------------------------

def durability(house, rounds):
    say(f"write on one connection, flush on another, kill -9: {rounds} rounds")
    served = house.plugin("disk", "volume=disk", "force=true").start()
    for i in range(1, rounds + 1):
        a, b = connect(served), connect(served)
        check(a.can_multi_conn() and b.can_multi_conn(), "no multi-conn")
        text = f"round {i:4}".encode().ljust(512, b".")
        a.pwrite(text * 8, i * 65536)
        b.pwrite(text, i * 65536 + 32768)
        a.zero(512, i * 65536)
        b.flush()
        a.trim(512, i * 65536 + 512, nbd.CMD_FLAG_FUA)  # FUA on what is no write
        served.kill()
        served.start()
        h = connect(served)
        check(h.pread(4096, i * 65536) == bytes(1024) + text * 6, f"round {i}: flushed on another connection and lost")
        check(h.pread(512, i * 65536 + 32768) == text, f"round {i}: flushed and lost")
    say("SIGTERM stores what nobody flushed, also if clients are there when it comes")
    for i in range(3):
        h = connect(served)
        h.pwrite(f"unflushed {i}".encode().ljust(512), 0)
        served.process.terminate()
        time.sleep(0.3 * i)
        served.stop()
        check(json.loads(run("cess", "volume", "info", "disk", "--json"))["owner"] is None, "the lease was not released")
        served.start()
        check(connect(served).pread(512, 0).startswith(f"unflushed {i}".encode()), "not stored at SIGTERM")
    served.stop()


# ---- owners --------------------------------------------------------------------------------------------------------

def owners(house):
    say("a second writer is refused and told who owns the volume")
    first = house.plugin("first", "volume=disk").start()
    old = connect(first)
    old.pwrite(b"first owner".ljust(512), 0, nbd.CMD_FLAG_FUA)
    endpoint = json.loads(run("cess", "volume", "info", "disk", "--json"))["owner"]
    check(endpoint, "the ledger names no owner")
    text = run("nbdkit", "-f", "-U", house.work / "second.sock", "--", PLUGIN, "volume=disk", fails=True)
    check(endpoint in text and "disk" in text, f"the refusal does not name {endpoint}: {text}")
    check(old.pread(512, 0).startswith(b"first owner"), "the owner was disturbed")

    say("one that died is replaced after its silence, without force")
    first.kill()
    first.start()
    old = connect(first)
    check(old.pread(512, 0).startswith(b"first owner"), "lost with the owner's death")

    say("one that hangs is replaced by force, and acknowledges nothing when it wakes")
    os.kill(first.process.pid, signal.SIGSTOP)
    house.closing.callback(lambda: first.alive() and os.kill(first.process.pid, signal.SIGCONT))
    second = house.plugin("second", "volume=disk", "force=true").start()
    new = connect(second)
    check(new.pread(512, 0).startswith(b"first owner"), "the new owner misses what was acknowledged")
    new.pwrite(b"second owner".ljust(512), 0, nbd.CMD_FLAG_FUA)
    os.kill(first.process.pid, signal.SIGCONT)
    outcome = []

    def late():
        for call in (lambda: old.pwrite(b"late".ljust(512), 4096, nbd.CMD_FLAG_FUA), old.flush, lambda: old.pwrite(b"later".ljust(512), 0, nbd.CMD_FLAG_FUA)):
            try:
                call()
                outcome.append("acknowledged")
            except nbd.Error as error:
                outcome.append(error.errno)

    waiting = threading.Thread(target=late, daemon=True)
    waiting.start()
    waiting.join(WAIT)
    check(outcome == ["EIO", "EIO", "EIO"], f"the deposed owner: {outcome or 'hangs'}")
    refused("a read from the deposed owner", lambda: old.pread(512, 0), "EIO")
    check(new.pread(512, 0).startswith(b"second owner") and new.pread(512, 4096)[:4] != b"late", "the deposed owner wrote")
    first.kill()
    second.stop()


# ---- sizes ---------------------------------------------------------------------------------------------------------

def resizing(house):
    say("grow and shrink: the next connection sees it")
    served = house.plugin("disk", "volume=disk").start()
    before = connect(served)
    before.pwrite(b"\x77" * MiB, SIZE - MiB, nbd.CMD_FLAG_FUA)
    run("cess", "volume", "resize", "disk", "128M")
    check(before.get_size() == SIZE, "an attached client's size changed")
    after = connect(served)
    check(after.get_size() == 128 * MiB, f"the next connection sees {after.get_size()}")
    check(after.pread(MiB, SIZE - MiB) == b"\x77" * MiB and not any(after.pread(MiB, SIZE)), "growing changed what is there")
    after.pwrite(b"\x66" * MiB, 127 * MiB)
    text = run("cess", "volume", "resize", "disk", "32M", fails=True)
    check("--force" in text, f"a shrink without force: {text}")
    check(connect(served).get_size() == 128 * MiB, "a refused shrink shrank")
    run("cess", "volume", "resize", "disk", "32M", "--force")
    check(connect(served).get_size() == 32 * MiB, "a shrink is not seen")
    refused("a write past the new end", lambda: after.pwrite(bytes(512), SIZE), "EINVAL", "ENOSPC")
    served.stop()
    say("what a shrink cut off is zeros for ever, attached or not")
    run("cess", "volume", "resize", "disk", "128M")
    served.start()
    h = connect(served)
    check(h.get_size() == 128 * MiB and not any(h.pread(MiB, SIZE - MiB)) and not any(h.pread(MiB, 127 * MiB)), "old bytes come back")
    h.pwrite(b"\x55" * MiB, 127 * MiB, nbd.CMD_FLAG_FUA)
    served.stop()
    run("cess", "volume", "resize", "disk", "64M", "--force")
    run("cess", "volume", "resize", "disk", "128M")
    served.start()
    check(not any(connect(served).pread(MiB, 127 * MiB)), "old bytes come back after a shrink that nobody was attached for")
    served.stop()


# ---- a whole device ------------------------------------------------------------------------------------------------

def whole(house):
    say("a device of 1 TiB, zeroed and trimmed whole")
    served = house.plugin("big", "volume=big").start()
    h = connect(served)
    for at in range(0, 1 << 40, 1 << 35):
        h.pwrite(b"\x42" * 4096, at)
    step = 1 << 30
    for at in range(0, 1 << 40, step):
        (h.trim if at // step % 2 else h.zero)(step, at)
    h.flush()
    check(not any(any(h.pread(4096, at)) for at in range(0, 1 << 40, 1 << 35)), "data survived")
    rows = json.loads(run("nbdinfo", "--map", "--json", served.uri()))
    check(all(row["type"] == 3 for row in rows) and sum(row["length"] for row in rows) == 1 << 40, f"not one hole: {rows[:5]}")
    served.stop()


def test(house):
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    arguments.add_argument("--steps", type=int, default=int(os.environ.get("CESS_PROTOCOL_STEPS", "1500")))
    how = arguments.parse_args()
    if nbd is None:
        raise Skip("no libnbd for python; see packaging/packages.txt")
    need("nbdkit", "nbdinfo")
    house.up()
    run("cess", "volume", "create", "disk", "--type", "block", "--size", SIZE)
    run("cess", "volume", "create", "big", "--type", "block", "--size", "1T")
    run("cess", "volume", "create", "tree", "--type", "fs")
    run("cess", "snapshot", "create", "disk@first")
    offers(house)
    contents(house, how.seed, how.steps)
    durability(house, 5)
    owners(house)
    resizing(house)
    whole(house)


main("protocol", test)
