"""Long bodies that nobody looks at, from socket to socket past the codecs, which go on saying where they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from proxy.limits import FAIR_BURST, READ_SIZE, SPLICE_FROM
from proxy.net.passage import Carrier
from proxy.net.pipe import Memory, PipePool


class Source(Protocol):
    """Where a body comes from. `body_ahead` bytes of what comes next may go around; `fill` takes up to `limit` of them
    that are here, and says how many: 0 at the end of the stream, None if none is here. `splices`: by a pipe.
    """

    @property
    def splices(self) -> bool: ...
    @property
    def body_ahead(self) -> int: ...
    def fill(self, carrier: Carrier, limit: int) -> int | None: ...
    async def wait_readable(self) -> None: ...


class Sink(Protocol):
    """Where it goes. `body_room` bytes may be sent around; `send_around` sends what `carrier` holds at the peer's pace
    and calls `moved` as it goes. Less is taken only if the peer is gone for good; `body_room` is 0 then.
    """

    @property
    def splices(self) -> bool: ...
    @property
    def body_room(self) -> int: ...
    async def send_around(self, carrier: Carrier, moved: Callable[[], None]) -> None: ...


async def pass_around(source: Source, sink: Sink, pipes: PipePool, moved: Callable[[], None]) -> None:
    """Pass on what may go around, if it is worth a pipe. The end of the body is left to be read, and so is that of the
    stream if it comes early: what it means is not decided here.
    """
    if min(source.body_ahead, sink.body_room) < SPLICE_FROM:
        return
    burst = 0
    while limit := min(source.body_ahead, sink.body_room):
        # Held only while there are bytes in it. Without a pipe, memory goes past the codecs as well.
        carrier = pipes.take() if source.splices and sink.splices else Memory()
        try:
            taken = source.fill(carrier, limit)
            if taken:
                await sink.send_around(carrier, moved)
        finally:
            pipes.put(carrier)
        if taken is None:
            burst = 0
            await source.wait_readable()
        elif taken == 0:
            return
        else:
            burst += max(taken, READ_SIZE)
            if burst >= FAIR_BURST * READ_SIZE:
                burst = 0
                await trio.lowlevel.checkpoint()
