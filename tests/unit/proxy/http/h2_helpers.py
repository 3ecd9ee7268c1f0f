"""Our codec and the `h2` package's, back to back in memory; and raw frames."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.events import Event
from proxy.http.h2_frames import PREFACE
from proxy.http.h2_stats import Http2Stats
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]
# The same in HPACK's static table: method GET, scheme http, path /, and a literal authority.
HEAD_BLOCK = b"\x82\x86\x84\x01\x04test"
POST_BLOCK = b"\x83\x86\x84\x01\x04test"
SETTINGS = frame(4)


def server(**options: Any) -> H2ServerCodec:
    """A server codec; options are those of `Http2Options`, and `max_headers_bytes`, `max_headers_count`."""
    limits = {name: options.pop(name) for name in ("max_headers_bytes", "max_headers_count") if name in options}
    return H2ServerCodec(Http2Options(**options), Http2Stats(MemoryStats()), **limits)


def value(codec: H2ServerCodec, name: str) -> int:
    """A stat of the codec's."""
    return int(getattr(codec.stats, name).value)


def begun(**options: Any) -> H2ServerCodec:
    """A server codec whose client has said hello in raw bytes."""
    codec = server(**options)
    codec.receive(PREFACE + SETTINGS)
    codec.take_output()
    return codec


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of each frame in `data`."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


class Pair:
    """A client of the `h2` package on our server codec."""

    def __init__(self, **options: Any) -> None:
        self.server = server(**options)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.client = h2.connection.H2Connection(config)
        self.client.initiate_connection()
        self.up()
        self.down()
        self.up()

    def up(self) -> list[Event]:
        """What the client has to say, as our events."""
        return self.server.receive(self.client.data_to_send())

    def down(self) -> list[Any]:
        """What the server has to say, as the client's events."""
        events: list[Any] = []
        while self.server.has_output:
            events += self.client.receive_data(self.server.take_output())
        return events

    def request(self, fields: list[tuple[str, str]] | None = None, *, end: bool = True) -> tuple[int, list[Event]]:
        stream: int = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, fields or GET, end_stream=end)
        return stream, self.up()
