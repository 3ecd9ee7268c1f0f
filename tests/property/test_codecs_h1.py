"""The HTTP/1 codecs against any bytes, against each other, and against plain h11."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h11
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import DataReceived, Event, RequestReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from tests.unit.proxy.http.h1_helpers import NO_HEADERS, body_of, merged

CORPUS = Path(__file__).parents[1] / "corpus" / "http1"
LIMIT = 2000

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
OWNED = {"host", "content-length", "transfer-encoding", "connection", "proxy-connection", "upgrade", "expect"}


def ascii_text(alphabet: str, *, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[bytes]:
    return st.text(alphabet, min_size=min_size, max_size=max_size).map(str.encode)


names = ascii_text(TOKEN, min_size=1).filter(lambda name: name.decode() not in OWNED)
values = st.binary(max_size=20).map(lambda raw: bytes(c for c in raw if c >= 0x20 and c != 0x7F).strip(b" "))
headers = st.lists(st.tuples(names, values), max_size=6).map(Headers)
trailers = st.lists(st.tuples(names.map(lambda name: b"x-t-" + name), values), max_size=3).map(Headers)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
paths = st.text([chr(c) for c in range(0x21, 0x7F) if c != 0x23], max_size=20).map(lambda text: b"/" + text.encode())
authorities = st.sampled_from([b"a", b"www.example.com", b"10.0.0.1:8080", b"[::1]:9", b"a_b-c.d:1"])
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
files = st.sampled_from(sorted(CORPUS.glob("*/*.http")))


@st.composite
def pieces(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """`raw` cut at random places."""
    places = draw(st.lists(st.integers(0, len(raw)), max_size=8).map(sorted))
    return [raw[start:end] for start, end in pairwise([0, *places, len(raw)]) if start < end]


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A file of the corpus with some bytes changed, or no HTTP at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    raw = draw(files).read_bytes()[:LIMIT]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 3)))
        patch = draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"0", b"5", b",", b";", b"\r\n\r\n"]
            )
            | st.binary(max_size=4)
        )
        raw = raw[:start] + patch + raw[end:]
    return raw


def serve(parts: list[bytes]) -> tuple[list[Event], str]:
    """All events of a connection whose requests are answered at once, and the error that ended it."""
    codec = H1ServerCodec(max_headers_bytes=LIMIT, accept_http_10=True)
    events: list[Event] = []
    try:
        for part in [*filter(None, parts), b""]:
            new = codec.receive(part)
            while new:
                events += new
                ended = isinstance(new[-1], StreamEnded) or (
                    isinstance(new[-1], RequestReceived) and new[-1].end_stream
                )
                if not ended:
                    break
                codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
                if not codec.keep_alive:
                    return merged(events), ""
                new = codec.next_exchange()
            # What is kept is less than a head, a chunk line or a trailer section, plus one block.
            assert len(codec._inbox) <= 4096 + len(part)
    except CodecError as error:
        return merged(events), f"{error.status} {error.detail}"
    return merged(events), ""


def ask(method: bytes, parts: list[bytes]) -> tuple[list[Event], str]:
    """All events of one response, and the error that ended it."""
    codec = H1ClientCodec(max_headers_bytes=LIMIT)
    codec.send_request(method, b"/", b"a:1", Headers(), end_stream=True)
    events: list[Event] = []
    try:
        for part in [*filter(None, parts), b""]:
            events += codec.receive(part)
            assert len(codec._inbox) <= 4096 + len(part)
            if any(isinstance(event, StreamEnded) for event in events) or (
                isinstance(events[-1] if events else None, ResponseReceived) and events[-1].end_stream  # type: ignore[union-attr]
            ):
                break
    except CodecError as error:
        return merged(events), f"{error.status} {error.detail}"
    return merged(events), ""


@given(st.data())
def test_any_bytes_to_the_server_give_events_or_a_codec_error_however_they_are_cut(data: st.DataObject) -> None:
    raw = data.draw(mutants())
    events, error = serve([raw])
    other_events, other_error = serve(data.draw(pieces(raw)))
    assert other_error == error
    if not error:
        assert other_events == events


@given(st.data())
def test_any_bytes_to_the_client_give_events_or_a_codec_error_however_they_are_cut(data: st.DataObject) -> None:
    raw = data.draw(mutants())
    method = data.draw(st.sampled_from([b"GET", b"HEAD", b"CONNECT"]))
    events, error = ask(method, [raw])
    other_events, other_error = ask(method, data.draw(pieces(raw)))
    assert other_error == error
    if not error:
        assert other_events == events


@given(st.data())
def test_the_server_reads_what_the_client_writes(data: st.DataObject) -> None:
    method, path, authority = data.draw(methods), data.draw(paths), data.draw(authorities)
    fields, body, sized = data.draw(headers), data.draw(bodies), data.draw(st.booleans())
    tail = data.draw(trailers) if body and not sized else NO_HEADERS
    if sized:
        fields.add(b"content-length", b"%d" % len(b"".join(body)))
    client, server = H1ClientCodec(), H1ServerCodec()
    client.send_request(method, path, authority, fields, end_stream=not body)
    for block in body:
        client.send_data(1, block)
    if body:
        client.send_end(1, tail)
    events = [event for part in data.draw(pieces(client.take_output())) for event in server.receive(part)]

    head = events[0]
    assert isinstance(head, RequestReceived)
    assert (head.method, head.path, head.authority, head.end_stream) == (method, path, authority, not body)
    assert [pair for pair in head.headers if pair[0] != b"content-length"] == [
        pair for pair in fields if pair[0] != b"content-length"
    ]
    assert body_of(events) == b"".join(body)
    if body:
        assert events[-1] == StreamEnded(1, tail if len(tail) else None)


@given(st.data())
def test_the_client_reads_what_the_server_writes(data: st.DataObject) -> None:
    method, status = (
        data.draw(methods),
        data.draw(st.integers(200, 599).filter(lambda status: status not in (204, 304))),
    )
    fields, body, sized = data.draw(headers), data.draw(bodies), data.draw(st.booleans())
    if sized:
        fields.add(b"content-length", b"%d" % len(b"".join(body)))
    client, server = H1ClientCodec(), H1ServerCodec()
    client.send_request(method, b"/", b"a", NO_HEADERS, end_stream=True)
    server.receive(client.take_output())
    server.send_headers(1, status, fields, end_stream=not body)
    for block in body:
        server.send_data(1, block)
    if body:
        server.send_end(1)
    events = [event for part in data.draw(pieces(server.take_output())) for event in client.receive(part)]

    head = events[0]
    assert isinstance(head, ResponseReceived)
    assert (head.status, head.end_stream) == (status, not body)
    assert head.headers.items[: len(fields)] == fields.items
    assert body_of(events) == b"".join(body)
    assert client.reusable
    assert server.keep_alive


@given(st.data())
def test_canonical_requests_mean_to_us_what_they_mean_to_h11(data: st.DataObject) -> None:
    method, path, authority = data.draw(methods), data.draw(paths), data.draw(authorities)
    fields, body, chunked = data.draw(headers), data.draw(bodies), data.draw(st.booleans())
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, path, authority)]
    lines += [b"%b: %b\r\n" % pair for pair in fields]
    if chunked:
        lines += [b"Transfer-Encoding: chunked\r\n\r\n"]
        lines += [b"%x\r\n%b\r\n" % (len(block), block) for block in body]
        lines += [b"0\r\n\r\n"]
    else:
        lines += [b"Content-Length: %d\r\n\r\n" % len(b"".join(body)), *body]
    raw = b"".join(lines)

    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(raw)
    request = theirs.next_event()
    assert isinstance(request, h11.Request)
    their_body = b""
    while isinstance(event := theirs.next_event(), h11.Data):
        their_body += event.data
    assert isinstance(event, h11.EndOfMessage)

    events = H1ServerCodec().receive(raw)
    ours = events[0]
    assert isinstance(ours, RequestReceived)
    assert (ours.method, ours.path) == (request.method, request.target)
    hidden = (b"host", b"transfer-encoding")
    assert ours.headers.items == [pair for pair in request.headers if pair[0] not in hidden]
    assert body_of(events) == their_body == b"".join(body)


@given(st.data())
def test_h11_reads_what_the_server_writes(data: st.DataObject) -> None:
    status = data.draw(st.sampled_from([200, 204, 304, 404, 502]))
    method, fields, body = data.draw(st.sampled_from([b"GET", b"HEAD"])), data.draw(headers), data.draw(bodies)
    server = H1ServerCodec()
    server.receive(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method)
    server.send_headers(1, status, fields, end_stream=not body)
    for block in body:
        server.send_data(1, block)
    if body:
        server.send_end(1)

    theirs = h11.Connection(h11.CLIENT)
    theirs.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(server.take_output())
    response = theirs.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    received = b""
    while isinstance(event := theirs.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == (b"" if method == b"HEAD" or status in (204, 304) else b"".join(body))
    assert theirs.trailing_data[0] == b""


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_no_bytes_handed_to_a_codec_can_add_a_line(method: bytes, path: bytes, name: bytes, value: bytes) -> None:
    client = H1ClientCodec()
    try:
        client.send_request(method, path, b"a", Headers([(name, value)]), end_stream=True)
    except CodecError:
        assert client.take_output() == b""
    else:
        lines = client.take_output().split(b"\r\n")
        assert lines[0] == b"%b %b HTTP/1.1" % (method, path) or method == b"CONNECT"
        assert len(lines) - 4 <= 1 + 1  # the field itself, and Content-Length: 0
        assert not any(b"\r" in line or b"\n" in line or b"\x00" in line for line in lines)


def test_a_long_body_is_handed_through_without_copying() -> None:
    block = b"x" * 65536
    server = H1ServerCodec()
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    (event,) = server.receive(block)
    assert isinstance(event, DataReceived)
    assert event.data is block
