"""The project's sources, and C++ text without its comments and literals. Shared by the lints."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ("core", "chain", "node", "cache", "objectstore", "fs", "blockdev", "cli", "tests")


def files(*suffixes):
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def relative(path):
    return str(path.relative_to(ROOT))


_LITERALS = re.compile(
    r'R"([^()\s\\]{0,16})\(.*?\)\1"'  # raw strings
    r"|//[^\n]*|/\*.*?\*/"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S,
)


def bare(text):
    """Comments and literals blanked, with every other character and line where it was."""

    def blank(match):
        found = match.group(0)
        keep = "" if found.startswith("/") else '""' if len(found) >= 2 else ""
        return keep + re.sub(r"[^\n]", " ", found[len(keep):])

    return _LITERALS.sub(blank, text)


def finish(name, problems, checked):
    for problem in problems:
        print(problem)
    print(f"{name}: {checked} checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)
