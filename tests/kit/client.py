"""A raw-socket HTTP/1.1 client: sends the bytes it is given and reads a response whatever its framing."""

from __future__ import annotations

import select
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

Address = tuple[str, int] | Path
TIMEOUT = 30.0


class ConnectionEnded(Exception):
    """The peer closed before the response was complete; `partial` is what came."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"connection ended after {partial[:200]!r}")
        self.partial = partial


@dataclass
class Response:
    """One response as it came. `head` is the raw head; header names keep their case and order."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    head: bytes
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    informational: list[Response] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """All values of a header, by its lower-case name."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str | None:
        """The only value of a header, or None; `AssertionError` when there are several."""
        values = self.values(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


class Connection:
    """One client connection, from the IP address `source`, over TLS with a `context`. Every wait ends after `timeout` s
    with `TimeoutError`.
    """

    def __init__(
        self,
        address: Address,
        *,
        source: str | None = None,
        timeout: float = TIMEOUT,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if isinstance(address, Path):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            try:
                self.sock.connect(str(address))
            except OSError:
                self.sock.close()
                raise
        else:
            self.sock = socket.create_connection(address, timeout, (source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock)
        self._stream: BinaryIO = self.sock.makefile("rb")

    @property
    def port(self) -> int:
        """Ours; 0 on a Unix socket."""
        return int(self.sock.getsockname()[1]) if self.sock.family != socket.AF_UNIX else 0

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def secure(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """Speak TLS from now on; what it says is not looked at for whether the peer is `gone`."""
        secured = context.wrap_socket(self.sock, server_hostname="kit", session=session)
        self.sock, self._stream = secured, secured.makefile("rb")
        return secured

    def end_sending(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def receive(self, *, method: str = "GET") -> Response:
        """The next final response, with the 1xx before it; `ConnectionEnded` if the peer closes first."""
        informational = []
        while True:
            response = self._receive_head()
            if response.status == 101 or response.status >= 200:
                break
            informational.append(response)
        response.informational = informational
        if method != "HEAD" and response.status not in (101, 204, 304):
            self._receive_body(response)
        return response

    def request(self, data: bytes) -> Response:
        """Sends `data`, one request, and reads its response."""
        self.send(data)
        return self.receive(method=data.split(b" ", 1)[0].decode("latin-1"))

    def gone(self) -> bool:
        """The peer has closed or reset it, and nothing is left to read. Does not wait."""
        if not select.select([self.sock], [], [], 0)[0]:
            return False
        try:
            return not socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    def rest(self) -> bytes:
        """Everything until the peer closes; a reset counts as a close."""
        pieces = []
        try:
            while piece := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    def exactly(self, length: int) -> bytes:
        """The next `length` bytes; `ConnectionEnded` if the peer closes first."""
        return self._exactly(length, b"")

    def wait_readable(self) -> None:
        """Until the first byte that was not read yet, or the close."""
        self._stream.peek(1)  # type: ignore[attr-defined]

    def _line(self, seen: bytes) -> bytes:
        try:
            line = self._stream.readline(1 << 20)
        except ConnectionResetError:
            line = b""
        if not line.endswith(b"\n"):
            raise ConnectionEnded(seen + line)
        return line

    def _header_lines(self, seen: bytes) -> tuple[list[tuple[str, str]], bytes]:
        headers: list[tuple[str, str]] = []
        while True:
            line = self._line(seen)
            seen += line
            if line in (b"\r\n", b"\n"):
                return headers, seen
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip(" \t\r\n")))

    def _receive_head(self) -> Response:
        line = self._line(b"")
        headers, head = self._header_lines(line)
        version, _, rest = line.decode("latin-1").rstrip("\r\n").partition(" ")
        status, _, reason = rest.partition(" ")
        return Response(version, int(status), reason, headers, head)

    def _exactly(self, length: int, seen: bytes) -> bytes:
        try:
            data = self._stream.read(length)
        except ConnectionResetError:
            data = b""
        if len(data) < length:
            raise ConnectionEnded(seen + data)
        return data

    def _receive_body(self, response: Response) -> None:
        if "chunked" in response.values("transfer-encoding"):
            pieces = []
            while size := int(self._line(response.head).split(b";")[0], 16):
                pieces.append(self._exactly(size, response.head))
                self._exactly(2, response.head)
            response.trailers, _ = self._header_lines(b"")
            response.body = b"".join(pieces)
        elif lengths := response.values("content-length"):
            response.body = self._exactly(int(lengths[0]), response.head)
        else:
            response.body = self.rest()

    def close(self) -> None:
        self._stream.close()
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def fetch(address: Address, data: bytes, *, timeout: float = TIMEOUT) -> Response:
    """One request on a connection of its own."""
    with Connection(address, timeout=timeout) as connection:
        return connection.request(data)


def get(address: Address, target: str = "/", host: str = "test", *lines: str) -> Response:
    """`GET target` with `Host: host` and further header lines, on a connection of its own."""
    head = "".join(f"{line}\r\n" for line in (f"GET {target} HTTP/1.1", f"Host: {host}", *lines, ""))
    return fetch(address, head.encode("latin-1"))
