#!/usr/bin/env python3
"""g++ 12.2 miscompiles expressions that contain co_await together with a capturing lambda or a braced initialiser
(double frees; see STYLE.md's table). In an expression with co_await: no braces and no capturing lambda."""
import re
import sys

import sources

CLOSERS = {")": "(", "]": "[", "}": "{"}
CONTROL = re.compile(r"\b(?:if|while|for|switch)\s*(?:constexpr\s*)?$")


def matching_open(text, at):
    """Index of the bracket that text[at] closes, or -1."""
    depth = 0
    for i in range(at, -1, -1):
        if text[i] in ")]}":
            depth += 1
        elif text[i] in "([{":
            depth -= 1
            if depth == 0:
                return i
    return -1


def matching_close(text, at):
    depth = 0
    for i in range(at, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i
    return len(text) - 1


def lambda_capture(text, brace):
    """What is between [ and ] if the brace opens a lambda's body, else None."""
    head = text[:brace].rstrip()
    head = re.sub(r"->[^;{}()\[\]=]*$", "", head).rstrip()
    head = re.sub(r"\b(?:mutable|noexcept|constexpr)\s*$", "", head).rstrip()
    if head.endswith(")"):
        head = head[: matching_open(head, len(head) - 1)].rstrip()
    if head.endswith(">"):  # a template parameter list
        head = head[: head.rfind("<")].rstrip()
    if not head.endswith("]"):
        return None
    return head[matching_open(head, len(head) - 1) + 1 : -1].strip()


def opens_block(text, brace):
    """Whether the brace begins statements rather than an initialiser."""
    head = text[:brace].rstrip()
    if not head or head[-1] in ");{}:" or lambda_capture(text, brace) is not None:
        return True
    return bool(re.search(r"\b(?:else|do|try|const|noexcept|override|final|mutable)$", head)) or bool(re.search(r"->[^;{}()=]*$", head))


def start_of_expression(text, at):
    i = at - 1
    while i >= 0:
        c = text[i]
        if c == ";" or c == "{" and opens_block(text, i):
            return i + 1
        if c == "}":
            after = text[i + 1 :].lstrip()[:1]
            if after not in tuple(",).?:+-*/=<>&|"):
                return i + 1  # the end of a block before this statement
            i = matching_open(text, i)
        elif c in ")]":
            i = matching_open(text, i)
        elif c == "(" and CONTROL.search(text[:i]):
            return i + 1
        i -= 1
    return 0


def end_of_expression(text, start):
    i = start
    while i < len(text):
        c = text[i]
        if c == ";":
            return i
        if c in "([":
            i = matching_close(text, i)
        elif c == "{":
            if lambda_capture(text, i) is None and text[:i].rstrip().endswith(")"):
                return i  # the block of an if, for, …
            i = matching_close(text, i)
        elif c in ")}":
            return i
        i += 1
    return len(text)


def problems_in(text):
    text = sources.bare(text)
    seen = set()
    for word in re.finditer(r"\bco_await\b", text):
        start = start_of_expression(text, word.start())
        end = end_of_expression(text, start)
        i = start
        while i < end:
            if text[i] == "{":
                capture = lambda_capture(text, i)
                if capture is None or capture:
                    what = "a braced initialiser" if capture is None else "a lambda that captures"
                    if (start, i) not in seen:
                        seen.add((start, i))
                        yield text.count("\n", 0, i) + 1, what
                close = matching_close(text, i)
                # What stands inside a captureless lambda's body is judged by itself.
                i = close
            i += 1


BAD = [
    "co_await f([p]{ g(); });",
    "auto x = co_await [s]() -> awaitable<int> { co_return 1; }();",
    "co_await put(options{.n = 4});",
    "CO_TRY(auto x, co_await f({1, 2}));",
    "if (auto r = co_await f(error{1}); !r) { a(); }",
    "auto y = g({1}, co_await f());",
    "co_await f(1, [&](int a) mutable -> int { return a; });",
    "auto a = 1; facts all{a, co_await b, c};",
    "work(facts{a, co_await b});",
]
GOOD = [
    "co_await f([](int a) { return a; });",
    "auto op = f([p]{ g(); }); co_await std::move(op);",
    "if (auto r = co_await f(); !r) { a({1}); }",
    "for (int i = 0; i < 3; ++i) { co_await f(); } g({1});",
    "co_spawn(ex, [p]() -> awaitable<void> { co_await f(); }, detached);",
    "while (co_await f()) { x = {1}; }",
    "struct a { int b = 1; }; awaitable<void> c() { co_await d(); }",
    '// co_await f({1});\nauto s = "co_await f({1})"; { co_await f(); }',
]


def self_test():
    for text in BAD:
        assert list(problems_in("{ " + text + " }")), f"not found: {text}"
    for text in GOOD:
        assert not list(problems_in("{ " + text + " }")), f"found wrongly: {text}"


def main():
    self_test()
    if sys.argv[1:] == ["--self-test"]:
        return
    problems = []
    checked = 0
    for path in sources.files(".hpp", ".cpp"):
        checked += 1
        text = path.read_text()
        if "co_await" in text:
            for line, what in problems_in(text):
                problems.append(f"{sources.relative(path)}:{line}: {what} in an expression with co_await; name it first")
    sources.finish("co_await", problems, checked)


main()
