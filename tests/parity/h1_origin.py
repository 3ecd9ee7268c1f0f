"""An origin that reads with h11 alone, a third opinion on what a proxy forwarded, and answers with raw bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import h11

# What a proxy adds or drops as a hop, which is not the codec's business.
HOP = frozenset(
    b"host connection proxy-connection upgrade keep-alive te http2-settings x-forwarded-proto content-length "
    b"transfer-encoding expect trailer".split()
)
MARK = b"x-origin"


@dataclass(frozen=True)
class Arrived:
    """A request as the origin understood it, without hop-by-hop fields."""

    method: bytes
    target: bytes
    hosts: tuple[bytes, ...]
    framing: tuple[tuple[bytes, bytes], ...]
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def status_for(arrived: Arrived) -> int:
    """A tunnel is refused, so that what follows is read as HTTP again."""
    return 400 if arrived.method == b"CONNECT" else 200


class Reader:
    """Bytes of one connection in, requests out."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._head: h11.Request | None = None
        self._body = b""

    def receive(self, data: bytes) -> list[Arrived]:
        self._connection.receive_data(data)
        found: list[Arrived] = []
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Request):
                self._head, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append(self._arrived())
                status = status_for(found[-1])
                self._connection.send(h11.Response(status_code=status, headers=[("content-length", "0")]))
                self._connection.send(h11.EndOfMessage())
                if self._connection.our_state is not h11.DONE or self._connection.their_state is not h11.DONE:
                    return found
                self._connection.start_next_cycle()
            else:
                return found

    def _arrived(self) -> Arrived:
        head = self._head
        assert head is not None
        fields = list(head.headers)
        return Arrived(
            method=head.method,
            target=head.target,
            hosts=tuple(value for name, value in fields if name == b"host"),
            framing=tuple(pair for pair in fields if pair[0] in (b"content-length", b"transfer-encoding")),
            headers=tuple(pair for pair in fields if pair[0] not in HOP),
            body=self._body,
        )


class H1Origin:
    """`with H1Origin(raw) as origin`: `/raw/NAME` is answered with `raw[NAME]` and a close, the rest marked."""

    def __init__(self, raw: Mapping[str, bytes]) -> None:
        self._raw = raw
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.arrived: list[Arrived] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed by the test
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            reader = Reader()
            try:
                while data := sock.recv(65536):
                    for arrived in reader.receive(data):
                        self.arrived.append(arrived)
                        name = arrived.target.decode("latin-1").removeprefix("/raw/")
                        if name in self._raw:
                            sock.sendall(self._raw[name])
                            return
                        line = b"HTTP/1.1 %d Answered\r\n" % status_for(arrived)
                        sock.sendall(line + b"%b: 1\r\ncontent-length: 0\r\n\r\n" % MARK)
            except (OSError, h11.RemoteProtocolError):
                return  # the proxy cut the request short

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
