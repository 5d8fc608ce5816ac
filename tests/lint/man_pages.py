#!/usr/bin/env python3
"""A program and its man page name the same options; `cess` and its page also the same commands. Usage: man_pages.py BIN"""
import pathlib
import re
import subprocess
import sys

import sources

BIN = pathlib.Path(sys.argv[1]).resolve()


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.stdout


def page(path):
    """The text of a page without roff: escapes resolved, font changes dropped, macros' arguments joined."""
    out = []
    for line in (sources.ROOT / path).read_text().splitlines():
        line = line.replace(r"\-", "-").replace(r"\fI", "").replace(r"\fR", "").replace(r"\fB", "").replace(r"\(aq", "'")
        macro = re.match(r"\.(B|I|BR|BI|IR|RB|RI)\s+(.*)", line)
        if macro:
            words = re.findall(r'"([^"]*)"|(\S+)', macro.group(2))
            joined = [a or b for a, b in words]
            line = (" " if macro.group(1) in "BI" else "").join(joined)
        out.append(line)
    # Examples show other programs' options too.
    return re.sub(r"^\.SH EXAMPLES?$.*?(?=^\.SH |\Z)", "", "\n".join(out), flags=re.M | re.S)


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def mount_options(text):
    """What stands in the table of -o options: one a line, `name` or `name=VALUE`, indented."""
    part = re.search(r"-o[^\n]*:\n((?:\s+\S.*\n?)+)", text)
    return set(re.findall(r"^\s{2,}([a-z_]+)(?:=\S+)?(?:\s{2,}|$)", part.group(1), re.M)) if part else set()


def compare(program, kind, from_help, from_page):
    for name in sorted(from_help - from_page):
        yield f"{program}: {kind} {name} is in --help and not in the man page"
    for name in sorted(from_page - from_help):
        yield f"{program}: {kind} {name} is in the man page and not in --help"


def commands(program, path=()):
    """Leaf commands, by asking each level for help."""
    text = run(program, *path, "--help")
    part = re.search(r"^(?:Subcommands|SUBCOMMANDS):\n((?:  .*\n?)+)", text, re.M)
    if not part:
        yield " ".join(path), text
        return
    for name in re.findall(r"^  ([a-z0-9-]+)", part.group(1), re.M):
        yield from commands(program, (*path, name))


def check_cess():
    text = page("cli/cess.1")
    shown, leaves = set(), set()
    for leaf, help_text in commands(str(BIN / "cess")):
        leaves.add("cess " + leaf)
        shown |= options(help_text)
    shown |= options(run(str(BIN / "cess"), "--help"))
    body = text[text.index(".SH COMMANDS") : text.index(".SH OPTIONS")]
    named = set()
    for tag in re.findall(r"^\.TP\n(cess [a-z0-9 -]+)", body, re.M):
        words = []
        for word in tag.split():
            if not re.fullmatch(r"[a-z][a-z0-9-]*", word):
                break
            words.append(word)
        named.add(" ".join(words))
    # nbdkit's and cessfs's own options may appear in examples; commands have theirs under OPTIONS.
    yield from compare("cess", "option", shown, options(text))
    yield from compare("cess", "command", leaves, named)


def check_program(name, path):
    yield from compare(name, "option", options(run(str(BIN / name), "--help")), options(page(path)))


def check_plugin():
    help_text = run("nbdkit", str(BIN / "nbdkit-cess-plugin.so"), "--help")
    shown = set(re.findall(r"^(?:\(default\)\s*)?\[?([a-z]+)=", help_text, re.M))
    body = page("blockdev/nbdkit-cess-plugin.1")
    named = set(re.findall(r"^\.TP\n([a-z]+)=", body, re.M))
    yield from compare("nbdkit-cess-plugin", "parameter", shown, named)


def check_cessfs():
    help_text, text = run(str(BIN / "cessfs"), "--help"), page("fs/cessfs.1")
    yield from compare("cessfs", "option", options(help_text), options(text))
    for name in sorted(mount_options(help_text)):
        if not re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z_])", text):
            yield f"cessfs: mount option {name} is in --help and not in the man page"


def main():
    problems = []
    problems += check_cess()
    problems += check_program("cess-node", "node/cess-node.8")
    problems += check_program("cess-gateway", next(p for p in ("objectstore/s3/cess-gateway.8", "objectstore/s3/cess-gateway.1") if (sources.ROOT / p).exists()))
    problems += check_plugin()
    problems += check_cessfs()
    sources.finish("man pages", problems, 5)


main()
