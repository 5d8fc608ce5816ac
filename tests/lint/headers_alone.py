#!/usr/bin/env python3
"""Each public header compiles alone, with what its module declares. headers_alone.py BUILD-FOLDER

CMake writes a source for each header that includes nothing else (CMAKE_VERIFY_INTERFACE_HEADER_SETS); here it is only parsed. A
header that some source of the build includes first of all is proved by that."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

FIRST_INCLUDE = re.compile(r'^\s*#include\s*[<"]([^>"]+)[>"]', re.M)
ALONE = re.compile(r"_verify_interface_header_sets/(.+)\.cxx$")


def first_include(path):
    found = FIRST_INCLUDE.search(pathlib.Path(path).read_text(encoding="utf-8"))
    return found and found.group(1)


def problem_of(entry):
    words = shlex.split(entry["command"])
    del words[words.index("-o"):words.index("-o") + 2]
    words[words.index("-c")] = "-fsyntax-only"
    done = subprocess.run(words, cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    return done.stdout if done.returncode != 0 or "warning:" in done.stdout else ""


def main():
    entries = json.loads((pathlib.Path(sys.argv[1]) / "compile_commands.json").read_text())
    alone = {found.group(1): entry for entry in entries if (found := ALONE.search(entry["file"]))}
    if len(alone) < 50:
        sys.exit(f"headers_alone: the build knows {len(alone)} public headers only")
    proved = {first_include(entry["file"]) for entry in entries if entry["file"].endswith(".cpp")}
    left = [entry for header, entry in sorted(alone.items()) if header not in proved]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [text for text in pool.map(problem_of, left) if text]
    print("\n".join(problems), end="")
    print(f"headers_alone: {len(alone)} public headers, {len(left)} parsed, {len(problems)} problems")
    sys.exit(bool(problems))


main()
