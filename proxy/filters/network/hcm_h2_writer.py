"""The task that sends what the streams of a downstream HTTP/2 connection have to say."""

from __future__ import annotations

from collections.abc import Callable

import trio

from proxy.errors import ProxyError
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.net.bell import Bell
from proxy.net.connection import Connection


class Http2Writer:
    """`run` it. `taken` is called when output has been taken from the codec, `lost` when the client is gone. `ending`:
    nothing more will be said. `stuck`: and the client did not read what was.
    """

    def __init__(
        self, connection: Connection, codec: H2ServerCodec, taken: Callable[[], None], lost: Callable[[], None]
    ) -> None:
        self.ending = False
        self.stuck = False
        self._connection = connection
        self._codec = codec
        self._taken = taken
        self._lost = lost
        self._bell = Bell()
        self._written = trio.Event()

    def wake(self) -> None:
        self._bell.ring()

    async def run(self) -> None:
        """Send whatever the codec has. One task, so that frames stay whole; it runs once all others had their turn, so
        that one packet carries what they all had to say.
        """
        codec, connection = self._codec, self._connection
        try:
            while True:
                while not codec.has_output:
                    if self.ending:
                        self._written.set()
                        return
                    await self._bell.wait()
                data = codec.take_output()
                self._taken()
                await connection.send(data)
        except ProxyError:
            connection.closed_by_peer = True
            self._lost()
            await trio.sleep_forever()

    async def finish(self, patience: float) -> bool:
        """Let the client have our last frames, for as long as it takes some of them within each `patience` (s), and go
        within another. Says whether it did.
        """
        self.ending = True
        self.wake()
        connection = self._connection
        before = -1
        while not self._written.is_set():
            if connection.bytes_sent == before:
                self.stuck = True
                return False
            before = connection.bytes_sent
            with trio.move_on_after(patience):
                await self._written.wait()
        with trio.move_on_after(patience) as scope:
            await connection.linger()
        return not scope.cancelled_caught
