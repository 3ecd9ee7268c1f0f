"""An array of JSON that comes in pieces, element by element."""

from __future__ import annotations

import re

_MARK = re.compile(rb'["\\\[\]{},]')
_IN_STRING = re.compile(rb'["\\]')
_SPACE = b" \t\r\n"


class JsonStreamError(ValueError):
    """It is no array."""


class JsonArray:
    """`feed` gives the elements that are whole, as they stand in the text; whether they are JSON is not looked at.
    `pending` is how many bytes are kept of the one that is not.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._at = 0  # what comes before has been looked at
        self._depth = 0  # 0 before the array, 1 within it
        self._in_string = False
        self._begun = self._ended = False

    @property
    def pending(self) -> int:
        return len(self._text)

    def feed(self, data: bytes) -> list[bytes]:
        """Raises `JsonStreamError`."""
        self._text += data
        found: list[bytes] = []
        if not self._begun and not self._begin():
            return found
        while (match := (_IN_STRING if self._in_string else _MARK).search(self._text, self._at)) is not None:
            mark, at = match[0], match.start()
            if mark == b"\\" and at + 1 == len(self._text):
                break  # what is escaped is still to come
            self._at = at + (2 if mark == b"\\" else 1)
            if mark == b'"':
                self._in_string = not self._in_string
            elif mark in (b"[", b"{"):
                self._depth += 1
            elif mark in (b"]", b"}"):
                self._depth -= 1
            if (mark == b"," and self._depth == 1) or (mark == b"]" and self._depth == 0):
                found += self._take(at, last=mark == b"]")
        else:
            self._at = len(self._text)
        if self._ended and self._text.strip(_SPACE):
            raise JsonStreamError("something follows the array")
        return found

    def finish(self) -> None:
        """Raises `JsonStreamError` unless the array has ended."""
        if not self._begun:
            raise JsonStreamError("Expected an array instead of an object")
        if not self._ended or self._text.strip(_SPACE):
            raise JsonStreamError("the array has no end")

    def _begin(self) -> bool:
        """Whether the array has begun."""
        text = self._text.lstrip(_SPACE)
        if text and text[:1] != b"[":
            raise JsonStreamError("Expected an array instead of an object")
        if text:
            self._text = text[1:]
            self._begun, self._depth = True, 1
        return bool(text)

    def _take(self, at: int, *, last: bool) -> list[bytes]:
        """The element that ends at `at`; the last one of none is no element."""
        element = bytes(self._text[:at]).strip(_SPACE)
        del self._text[: at + 1]
        self._at = 0
        if not element and not (last and not self._after_comma):
            raise JsonStreamError("an element is missing")
        self._after_comma = not last
        self._ended = last
        return [element] if element else []

    _after_comma = False
