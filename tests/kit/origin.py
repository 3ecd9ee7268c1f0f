"""A real HTTP/1.1 origin in a process of its own, whose behaviour each request scripts.

A WebSocket's handshake is accepted, and what comes then is given back. For all else the script is the query of the
request target, or the `x-script` header where the query must stay as it is:

    (nothing)           200 and what arrived, as JSON: method, target, version, headers (in order, names as they came),
                        body_length, body_sha256, trailers, connection and request (serial numbers)
    status=N reason=T   another status line            header=N:V     a further response header (repeatable)
    body=N              N bytes with content-length    chunked=N      N bytes chunked
    chunk=N             bytes per piece (16384)        pause=S        seconds between the pieces
    trailer=N:V         a trailer (with chunked)       delay=S        seconds before the response
    informational=N     a 1xx response first           early=1        respond before the request body was read
    close=before|head|half|after   closes there        reset=1        that close is a RST
    until_close=N       N bytes without framing, ended by the close
    raw=BYTES           exactly these bytes (percent-encoded), then close
    key=K fails=N       only the first N requests of the same K are served so; the others get the echo. Each is counted,
                        and told as `attempt` in the echo; `told=K` answers with what came of K: the echoes, as JSON
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs

from tests.kit.process import KitProcess

PATTERN = bytes(range(97, 123)) * 2520  # 65520 bytes of letters
_serial = itertools.count(1)
Script = dict[str, list[str]]


def pattern(length: int) -> bytes:
    """The body of `length` bytes that this origin sends."""
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


class Origin(KitProcess):
    """The origin as tests see it: `with Origin() as origin: origin.port`.

    Each of `names` has a port of its own, and the echo tells which was asked. `within` is as for `KitProcess`.
    """

    def __init__(
        self, *names: str, host: str = "127.0.0.1", unix: Path | None = None, within: Sequence[str] = ()
    ) -> None:
        arguments = ["--unix", str(unix)] if unix else ["--host", host]
        super().__init__("tests.kit.origin", [*arguments, *(names or ("origin",))], within)
        self.host = host
        self.ports: dict[str, int] = self.read_json()["ports"]
        self.port = next(iter(self.ports.values()))


class _Closed(Exception):
    """The script or the peer ended the connection."""


class _Request:
    def __init__(self, method: str, target: str, version: str, headers: list[tuple[str, str]]) -> None:
        self.method, self.target, self.version, self.headers = method, target, version, headers
        self.body_length = 0
        self.digest = hashlib.sha256()
        self.trailers: list[tuple[str, str]] = []

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def script(self) -> Script:
        texts = self.values("x-script") or [self.target.partition("?")[2]]
        return parse_qs(texts[0], keep_blank_values=True, encoding="latin-1")


_told: dict[str, list[dict[str, Any]]] = {}


def _read_headers(stream: BinaryIO) -> list[tuple[str, str]]:
    headers = []
    while (line := stream.readline(1 << 20)) not in (b"\r\n", b"\n"):
        if not line:
            raise _Closed
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    return headers


def _read_head(stream: BinaryIO) -> _Request:
    line = stream.readline(1 << 20)
    parts = line.decode("latin-1").rstrip("\r\n").split(" ", 2)
    if len(parts) != 3:
        raise _Closed
    return _Request(parts[0], parts[1], parts[2], _read_headers(stream))


def _read_body(stream: BinaryIO, request: _Request) -> None:
    def take(length: int) -> None:
        while length:
            piece = stream.read(min(length, 1 << 16))
            if not piece:
                raise _Closed
            request.digest.update(piece)
            request.body_length += len(piece)
            length -= len(piece)

    if request.values("transfer-encoding"):
        while size := int(stream.readline().split(b";")[0], 16):
            take(size)
            stream.readline()
        request.trailers = _read_headers(stream)
    else:
        take(int((request.values("content-length") or ["0"])[0]))


class _Connection:
    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self.serial = next(_serial)

    def run(self) -> None:
        with contextlib.suppress(_Closed, OSError, ValueError), self.sock:
            stream = self.sock.makefile("rb")
            for number in itertools.count(1):
                request = _read_head(stream)
                if "websocket" in request.values("upgrade"):
                    self._echo_bytes(stream)
                    return
                script = request.script()
                early = "early" in script
                if not early:
                    if "100-continue" in request.values("expect"):
                        self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    _read_body(stream, request)
                self._respond(request, script, number)
                if early:
                    _read_body(stream, request)
                if "close" in request.values("connection") or request.version == "HTTP/1.0":
                    return

    def _echo_bytes(self, stream: BinaryIO) -> None:
        """What comes after a handshake goes back, until the client has finished."""
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := stream.read1(1 << 16):  # type: ignore[attr-defined]
            self.sock.sendall(data)

    def _close_if(self, script: Script, moment: str) -> None:
        if script.get("close") == [moment]:
            if "reset" in script:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Closed

    def _respond(self, request: _Request, script: Script, number: int) -> None:
        def one(name: str, default: str) -> str:
            return script.get(name, [default])[0]

        if "told" in script:
            body = json.dumps(_told.get(one("told", ""), [])).encode()
            self.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        if key := one("key", ""):
            _told.setdefault(key, []).append(self._echo(request, number))
            if len(_told[key]) > int(one("fails", "1000000")):
                script = {}
        time.sleep(float(one("delay", "0")))
        self._close_if(script, "before")
        for status in script.get("informational", []):
            self.sock.sendall(f"HTTP/1.1 {status} Informational\r\nx-informational: {status}\r\n\r\n".encode())
        if "raw" in script:
            self.sock.sendall(one("raw", "").encode("latin-1"))
            raise _Closed

        status = one("status", "200")
        headers = [tuple(text.partition(":")[::2]) for text in script.get("header", [])]
        chunked = "chunked" in script
        if any(name in script for name in ("body", "chunked", "until_close")):
            body = pattern(int(one("body", one("chunked", one("until_close", "0")))))
            headers.append(("content-type", "application/octet-stream"))
        else:
            body = json.dumps(self._echo(request, number)).encode()
            headers.append(("content-type", "application/json"))
        if chunked:
            headers.append(("transfer-encoding", "chunked"))
        elif "until_close" not in script and status not in ("204", "304"):
            headers.append(("content-length", str(len(body))))
        head = f"HTTP/1.1 {status} {one('reason', 'OK' if status == '200' else 'Status')}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
        self.sock.sendall(head.encode("latin-1"))
        self._close_if(script, "head")
        if request.method != "HEAD" and status not in ("204", "304"):
            self._send_body(body, script, chunked=chunked)
        self._close_if(script, "after")
        if "until_close" in script and request.method != "HEAD":  # the end of a HEAD is that of its head: closing then
            raise _Closed  # would be a race with the next request

    def _send_body(self, body: bytes, script: Script, *, chunked: bool) -> None:
        piece_size = int(script.get("chunk", ["16384"])[0])
        pause = float(script.get("pause", ["0"])[0])
        for start in range(0, len(body), piece_size):
            if start and pause:
                time.sleep(pause)
            if 2 * start >= len(body):
                self._close_if(script, "half")
            piece = body[start : start + piece_size]
            self.sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        self._close_if(script, "half")
        if chunked:
            trailers = "".join("{}: {}\r\n".format(*text.partition(":")[::2]) for text in script.get("trailer", []))
            self.sock.sendall(b"0\r\n" + trailers.encode("latin-1") + b"\r\n")

    def _echo(self, request: _Request, number: int) -> dict[str, Any]:
        return {
            "origin": self.name,
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "headers": request.headers,
            "body_length": request.body_length,
            "body_sha256": request.digest.hexdigest(),
            "trailers": request.trailers,
            "connection": self.serial,
            "request": number,
        }


def _accept(listener: socket.socket, name: str) -> None:
    while True:
        sock, _ = listener.accept()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_Connection(sock, name).run, daemon=True).start()


def _listen(host: str, unix: str | None) -> socket.socket:
    if unix is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, 0), family=family, backlog=4096)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(unix)
    listener.listen(4096)
    return listener


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--unix")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    listeners = {name: _listen(options.host, options.unix) for name in options.names}
    for name, listener in listeners.items():
        threading.Thread(target=_accept, args=(listener, name), daemon=True).start()
    ports = {name: 0 if options.unix else listener.getsockname()[1] for name, listener in listeners.items()}
    print(json.dumps({"ports": ports}), flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # threads may be in the middle of slow bodies


if __name__ == "__main__":
    main()
