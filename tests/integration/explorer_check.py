#!/usr/bin/env python3
"""A stranger at the JSON API: walks all of it, and verifies proofs with nothing but the genesis, SHA-256 and openssl.

explorer_check.py walk ADDRESS [UPTO]       everything that is certified, one line a thing; what never changes up to a height
explorer_check.py prove ADDRESS GENESIS PATH...   the record's value in hexadecimal, or "absent"
explorer_check.py hostile ADDRESS           garbage, slowness and floods; others are answered meanwhile
"""
import hashlib
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*", answer.headers
        return json.load(answer)


def pages(address, path, name):
    seen = 0
    while path:
        page = get(address, path)
        assert len(page[name]) <= 100
        for row in page[name]:
            seen += 1
            yield row
        assert seen < 100_000
        path = page["next"]


def say(kind, what):
    print(kind, json.dumps(what, sort_keys=True))


def walk(address, upto=None):
    status = get(address, "/v1/status")
    height = int(upto) if upto else status["height"]
    assert status["indexed"]["from"] == 1, status
    expected = height
    senders, count, counted = set(), 0, 0
    for block in pages(address, f"/v1/blocks?before={height + 1}&limit=7", "blocks"):
        assert block["height"] == expected, block
        expected -= 1
        say("block", block)
        listed = list(pages(address, f"/v1/blocks/{block['height']}?limit=2", "transactions"))
        assert len(listed) == block["transaction_count"], block
        for row in listed:
            count += 1
            senders.add(row["sender"])
            whole = get(address, f"/v1/transactions/{row['id']}")
            if row["standing"] == "counted":
                counted += 1
                assert {k: whole[k] for k in row} == row, (row, whole)
            say("transaction", whole)
    assert expected == 0
    by_account = 0
    for sender in sorted(senders):
        before = None
        for row in pages(address, f"/v1/accounts/{sender}/transactions?limit=5&before={height + 1}.0", "transactions"):
            place = (row["height"], row["place"])
            assert before is None or place < before
            before = place
            by_account += 1
        assert get(address, f"/v1/accounts/{sender}")["id"] == sender
    assert by_account == counted, (by_account, counted)
    if upto:
        return
    assert count == status["transactions"], (count, status)
    for volume in pages(address, "/v1/volumes?limit=2", "volumes"):
        whole = get(address, f"/v1/volumes/{volume['id']}")
        del whole["height"]
        say("volume", whole)
        for view in pages(address, f"/v1/volumes/{volume['id']}/views?limit=1", "views"):
            say("view", view)
        for segment in pages(address, f"/v1/volumes/{volume['id']}/segments?limit=3", "segments"):
            found = get(address, f"/v1/segments/{segment['id']}")["segments"]
            assert any(row["number"] == segment["number"] and row["lineage"] == volume["id"] for row in found), found
            say("segment", segment)
    for node in pages(address, "/v1/nodes?limit=2", "nodes"):
        say("node", node)
    committee = get(address, "/v1/committee")
    say("committee", {k: committee[k] for k in ("epoch", "quorum", "members")})
    say("certificate", {k: committee["certificate"][k] for k in ("network", "height", "commit_digest", "state_root")})


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def decode_genesis(raw):
    """docs/formats/chain.md: {version, name, first committee: {version, epoch, keys}, …}."""
    assert raw[0] == 3
    (length,) = struct.unpack_from("<I", raw, 1)
    at = 5 + length
    version, epoch, count = struct.unpack_from("<BQI", raw, at)
    assert version == 1
    at += 13
    return sha(b"cess genesis v1", raw), epoch, [raw[at + 32 * i : at + 32 * (i + 1)] for i in range(count)]


def signed_by(key, message, signature):
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("key", bytes.fromhex("302a300506032b6570032100") + key), ("message", message), ("signature", signature)):
            with open(f"{folder}/{name}", "wb") as out:
                out.write(data)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{folder}/key", "-rawin", "-in", f"{folder}/message", "-sigfile", f"{folder}/signature"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0


def certified_root(certificate, genesis):
    network, epoch, members = decode_genesis(genesis)
    h = bytes.fromhex
    assert h(certificate["network"]) == network and certificate["epoch"] == epoch
    following = certificate["next"]
    body = struct.pack("<B32sQQ32s32s", 1, network, epoch, certificate["height"], h(certificate["commit_digest"]), h(certificate["state_root"]))
    body += struct.pack("<BQI", 1, following["epoch"], len(following["members"])) + b"".join(h(m) for m in following["members"])
    message = b"cess certificate v1" + body
    assert message.hex() == certificate["message"]
    indexes = [row["member"] for row in certificate["signatures"]]
    assert indexes == sorted(set(indexes)) and len(indexes) >= len(members) - (len(members) - 1) // 3, indexes
    for row in certificate["signatures"]:
        assert signed_by(members[row["member"]], message, h(row["signature"])), f"the signature of member {row['member']} does not hold"
    return h(certificate["state_root"])


