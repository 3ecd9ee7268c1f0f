"""Heads that need no second opinion: field lines so plain that no two readers can differ about them.

Browsers, services and every common client write `Name: value` and nothing else. The strict checks have accepted such a
head already, and splitting it is all that is left. Whatever is less plain goes to h11, whose verdict stands; a property
test holds the two to the same answer (tests/property/test_h1_canonical.py).
"""

from __future__ import annotations

import re

from proxy.http.h1_strict import TOKEN

# No white space but SP between words: nothing is left to trim, and nothing to fold.
_WORD = rb"[\x21-\x7e\x80-\xff]+"
_VALUE = rb"(?:%b(?: +%b)*)?" % (_WORD, _WORD)
_BLOCK = re.compile(rb"(?:%b: ?%b\r\n)*\r\n" % (TOKEN.pattern, _VALUE))
_LINES = re.compile(rb"(%b): ?(%b)\r\n" % (TOKEN.pattern, _VALUE))


def fields(head: bytes, start: int) -> list[tuple[bytes, bytes]] | None:
    """(lower-case name, value) of each field line of `head` from `start` on; None if one of them is not plain."""
    if not _BLOCK.fullmatch(head, start):
        return None
    return [(name.lower(), value) for name, value in _LINES.findall(head, start)]
