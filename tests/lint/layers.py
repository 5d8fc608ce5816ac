#!/usr/bin/env python3
"""Includes point down only. The build already keeps most of it (a module finds only the headers of what it names in
DEPENDS); this says in one table what is meant, and gives the better message."""
import re

import sources

CORE = ["core/base", "core/wire", "core/crypto", "core/os", "core/config", "core/keys", "core/kv", "core/erasure", "core/net"]
# module: what it may include of ours, directly.
ALLOWED = {
    "core/base": [],
    "core/wire": ["core/base"],
    "core/crypto": ["core/base"],
    "core/os": ["core/base"],
    "core/keys": ["core/base", "core/crypto", "core/os"],
    "core/config": ["core/base"],
    "core/kv": ["core/base", "core/os"],
    "core/erasure": ["core/base"],
    "core/net": ["core/base", "core/wire", "core/crypto", "core/os"],
    "chain/consensus": ["core/base", "core/wire", "core/crypto"],
    "chain/ledger": ["core/base", "core/wire", "core/crypto"],
    "chain/client": ["chain/ledger"] + CORE,
    "chain/node": ["chain/consensus", "chain/ledger", "chain/client"] + CORE,
    "chain/explorer": ["chain/node", "chain/consensus", "chain/ledger"] + CORE,
    "cache": CORE,
    "node/storage": ["chain/ledger", "chain/client"] + CORE,
    "node/roles": ["node/storage", "chain/ledger", "chain/client", "chain/node", "chain/explorer"] + CORE,
    "objectstore/layer": ["cache", "node/storage", "chain/ledger", "chain/client"] + CORE,
    "objectstore/volume": ["objectstore/layer", "cache", "chain/ledger", "chain/client"] + CORE,
    "objectstore/client": ["objectstore/volume", "objectstore/layer", "cache", "chain/ledger", "chain/client"] + CORE,
    # A face never speaks to a miner.
    "objectstore/s3": ["objectstore/client", "objectstore/volume", "chain/ledger"] + CORE,
    "fs": ["objectstore/client", "objectstore/volume", "chain/ledger"] + CORE,
    "blockdev": ["objectstore/client", "objectstore/volume", "chain/ledger"] + CORE,
}
ALLOWED["cli"] = list(ALLOWED)
ALLOWED["tests"] = list(ALLOWED)

# Libraries that only some modules may see.
FOREIGN = {
    "rocksdb/": ["core/kv", "objectstore/volume", "chain/node"],
    "boost/beast": ["core/net", "objectstore/s3"],
    "boost/asio": ["core/net", "chain/client", "chain/node", "node/storage", "node/roles", "objectstore/layer", "objectstore/client",
                   "objectstore/s3", "cli"],
    "fuse": ["fs"],
    "nbdkit": ["blockdev"],
    "toml++": ["core/config"],
    "jerasure": ["core/erasure"],
    "isa-l": ["core/erasure", "objectstore/s3"],
    "blake3.h": ["core/crypto"],
    "sodium": ["core/crypto"],
    "openssl/": ["core/crypto", "core/net", "objectstore/s3"],
    "CLI/": ["cli", "fs", "node/roles", "objectstore/s3"],
}


def module_of(path):
    best = ""
    for module in ALLOWED:
        if (path == module or path.startswith(module + "/")) and len(module) > len(best):
            best = module
    return best


def check_table():
    order = list(ALLOWED)
    for module, below in ALLOWED.items():
        for other in below:
            if module not in ("cli", "tests") and order.index(other) >= order.index(module):
                yield f"the table itself: {module} may include {other}, which stands above it"


def check_file(path):
    name = sources.relative(path)
    module = module_of(name)
    if not module:
        return [f"{name}: belongs to no module of tests/lint/layers.py"]
    problems = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not include:
            continue
        target = include.group(2)
        other = module_of(target) if include.group(1) == "<" else ""
        if other and other != module and other not in ALLOWED[module]:
            problems.append(f"{name}:{number}: {module} must not include {other} ({target})")
        if "/../" in target or target.startswith("../"):
            problems.append(f"{name}:{number}: an include that climbs out of its folder ({target})")
        for prefix, users in FOREIGN.items():
            if target.startswith(prefix) and module != "tests" and module not in users:
                problems.append(f"{name}:{number}: {module} must not see {target}; only {', '.join(users)}")
    return problems


def main():
    problems = list(check_table())
    checked = 0
    for path in sources.files(".hpp", ".cpp"):
        problems += check_file(path)
        checked += 1
    sources.finish("layers", problems, checked)


main()
