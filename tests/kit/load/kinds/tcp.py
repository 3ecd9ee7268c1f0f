"""Streams through a TCP proxy in front of an origin (`kit.origin`): both ways in turn, then a half-close."""

from __future__ import annotations

import hashlib
import time

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask, Wrong
from tests.kit.load.kinds.upload import check_arrived
from tests.kit.origin import pattern

TURNS = 10
PAUSE = 0.15  # s between two turns
BODY = pattern(4096)
DIGEST = hashlib.sha256(BODY).hexdigest()
_DATA = f"POST / HTTP/1.1\r\nHost: load\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


class Tcp:
    """About 1.5 s. To the proxy it is bytes, which only the origin and we understand: it counts as one request."""

    def __init__(self, _: Ask) -> None:
        pass

    def perform(self, connection: Connection) -> bool:
        for _ in range(TURNS):
            check_arrived(connection.request(_DATA), DIGEST)
            time.sleep(PAUSE)
        connection.end_sending()
        if connection.rest():
            raise Wrong("wrong end")
        return False