def proved(told, genesis):
    """The value's bytes, or None if its absence is proved; AssertionError if nothing is."""
    h = bytes.fromhex
    expected = certified_root(told["certificate"], genesis)
    key_hash = sha(h(told["key"]))
    nibbles = [n for byte in key_hash for n in (byte >> 4, byte & 15)]
    leaf, ended = told["proof"]["leaf"], False
    for depth, level in enumerate(told["proof"]["path"]):
        assert not ended
        children = [h(c) for c in level["children"]]
        assert bin(level["present"]).count("1") == len(children)
        assert sha(b"\x01", struct.pack("<H", level["present"]), *children) == expected, f"level {depth} leads elsewhere"
        if level["present"] >> nibbles[depth] & 1:
            expected = children[bin(level["present"] & ((1 << nibbles[depth]) - 1)).count("1")]
        else:
            ended = True
    if leaf is None:
        assert told["value"] is None and (ended or (not told["proof"]["path"] and expected == bytes(32)))
        return None
    assert not ended and sha(b"\x00", h(leaf["key_hash"]), h(leaf["value_hash"])) == expected, "the leaf is another one"
    if h(leaf["key_hash"]) != key_hash:
        depth = len(told["proof"]["path"])
        other = [n for byte in h(leaf["key_hash"]) for n in (byte >> 4, byte & 15)]
        assert told["value"] is None and other[:depth] == nibbles[:depth]
        return None
    value = h(told["value"])
    assert sha(value) == h(leaf["value_hash"]), "the value is another one"
    return value


def refused(told, genesis):
    try:
        proved(told, genesis)
    except AssertionError:
        return True
    return False


def prove(address, genesis, *paths):
    genesis = bytes.fromhex(genesis)
    for path in paths:
        told = get(address, f"/v1/proofs/{path}")
        value = proved(told, genesis)
        print("absent" if value is None else value.hex())
        if value is None:
            continue
        for forge in (
            lambda t: t.update(value=t["value"][:-2] + f"{int(t['value'][-2:], 16) ^ 1:02x}"),
            lambda t: t.update(key=t["key"] + "00"),
            lambda t: t["certificate"].update(height=t["certificate"]["height"] + 1, message=""),
            lambda t: t["certificate"]["signatures"].pop(),
            lambda t: t["certificate"].update(state_root="11" * 32),
        ):
            other = json.loads(json.dumps(told))
            forge(other)
            assert refused(other, genesis), "a forgery passes"


def hostile(address):
    host, port = address.rsplit(":", 1)

    def connect():
        return socket.create_connection((host, int(port)), timeout=20)

    def answered(why):
        begun = time.monotonic()
        assert get(address, "/v1/status")["certified"], why
        assert time.monotonic() - begun < 5, why

    # Twice as many slow peers as there are connections, a byte at a time.
    slow = [connect() for _ in range(130)]
    for turn in range(10):
        for at, one in enumerate(slow):
            try:
                one.send(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n"[turn : turn + 1])
            except OSError:
                pass
        answered("slow peers keep others out")
    begun = time.monotonic()
    for one in slow:
        one.settimeout(20)
        try:
            while one.recv(4096):
                pass
        except ConnectionError:
            pass
    assert time.monotonic() - begun < 15, "a slow peer is kept"
    for garbage in (b"\x00" * 1000, bytes(range(256)) * 40, b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\n\r\n", b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
                    b"POST /v1/status HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000, b"\r\n\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n"):
        with connect() as one:
            try:
                one.sendall(garbage)
                one.shutdown(socket.SHUT_WR)
                said = b""
                while part := one.recv(65536):
                    said += part
                assert b" 200 " not in said.split(b"\r\n")[0], (garbage[:40], said[:200])
            except OSError:  # also of one that is closed already
                pass
    # Many requests in one connection whose answers nobody reads.
    deaf = [connect() for _ in range(8)]
    for one in deaf:
        one.setblocking(False)
        try:
            for _ in range(2000):
                one.send(b"GET /v1/committee HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            pass
    answered("peers that do not read keep others out")
    for one in deaf:
        one.close()
    answered("after all that")
    for path, code in (("/v1/blocks/0", 404), ("/v1/blocks?limit=1000", 400), ("/v1/accounts/zz", 400), ("/nothing", 404)):
        try:
            get(address, path)
            raise AssertionError(path)
        except urllib.error.HTTPError as failed:
            body = failed.read().decode()
            assert failed.code == code and body.count("\n") == 1 and json.loads(body)["error"], (path, failed.code, body)


{"walk": walk, "prove": prove, "hostile": hostile}[sys.argv[1]](*sys.argv[2:])
