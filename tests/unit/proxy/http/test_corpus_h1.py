"""Every file of tests/corpus/http1, however its bytes are cut: `NAME.http` is what arrives, `NAME.json` what it means.

Each is fed whole, byte by byte, in random pieces and with further bytes behind it; bytes in JSON are Latin-1.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import Event, InformationalReceived, RequestReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from tests.unit.proxy.http.h1_helpers import NO_HEADERS, body_of

CORPUS = Path(__file__).parents[3] / "corpus" / "http1"
NEXT_REQUEST = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


def cases(kind: str, role: str) -> list[Any]:
    files = sorted((CORPUS / kind).glob(f"{role}_*.http"))
    assert files, "the corpus is missing"
    return [pytest.param(file, id=file.stem) for file in files]


def load(file: Path) -> tuple[bytes, dict[str, Any]]:
    return file.read_bytes(), json.loads(file.with_suffix(".json").read_text())


def cuts(raw: bytes) -> Iterator[list[bytes]]:
    """The same bytes in different pieces; the seed is fixed, so that a failure comes back."""
    yield [raw]
    yield [raw[i : i + 1] for i in range(len(raw))]
    chance = random.Random(len(raw))
    for _ in range(8):
        places = sorted(chance.sample(range(len(raw) + 1), k=min(6, len(raw))))
        yield [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True) if start < end]


def latin(value: bytes) -> str:
    return value.decode("latin-1")


def pairs(headers: Headers) -> list[list[str]]:
    return [[latin(name), latin(value)] for name, value in headers]


def trailers_of(events: list[Event]) -> dict[str, Any]:
    found = [event.trailers for event in events if isinstance(event, StreamEnded) and event.trailers is not None]
    return {"trailers": pairs(found[0])} if found else {}


def described(events: list[Event], codec: H1ServerCodec) -> dict[str, Any]:
    """One complete exchange in the words of the corpus; the codec answers it."""
    head = events[0]
    assert isinstance(head, RequestReceived)
    assert head.end_stream or isinstance(events[-1], StreamEnded)
    codec.send_headers(1, 400 if head.method == b"CONNECT" else 200, NO_HEADERS, end_stream=True)
    return {
        "method": latin(head.method),
        "scheme": latin(head.scheme),
        "authority": latin(head.authority),
        "path": latin(head.path),
        "protocol": head.protocol,
        "headers": pairs(head.headers),
        **({"body": latin(body)} if (body := body_of(events)) else {}),
        **trailers_of(events),
        **({"expect_continue": True} if head.expect_continue else {}),
        **({"upgrade": head.upgrade} if head.upgrade else {}),
        "keep_alive": codec.keep_alive,
    }


def exchanges(pieces: list[bytes]) -> list[dict[str, Any]]:
    """All exchanges on a connection that brings `pieces`, each answered as soon as its request is complete."""
    codec = H1ServerCodec()
    found: list[dict[str, Any]] = []
    events: list[Event] = []
    for piece in pieces:
        new = codec.receive(piece)
        while new:
            events += new
            last = events[-1]
            if not (isinstance(last, StreamEnded) or (isinstance(last, RequestReceived) and last.end_stream)):
                break
            found.append(described(events, codec))
            events = []
            if not codec.keep_alive:
                return found
            new = codec.next_exchange()
    assert events == []
    return found


@pytest.mark.parametrize("file", cases("valid", "request"))
def test_valid_request(file: Path) -> None:
    raw, expected = load(file)
    for pieces in cuts(raw):
        assert exchanges(pieces) == expected["requests"]


@pytest.mark.parametrize("file", cases("valid", "request"))
def test_valid_request_with_another_behind_it(file: Path) -> None:
    raw, expected = load(file)
    for pieces in cuts(raw + NEXT_REQUEST):
        found = exchanges(pieces)
        if expected["requests"][-1]["keep_alive"]:
            assert found.pop()["path"] == "/next"
        assert found == expected["requests"]


@pytest.mark.parametrize("behind", [b"", NEXT_REQUEST, b"\r\n\r\n0\r\n\r\n"], ids=["alone", "request", "ends"])
@pytest.mark.parametrize("file", cases("invalid", "request"))
def test_invalid_request(file: Path, behind: bytes) -> None:
    raw, expected = load(file)
    for pieces in cuts(raw + behind):
        codec = H1ServerCodec()
        error = None
        for piece in pieces:
            try:
                codec.receive(piece)
            except CodecError as caught:
                error = caught
        assert error is not None
        assert {"status": error.status, "detail": error.detail} == expected
        assert not codec.keep_alive


def asking(request: str) -> H1ClientCodec:
    codec = H1ClientCodec()
    offer = Headers([(b"connection", b"upgrade"), (b"upgrade", b"websocket")] if request == "UPGRADE" else [])
    method = b"GET" if request == "UPGRADE" else request.encode()
    codec.send_request(method, b"/", b"a:443", offer, end_stream=True)
    return codec


def answer(codec: H1ClientCodec, pieces: list[bytes], *, until_close: bool) -> dict[str, Any]:
    events = [event for piece in pieces for event in codec.receive(piece)]
    reusable = codec.reusable
    if until_close:
        (last,) = codec.receive(b"")
        assert isinstance(last, StreamEnded)
        reusable = codec.reusable
    (head,) = (event for event in events if isinstance(event, ResponseReceived))
    return {
        "informational": [event.status for event in events if isinstance(event, InformationalReceived)],
        "status": head.status,
        "protocol": head.protocol,
        "headers": pairs(head.headers),
        "body": latin(body_of(events)),
        **trailers_of(events),
        "reusable": reusable,
    }


@pytest.mark.parametrize("file", cases("valid", "response"))
def test_valid_response(file: Path) -> None:
    raw, expected = load(file)
    request, until_close = expected.pop("request"), expected.pop("ends_with_connection")
    for pieces in cuts(raw):
        assert answer(asking(request), pieces, until_close=until_close) == expected


@pytest.mark.parametrize("file", cases("valid", "response"))
def test_valid_response_with_surplus_bytes(file: Path) -> None:
    raw, expected = load(file)
    request, until_close = expected.pop("request"), expected.pop("ends_with_connection")
    surplus = b"HTTP/1.1 200 OK\r\n\r\n"
    if until_close:
        expected["body"] += latin(surplus)
    found = answer(asking(request), [raw + surplus], until_close=until_close)
    assert found == {**expected, "reusable": False}


@pytest.mark.parametrize("file", cases("invalid", "response"))
def test_invalid_response(file: Path) -> None:
    raw, expected = load(file)
    for pieces in cuts(raw):
        codec = asking("GET")
        error = None
        for piece in pieces:
            try:
                codec.receive(piece)
            except CodecError as caught:
                error = caught
        assert error is not None
        assert {"status": error.status, "detail": error.detail} == expected
        assert not codec.reusable
