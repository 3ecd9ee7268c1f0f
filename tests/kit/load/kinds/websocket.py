"""WebSockets to an origin (`kit.origin`) that echoes them: a handshake, messages both ways, a half-close."""

from __future__ import annotations

import os
import time

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask, Wrong

TURNS = 10
PAUSE = 0.15  # s between two turns
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class WebSocket:
    """About 1.5 s. What is in the tunnel are bytes, to the proxy and to the origin; it counts as one request."""

    def __init__(self, _: Ask) -> None:
        pass

    def perform(self, connection: Connection) -> bool:
        response = connection.request(_HANDSHAKE)
        if response.status != 101:
            raise Wrong(f"status {response.status}")
        for _ in range(TURNS):
            message = os.urandom(1024)
            connection.send(message)
            if connection.exactly(len(message)) != message:
                raise Wrong("wrong message")
            time.sleep(PAUSE)
        connection.end_sending()
        if connection.rest():
            raise Wrong("wrong end")
        return False
