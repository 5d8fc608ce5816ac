#!/usr/bin/python3
"""Kills processes of a whole network at random, again and again, and compares every acknowledged write byte for byte.

Three writers run beside each other, one a face, each against its own volume:
  mount    appends numbered records to files, fsync, rename; an acknowledged fsync or rename must survive
  device   many requests in flight through the NBD plugin; after a crash the device must hold a prefix of them that
           reaches at least to the last acknowledged flush (crash_device.py)
  gateway  puts objects; a 200 must survive, and an object is never torn
Victims: the mount, the plugin, the gateway, each node, everything at once.

    crash_test.py [--seed N] [--crashes 50] [--faces mount,device,gateway]
                  prints the seed; the same seed kills in the same order
Environment: CESS_BIN (the built programs), CESS_CRASHES (as --crashes, for a long run).
"""
import argparse
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from crash_device import Device

BIN = pathlib.Path(os.environ.get("CESS_BIN", "build/release/bin")).resolve()
WAIT = 90.0  # seconds for anything to come back


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class Failure(Exception):
    pass


def run(*command, timeout=WAIT, check=True):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(map(str, command))}: still running after {timeout} s")
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stdout[-500:]}")
    return done


def until(what, condition, seconds=WAIT):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Network:
    """The nodes, each in a process of its own."""

    def __init__(self, work):
        self.dir = work / "net"
        run("cess", "dev", "up", "--dir", str(self.dir), "--separate", "--capacity", "4G", timeout=120)
        with (self.dir / "client.toml").open("a") as f:  # the cache on disk would hide what becomes of the miners' bytes
            f.write("\n[cache]\ndisk_size = 0\n")
        self.names = [p.stem for p in (self.dir / "run").glob("*.pid")]
        self.names.sort()

    def pid(self, name):
        return int((self.dir / "run" / f"{name}.pid").read_text().split()[0])

    def crash(self, names):
        for name in names:
            kill(self.pid(name))

    def resume(self):
        run("cess", "dev", "up", "--dir", str(self.dir), timeout=120)


class Mount:
    name = "mount"

    def __init__(self, work, seed):
        self.at = work / "mnt"
        self.at.mkdir()
        self.log = open(work / "cessfs.log", "ab")
        self.random = random.Random(f"{seed}-mount")
        self.acknowledged = {}  # file: bytes that must be there
        self.possible = {}  # file: what the last write under way would have made it
        # The root of what is mounted, by which files are reached: a path leads to the directory below once a dead mount is gone,
        # and an fsync there promises nothing.
        self.root = None
        run("cess", "volume", "create", "files", "--type", "fs")

    def launch(self):
        pass

    def ready(self):
        subprocess.run(["umount", "-l", self.at], stderr=subprocess.DEVNULL)
        run("cessfs", "files", str(self.at), "-o", "force")
        self.leave()
        self.root = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)

    def leave(self):
        if self.root is not None:
            os.close(self.root)
        self.root = None

    def open(self, name, flags):
        return open(os.open(name, flags | os.O_CREAT | os.O_CLOEXEC, 0o666, dir_fd=self.root), "wb", buffering=0)

    def pids(self):
        found = subprocess.run(["pgrep", "-f", f"cessfs files {self.at}"], stdout=subprocess.PIPE, text=True).stdout.split()
        return [int(p) for p in found]

    def crash(self):
        for pid in self.pids():
            kill(pid)
        until("the killed mount's end", lambda: not self.pids())
        subprocess.run(["umount", "-l", self.at], stderr=subprocess.DEVNULL)

    def step(self, count):
        name = f"f{self.random.randrange(12)}"
        old = self.acknowledged.get(name, b"")
        data = f"{count:012d}".encode() + self.random.randbytes(self.random.choice([10, 4096, 70000]))
        if self.random.random() < 0.3 or len(old) > 400_000:  # a new file in place of the old: one or the other, whole
            self.possible[name] = ("whole", data)
            with self.open(f".{name}.new", os.O_WRONLY | os.O_TRUNC) as f:
                self.write_all(f, data)
                os.fsync(f.fileno())
            os.rename(f".{name}.new", name, src_dir_fd=self.root, dst_dir_fd=self.root)
            os.fsync(self.root)
            self.acknowledged[name] = data
        else:
            self.possible[name] = ("append", data)
            with self.open(name, os.O_WRONLY | os.O_APPEND) as f:
                self.write_all(f, data)
                os.fsync(f.fileno())
            self.acknowledged[name] = old + data
        del self.possible[name]

    @staticmethod
    def write_all(f, data):
        view = memoryview(data)
        while view:
            view = view[f.write(view):]

    def verify(self):
        for name, data in sorted(self.acknowledged.items()):
            self.check(name, data)
        for name in set(self.possible) - set(self.acknowledged):
            self.check(name, None)
        self.possible.clear()

    def check(self, name, data):
        path = self.at / name
        found = path.read_bytes() if path.exists() else None
        kind, more = self.possible.get(name, ("", b""))
        if found == data or (kind == "whole" and found == more):
            pass
        elif kind == "append" and found is not None and found.startswith(data or b"") and self.is_prefix(found[len(data or b""):], more):
            pass
        else:
            raise Failure(f"mount: {name}: {describe(found)} found, {describe(data)} acknowledged, under way: {kind} {describe(more)}")
        if found is None:
            self.acknowledged.pop(name, None)
        else:
            self.acknowledged[name] = found

    @staticmethod
    def is_prefix(tail, more):
        # Bytes of a write that was not acknowledged may be there, or be a hole, never anything else.
        return len(tail) <= len(more) and all(a == b or a == 0 for a, b in zip(tail, more))


