"""Upgrades and CONNECT as the HTTP/2 client codec sends them, and what becomes of them (RFC 8441, RFC 9113 8.5)."""

from __future__ import annotations

import h2.events
import pytest

from proxy.http.codec import CodecError
from proxy.http.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from proxy.http.headers import Headers
from tests.unit.proxy.http.test_codec_h2_client import Pair

UPGRADE = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]


def asking(method: bytes = b"GET", *more: tuple[bytes, bytes]) -> tuple[Pair, int, dict[str, str]]:
    """A request for a tunnel that has reached the server, and its head there."""
    pair = Pair()
    headers = Headers([*(UPGRADE if method == b"GET" else ()), *more])
    stream = pair.client.send_request(method, b"/chat", b"test:80", headers, end_stream=True)
    (head,) = pair.up()
    assert isinstance(head, h2.events.RequestReceived)
    return pair, stream, {str(name): str(value) for name, value in head.headers}


def test_an_upgrade_is_an_extended_connect() -> None:
    _, _, head = asking(b"GET", (b"content-length", b"0"), (b"a", b"b"))
    assert head == {
        ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":authority": "test:80", ":path": "/chat",
        "a": "b",
    }  # fmt: skip


@pytest.mark.parametrize(("method", "status"), [(b"GET", 101), (b"CONNECT", 200)])
def test_consent_and_bytes_both_ways(method: bytes, status: int) -> None:
    pair, stream, _ = asking(method)
    pair.server.send_headers(stream, [(":status", "200"), ("content-length", "3"), ("a", "b")])
    pair.server.send_data(stream, b"12345", end_stream=True)
    head, data, end = pair.down()
    assert isinstance(head, ResponseReceived)
    told = dict(head.headers.items)
    assert (head.status, head.end_stream, told.pop(b"a"), told) == (
        status, False, b"b", {b"upgrade": b"websocket", b"connection": b"upgrade"} if method == b"GET" else {},
    )  # fmt: skip
    assert (data, end) == (DataReceived(stream, b"12345"), StreamEnded(stream))
    pair.client.send_data(stream, b"to you")
    pair.client.send_end(stream)
    sent, *_, ended = pair.up()
    assert (sent.data, type(ended)) == (b"to you", h2.events.StreamEnded)
    assert pair.client.streams == 0


def test_consent_that_ends_at_once() -> None:
    pair, stream, _ = asking()
    pair.server.send_headers(stream, [(":status", "204")], end_stream=True)
    head, end = pair.down()
    assert isinstance(head, ResponseReceived)
    assert (head.status, head.end_stream, end) == (101, False, StreamEnded(stream))


def test_a_refusal_is_a_response_like_any_other() -> None:
    pair, stream, _ = asking()
    pair.server.send_headers(stream, [(":status", "403"), ("content-length", "2")])
    pair.server.send_data(stream, b"no")
    pair.server.send_headers(stream, [("sum", "1")], end_stream=True)
    head, data, end = pair.down()
    assert isinstance(head, ResponseReceived)
    assert (head.status, b"upgrade" in head.headers) == (403, False)
    assert (data, end) == (DataReceived(stream, b"no"), StreamEnded(stream, Headers([(b"sum", b"1")])))


def test_a_tunnel_has_no_trailers() -> None:
    pair, stream, _ = asking()
    pair.server.send_headers(stream, [(":status", "200")])
    pair.server.send_headers(stream, [("sum", "1")], end_stream=True)
    _, reset = pair.down()
    assert isinstance(reset, StreamReset)
    assert reset.local


@pytest.mark.parametrize(
    ("headers", "end", "match"),
    [(UPGRADE, False, "content"), ([(b"upgrade", b"a b")], True, "protocol")],
)
def test_what_cannot_be_asked_for(headers: list[tuple[bytes, bytes]], end: bool, match: str) -> None:
    pair = Pair()
    with pytest.raises(CodecError, match=match):
        pair.client.send_request(b"GET", b"/", b"test", Headers(headers), end_stream=end)
    assert not pair.client.has_output
