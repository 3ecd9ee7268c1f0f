"""`tunnel_origin.py` in HTTP/2 (prior knowledge): what it does with a CONNECT, extended or not, the first segment of
its path says, or the first label of its authority. Frames and their states are the `h2` package's.
"""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.kit.tunnel_origin import Threaded

Pairs = list[tuple[str, str]]


class H2TunnelOrigin(Threaded):
    """`heads` are the request heads as they came, `left` what came behind the ends of tunnels (`/bye`), `resets` the
    codes of streams that were reset. `offers`: whether it takes extended CONNECT (RFC 8441).
    """

    def __init__(self, *, offers: bool = True) -> None:
        super().__init__()
        self.offers = offers
        self.heads: list[Pairs] = []
        self.left: list[bytes] = []
        self.resets: list[int] = []

    def serve(self, sock: socket.socket) -> None:
        _Connection(self, sock).run()


class _Stream:
    def __init__(self, act: str) -> None:
        self.act = act
        self.data = b""
        self.queue = b""
        self.ended = False


class _Connection:
    def __init__(self, origin: H2TunnelOrigin, sock: socket.socket) -> None:
        self._origin = origin
        self._sock = sock
        self._streams: dict[int, _Stream] = {}
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding="latin-1",
                validate_inbound_headers=False,
                validate_outbound_headers=False,
            )
        )
        if origin.offers:
            self.h2.local_settings.update({h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
            self.h2.local_settings.acknowledge()

    def run(self) -> None:
        self.h2.initiate_connection()
        while True:
            self._sock.sendall(self.h2.data_to_send())
            data = self._sock.recv(65536)
            if not data:
                return
            for event in self.h2.receive_data(data):
                self._on(event)

    def _on(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event.stream_id, [(str(name), str(value)) for name, value in event.headers])
            case h2.events.DataReceived():
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._on_data(event.stream_id, self._streams[event.stream_id], event.data)
            case h2.events.StreamEnded():
                self._on_end(event.stream_id, self._streams[event.stream_id])
            case h2.events.StreamReset():
                self._origin.resets.append(int(event.error_code))
                self._streams.pop(event.stream_id, None)
            case h2.events.WindowUpdated():
                for stream_id in [event.stream_id] if event.stream_id else list(self._streams):
                    self._send(stream_id)

    def _begin(self, stream_id: int, head: Pairs) -> None:
        self._origin.heads.append(head)
        pseudo = dict(head)
        path = pseudo.get(":path", "").strip("/").partition("/")[0]
        stream = self._streams[stream_id] = _Stream(path or pseudo[":authority"].partition(".")[0])
        match stream.act:
            case "silent":
                pass
            case "unauthorized" | "refused":
                status = "401" if stream.act == "unauthorized" else "403"
                self.h2.send_headers(stream_id, [(":status", status), ("content-length", "4")])
                self._send(stream_id, b"nope", end=True)
            case "bye":
                self.h2.send_headers(stream_id, [(":status", "200")])
                self._send(stream_id, b"bye", end=True)
            case "abort":
                self.h2.reset_stream(stream_id, 2)
            case "ok":
                self.h2.send_headers(stream_id, [(":status", "200"), ("content-length", "2")])
                self._send(stream_id, b"ok", end=True)
            case "greet":
                self.h2.send_headers(stream_id, [(":status", "200"), ("x-said", "hello")])
                self._send(stream_id, b"hello")
            case _:
                self.h2.send_headers(stream_id, [(":status", "200")])

    def _on_data(self, stream_id: int, stream: _Stream, data: bytes) -> None:
        if stream.act in ("digest", "bye"):
            stream.data += data
        elif stream.act == "reset":
            self.h2.reset_stream(stream_id, 2)
        elif stream.act not in ("silent", "unauthorized", "refused", "ok"):
            self._send(stream_id, data)

    def _on_end(self, stream_id: int, stream: _Stream) -> None:
        if stream.act == "bye":
            self._origin.left.append(stream.data)
        elif stream.act == "digest":
            self._send(stream_id, hashlib.sha1(stream.data, usedforsecurity=False).hexdigest().encode(), end=True)
        elif stream.act not in ("silent", "unauthorized", "refused", "ok"):
            self._send(stream_id, end=True)

    def _send(self, stream_id: int, data: bytes = b"", *, end: bool = False) -> None:
        """As far as the windows let it; the rest waits."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.queue += data
        stream.ended = stream.ended or end
        while stream.queue:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            piece, stream.queue = stream.queue[:room], stream.queue[room:]
            self.h2.send_data(stream_id, piece)
        if stream.ended:
            stream.ended = False
            self.h2.end_stream(stream_id)
