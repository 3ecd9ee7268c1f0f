"""CONNECT and upgrades as the HTTP/2 server codec tells them, and the answers to them (RFC 9113 8.5, RFC 8441)."""

from __future__ import annotations

from typing import Any

import h2.events
import pytest

from proxy.http.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from proxy.http.headers import Headers
from tests.unit.proxy.http.h2_helpers import Pair

CONNECT = [(":method", "CONNECT"), (":authority", "far:80")]
WEBSOCKET = [
    (":method", "CONNECT"), (":protocol", "WebSocket"), (":scheme", "http"), (":authority", "a"), (":path", "/chat"),
]  # fmt: skip
both = pytest.mark.parametrize("head", [WEBSOCKET, CONNECT], ids=["upgrade", "connect"])


def asked(head: list[tuple[str, str]], *, end: bool = False) -> tuple[Pair, int, list[Any]]:
    pair = Pair(allow_connect=True, stream_error=True)
    stream, events = pair.request(head, end=end)
    return pair, stream, events


def test_an_upgrade_is_told_as_http1_would_have_it() -> None:
    """It has no body: what comes behind it is the tunnel's."""
    pair, stream, (event,) = asked([*WEBSOCKET, ("a", "b")])
    fields = Headers([(b"a", b"b"), (b"upgrade", b"WebSocket"), (b"connection", b"upgrade")])
    assert event == RequestReceived(
        stream, b"GET", b"http", b"a", b"/chat", "HTTP/2", fields, end_stream=True, upgrade="websocket"
    )
    pair.client.send_data(stream, b"early", end_stream=True)
    assert pair.up() == [DataReceived(stream, b"early"), StreamEnded(stream)]


@both
def test_one_that_the_client_ends_at_once(head: list[tuple[str, str]]) -> None:
    _, stream, (event, end) = asked(head, end=True)
    assert (event.end_stream, end) == (True, StreamEnded(stream))


@pytest.mark.parametrize(("head", "status"), [(WEBSOCKET, 101), (CONNECT, 200), (CONNECT, 204)])
def test_consent_and_bytes_both_ways(head: list[tuple[str, str]], status: int) -> None:
    """An upstream that says how long its answer is says nothing of the tunnel."""
    pair, stream, _ = asked(head)
    fields = [(b"content-length", b"3"), (b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"a", b"b")]
    pair.server.send_headers(stream, status, Headers(fields), end_stream=False)
    pair.server.send_data(stream, b"12345")
    answer, data = pair.down()
    assert answer.headers == [(":status", "200" if status == 101 else str(status)), ("a", "b")]
    assert data.data == b"12345"
    pair.client.end_stream(stream)
    assert pair.up() == [StreamEnded(stream)]
    pair.server.send_end(stream)
    assert isinstance(pair.down()[-1], h2.events.StreamEnded)
    assert not pair.server.streams


@both
def test_a_refusal_has_its_length(head: list[tuple[str, str]]) -> None:
    pair, stream, _ = asked(head)
    pair.server.send_headers(stream, 403, Headers([(b"content-length", b"2")]), end_stream=False)
    pair.server.send_data(stream, b"no")
    answer, data = pair.down()
    assert (answer.headers, data.data) == ([(":status", "403"), ("content-length", "2")], b"no")


@both
def test_trailers_are_no_part_of_a_tunnel(head: list[tuple[str, str]]) -> None:
    pair, stream, _ = asked(head)
    pair.client.send_headers(stream, [("sum", "1")], end_stream=True)
    (reset,) = pair.up()
    assert isinstance(reset, StreamReset)
    assert (reset.local, reset.detail) == (True, "http2.violation.of.messaging.rule")


@both
@pytest.mark.parametrize("length", ["0", "3"])
def test_a_length_of_what_has_none(head: list[tuple[str, str]], length: str) -> None:
    _, _, (reset,) = asked([*head, ("content-length", length)])
    assert isinstance(reset, StreamReset)
    assert reset.detail == "http2.violation.of.messaging.rule"


def test_an_upgrade_that_was_not_offered() -> None:
    pair = Pair(stream_error=True)
    _, (reset,) = pair.request(WEBSOCKET, end=False)
    assert (type(reset), reset.detail) == (StreamReset, "http2.invalid.header.field")
