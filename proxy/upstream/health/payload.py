"""Finds the pieces of an expected answer, one behind the other, in bytes that come in pieces of their own
(`PayloadMatcher`).
"""

from __future__ import annotations

from collections.abc import Sequence


class PayloadMatcher:
    """`matched` turns true once all `pieces` have come in order, whatever stands between them. Keeps no more than what
    may be the beginning of the next one.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._rest = b""

    @property
    def matched(self) -> bool:
        return not self._pieces

    def feed(self, data: bytes) -> None:
        """These bytes have come."""
        data = self._rest + data
        while self._pieces:
            piece = self._pieces[0]
            at = data.find(piece)
            if at < 0:
                self._rest = data[len(data) - min(len(data), len(piece) - 1) :]
                return
            data = data[at + len(piece) :]
            del self._pieces[0]
