"""The block device under crash_test.py: many requests in flight, and a check that what survived is a prefix of them.

Requests of 512 bytes to 1 MiB, writes, zeroes and trims, some with FUA, and flushes run beside each other; writes in
flight may overlap. A crash must leave an image that some order of the requests explains:
  - the order agrees with time: what was answered before another was sent comes before it
  - some first part of it has happened, each request whole, and the rest not at all
  - that part holds every request answered before an answered flush was sent, and every answered FUA request
Each written sector names its request, so that the smallest such part follows from the image; what is left is to see
that no order contradicts itself. Zeros name nobody: therefore nothing that overlaps a zero or trim runs beside it.
"""
import heapq
import pathlib
import struct
import subprocess
import time

SECTOR = 512


class History:
    """Requests since the image was last known, by the time they were sent."""

    def __init__(self, sectors):
        self.base = bytearray(sectors * SECTOR)
        self.sectors = sectors
        self.stamp = 0
        self.clock = 0
        self.requests = []
        self.flushed = 0  # everything answered before this time is durable

    def tick(self):
        self.clock += 1
        return self.clock

    def content(self, stamp, first, count):
        out = bytearray()
        for sector in range(first, first + count):
            out += (struct.pack("<QQ", stamp, sector) + struct.pack("<Q", stamp * 0x9E3779B97F4A7C15 + sector & (1 << 64) - 1) * 62)
        return bytes(out)

    def sent(self, first, count, zero=False, fua=False):
        self.stamp += 1
        request = Request(self.stamp, first, count, zero, fua, self.tick())
        self.requests.append(request)
        return request

    def answered(self, request):
        request.answered = self.tick()

    def flush_answered(self, sent):
        self.flushed = max(self.flushed, sent)

    # ---- judging

    def check(self, image):
        """None, and the image is the base from here on; or what is wrong."""
        wrong = self.explain(bytes(image))
        if wrong is None:
            self.base = bytearray(image)
            self.requests = []
            self.flushed = 0
        return wrong

    def explain(self, image):
        by_stamp = {r.stamp: r for r in self.requests if not r.zero}
        seen, zeros = {}, []  # sector: the request that it names; sectors that hold zeros
        empty = bytes(SECTOR)
        touched = self.touched()
        for sector in range(self.sectors):
            found = image[sector * SECTOR:(sector + 1) * SECTOR]
            if found == self.base[sector * SECTOR:(sector + 1) * SECTOR]:
                if found == empty and sector in touched:
                    zeros.append(sector)
                continue
            if found == empty:
                zeros.append(sector)
                continue
            request = by_stamp.get(struct.unpack_from("<Q", found)[0])
            if request is None or found != self.content(request.stamp, sector, 1) or not request.covers(sector):
                return f"sector {sector} holds {found[:16].hex()}, which no request of this round wrote there"
            seen[sector] = request
        held = {r for r in self.requests if r.answered and (r.fua or r.answered < self.flushed)} | set(seen.values())
        return self.settle(held, seen, zeros, touched)

    def touched(self):
        out = {}
        for r in self.requests:
            for sector in range(r.first, r.first + r.count):
                out.setdefault(sector, []).append(r)
        return out

    def settle(self, held, seen, zeros, touched):
        while True:
            self.close(held)
            more = set()
            for sector in zeros:  # after the last write there that has happened, the first zero must have
                writes = [r for r in touched.get(sector, ()) if r in held and not r.zero]
                later = [z for z in touched.get(sector, ()) if z.zero and all(w.sent < z.sent for w in writes)]
                if writes and not later:
                    return f"sector {sector} holds zeros although request {writes[-1]} has happened"
                if writes and not any(z in held for z in later):
                    more.add(min(later, key=lambda z: z.sent))
            if not more:
                return self.order(held, seen, set(zeros), touched)
            held |= more

    def close(self, held):
        """What was answered before one that has happened was sent has happened as well."""
        latest = max((r.sent for r in held), default=0)
        while True:
            more = {r for r in self.requests if r.answered and r.answered < latest and r not in held}
            if not more:
                return
            held |= more
            latest = max(latest, max(r.sent for r in more))

    def order(self, held, seen, zeros, touched):
        before = {r: set() for r in held}  # request: those that it must precede
        for sector, requests in touched.items():
            there = [r for r in requests if r in held]
            if not there:
                continue
            last = seen.get(sector)
            if sector in zeros:
                last = max((r for r in there if r.zero), key=lambda r: r.sent, default=None)
            if last is None:
                return f"sector {sector} is as it was although request {there[0]} has happened"
            for r in there:
                if r is not last:
                    before[r].add(last)
        return self.contradiction(held, before)

    def contradiction(self, held, before):
        """Orders the requests by time and `before`; a request that stays over is in a circle."""
        blockers = {r: 0 for r in held}
        for after in before.values():
            for r in after:
                blockers[r] += 1
        waiting = sorted(held, key=lambda r: r.sent)  # by time: free to go once all answered before it was sent are out
        out, ready, answers = set(), [], sorted((r for r in held if r.answered), key=lambda r: r.answered)
        behind = at = 0
        while True:
            while behind < len(answers) and answers[behind] in out:
                behind += 1
            horizon = answers[behind].answered if behind < len(answers) else float("inf")
            while at < len(waiting) and waiting[at].sent < horizon:
                if blockers[waiting[at]] == 0:
                    heapq.heappush(ready, waiting[at])
                waiting[at].freed = True
                at += 1
            if not ready:
                break
            r = heapq.heappop(ready)
            out.add(r)
            for other in before[r]:
                blockers[other] -= 1
                if blockers[other] == 0 and getattr(other, "freed", False):
                    heapq.heappush(ready, other)
        if len(out) == len(held):
            return None
        return f"no order explains requests {', '.join(str(r) for r in sorted(held - out)[:6])}"


