#!/usr/bin/python3
"""A volume's limits: kept in the volume, told by its commands, in force at once for whoever has it attached, and in no
flush's way. What is compared is how often requests got through, never how long a machine takes for them."""
import json
import threading
import time

from blockdev_support import Skip, check, main, need, run, say

try:
    import nbd
except ImportError:
    nbd = None

NONE = {"iops": 0, "read_iops": 0, "write_iops": 0, "bandwidth": 0, "read_bandwidth": 0, "write_bandwidth": 0, "burst": 1}


def limit(*arguments):
    return json.loads(run("cess", "volume", "limit", "disk", "--json", *arguments))


def info():
    return json.loads(run("cess", "volume", "info", "disk", "--json"))["limits"]


def connect(plugin):
    h = nbd.NBD()
    plugin.clients.append(h)
    h.connect_unix(str(plugin.socket))
    return h


def commands(house):
    say("limits of a volume that nobody has attached are kept")
    check(limit() == NONE, "a new volume has limits")
    check(limit("--iops", "500", "--write-bandwidth", "8M") == {**NONE, "iops": 500, "write_bandwidth": 8 << 20}, "what was set is not shown")
    check(limit("--read-iops", "0", "--burst", "3") == {**NONE, "iops": 500, "write_bandwidth": 8 << 20, "burst": 3}, "what is not given changed")
    check(info() is None, "limits of a volume that nobody has attached are known to the ledger")
    check("iops 500" in run("cess", "volume", "limit", "disk"), "not said in words")
    for wrong in (["--bandwidth", "1K"], ["--burst", "0"], ["--iops", "-1"], ["--bandwidth", "fast"]):
        run("cess", "volume", "limit", "disk", *wrong, fails=True)
    check("block device" in run("cess", "volume", "limit", "tree", "--iops", "5", fails=True), "a filesystem was limited")
    run("cess", "snapshot", "create", "disk@limited")
    run("cess", "clone", "disk@limited", "copy")
    check(json.loads(run("cess", "volume", "limit", "copy", "--json"))["iops"] == 500, "a clone does not start with its snapshot's limits")


def in_force(house):
    say("in force at once for who has it attached, and after a restart")
    served = house.plugin("disk", "volume=disk").start()
    check(info()["iops"] == 500, f"an attached volume's limits: {info()}")
    check(limit("--none", "--iops", "20") == {**NONE, "iops": 20}, "--none keeps something")
    check(info()["iops"] == 20, "volume info shows the old limits")
    h = connect(served)
    began = time.monotonic()
    for i in range(80):
        h.pwrite(bytes([i]) * 512, i * 512)
    # 20 in the burst, 60 at 20 a second: three seconds at least, on a machine of any speed.
    check(time.monotonic() - began > 2.5, f"80 writes took {time.monotonic() - began:.2f} s at 20 a second")

    say("a flush does not wait in line")
    limit("--iops", "1")
    time.sleep(1.2)
    order = []
    waiting = [h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(512)), 0, completion=lambda error, i=i: order.append(f"write {i}") or 1) for i in range(8)]
    h.aio_flush(completion=lambda error: order.append("flush" if not error.value else "failed") or 1)
    while "flush" not in order and len(order) < 8:
        h.poll(1000)
    check("flush" in order[:3], f"the flush came after {order}")

    say("requests that wait go on when the limits are lifted")
    lifted = threading.Thread(target=lambda: limit("--none"))
    lifted.start()
    while len(order) < 9:
        check(h.poll(60_000) != 0, f"only {order} within a minute")
    lifted.join()
    check(len(waiting) == 8 and not order.count("failed"), str(order))
    check(info() == NONE, "limits are left")

    say("clients that go do not leave a queue behind, and SIGTERM does not wait for it")
    for _ in range(8):
        limit("--iops", "1")
        gone = connect(served)
        for _ in range(16):
            gone.aio_pread(nbd.Buffer(512), 0)
        while gone.aio_in_flight() > 14:
            gone.poll(1000)
        del gone
        served.clients.pop()
        limit("--iops", "100000")
        h.pread(512, 0)
    limit("--iops", "1")
    began = time.monotonic()
    served.stop()
    check(time.monotonic() - began < 100, "the end waited for requests of a client that had gone")
    served.start()
    check(info()["iops"] == 1, "forgotten after a restart")
    limit("--none")
    served.stop()


def test(house):
    if nbd is None:
        raise Skip("no libnbd for python; see packaging/packages.txt")
    need("nbdkit")
    house.up()
    run("cess", "volume", "create", "disk", "--type", "block", "--size", "64M")
    run("cess", "volume", "create", "tree", "--type", "fs")
    commands(house)
    in_force(house)


main("limits", test)