class Gateway:
    name = "gateway"

    def __init__(self, work, seed):
        self.log = open(work / "gateway.log", "ab")
        self.work = work
        self.random = random.Random(f"{seed}-gateway")
        self.process = None
        self.acknowledged = {}
        self.possible = {}
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        run("cess", "volume", "create", "bucket", "--type", "bucket")
        lines = run("cess", "account", "s3-key").stdout.split()
        self.keys = dict(line.split("=", 1) for line in lines)

    def client(self):
        import botocore.config
        import botocore.session
        return botocore.session.get_session().create_client(
            "s3", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}", aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
            config=botocore.config.Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=WAIT, s3={"addressing_style": "path"}))

    def launch(self):
        self.process = subprocess.Popen(["cess-gateway", "--listen", f"127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ready(self):
        self.s3 = self.client()
        end = time.monotonic() + WAIT
        while True:
            try:
                self.s3.list_objects_v2(Bucket="bucket", MaxKeys=1)
                return
            except Exception as error:  # not up yet, or still taking the volume over
                if self.process.poll() is not None:
                    raise Failure(f"cess-gateway ended with {self.process.returncode}; see its log")
                if time.monotonic() > end:
                    raise Failure(f"gateway does not answer: {error}")
                time.sleep(0.2)

    def pids(self):
        return [self.process.pid] if self.process and self.process.poll() is None else []

    def crash(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def step(self, count):
        key = f"o{self.random.randrange(12)}"
        if self.random.random() < 0.1 and key in self.acknowledged:
            self.possible[key] = None
            self.s3.delete_object(Bucket="bucket", Key=key)
            del self.acknowledged[key]
        else:
            data = f"{count:012d}".encode() + self.random.randbytes(self.random.choice([10, 4096, 150000]))
            self.possible[key] = data
            self.s3.put_object(Bucket="bucket", Key=key, Body=data)
            self.acknowledged[key] = data
        del self.possible[key]

    def verify(self):
        for key in sorted(set(self.acknowledged) | set(self.possible)):
            try:
                found = self.s3.get_object(Bucket="bucket", Key=key)["Body"].read()
            except self.s3.exceptions.NoSuchKey:
                found = None
            expected = self.acknowledged.get(key)
            if found != expected and not (key in self.possible and found == self.possible[key]):
                raise Failure(f"gateway: {key}: {describe(found)} found, {describe(expected)} acknowledged")
            if found is None:
                self.acknowledged.pop(key, None)
            else:
                self.acknowledged[key] = found
        self.possible.clear()


def describe(data):
    return "nothing" if data is None else f"{len(data)} bytes {data[:12]!r} {hashlib.sha256(data).hexdigest()[:8]}"


class Writer(threading.Thread):
    """Writes until its face fails it or it is told to stop; what it knows stays in the face."""

    def __init__(self, face, counter):
        super().__init__(daemon=True)
        self.face, self.counter, self.stopping = face, counter, False

    def run(self):
        while not self.stopping:
            self.counter[self.face.name] += 1
            try:
                self.face.step(self.counter[self.face.name])
            except Exception as error:  # the crash, or errors that a crash elsewhere causes: nothing was acknowledged
                self.error = error
                return


def choose(rng, network, faces):
    """Who dies, as (nodes, faces). At most one miner, or everything: more than one miner at once may lose nothing but
    may stop everybody until it is back, which the case "everything" covers."""
    nodes = [n for n in network.names]
    faces = {face.name for face in faces}
    kind = rng.choice(sorted(faces) + ["node", "node", "node and face", "everything", "all nodes", "all faces"])
    if kind in faces:
        return kind, [], {kind}
    if kind == "node":
        one = rng.choice(nodes)
        return one, [one], set()
    if kind == "node and face":
        one, face = rng.choice(nodes), rng.choice(sorted(faces))
        return f"{one} and {face}", [one], {face}
    if kind == "everything":
        return kind, nodes, faces
    if kind == "all nodes":
        return kind, nodes, set()
    return kind, [], faces


def bring_back(network, faces, dead):
    network.resume()
    threads, failures = [], []

    def one(face):
        try:
            face.ready()
            face.verify()
        except Exception as error:
            failures.append(f"{face.name}: {error}")

    for face in faces:
        if face.name in dead:
            face.launch()  # from the main thread: `nbdkit -f` ends with the thread that started it
            threads.append(threading.Thread(target=one, args=(face,)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise Failure("; ".join(failures))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    arguments.add_argument("--crashes", type=int, default=50)
    arguments.add_argument("--faces", default="mount,device,gateway", help="which to use")
    arguments.add_argument("--keep", action="store_true", help="keep the network's directory")
    how = arguments.parse_args()
    how.crashes = int(os.environ.get("CESS_CRASHES", how.crashes))
    work = pathlib.Path(tempfile.mkdtemp(prefix="cess-crash-"))
    os.environ.update(HOME=str(work / "home"), CESS_CONF=str(work / "net" / "client.toml"), PATH=f"{BIN}:{os.environ['PATH']}",
                      AWS_EC2_METADATA_DISABLED="true")
    os.environ.pop("XDG_DATA_HOME", None)
    (work / "home").mkdir()
    rng = random.Random(how.seed)
    say(f"seed {how.seed}, {how.crashes} crashes, in {work}")
    faces, network, status = [], None, 1
    counter = {"mount": 0, "device": 0, "gateway": 0}
    try:
        network = Network(work)
        if "mount" in how.faces.split(","):
            faces.append(Mount(work, how.seed))
        if "device" in how.faces.split(","):
            faces.append(Device(work, BIN, WAIT, random.Random(f"{how.seed}-device"), run, Failure))
        if "gateway" in how.faces.split(","):
            faces.append(Gateway(work, how.seed))
        bring_back(network, faces, {face.name for face in faces})
        for crash in range(1, how.crashes + 1):
            writers = [Writer(face, counter) for face in faces]
            for w in writers:
                w.start()
            time.sleep(rng.uniform(0.05, 1.5))
            what, nodes, dead = choose(rng, network, faces)
            say(f"crash {crash}: {what}")
            network.crash(nodes)
            for face in faces:
                if face.name in dead:
                    face.crash()
            time.sleep(rng.uniform(0.0, 0.5))
            network.resume()
            for w in writers:
                w.stopping = True
            for w in writers:
                w.join(WAIT)
                if w.is_alive():
                    raise Failure(f"{w.face.name}: a call hangs {WAIT} s after all nodes were back")
            # A face that failed a write may be read-only for good; it is replaced like one that died.
            for w in writers:
                if hasattr(w, "error") and w.face.name not in dead:
                    say(f"  {w.face.name} failed a write ({str(w.error)[:160]}); restarted")
                    w.face.crash()
                    dead = dead | {w.face.name}
            bring_back(network, faces, dead)
            for face in faces:
                if face.name not in dead:
                    face.verify()
        for volume in run("cess", "volume", "list").stdout.splitlines()[1:]:
            run("cess", "fsck", volume.split()[0], timeout=300)
        requests = [f"{face.history.stamp} requests to the device" for face in faces if face.name == "device"]
        say(f"passed: {how.crashes} crashes, {', '.join([f'steps {counter}'] + requests)}")
        status = 0
    except Failure as failure:
        say(f"FAILED with --seed {how.seed}: {failure}")
        for log in sorted(work.glob("*.log")) + sorted((work / "net" / "log").glob("*.log")):
            text = log.read_text(errors="replace").splitlines()[-6:]
            print(f"-- {log.name}", *text, sep="\n")
    finally:
        for face in faces:
            try:
                face.crash()
            except Exception:
                pass
        if network:
            subprocess.run(["cess", "dev", "down", "--dir", str(network.dir)], stdout=subprocess.DEVNULL)
        subprocess.run(["umount", "-l", str(work / "mnt")], stderr=subprocess.DEVNULL)
        if not how.keep:
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(status)


main()
