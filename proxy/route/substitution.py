"""RE2's rewriting: every match of a pattern gives way to a text, in which `\1` is what its first group took."""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

_PART = re.compile(r"\\(?:(?P<group>[0-9])|(?P<backslash>\\))|[^\\]+")


def substitution_fault(pattern: str, replacement: str) -> str:
    """Why `replacement` is wrong for `pattern`, which RE2 takes; "" if it is not (`RE2::CheckRewriteString`)."""
    position = 0
    for part in _PART.finditer(replacement):
        if part.start() != position:
            break
        position = part.end()
        groups = re2.compile(pattern).groups
        if part["group"] and int(part["group"]) > groups:
            return f"\\{part['group']} is no group of {pattern!r}, which has {groups}"
    if position < len(replacement):
        return f"{replacement[position:]!r} is no reference to a group"
    return ""


def compile_substitution(pattern: str, replacement: str) -> Callable[[bytes], bytes]:
    """`RE2::GlobalReplace`. An empty match right behind another one is none."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    search = re2.compile(pattern.encode(), options).search
    parts: list[bytes | int] = []
    for part in _PART.finditer(replacement):
        parts.append(int(part["group"]) if part["group"] else b"\\" if part["backslash"] else part[0].encode())

    def substitute(text: bytes) -> bytes:
        written: list[bytes] = []
        position, last_end = 0, -1
        while position <= len(text):
            found = search(text, position)
            if found is None:
                break
            start, end = found.span()
            written.append(text[position:start])
            if start == end == last_end:
                written.append(text[start : start + 1])
                position = start + 1
                continue
            written += [part if isinstance(part, bytes) else found.group(part) or b"" for part in parts]
            position = last_end = end
        written.append(text[position:])
        return b"".join(written)

    return substitute
