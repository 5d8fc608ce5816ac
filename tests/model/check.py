#!/usr/bin/env python3
"""The commit rule and the gap rule of docs/CONSENSUS.md as models, searched to the end by Spin: what they assert holds, and
stops holding for the wrong numbers. Usage: check.py"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 120
DEPTH_MAX = 10_000
MEMORY_MAX_MB = 1500

# Model, settings, and a part of the assertion that must fail; none: all must hold.
RUNS = [
    ("votes", "", None),
    ("votes", "-DCOIN", None),
    ("anchors", "", None),
    ("votes", "-DPARENTS=2", "committed"),
    ("votes", "-DCERTIFIES=2", "skipped"),
    ("votes", "-DCOMMITS=2", "committed"),
    ("votes", "-DSKIPS=2", "skipped"),
    ("votes", "-DANCHOR=0", "committed"),
    ("votes", "-DCOIN -DANCHOR=0", "committed"),
    ("anchors", "-DGAP=0", "past_coin"),
    ("anchors", "-DGAP=1", "past_coin"),
    ("anchors", "-DK=4", "past_coin"),
    ("anchors", "-DPASSES_OVER", "decided[0]==decided[1]"),
]


def step(folder, *command):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout.strip()}")
    return done.stdout


def search(model, settings):
    """Answers the assertion that fails, or none, and how many states there are."""
    with tempfile.TemporaryDirectory(prefix="cess-model-") as folder:
        step(folder, "spin", "-a", *settings.split(), HERE / (model + ".pml"))
        step(folder, "gcc", "-O0", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MAX_MB}", "-o", "pan", "pan.c")
        # A choice of too few parents ends nowhere, which is no error here (-E).
        said = step(folder, "./pan", "-E", f"-m{DEPTH_MAX}", "-w22")
    failed = re.search(r"assertion violated (.*) \(at depth", said)
    states = re.search(r"(\d+) states, stored", said)
    if not states or "max search depth too small" in said or "Search not completed" in said and not failed:
        sys.exit(f"{model} {settings}: the search did not end\n{said}")
    if not failed and "errors: 0" not in said:
        sys.exit(f"{model} {settings}: {said}")
    return failed and failed.group(1), int(states.group(1))


def main():
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed; packaging/packages.txt names what the tests need")
    wrong = 0
    for model, settings, expected in RUNS:
        failed, states = search(model, settings)
        right = failed is None if expected is None else failed is not None and expected in failed
        wrong += not right
        print(f"{'' if right else 'WRONG: '}{model} {settings}: {states} states, {'fails' if failed else 'holds'}")
        if not right and failed:
            print(f"    {failed}")
    sys.exit(wrong != 0)


main()
