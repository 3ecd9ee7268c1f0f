"""An origin of hosts that are checked: the n-th check of each proxy gets the n-th answer of its host's script.

The path of a check is `/<name of the host>`, the header `x-instance` tells whose check it is. An answer is a head's
status, with header lines behind it; `HANG` is none, `CLOSE` the end of the connection. The last one is repeated.

A request for `/app/ok` is answered with the number of its connection (`x-connection`); one for `/app/fail` is told,
too, that the host wants no more of them. `requests` counts these by the address of 127.0.0.0/8 that they came to,
`checks` all checks by name and address.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

HANG, CLOSE = "hang", "close"
Script = Sequence[str]


class HealthOrigin:
    """`with HealthOrigin(scripts) as origin: origin.port`. `heads` are the first check of each host, by name.
    Who is asked for by the name `down` is not well.
    """

    def __init__(self, scripts: Mapping[str, Script], *, down: str = "") -> None:
        self._down = down
        self._scripts = dict(scripts)
        self.checks: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[str] = Counter()
        self._checks: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.heads: dict[tuple[str, str], list[str]] = {}
        self._numbers = itertools.count(1)
        self._sock = socket.create_server(("", 0), backlog=256)
        self.port: int = self._sock.getsockname()[1]

    def say(self, name: str, *script: str) -> None:
        """From now on, to the checks of this host."""
        with self._lock:
            self._scripts[name] = script

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sock.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        data, number = b"", next(self._numbers)
        with client, contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in data:
                    if not (more := client.recv(65536)):
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
                while len(data) < length:
                    data += client.recv(65536)
                body, data = data[:length], data[length:]
                answer = self._answer(lines, body, number, client.getsockname()[0])
                if answer == CLOSE:
                    return
                if answer != HANG:
                    status, *more_lines = answer.split("\n")
                    text = "".join(f"{line}\r\n" for line in more_lines)
                    content = ("x-body: " in text and text.partition("x-body: ")[2].split("\r\n")[0]) or ""
                    client.sendall(
                        f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n{text}\r\n{content}".encode()
                    )

    def _answer(self, lines: list[str], body: bytes, number: int, address: str) -> str:
        name = lines[0].split()[1].strip("/")
        if name.startswith("app/"):
            with self._lock:
                self.requests[address] += 1
            failing = "\nx-envoy-immediate-health-check-fail: true" if name == "app/fail" else ""
            return f"200\nx-connection: {number}{failing}"
        whose = next((line[12:] for line in lines if line.startswith("x-instance: ")), "")
        with self._lock:
            self.checks[name, address] += 1
            self.heads.setdefault((name, whose), [*(line for line in lines if "x-instance" not in line), body.decode()])
            if self._down and f"host: {self._down}" in lines:
                return "500"
            at = self._checks[name, whose]
            self._checks[name, whose] += 1
            script = self._scripts[name]
            return script[min(at, len(script) - 1)]
