"""What the block device's tests in Python share: a network of their own, the plugin as a process, deadlines, an end
that leaves nothing behind. Environment: CESS_BIN, the folder of the built programs."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ.get("CESS_BIN", "build/release/bin")).resolve()
PLUGIN = BIN / "nbdkit-cess-plugin.so"
WAIT = 120.0  # seconds for anything to come back
SKIPPED = 77


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def check(condition, what):
    if not condition:
        raise Failure(what)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program}; see packaging/packages.txt")


def run(*command, timeout=WAIT, fails=False):
    """Standard output and error of a command that must succeed, or with `fails` must not."""
    words = [str(c) for c in command]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words)}: still running after {timeout} s")
    if fails == (done.returncode == 0):
        raise Failure(f"{' '.join(words)}: exit {done.returncode}: {done.stdout[-600:]}")
    return done.stdout


def fsck(volume):
    """A miner that is late on a busy machine is asked again; anything else that fsck finds is a failure."""
    for _ in range(3):
        done = subprocess.run(["cess", "fsck", volume], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if done.returncode == 0 or "timed out" not in done.stdout:
            break
    check(done.returncode == 0, f"cess fsck {volume}: {done.stdout[-600:]}")


def until(what, condition, seconds=WAIT):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Plugin:
    """nbdkit with the plugin, in a process of its own. Start it from the main thread: it ends with its parent thread."""

    def __init__(self, work, name, *parameters):
        self.socket = work / f"{name}.sock"
        self.log = work / f"{name}.log"
        self.parameters = [str(p) for p in parameters]
        self.process = None
        self.clients = []  # of libnbd

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def spawn(self):
        self.socket.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["nbdkit", "-f", "-U", str(self.socket), str(PLUGIN), *self.parameters],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        self.spawn()
        until(f"nbdkit at {self.socket}", self.answers)
        return self

    def answers(self):
        check(self.process.poll() is None, f"nbdkit ended with {self.process.returncode}: {self.tail()}")
        with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
            s.settimeout(1)
            s.connect(str(self.socket))
            return s.recv(8) == b"NBDMAGIC"
        return False

    def tail(self):
        return self.log.read_text(errors="replace")[-600:]

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.clients.clear()
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """Its clients go, then SIGTERM: it stores everything first."""
        for client in self.clients:
            with contextlib.suppress(Exception):
                client.shutdown()
        self.clients.clear()
        self.process.terminate()
        try:
            check(self.process.wait(WAIT) == 0, f"nbdkit ended with {self.process.returncode}: {self.tail()}")
        except subprocess.TimeoutExpired:
            raise Failure(f"nbdkit did not end within {WAIT} s of SIGTERM")


def without_disk_tier(network):
    """The cache on disk would hide what becomes of the miners' bytes."""
    config = network / "client.toml"
    if "[cache]" not in config.read_text():
        with config.open("a") as f:
            f.write("\n[cache]\ndisk_size = 0\n")


class House:
    """A network in a temporary folder. `closing` holds what must be undone at the end, whatever happens."""

    def __init__(self, name):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix=f"cess-{name}-"))
        self.closing = contextlib.ExitStack()
        os.environ.update(HOME=str(self.work / "home"), CESS_CONF=str(self.work / "net" / "client.toml"),
                          PATH=f"{BIN}:/usr/sbin:{os.environ['PATH']}")
        os.environ.pop("XDG_DATA_HOME", None)
        (self.work / "home").mkdir()

    def up(self, *arguments):
        run("cess", "dev", "up", "--dir", self.work / "net", "--capacity", "4G", *arguments, timeout=240)
        without_disk_tier(self.work / "net")

    def plugin(self, name, *parameters):
        made = Plugin(self.work, name, *parameters)
        self.closing.callback(made.kill)
        return made

    def close(self, failed):
        self.closing.close()
        if (self.work / "net").exists():
            subprocess.run(["cess", "dev", "down", "--dir", str(self.work / "net")], stdout=subprocess.DEVNULL, timeout=WAIT)
        if failed:
            for log in sorted(self.work.glob("*.log")) + sorted((self.work / "net" / "log").glob("*.log")):
                print(f"-- {log.name}", *log.read_text(errors="replace").splitlines()[-8:], sep="\n")
        if os.environ.get("CESS_KEEP"):
            say(f"kept: {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)


def main(name, test):
    """Runs test(house); the exit code tells ctest how it went."""
    house, status = House(name), 1
    try:
        test(house)
        say("passed")
        status = 0
    except Skip as reason:
        say(f"skipped: {reason}")
        status = SKIPPED
    except Failure as failure:
        say(f"FAILED: {failure}")
    finally:
        house.close(status == 1)
    sys.exit(status)
