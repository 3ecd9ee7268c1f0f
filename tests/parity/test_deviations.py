"""Where we answer otherwise than Envoy on purpose: each case is a row of docs/parity.md, shown on both.

What Envoy does is not stored: it only must not be what we do, or the row has to go.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.origin import Origin
from tests.kit.parity import Pair, for_client, for_origin, run_pair

TABLE = Path(__file__).resolve().parents[2] / "docs/parity.md"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(*lines: str, first: str = "GET / HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


def from_origin(raw: str) -> bytes:
    """A request that the origin answers with `raw`."""
    return get("Host: h", first=f"GET /?raw={quote(raw)} HTTP/1.1")


REFUSED = [
    ("Line ends", 400, b"GET / HTTP/1.1\nHost: h\n\n"),
    ("Line ends", 400, b"GET / HTTP/1.1\r\nHost: h\n\r\n"),
    ("Line ends", 400, get("Host: h", "x: a\n b: c")),
    ("Line ends", 400, get("Host: h", "x: a\rb")),
    ("Line ends", 502, from_origin("HTTP/1.1 200 OK\ncontent-length: 3\n\nabc")),
    ("Folded fields", 400, get("Host: h", "x: a\r\n folded")),
    ("Folded fields", 502, from_origin("HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n")),
    ("Chunk longer than its size", 400, CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n"),
    ("Too many trailers", 431, CHUNKED + b"3\r\nabc\r\n0\r\n" + b"x: v\r\n" * 105 + b"\r\n"),
    ("Host", 400, get("Host:")),
    ("Host", 400, get("Host: a", "Host: b")),
    ("Host", 400, get("Host: a", "Host: a")),
    ("Host", 400, get("Host: h", first="GET http://u@other/ HTTP/1.1")),
    ("Request line", 400, get("Host: h", first="GET  / HTTP/1.1")),
    ("Request line", 400, get("Host: h", first="GET /")),
    ("Versions", 505, get("Host: h", first="GET / HTTP/1.2")),
    ("Versions", 505, get("Host: h", first="GET / HTTP/2.0")),
    ("Versions", 502, from_origin("HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n")),
    ("Unrequested 101", 502, from_origin("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")),
    ("Status codes", 502, from_origin("HTTP/1.1 1000 High\r\ncontent-length: 0\r\n\r\n")),
]
OTHERWISE = [
    ("Protected fields in Connection", get("Host: h", "Connection: authorization", "Authorization: a")),
    ("Protected fields in Connection", get("Host: h", "Connection: x-request-id", "x-request-id: 7")),
    ("Repeated fields", get("Host: h", "Accept: a", "Accept: b")),
    ("Absolute form without a path", get("Host: h", first="GET http://other?q HTTP/1.1")),
    ("Empty x-forwarded-proto", get("Host: h", "x-forwarded-proto:")),
    ("`Expect: 100-continue` without content", get("Host: h", "Expect: 100-continue")),
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin() as origin, run_pair(one_cluster(origin.port), apart="all cases differ") as running:
        yield running


@pytest.mark.parity("rule 68")
@pytest.mark.parametrize(("row", "status", "data"), REFUSED)
def test_refused_by_us(pair: Pair, row: str, status: int, data: bytes) -> None:
    answers = pair.send(data)
    assert answers.ours.status == status
    assert answers.envoy.status != status, f"Envoy does the same: take the row {row!r} away"


@pytest.mark.parity("rule 68")
@pytest.mark.parametrize(("row", "data"), OTHERWISE)
def test_served_otherwise(pair: Pair, row: str, data: bytes) -> None:
    answers = pair.send(data)
    assert answers.ours.status == 200
    if answers.envoy.status == 200:
        seen = [(for_client(answer), for_origin(answer)) for answer in answers]
        assert seen[0] != seen[1], f"Envoy does the same: take the row {row!r} away"


@pytest.mark.parametrize("row", sorted({case[0] for case in (*REFUSED, *OTHERWISE)}))
def test_the_table_has_the_row(row: str) -> None:
    assert f"| {row} |" in TABLE.read_text()
