"""Large requests that the client takes its time for; the origin (`kit.origin`) says what arrived."""

from __future__ import annotations

import hashlib
import json
import time

from tests.kit.client import Connection, Response
from tests.kit.load.kinds.kind import Ask, Wrong, check, stays
from tests.kit.origin import pattern

PIECES = 10
PAUSE = 0.1  # s between two pieces
BODY = pattern(PIECES * 8192)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Upload:
    """About 1 s, with content-length and chunked in turn."""

    def __init__(self, _: Ask) -> None:
        self._turn = 0

    def perform(self, connection: Connection) -> bool:
        self._turn += 1
        chunked = self._turn % 2 == 1
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
        connection.send(f"POST / HTTP/1.1\r\nHost: load\r\n{framing}\r\n\r\n".encode())
        size = len(BODY) // PIECES
        for start in range(0, len(BODY), size):
            piece = BODY[start : start + size]
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(PAUSE)
        if chunked:
            connection.send(b"0\r\n\r\n")
        response = connection.receive()
        check_arrived(response, DIGEST)
        return stays(response)


def check_arrived(response: Response, digest: str) -> None:
    """Raises `Wrong` unless the origin received the body with this SHA-256."""
    check(response, 200)
    if json.loads(response.body)["body_sha256"] != digest:
        raise Wrong("wrong body arrived")