class Request:
    def __init__(self, stamp, first, count, zero, fua, sent):
        self.stamp, self.first, self.count, self.zero, self.fua, self.sent, self.answered = stamp, first, count, zero, fua, sent, 0

    def covers(self, sector):
        return self.first <= sector < self.first + self.count

    def overlaps(self, first, count):
        return self.first < first + count and first < self.first + self.count

    def __lt__(self, other):
        return self.sent < other.sent

    def __str__(self):
        kind = "zero" if self.zero else "write"
        return f"{self.stamp} ({kind} of sectors {self.first}+{self.count}, sent {self.sent}, answered {self.answered or 'never'})"


class Device:
    name = "device"
    size = 8 << 20
    depth = 24

    def __init__(self, work, bin, wait, random, run, failure):
        self.work, self.bin, self.wait, self.failure = work, bin, wait, failure
        self.socket = work / "disk.sock"
        self.log = open(work / "nbdkit.log", "ab")
        self.random = random
        self.process = None
        self.history = History(self.size // SECTOR)
        self.handle = None
        self.restarted = False
        run("cess", "volume", "create", "disk", "--type", "block", "--size", str(self.size))

    def launch(self):
        self.socket.unlink(missing_ok=True)
        plugin = str(pathlib.Path(self.bin) / "nbdkit-cess-plugin.so")
        self.process = subprocess.Popen(["nbdkit", "-f", "-U", str(self.socket), plugin, "volume=disk", "force=true"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ready(self):
        import nbd
        end = time.monotonic() + self.wait
        while True:
            try:
                self.handle = nbd.NBD()
                self.handle.connect_unix(str(self.socket))
                self.restarted = True
                return
            except nbd.Error as error:
                if self.process.poll() is not None:
                    raise self.failure(f"nbdkit ended with {self.process.returncode}; see its log")
                if time.monotonic() > end:
                    raise self.failure(f"nbdkit does not answer: {error}")
                time.sleep(0.1)

    def pids(self):
        return [self.process.pid] if self.process and self.process.poll() is None else []

    def crash(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.handle = None

    # ---- requests

    def step(self, count):
        """One burst: up to `depth` requests in flight until as many as drawn have been sent, then all are answered."""
        import nbd
        handle, flying, error = self.handle, {}, None
        left = self.random.choice([1, 8, 64, 200])
        try:
            while left or flying:
                while left and len(flying) < self.depth:
                    left -= 1
                    if not self.send(nbd, handle, flying):
                        break
                if flying:
                    handle.poll(1000)
                self.reap(handle, flying)
        except nbd.Error as broken:
            error = broken
            self.reap_quietly(nbd, handle, flying)  # answers that came before the connection ended count
        if error:
            raise error

    def send(self, nbd, handle, flying):
        dice = self.random.random()
        if dice < 0.08:
            sent = self.history.tick()
            flying[handle.aio_flush()] = ("flush", sent, None)
            return True
        count = self.random.choice([1, 1, 2, 7, 8, 8, 8, 16, 64, 129, 256, 2048])
        first = self.random.randrange(self.history.sectors - count + 1)
        if self.random.random() < 0.5:
            first -= first % 8
        if self.random.random() < 0.3:  # where others are, too
            first = min(first % 256, self.history.sectors - count)
        zero = dice < 0.2
        for kind, request, _ in flying.values():
            if kind != "flush" and (zero or request.zero) and request.overlaps(first, count):
                return False  # later, elsewhere
        fua = self.random.random() < 0.1
        flags = nbd.CMD_FLAG_FUA if fua else 0
        request = self.history.sent(first, count, zero, fua)
        at, length = first * SECTOR, count * SECTOR
        if zero and self.random.random() < 0.5:
            cookie = handle.aio_trim(length, at, flags=flags)
            data = None
        elif zero:
            cookie = handle.aio_zero(length, at, flags=flags)
            data = None
        else:
            data = nbd.Buffer.from_bytearray(bytearray(self.history.content(request.stamp, first, count)))
            cookie = handle.aio_pwrite(data, at, flags=flags)
        flying[cookie] = ("request", request, data)
        return True

    def reap(self, handle, flying):
        for cookie in list(flying):
            if not handle.aio_command_completed(cookie):
                continue
            kind, what, _ = flying.pop(cookie)
            if kind == "flush":
                self.history.flush_answered(what)
            else:
                self.history.answered(what)

    def reap_quietly(self, nbd, handle, flying):
        for cookie in list(flying):
            try:
                self.reap(handle, {cookie: flying[cookie]})
            except nbd.Error:
                pass  # not answered, or refused

    def verify(self):
        if not self.restarted:  # then nothing is lost, and what is known from here on must be durable
            sent = self.history.tick()
            self.handle.flush()
            self.history.flush_answered(sent)
        self.restarted = False
        image = bytearray()
        for at in range(0, self.size, 1 << 20):
            image += self.handle.pread(min(1 << 20, self.size - at), at)
        wrong = self.history.check(image)
        if wrong:
            raise self.failure(f"device: {wrong}")
