"""A generation that drains gives its idle connections to its successor, so that the drain ends in seconds.

Idle is a connection of which nothing has been read since its last response: whatever comes next is read by whoever has
the socket then, and the client notices nothing. The supervisor passes the sockets on.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from proxy.server import Server
from workers.link import SupervisorLink

BATCH = 100  # connections in one message: half of what a packet may carry
INTERVAL = 0.1  # seconds between looks


async def hand_over(server: Server, link: SupervisorLink, listeners: Collection[str]) -> None:
    """Give away what is idle of these listeners, until cancelled."""
    while listeners:
        for listener in listeners:
            while batch := server.idle_connections(listener, BATCH):
                # No other task runs between the look and the end of ours: the socket has one reader at any time.
                if not link.give({"type": "connections", "listener": listener}, [each.fd for each in batch]):
                    break
                for connection in batch:
                    connection.idle = False
                    connection.give_away()
        await trio.sleep(INTERVAL)
