"""Large responses that an origin (`kit.origin`) takes its time for."""

from __future__ import annotations

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask, check, stays
from tests.kit.origin import pattern

PIECE = 16384
PIECES = 20
PAUSE = 0.1  # s between two pieces
BODY = pattern(PIECE * PIECES)


class Download:
    """About 2 s, with content-length and chunked in turn."""

    def __init__(self, _: Ask) -> None:
        self._turn = 0

    def perform(self, connection: Connection) -> bool:
        self._turn += 1
        framing = "chunked" if self._turn % 2 else "body"
        target = f"/?{framing}={len(BODY)}&chunk={PIECE}&pause={PAUSE}"
        response = connection.request(f"GET {target} HTTP/1.1\r\nHost: load\r\n\r\n".encode())
        check(response, 200, BODY)
        return stays(response)
