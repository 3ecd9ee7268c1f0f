"""An origin that keeps the very bytes of each request and answers with the very bytes that a test chose."""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import threading
from collections.abc import Mapping
from typing import Self


class WireOrigin:
    """`with WireOrigin({"/a": b"HTTP/1.1 …"}) as origin`: the answer is chosen by the end of the request's target.

    A request is over with its head, with its last chunk if it has any, or with the body that it announces; `arrived`
    has them in their order.
    """

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self._answers = {name.encode(): answer for name, answer in answers.items()}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.arrived: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed by the test
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        data = b""
        with sock, contextlib.suppress(OSError):
            while piece := sock.recv(65536):
                data += piece
                head, end, rest = data.partition(b"\r\n\r\n")
                chunked = b"chunked" in head.lower()
                if not end or (chunked and not (b"\r\n0\r\n" in b"\r\n" + rest and rest.endswith(b"\r\n\r\n"))):
                    continue
                length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
                if length is not None and len(rest) < int(length[1]):
                    continue
                self.arrived.put(data)
                data = b""
                target = head.split(b" ", 2)[1]
                sock.sendall(next(answer for name, answer in self._answers.items() if target.endswith(name)))

    def next(self) -> bytes:
        """The next request that has come."""
        return self.arrived.get(timeout=10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
