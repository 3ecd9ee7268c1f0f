"""A host that speaks HTTP/2, by script, over however many connections, and what it says."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trio
from hypothesis import strategies as st

from tests.property.express.traffic import Step, requests

Fields = list[tuple[str, str]]


_PIECE = 4000
"""Bytes in a DATA frame, at most."""

_VARIABLE = re.compile(rb"(?!7a1d3f9e)[0-9a-f]{8}-[0-9a-f-]{27}|(?:14\d|150|[84]\d|[95]0)\d\d")
"""In a header block: the id of a request, and what is left of 15, 9 or 5 s to a retry."""


class Reply(NamedTuple):
    """What comes of one request, packet by packet. A part is a header list, a body's bytes, or a word: `end` of the
    stream, with what stood before it; `reset`, `refuse`; `goaway` behind this stream, or `goaway before` it; `close`.
    """

    packets: tuple[tuple[Any, ...], ...]


def replied(*parts: Any, status: int = 200, **fields: str) -> Reply:
    """In one packet."""
    return Reply(((head(status, **fields), *parts),))


def head(status: int = 200, **fields: str) -> Fields:
    return [(":status", str(status)), *((name.replace("_", "-"), value) for name, value in fields.items())]


TRAILERS = [("grpc-status", "0"), ("grpc-message", "fine")]
HELLO = replied(b"hello", "end", content_length="5", server="nginx", date="Mon, 23 Nov 2026 00:00:00 GMT")
UNSIZED = replied(b"hello", "end", content_type="application/grpc")
CALLED = Reply(((head(content_type="application/grpc"), b"hello", TRAILERS, "end"),))
REPLIES = st.sampled_from(
    [
        *[HELLO] * 4,
        UNSIZED,
        CALLED,
        Reply(((head(content_type="application/grpc"),), (b"hello",), (TRAILERS, "end"))),
        replied(TRAILERS, "end", content_type="application/grpc"),
        replied("end", content_type="application/grpc", grpc_status="5"),
        replied("end", content_length="0"),
        replied("end"),
        replied(b"", "end"),
        replied(b"hello", b"", "end", content_length="5"),
        Reply(((head(),), (b"a", b"b"), (b"c", "end"))),
        Reply(((head(content_length="3000"), b"x" * 1000), (b"x" * 2000, "end"))),
        replied(b"z" * 20_000, "end", content_length="20000"),
        replied(b"z" * 20_000, "end"),
        replied(b"no", "end", status=404, content_length="2"),
        replied(b"bad", "end", status=503),
        replied("end", status=204),
        replied("end", status=304, etag="x"),
        Reply(((head(103, link="</x>"), head(), b"late", "end"),)),
        Reply(((head(103, link="</x>"),), (head(), b"late", "end"))),
        Reply((("reset",),)),
        Reply((("refuse",),)),
        Reply((("goaway before",),)),
        Reply(((head(), "goaway", b"bye", "end"),)),
        Reply((("goaway",), (head(), b"bye", "end"))),
        Reply((("close",),)),
        replied(b"half", "reset"),
        replied(b"half", "close"),
        Reply(((head(content_length="5"), b"half"), ("close",))),
        replied(b"x", "end", content_length="2"),
        replied(b"x", "end", x_envoy_upstream_canary="true"),
        replied(b"x", "end", x_envoy_upstream_service_time="77"),
    ]
)
SCRIPTS = st.lists(st.builds(Step, requests(), REPLIES), min_size=1, max_size=6)


class Http2Origin:
    """As `Origin`."""

    protocol: Literal["http2"] = "http2"

    def __init__(self, script: list[Step]) -> None:
        self._replies: Iterator[Reply] = iter([step.answer for step in script])
        self.received: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = _Connection(stream)
        with stream.socket, contextlib.suppress(trio.BrokenResourceError, _Closed):
            await connection.flush()
            while data := await stream.receive_some(65536):
                for stream_id in connection.hear(data):
                    self.received.append(connection.heard.pop(stream_id))
                    await connection.reply(stream_id, next(self._replies, UNSIZED))
                await connection.flush()


class _Closed(Exception):
    """By the script, or by the proxy."""


class _Connection:
    """`heard` are its requests, as far as they have come."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._raw = bytearray()
        self._preface = True
        self.heard: dict[int, bytes] = {}
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._whole: list[int] = []

    async def flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            await self._stream.send_all(data)

    def hear(self, data: bytes) -> list[int]:
        """The streams whose requests are whole, and have not been told yet."""
        self._listen(data)
        whole, self._whole = self._whole, []
        return whole

    def _listen(self, data: bytes) -> None:
        self._note_blocks(data)
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                lines = "".join(f"{name}: {value}\r\n" for name, value in event.headers)
                self.heard[event.stream_id] = self.heard.get(event.stream_id, b"") + lines.encode()
            elif isinstance(event, h2.events.DataReceived):
                self.heard[event.stream_id] += bytes(event.data)
            elif isinstance(event, h2.events.StreamEnded):
                self._whole.append(event.stream_id)

    async def _read(self) -> None:
        data = await self._stream.receive_some(65536)
        if not data:
            raise _Closed
        self._listen(data)

    def _note_blocks(self, data: bytes) -> None:
        """Header blocks, as they came, stand before what they say."""
        self._raw += data
        if self._preface:
            del self._raw[:24]
            self._preface = False
        while len(self._raw) >= 9 and len(self._raw) >= (size := 9 + int.from_bytes(self._raw[:3])):
            frame, stream_id = bytes(self._raw[:size]), int.from_bytes(self._raw[5:9])
            del self._raw[:size]
            if frame[3] == 1:
                block = frame[4:5] + _VARIABLE.sub(b"VARIABLE", frame[9:])
                self.heard[stream_id] = self.heard.get(stream_id, b"") + block + b"\r\n"

    async def reply(self, stream_id: int, reply: Reply) -> None:
        """All of it, unless the stream is reset meanwhile."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            await self._reply(stream_id, reply)
        await self.flush()

    async def _reply(self, stream_id: int, reply: Reply) -> None:
        for packet in reply.packets:
            for at, part in enumerate(packet):
                await self._say(stream_id, part, ends="end" in packet[at + 1 : at + 2])
                if part in ("close", "goaway before", "goaway"):
                    await self.flush()
                if part == "close":
                    raise _Closed
                if part in ("goaway before", "goaway"):
                    last = stream_id - (2 if part == "goaway before" else 0)
                    await self._stream.send_all(b"\0\0\x08\x07\0\0\0\0\0" + max(last, 0).to_bytes(4) + bytes(4))
            await self.flush()
            await trio.sleep(0.002)

    async def _say(self, stream_id: int, part: Any, *, ends: bool) -> None:
        if isinstance(part, list):
            self._h2.send_headers(stream_id, part, end_stream=ends)
        elif isinstance(part, bytes):
            for at in range(0, max(1, len(part)), _PIECE):  # the same frames, whatever the windows are
                piece = part[at : at + _PIECE]
                while len(piece) > self._h2.local_flow_control_window(stream_id):
                    await self.flush()
                    await self._read()
                self._h2.send_data(stream_id, piece, end_stream=ends and at + _PIECE >= len(part))
        elif part in ("reset", "refuse"):
            self._h2.reset_stream(stream_id, 7 if part == "refuse" else 2)
