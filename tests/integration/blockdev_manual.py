#!/usr/bin/python3
"""The examples of nbdkit-cess-plugin(1), executed as they stand there, with only folders and the port replaced; TLS and
whom it keeps out; and the units and tables that are installed or shown."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import xml.dom.minidom

from blockdev_support import BIN, PLUGIN, WAIT, Skip, check, free_port, main, need, run, say, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "blockdev" / "nbdkit-cess-plugin.1"


def examples():
    """{label: text} of what stands behind each `.\\" label` inside .nf and .fi."""
    found, label = {}, None
    for line in PAGE.read_text().splitlines():
        if line.startswith('.\\" '):
            label = line[4:]
            found[label] = []
        elif line in (".fi", ".nf"):
            label = None
        elif label:
            found[label].append(line.replace(r"\-", "-").replace(r"\e", "\\").replace("\\\\", "\\"))
    return {name: "\n".join(lines) for name, lines in found.items()}


class Page:
    def __init__(self, house):
        self.house, self.texts, self.used = house, examples(), set()
        self.port = free_port()
        (house.work / "mnt").mkdir()

    def text(self, label):
        self.used.add(label)
        out = self.texts[label]
        for old, new in (("/etc/cess/tls", self.house.work / "tls"), ("/run/", f"{self.house.work}/"), ("/mnt/", f"{self.house.work}/mnt/"),
                         ("nbds://localhost/", f"nbds://localhost:{self.port}/"), ("port=10809", f"port={self.port}")):
            out = out.replace(old, str(new))
        return re.sub(r"\bcess( volume=\w+)?$", rf"{PLUGIN}\1", out) if label.startswith("serve ") else out

    def run(self, label, folder=None, fails=False):
        say(label)
        text = self.text(label)
        os.chdir(folder or self.house.work)
        return run("bash", "-ec", text, fails=fails)

    def serve(self, label, more=""):
        say(label)
        words = self.text(label).replace("nbdkit ", f"nbdkit -f {more} ", 1)
        with open(self.house.work / "nbdkit.log", "ab") as log:
            process = subprocess.Popen(["bash", "-c", "exec " + words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.house.closing.callback(process.kill)
        return process


def end(process):
    process.terminate()
    process.wait(WAIT)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


# ---- TLS -------------------------------------------------------------------------------------------------------------

def tls(house, page):
    folder = house.work / "tls"
    folder.mkdir()
    page.run("run tls", folder)
    served = page.serve("serve tls", f"-i 127.0.0.1 -p {page.port}")
    until("nbdkit with TLS", lambda: listens(page.port))
    text = page.run("run tls-client")
    check("export-size: 10737418240" in text and "virtual size: 10 GiB" in text, text)
    check("protocol: newstyle-fixed with TLS" in text, f"not over TLS: {text}")

    say("whoever has no certificate of this authority stays outside")
    uri = f"nbds://localhost:{page.port}/disk?tls-certificates="
    run("nbdinfo", f"nbd://localhost:{page.port}/disk", fails=True)
    anybody = house.work / "anybody"
    anybody.mkdir()
    shutil.copy(folder / "ca-cert.pem", anybody)
    run("nbdinfo", uri + str(anybody), fails=True)
    stranger = house.work / "stranger"
    stranger.mkdir()
    os.chdir(stranger)
    run("bash", "-ec", page.texts["run tls"])
    shutil.copy(folder / "ca-cert.pem", stranger)  # it trusts the server; the server does not trust it
    run("nbdinfo", uri + str(stranger), fails=True)
    shutil.copy(folder / "client-cert.pem", anybody)
    shutil.copy(stranger / "client-key.pem", anybody)
    run("nbdinfo", uri + str(anybody), fails=True)

    say("data over TLS")
    plain = house.work / "plain"
    plain.write_bytes(os.urandom(3 << 20))
    run("nbdcopy", "--flush", plain, uri + str(folder))
    run("nbdcopy", uri + str(folder), house.work / "back", timeout=300)
    with open(house.work / "back", "rb") as back:
        check(back.read(3 << 20) == plain.read_bytes(), "what came back over TLS differs")
    (house.work / "back").unlink()
    end(served)


# ---- the examples ----------------------------------------------------------------------------------------------------

def exists(path):
    return path.exists() and path.stat().st_size > 0


def local(house, page):
    served = page.serve("serve disk")
    until("the socket", lambda: (house.work / "disk.sock").exists())
    if os.access("/dev/fuse", os.W_OK):
        say("mount")
        image = house.work / "mnt" / "disk.img"
        image.touch()
        mounted = subprocess.Popen(["bash", "-c", "exec " + page.text("mount")], stdin=subprocess.DEVNULL)
        house.closing.callback(mounted.kill)
        until("nbdfuse", lambda: exists(image))
        check(image.stat().st_size == 10 << 30, f"the mounted device has {image.stat().st_size} bytes")
        run("fusermount3", "-u", image)
        mounted.wait(WAIT)
    end(served)


def images(house, page):
    served = page.serve("serve all")
    until("the socket", lambda: (house.work / "all.sock").exists())
    run("qemu-img", "create", "-f", "qcow2", house.work / "image.qcow2", "10G")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 2M", "-c", "write -P 9 9G 64k", house.work / "image.qcow2")
    check("Images are identical" in page.run("run snapshot"), "the backup differs")
    text = page.run("run all")
    check('export="disk"' in text and 'export="disk@monday"' in text, text)
    run("qemu-img", "check", house.work / "monday.qcow2")
    return served


def daemon(house, page):
    """QEMU's own line, given to its storage daemon, which exports the node again."""
    blockdev = re.search(r"-blockdev (\S+)", page.text("qemu")).group(1)
    again = house.work / "again.sock"
    with open(house.work / "daemon.log", "ab") as log:
        process = subprocess.Popen(["qemu-storage-daemon", "--blockdev", blockdev, "--nbd-server", f"addr.type=unix,addr.path={again}",
                                    "--export", "type=nbd,id=e,node-name=disk,name=disk,writable=on"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    house.closing.callback(process.kill)
    until("qemu-storage-daemon", lambda: again.exists())
    uri = f"nbd+unix:///disk?socket={again}"
    run("qemu-io", "-f", "raw", "-c", "read -P 7 1M 2M", "-c", "write -P 5 1M 1M", "-c", "flush", "-c", "discard 2M 1M", "-c", "read -P 0 2M 1M", uri)
    run("qemu-io", "-f", "raw", "-c", "read -P 5 1M 1M", f"nbd+unix:///disk?socket={house.work}/all.sock")
    end(process)


def tables(page):
    say("tables and units")
    device, where, export, options = page.text("nbdtab").split()
    check(device == "nbd0" and where.startswith("/") and export == "disk", "nbdtab: fields")
    known = re.search(r"OPTIONS(.*?)SEE ALSO", run("bash", "-c", "man nbdtab | col -b"), re.S)
    for option in options.split(","):
        check(not known or re.search(rf"^\s+{option.split('=')[0]}\b", known.group(1), re.M), f"nbdtab knows no option {option}")
    check(len(page.text("fstab").split()) == 6, "fstab: fields")
    page.used.add("libvirt")
    disk = xml.dom.minidom.parseString(page.texts["libvirt"]).documentElement
    check(disk.getElementsByTagName("source")[0].getAttribute("name") == "disk", "libvirt: export")
    unit = BIN.parent / "packaging" / "cess-nbd@.service"
    line = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.M).group(1)
    check(disk.getElementsByTagName("host")[0].getAttribute("socket") in line.replace("%i", "disk"), "unit and libvirt's example disagree on the socket")
    check(page.texts["nbdtab"].split()[1] in line.replace("%i", "disk"), "unit and nbdtab disagree on the socket")
    if shutil.which("systemd-analyze"):
        # It knows no template without an instance, and reports what it does not understand on standard error.
        instance = page.house.work / "cess-nbd@disk.service"
        instance.write_text(unit.read_text())
        text = run("systemd-analyze", "verify", "--man=no", instance)
        check("cess-nbd" not in text, text)
    return line


def unit(house, line):
    """What the unit runs: in the background, and serving once its pid is there; SIGTERM ends it well."""
    folder = house.work / "cess-nbd" / "disk"
    folder.mkdir(parents=True)
    command = line.replace("/run/", f"{house.work}/").replace("%i", "disk").replace(" cess ", f" {PLUGIN} ")
    run("bash", "-ec", command)
    pid = folder / "pid"
    until("the pid", lambda: exists(pid))
    number = int(pid.read_text())
    house.closing.callback(lambda: subprocess.run(["kill", "-9", str(number)], stderr=subprocess.DEVNULL))
    check(json.loads(run("nbdinfo", "--json", f"nbd+unix:///disk?socket={folder}/socket"))["exports"][0]["export-size"] == 10 << 30, "the unit serves something else")
    os.kill(number, 15)
    until("the end of the unit's process", lambda: not pathlib.Path(f"/proc/{number}").exists() or "Z" in pathlib.Path(f"/proc/{number}/stat").read_text().split(")")[1][:3])


def test(house):
    need("certtool", "nbdkit", "nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "qemu-storage-daemon")
    if not (BIN.parent / "packaging" / "cess-nbd@.service").exists():
        raise Skip("not a build folder: no units beside the programs")
    house.up()
    page = Page(house)
    page.run("run make")
    tls(house, page)
    local(house, page)
    served = images(house, page)
    daemon(house, page)
    end(served)
    unit(house, tables(page))
    check(page.used == set(page.texts), f"examples that nothing executed: {sorted(set(page.texts) - page.used)}")


main("manual", test)
