"""HTTP/2 origins for `rig.py`: the `h2` package on its connections, and a cluster that speaks to them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio

from proxy.config.common import Address
from proxy.config.http2 import Http2Options
from proxy.http.headers import Headers
from proxy.upstream.stream import UpstreamStream
from tests.unit.upstream.rig import Rig, read_body


class Peer:
    """One connection as the origin sees it. `asked` are its requests, by stream, as long as they are not answered."""

    def __init__(self, stream: trio.SocketStream, max_streams: int, window: int) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        codes = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={codes.MAX_CONCURRENT_STREAMS: max_streams, codes.INITIAL_WINDOW_SIZE: window}
        )
        self.events: list[Any] = []
        self.asked: list[int] = []
        self._sending = trio.Lock()

    async def flush(self) -> None:
        await self.send(self.h2.data_to_send())

    async def send(self, data: bytes) -> None:
        async with self._sending:
            await self.stream.send_all(data)

    async def answer(self, stream: int, body: bytes = b"ok") -> None:
        self.asked.remove(stream)
        self.h2.send_headers(stream, [(":status", "200")])
        self.h2.send_data(stream, body, end_stream=True)
        await self.flush()

    async def goaway(self, last: int, code: int = 0) -> None:
        """Which is not the end to us, though it is to `h2`."""
        await self.send(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def resets(self) -> list[int]:
        return [int(event.error_code) for event in self.events if isinstance(event, h2.events.StreamReset)]


class H2Server:
    """`serve` is for `origin`. `peers` are all that ever were; while `holds`, no request is answered by itself."""

    def __init__(self, *, max_streams: int = 100, window: int = 65535, holds: bool = False) -> None:
        self.peers: list[Peer] = []
        self.holds = holds
        self._max_streams = max_streams
        self._window = window

    async def serve(self, stream: trio.SocketStream) -> None:
        peer = Peer(stream, self._max_streams, self._window)
        self.peers.append(peer)
        peer.h2.initiate_connection()
        with contextlib.suppress(trio.ClosedResourceError):
            await peer.flush()
            while data := await stream.receive_some(65536):
                events = peer.h2.receive_data(data)
                peer.events += events
                peer.asked += [event.stream_id for event in events if isinstance(event, h2.events.RequestReceived)]
                for event in events:
                    if isinstance(event, h2.events.StreamReset) and event.stream_id in peer.asked:
                        peer.asked.remove(event.stream_id)
                ended = [event.stream_id for event in events if isinstance(event, h2.events.StreamEnded)]
                for stream_id in ended if not self.holds else ():
                    if stream_id in peer.asked:
                        await peer.answer(stream_id)
                await peer.flush()


class H2Rig(Rig):
    """A cluster `c` that speaks HTTP/2; `http2` are options of it."""

    def __init__(self, *addresses: Address, http2: dict[str, Any] | None = None, **config: Any) -> None:
        super().__init__(*addresses, protocol="http2", http2=Http2Options(**(http2 or {})), **config)

    async def __aenter__(self) -> Self:
        self._nurseries = trio.open_nursery()
        self._nursery = await self._nurseries.__aenter__()
        await self._nursery.start(self.background.run)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__()
        self._nursery.cancel_scope.cancel()
        await self._nurseries.__aexit__(*error)

    async def begin(self, *, end: bool = True) -> UpstreamStream:
        """A request that went out."""
        stream = await self.cluster.open_stream()
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=end)
        return stream

    async def finish(self, stream: UpstreamStream) -> bytes:
        try:
            return await read_body(stream)
        finally:
            stream.close()

    def http2(self, name: str) -> int:
        """One of `cluster.c.http2.*`."""
        word = self.memory.words.get(f"cluster.c.http2.{name}")
        return word.value if word is not None else 0


async def until(condition: Callable[[], Any]) -> None:
    """Until sockets have carried what makes `condition` true."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.001)
