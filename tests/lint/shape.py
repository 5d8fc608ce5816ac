#!/usr/bin/env python3
"""The form of files: length, width, indentation, header guards, names."""
import re

import sources

LINES_MAX = 900
BARE_CHECK = re.compile(r"\s*(?:if|else)\b.*\b(?:CO_)?CHECK_OK\(.*\);\s*$")
COLUMNS_MAX = 200  # 140 is the aim; records' describe() lines may run on


def check(path):
    name = sources.relative(path)
    text = path.read_text()
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        yield f"{name}: {len(lines)} lines; split it by conversation (at most {LINES_MAX})"
    if path.suffix == ".hpp" and "#pragma once" not in text:
        yield f"{name}: no #pragma once"
    if not re.fullmatch(r"[a-z0-9_]+\.(hpp|cpp)", path.name):
        yield f"{name}: file names are snake_case"
    for number, line in enumerate(lines, 1):
        if BARE_CHECK.match(line) and number < len(lines) and lines[number].lstrip().startswith("else"):
            yield f"{name}:{number}: an else after CHECK_OK belongs to the if within it; write braces"
        if len(line) > COLUMNS_MAX:
            yield f"{name}:{number}: {len(line)} columns (at most {COLUMNS_MAX})"
        if "\t" in line:
            yield f"{name}:{number}: a tab"
        if line != line.rstrip():
            yield f"{name}:{number}: blanks at the end of the line"
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            yield f"{name}:{number}: unfinished work is not landed"


def main():
    problems = []
    checked = 0
    for path in sources.files(".hpp", ".cpp"):
        problems += check(path)
        checked += 1
    sources.finish("shape", problems, checked)


main()
