"""An upstream of raw TCP that does what the first bytes of a connection say, and gives the others back."""

from __future__ import annotations

import contextlib
import socket

from tests.kit.tunnel_origin import Threaded

_LINGER = b"\1\0\0\0\0\0\0\0"


class TcpActor(Threaded):
    """`bye`: says `bye` and ends at once. `reset`: resets the connection. `silence`: says nothing. Else it echoes:
    up to what ends with `last`, which is the end, or to its client's end, and then says `end`.
    """

    def serve(self, sock: socket.socket) -> None:
        while data := sock.recv(65536):
            if data.startswith(b"reset"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                return
            if data.startswith(b"bye"):
                sock.sendall(b"bye")
                return
            if data.startswith(b"silence"):
                with contextlib.suppress(OSError):
                    sock.recv(1)
                    sock.recv(1)
                return
            sock.sendall(data)
            if data.endswith(b"last"):
                return
        sock.sendall(b"end")
