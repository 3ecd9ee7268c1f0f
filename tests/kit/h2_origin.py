"""A real HTTP/2 origin (prior knowledge) in a process of its own: frames and their states are the `h2` package's.

Each request's query, or its `x-script` header, scripts what becomes of it:

    (nothing)           200 and what arrived, as JSON: method, path, scheme, authority, headers (in order), body_length,
                        body_sha256, trailers, connection and stream
    status=N            another status                  header=N:V     a further response header (repeatable)
    body=N              N bytes                         trailer=N:V    a trailer (repeatable)
    informational=N     a 1xx response first            delay=S        seconds before the response
    early=1             respond before the request has been read
    reset=N             RST_STREAM N in place of the response; with `body`, once half of it has gone
    goaway=N            GOAWAY N whose last stream is this one, in place of nothing: the response follows
    behind=N            GOAWAY N whose last stream is the one before this one
    close=1             the connection ends in place of the response; with `body`, once half of it has gone
    frames=HEX          exactly these bytes in place of the response; `{stream}` is this stream's id, as 8 hex digits
    key=K fails=N       only the first N requests of the same K are served so; the others get the echo
    told=1              what peers have said outside of requests, as JSON: for each connection its settings, window,
                        resets and goaways
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import heapq
import itertools
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.kit.origin import pattern
from tests.kit.process import KitProcess

Script = dict[str, list[str]]
_serial = itertools.count(1)
_pattern = functools.lru_cache(maxsize=1)(pattern)  # many streams may ask for the same
_served: dict[str, int] = {}
_told: list[dict[str, Any]] = []


class H2Origin(KitProcess):
    """`with H2Origin() as origin: origin.port`. `max_streams` and `window` are what its SETTINGS say."""

    def __init__(self, *, max_streams: int = 100, window: int = 65535) -> None:
        super().__init__("tests.kit.h2_origin", ["--max-streams", str(max_streams), "--window", str(window)])
        self.port: int = self.read_json()["port"]


class _Stream:
    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self.pseudo = {name: value for name, value in headers if name[:1] == ":"}
        self.headers = [pair for pair in headers if pair[0][:1] != ":"]
        self.trailers: list[tuple[str, str]] = []
        self.body_length = 0
        self.digest = hashlib.sha256()
        self.script = self._script()
        self.queue = memoryview(b"")
        self.ending: list[tuple[str, str]] | None = None
        self.half: Callable[[], None] | None = None
        self.half_at = 0

    def _script(self) -> Script:
        texts = [value for name, value in self.headers if name == "x-script"]
        text = texts[0] if texts else self.pseudo.get(":path", "").partition("?")[2]
        script = parse_qs(text, keep_blank_values=True)
        key = script.get("key", [""])[0]
        if key:
            _served[key] = _served.get(key, 0) + 1
            if _served[key] > int(script.get("fails", ["1000000"])[0]):
                return {}
        return script

    def one(self, name: str, default: str = "") -> str:
        return self.script.get(name, [default])[0]


class _Closed(Exception):
    """The script or the peer ended the connection."""


class _Connection:
    def __init__(self, sock: socket.socket, max_streams: int, window: int) -> None:
        self.sock = sock
        self.serial = next(_serial)
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )
        self.streams: dict[int, _Stream] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.told: dict[str, Any] = {"settings": {}, "window": 0, "resets": [], "goaways": [], "pings": 0}
        _told.append(self.told)

    def run(self) -> None:
        with contextlib.suppress(_Closed, OSError, h2.exceptions.ProtocolError), self.sock:
            self.h2.initiate_connection()
            self.flush()
            while True:
                self._wait()
                data = self.sock.recv(65536)
                if not data:
                    return
                for event in self.h2.receive_data(data):
                    self._on(event)
                self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def _wait(self) -> None:
        while True:
            pause = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else None
            if select.select([self.sock], [], [], pause)[0]:
                return
            heapq.heappop(self.timers)[2]()
            self.flush()

    def _on(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                stream = self.streams[event.stream_id] = _Stream(_fields(event.headers))
                if "early" in stream.script:
                    self._schedule(event.stream_id, stream)
            case h2.events.DataReceived():
                self._on_data(event)
            case h2.events.TrailersReceived():
                self.streams[event.stream_id].trailers = _fields(event.headers)
            case h2.events.StreamEnded():
                stream = self.streams[event.stream_id]
                if "early" not in stream.script:
                    self._schedule(event.stream_id, stream)
            case h2.events.StreamReset():
                self.told["resets"].append(int(event.error_code or 0))
                self.streams.pop(event.stream_id, None)
            case h2.events.WindowUpdated():
                if not event.stream_id:
                    self.told["window"] = self.told["window"] or event.delta
                for stream_id in list(self.streams):
                    self._pump(stream_id)
            case h2.events.RemoteSettingsChanged():
                changed = event.changed_settings.items()
                self.told["settings"] |= {int(code): setting.new_value for code, setting in changed}
                for stream_id in list(self.streams):
                    self._pump(stream_id)
            case h2.events.ConnectionTerminated():
                self.told["goaways"].append(int(event.error_code or 0))
            case h2.events.PingReceived():
                self.told["pings"] += 1

    def _on_data(self, event: h2.events.DataReceived) -> None:
        assert event.data is not None
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.digest.update(event.data)
            stream.body_length += len(event.data)
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _schedule(self, stream_id: int, stream: _Stream) -> None:
        delay = float(stream.one("delay", "0"))
        if not delay:
            self._respond(stream_id, stream)
            return

        def act() -> None:
            if self.streams.get(stream_id) is stream:
                self._respond(stream_id, stream)

        heapq.heappush(self.timers, (time.monotonic() + delay, next(_serial), act))

    def _respond(self, stream_id: int, stream: _Stream) -> None:
        script = stream.script
        for status in script.get("informational", []):
            self.h2.send_headers(stream_id, [(":status", status), ("x-informational", status)])
        if "goaway" in script or "behind" in script:
            self.flush()
            last = stream_id if "goaway" in script else max(0, stream_id - 2)
            code = int(stream.one("goaway") or stream.one("behind"))
            self.sock.sendall(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))
            if "behind" in script:
                return
        if "frames" in script:
            self.flush()
            self.sock.sendall(bytes.fromhex(stream.one("frames").replace("{stream}", f"{stream_id:08x}")))
            return
        if "body" not in script and ("reset" in script or "close" in script):
            self._cut(stream_id, stream)
            return
        headers = [(":status", stream.one("status", "200"))]
        headers += [_pair(text) for text in script.get("header", [])]
        body = _pattern(int(stream.one("body"))) if "body" in script else self._body(stream_id, stream)
        if stream.pseudo.get(":method") == "HEAD" or stream.one("status") in ("204", "304"):
            self.h2.send_headers(stream_id, headers, end_stream=True)
            return
        self.h2.send_headers(stream_id, headers)
        stream.queue = memoryview(body)
        stream.ending = [_pair(text) for text in script.get("trailer", [])]
        if "reset" in script or "close" in script:
            stream.half_at = len(body) // 2
            stream.half = lambda: self._cut(stream_id, stream)
        self._pump(stream_id)

    def _cut(self, stream_id: int, stream: _Stream) -> None:
        self.streams.pop(stream_id, None)
        if "close" in stream.script:
            self.flush()
            raise _Closed
        self.h2.reset_stream(stream_id, int(stream.one("reset")))

    def _pump(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None or stream.ending is None:
            return
        while stream.queue:
            if stream.half is not None and len(stream.queue) <= stream.half_at:
                stream.half()
                return
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            if stream.half is not None:
                room = min(room, max(1, len(stream.queue) - stream.half_at))
            self.h2.send_data(stream_id, bytes(stream.queue[:room]))
            stream.queue = stream.queue[room:]
        if stream.ending:
            self.h2.send_headers(stream_id, stream.ending, end_stream=True)
        else:
            self.h2.end_stream(stream_id)
        stream.ending = None

    def _body(self, stream_id: int, stream: _Stream) -> bytes:
        if "told" in stream.script:
            return json.dumps(_told).encode()
        echo = {name[1:]: value for name, value in stream.pseudo.items()} | {
            "headers": stream.headers,
            "body_length": stream.body_length,
            "body_sha256": stream.digest.hexdigest(),
            "trailers": stream.trailers,
            "connection": self.serial,
            "stream": stream_id,
        }
        return json.dumps(echo).encode()


def _fields(headers: Any) -> list[tuple[str, str]]:
    """Text, as `header_encoding` asks for."""
    return [(str(name), str(value)) for name, value in headers]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-streams", type=int)
    parser.add_argument("--window", type=int)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_Connection(sock, options.max_streams, options.window).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
