"""An HTTP/2 client over a plain socket: frames and their states are those of the `h2` package, which is none of ours.

`raw` sends any bytes; `events` has everything that came, in order.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.kit.client import Address

DEADLINE = 10.0  # s, for every wait
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = Iterable[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Any frame, sound or not."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def received(connection: h2.connection.H2Connection, buffer: bytearray, data: bytes) -> list[Any]:
    """What `data`, behind what is left in `buffer`, says to `connection`, which goes on after a GOAWAY: to `h2` that is
    the end, to RFC 9113 a warning.
    """
    events: list[Any] = []
    buffer += data
    while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
        events += connection.receive_data(bytes(buffer[:size]))
        del buffer[:size]
        if events and isinstance(events[-1], h2.events.ConnectionTerminated) and not events[-1].error_code:
            connection.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
    return events


@dataclass
class Response:
    """What came on one stream. `reset` is the code of a RST_STREAM, `ended` tells of END_STREAM."""

    stream: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    informational: list[list[tuple[str, str]]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.values(":status")[0]) if self.headers else 0

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class H2Client:
    """One connection. `read_to` lets a test hold back the credit for what it has received (`credit=False`)."""

    def __init__(self, address: Address, *, window: int | None = None, credit: bool = True) -> None:
        assert isinstance(address, tuple)
        self.sock = socket.create_connection(address, timeout=DEADLINE)
        # The checks of what is sent are off: tests send what they want.
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.connection = h2.connection.H2Connection(config)
        self.responses: dict[int, Response] = {}
        self.events: list[Any] = []
        self.goaways: list[tuple[int, int]] = []
        self.closed = False
        self._credit = credit
        self._buffer = bytearray()
        self.connection.initiate_connection()
        if window is not None:
            self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.raw(self.connection.data_to_send())

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def begin(self, path: str | None = "/", *fields: tuple[str, str], end: bool = True, **pseudo: str | None) -> int:
        """Send a request head; `pseudo` (method, scheme, authority) override, None leaves out. Returns the stream."""
        stream = self.connection.get_next_available_stream_id()
        values = {"method": "GET", "scheme": "http", "authority": "test", "path": path, **pseudo}
        head = [(f":{name}", value) for name, value in values.items() if value is not None]
        self.responses[stream] = Response(stream)
        self.connection.send_headers(stream, [*head, *fields], end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send body bytes, at the pace of the peer's windows."""
        while data or end:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if data and room <= 0:
                self.read()
                continue
            piece, data = data[:room], data[room:]
            self.connection.send_data(stream, piece, end_stream=end and not data)
            self.flush()
            if not data:
                return

    def get(self, path: str | None = "/", *fields: tuple[str, str], **pseudo: str | None) -> Response:
        return self.finish(self.begin(path, *fields, end=True, **pseudo))

    def finish(self, stream: int) -> Response:
        """Read until the stream is over, or the connection."""
        response = self.responses[stream]
        while not (response.ended or response.reset is not None or self.closed):
            self.read()
        return response

    def until_closed(self) -> list[tuple[int, int]]:
        """Read to the end of the connection; the GOAWAYs that came (last stream, code)."""
        while not self.closed:
            self.read()
        return self.goaways

    def read(self) -> None:
        """Take what comes next."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in received(self.connection, self._buffer, data):
            self._note(event)
        self.flush()

    def _note(self, event: Any) -> None:
        self.events.append(event)
        match event:
            case h2.events.ConnectionTerminated():
                self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
            case h2.events.ResponseReceived():
                self.responses[event.stream_id].headers = _fields(event.headers)
            case h2.events.InformationalResponseReceived():
                self.responses[event.stream_id].informational.append(_fields(event.headers))
            case h2.events.TrailersReceived():
                self.responses[event.stream_id].trailers = _fields(event.headers)
            case h2.events.DataReceived():
                self.responses[event.stream_id].body += event.data
                if self._credit and event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.responses[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.responses.setdefault(event.stream_id, Response(event.stream_id)).reset = int(event.error_code)


def _fields(headers: Any) -> list[tuple[str, str]]:
    """Text, as `header_encoding` asks for."""
    return [(str(name), str(value)) for name, value in headers]
