#!/usr/bin/python3
"""What crash_device.py's checker accepts and refuses, on histories made by hand."""
import sys

from crash_device import SECTOR, History


class Case:
    def __init__(self, sectors=32):
        self.h = History(sectors)

    def write(self, first, count=1, answered=True, fua=False):
        r = self.h.sent(first, count, fua=fua)
        if answered:
            self.h.answered(r)
        return r

    def zero(self, first, count=1, answered=True):
        r = self.h.sent(first, count, zero=True)
        if answered:
            self.h.answered(r)
        return r

    def flush(self):
        self.h.flush_answered(self.h.tick())

    def image(self, *requests):
        out = bytearray(self.h.base)
        for r in requests:
            data = bytes(r.count * SECTOR) if r.zero else self.h.content(r.stamp, r.first, r.count)
            out[r.first * SECTOR:(r.first + r.count) * SECTOR] = data
        return out


def check(name, wrong, expected):
    if (wrong is None) != expected:
        sys.exit(f"{name}: {'refused: ' + wrong if wrong else 'accepted'}")


c = Case(); a = c.write(0, 4); b = c.write(2, 4)
for name, image, fine in [("nothing survives", c.image(), True), ("the first", c.image(a), True), ("both", c.image(a, b), True),
                          ("the second alone", c.image(b), False), ("both the wrong way round", c.image(b, a), False)]:
    check(name, c.h.explain(bytes(image)), fine)

c = Case(); a = c.write(0, 4); c.flush(); b = c.write(8)
check("a flushed write is missing", c.h.explain(bytes(c.image())), False)
check("a flushed write and no more", c.h.explain(bytes(c.image(a))), True)
check("a flushed write is missing but a later is there", c.h.explain(bytes(c.image(b))), False)

c = Case(); a = c.write(0, 4); b = c.write(6, fua=True)
check("FUA alone", c.h.explain(bytes(c.image(b))), False)
check("FUA and what came before", c.h.explain(bytes(c.image(a, b))), True)
check("FUA is missing", c.h.explain(bytes(c.image(a))), False)

c = Case(); a = c.write(0, 4, answered=False); b = c.write(2, 4, answered=False)
for image in (c.image(a, b), c.image(b, a), c.image(b), c.image(a), c.image()):
    check("in flight beside each other", c.h.explain(bytes(image)), True)
torn = c.image(a); torn[0:SECTOR] = bytes(SECTOR)
check("half a request", c.h.explain(bytes(torn)), False)

c = Case(); a = c.write(0, 2, answered=False); b = c.write(0, 2, answered=False)
crossed = c.image(a); crossed[SECTOR:2 * SECTOR] = c.h.content(b.stamp, 1, 1)
check("one on top here, the other there", c.h.explain(bytes(crossed)), False)

c = Case(); a = c.write(0, 4); z = c.zero(1, 2); d = c.write(10)
check("zeros over a write", c.h.explain(bytes(c.image(a, z))), True)
check("before the zeros", c.h.explain(bytes(c.image(a))), True)
check("a later write without the zeros", c.h.explain(bytes(c.image(a, d))), False)
check("all", c.h.explain(bytes(c.image(a, z, d))), True)
half = c.image(a, z); half[SECTOR:2 * SECTOR] = c.h.content(a.stamp, 1, 1)
check("half the zeros", c.h.explain(bytes(half)), False)

c = Case(); a = c.write(0, 4); c.flush()
check("unchecked", c.h.check(c.image(a)), True)
z = c.zero(0, 4); c.flush()
check("flushed zeros are missing", c.h.explain(bytes(c.image())), False)
check("flushed zeros", c.h.explain(bytes(c.image(z))), True)
b = c.write(0, 1)
check("a write over zeros", c.h.explain(bytes(c.image(z, b))), True)
check("zeros of before the write", c.h.explain(bytes(c.image(z))), True)

foreign = c.image(z); foreign[5 * SECTOR] = 1
check("bytes of nobody", c.h.explain(bytes(foreign)), False)
print("the checker is right")
