"""RE2 over whole values, in linear time: a pattern from configuration cannot hang a worker.

Bytes are matched as such, so `.` is one byte and not one UTF-8 character, as in Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import re2

_MEBIBYTE = 1024 * 1024
_MAX_MEMORY = 64 * _MEBIBYTE
"""Bytes for one set's program and the states that its automaton remembers; a set that does not fit is halved."""

_PROBE = b"\x00does this automaton run?\x00"
"""A value that no request head contains, and that every set of ours must find."""


def compile_regex(pattern: str) -> Callable[[bytes], bool]:
    """Whether a value as a whole matches `pattern`. A set of one, since asking a set costs a quarter of `fullmatch`."""
    one = _compile_set([pattern])
    if one is None:
        fullmatch = re2.compile(pattern.encode(), _options(_MAX_MEMORY)).fullmatch
        return lambda value: fullmatch(value) is not None
    match = one.Match
    return lambda value: match(value) is not None


def compile_regexes(patterns: Sequence[str]) -> Callable[[bytes], list[int]]:
    """The indices of all `patterns` that match a value as a whole, in ascending order, found in one pass over it."""
    combined = _compile_set(patterns)
    if combined is not None:
        match = combined.Match
        return lambda value: sorted(match(value) or ())
    if len(patterns) == 1:
        matches = compile_regex(patterns[0])
        return lambda value: [0] if matches(value) else []
    middle = len(patterns) // 2
    low, high = compile_regexes(patterns[:middle]), compile_regexes(patterns[middle:])
    return lambda value: [*low(value), *(middle + index for index in high(value))]


def _compile_set(patterns: Sequence[str]) -> re2.Set | None:
    """None if RE2 cannot run all of them as one automaton in the memory that it gets.

    RE2 then says "no match" to everything; hence the probe. Once there is room to run at all, an automaton that
    runs out of it forgets its states and goes on.
    """
    found = re2.Set.FullMatchSet(_options(min(_MAX_MEMORY, 8 * _MEBIBYTE + len(patterns) * 16 * 1024)))
    for pattern in patterns:
        found.Add(pattern.encode())
    probe = found.Add(re2.escape(_PROBE))
    try:
        found.Compile()
    except re2.error:
        return None
    return None if probe not in (found.Match(_PROBE) or ()) else found


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = memory
    return options


def literal_prefix(pattern: str) -> bytes:
    """A literal that every match of `pattern` begins with; empty if this simple look finds none."""
    if _has_alternatives(pattern):
        return b""
    text = pattern.encode()
    found = bytearray()
    at = 1 if text[:1] == b"^" else 0
    while at < len(text):
        char = text[at : at + 1]
        if char == b"\\":
            char = text[at + 1 : at + 2]
            if char not in _PUNCTUATION:
                break
            at += 1
        elif char in _META:
            break
        if text[at + 1 : at + 2] in _REPEATS:  # the character may be missing
            break
        found += char
        at += 1
    return bytes(found)


_META = frozenset(bytes([char]) for char in b".[](){}*+?^$|\\")
_PUNCTUATION = frozenset(bytes([char]) for char in b"/.-_+*?()[]{}^$|\\~:;,=&%@!# '\"<>`")
_REPEATS = frozenset({b"*", b"?", b"{", b"+"})


def _has_alternatives(pattern: str) -> bool:
    """Whether there may be a `|` outside of groups: `/a|/b`. Errs on the side of yes."""
    depth = 0
    escaped = False
    for char in pattern:
        if escaped:
            escaped = False
            if char == "Q":  # a quotation, where parentheses mean nothing
                return True
        elif char == "\\":
            escaped = True
        elif char == "|" and depth <= 0:
            return True
        elif char == "[":
            return "|" in pattern  # a class may hold parentheses: too subtle for a simple look
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
    return False
