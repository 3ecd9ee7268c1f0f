"""Bytes of a body from socket to socket through a pipe, for two connections that are otherwise read and written as
always: what `proxy/net/relay.py` is for those that are nothing but bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import trio

from proxy.net.pipe import Memory, Pipe

Carrier = Pipe | Memory


class Port(Protocol):
    """A connection as seen from here. It counts what passes its socket, and knows what an error of it means."""

    @property
    def socket(self) -> socket.socket: ...
    def found_nothing(self) -> None: ...
    async def wait_readable(self) -> None: ...
    def count_received(self, size: int) -> None: ...
    def count_sent(self, size: int) -> None: ...
    def lost(self, error: OSError) -> Exception: ...


def fill(carrier: Carrier, source: Port, limit: int) -> int | None:
    """Take up to `limit` bytes that have come; how many, 0 at the end, None if there are none yet."""
    try:
        taken = carrier.fill(source.socket, limit)
    except BlockingIOError:
        source.found_nothing()  # which alone proves it: a short splice may have found the pipe's slots taken
        return None
    except OSError as error:
        raise source.lost(error) from error
    source.count_received(taken)
    return taken


async def empty(carrier: Carrier, sink: Port, moved: Callable[[], None]) -> None:
    """Give all of it to `sink`, at its pace: that is the back-pressure. Calls `moved` whenever it has taken some."""
    while carrier.held:
        try:
            given = carrier.empty(sink.socket)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sink.socket)
            continue
        except OSError as error:
            raise sink.lost(error) from error
        sink.count_sent(given)
        moved()
