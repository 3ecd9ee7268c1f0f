"""An upstream of raw bytes for tests of upgrades, CONNECT and 1xx: what it does with a request, the path's first
segment says (`/echo`, `/greet`, …). As the far end of a terminated CONNECT, `TcpEcho` gives the bytes back.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable
from typing import Self

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
DEADLINE = 30.0  # s


def _echo(sock: socket.socket, first: bytes) -> None:
    sock.sendall(first)
    while data := sock.recv(65536):
        sock.sendall(data)


def _digest(sock: socket.socket, first: bytes) -> None:
    """The SHA-1 of all that came, once its sender has finished: a half-close that works."""
    digest = hashlib.sha1(first, usedforsecurity=False)
    while data := sock.recv(65536):
        digest.update(data)
    sock.sendall(digest.hexdigest().encode())


def _read_to_end(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
    return found


class Threaded(abc.ABC):
    """A TCP server with a thread per connection; `ended` holds what `serve` returned for each, in their order."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(DEADLINE)
            self.serve(sock)

    @abc.abstractmethod
    def serve(self, sock: socket.socket) -> None:
        """One connection, to its end."""


class TcpEcho(Threaded):
    """Gives the bytes back; its end follows the client's. With `digest`: the SHA-1 of all of them, at their end."""

    def __init__(self, *, digest: bool = False) -> None:
        super().__init__()
        self._digest = digest

    def serve(self, sock: socket.socket) -> None:
        (_digest if self._digest else _echo)(sock, b"")


class TunnelOrigin(Threaded):
    """`heads` are the request heads as they came, `left` what came behind the ends of tunnels (`/bye`)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[bytes] = []
        self.left: list[bytes] = []

    def serve(self, sock: socket.socket) -> None:
        while True:
            head, rest = b"", b""
            while b"\r\n\r\n" not in head:
                data = sock.recv(65536)
                if not data:
                    return
                head += data
            head, _, rest = head.partition(b"\r\n\r\n")
            self.heads.append(head)
            target = head.split(b" ", 2)[1].decode()
            name = "connect" if head.startswith(b"CONNECT ") else target.strip("/").partition("?")[0].partition("/")[0]
            act: Callable[[socket.socket, bytes, bytes], bool] = getattr(self, "do_" + name.replace("-", "_"))
            if not act(sock, head, rest):
                return

    # Each says whether the connection may carry another request.

    def do_echo(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % _asked(head))
        _echo(sock, rest)
        return False

    def do_greet(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % _asked(head) + b"hello")
        _echo(sock, rest)
        return False

    def do_posted(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        """The request's chunks are those of the response."""
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        _echo(sock, rest)
        return False

    def do_digest(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % _asked(head))
        _digest(sock, rest)
        return False

    def do_bye(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % _asked(head) + b"bye")
        sock.shutdown(socket.SHUT_WR)
        self.left.append(rest + _read_to_end(sock))
        return False

    def do_reset(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % _asked(head))
        sock.recv(65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    def do_wrong(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % b"other")
        _echo(sock, rest)
        return False

    def do_unasked(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(SWITCH % b"websocket")
        _echo(sock, rest)
        return False

    def do_bare(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        _echo(sock, rest)
        return False

    def do_ok(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(OK)
        return True

    def do_unauthorized(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: x\r\ncontent-length: 4\r\n\r\nnope")
        return True

    def do_required(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nupgrade: other\r\ncontent-length: 0\r\n\r\n")
        return True

    def do_silent(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        _read_to_end(sock)
        return False

    def do_gone(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        return False

    def do_connect(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        if b"refused" in head:
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            return True
        sock.sendall(b"HTTP/1.1 200 Connected\r\nx-proxy: mine\r\n\r\n")
        _echo(sock, rest)
        return False

    def do_hints(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n" + OK)
        return True

    def do_processing(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 102 Processing\r\nx-step: 1\r\n\r\n" * 2 + OK)
        return True

    def do_continue(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        """A 100, the body, and then what it was."""
        sock.sendall(b"HTTP/1.1 100 Continue\r\nx-hundred: yes\r\n\r\n")
        body = rest
        while len(body) < 5:
            data = sock.recv(65536)
            if not data:
                return False
            body += data
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        return True

    def do_unwilling(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n")
        return True

    def do_early(self, sock: socket.socket, head: bytes, rest: bytes) -> bool:
        sock.sendall(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig")
        self.left.append(rest + _read_to_end(sock))
        return False


def _asked(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"upgrade":
            return value.strip()
    return b""
