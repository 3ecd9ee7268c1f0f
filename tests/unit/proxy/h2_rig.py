"""HTTP/2 clients for `rig.py`: the `h2` package on its connections."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.kit.h2_client import received
from tests.unit.proxy.rig import Client, Rig

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


class Peer:
    """An HTTP/2 client on one of the rig's connections."""

    def __init__(self, client: Client, *, window: int | None = None) -> None:
        self.client = client
        self.events: list[Any] = []
        self.closed = False
        self._buffer = bytearray()
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})

    async def flush(self) -> None:
        await self.client.send(self.h2.data_to_send())

    async def begin(self, fields: list[tuple[str, str]] = GET, *, end: bool = True) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields, end_stream=end)
        await self.flush()
        return stream

    async def read(self) -> None:
        data = await self.client.stream.receive_some(65536)
        if not data:
            self.closed = True
            return
        self.events += received(self.h2, self._buffer, data)
        await self.flush()

    async def until(self, kind: type, stream: int | None = None) -> Any:
        """The next event of this kind (on this stream)."""
        while True:
            for at, event in enumerate(self.events):
                if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                    return self.events.pop(at)
            assert not self.closed, self.events
            await self.read()

    async def get(self) -> dict[str, str]:
        stream = await self.begin()
        head = await self.until(h2.events.ResponseReceived, stream)
        await self.until(h2.events.StreamEnded, stream)
        return dict(head.headers)

    async def end(self) -> list[tuple[int | None, int | None]]:
        """The GOAWAYs up to the connection's end."""
        while not self.closed:
            await self.read()
        gone = [event for event in self.events if isinstance(event, h2.events.ConnectionTerminated)]
        return [(event.last_stream_id, event.error_code) for event in gone]


async def connect(rig: Rig, **options: Any) -> Peer:
    peer = Peer(await rig.connect(), **options)
    await peer.flush()
    return peer
