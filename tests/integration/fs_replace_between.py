#!/usr/bin/env python3
"""Stands between a running cessfs and the one that replaces it, passes on what they say, and kills one of them at a named point.

fs_replace_between.py SOCKET new|old MESSAGE    kills the new or the running process when MESSAGE is said, which is not passed on
fs_replace_between.py SOCKET none MESSAGE COMMAND...    runs a command first, with the two process numbers as NEW and OLD; passes it on
fs_replace_between.py SOCKET new|old MESSAGE COMMAND... runs it first, then kills
fs_replace_between.py SOCKET speak WHAT         plays the new process itself: rubbish, a foreign version, an answer that makes no sense
"""
import array
import os
import select
import signal
import socket
import struct
import subprocess
import sys

NAMES = ("hello", "refused", "offer", "take", "handed", "attached", "yours")
FDS = 4


def peer_of(s):
    return struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def receive(s):
    """A message and its files; nothing when the other one has gone."""
    def exactly(n):
        out = b""
        while len(out) < n:
            part, ancillary, _, _ = s.recvmsg(n - len(out), socket.CMSG_SPACE(FDS * 4))
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    files.frombytes(data)
            if not part:
                raise EOFError
            out += part
        return out

    files = array.array("i")
    size = struct.unpack("<I", exactly(4))[0]
    return exactly(size), files


def send(s, text, files=()):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    s.sendmsg([struct.pack("<I", len(text))], ancillary)
    s.sendall(text)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    return s


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def between(path, whom, when, *command):
    os.rename(path, path + ".real")
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(1)
    door.settimeout(60)
    print("ready", flush=True)
    new, _ = door.accept()
    os.rename(path + ".real", path)
    old = connect(path)
    pids = {"new": peer_of(new), "old": peer_of(old)}
    while True:
        readable, _, _ = select.select([new, old], [], [], 120)
        assert readable, "nobody says anything"
        for one in readable:
            other = old if one is new else new
            try:
                text, files = receive(one)
            except EOFError:
                return
            name = NAMES[text[0]]
            if name == when and command:
                subprocess.run(command, check=True, timeout=60, env=dict(os.environ, NEW=str(pids["new"]), OLD=str(pids["old"])))
            if name == when and whom != "none":
                kill(pids[whom])
                print("killed", whom, pids[whom], "at", name, flush=True)
                return
            send(other, text, files)
            for fd in files:
                os.close(fd)


def speak(path, what):
    s = connect(path)
    if what == "rubbish":
        s.sendall(os.urandom(4096))
    elif what == "version":
        send(s, struct.pack("<BIIs", 0, 999, 1, b"9"))
    elif what == "nonsense":  # all steps, and then what does not belong there
        send(s, struct.pack("<BIIs", 0, 1, 1, b"9"))
        assert NAMES[receive(s)[0][0]] == "offer"
        send(s, b"\3")
        assert NAMES[receive(s)[0][0]] == "handed"
        send(s, b"\6")
        receive(s)  # until we are killed
    text, _ = receive(s)
    assert NAMES[text[0]] == "refused", text
    print(text[5:].decode(), flush=True)


if sys.argv[2] == "speak":
    speak(sys.argv[1], sys.argv[3])
else:
    between(*sys.argv[1:])
