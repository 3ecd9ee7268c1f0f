"""Shared by the HTTP/1 codec tests."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import DataReceived, Event
from proxy.http.headers import Headers

NO_HEADERS = Headers()


def request(*lines: bytes, body: bytes = b"") -> bytes:
    """A request head from its lines (CRLF added) and whatever follows it."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


response = request


def merged(events: Iterable[Event]) -> list[Event]:
    """The events with neighbouring data joined, so that differently cut input compares equal."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, DataReceived) and isinstance(last, DataReceived):
            result[-1] = DataReceived(event.stream_id, last.data + event.data)
        else:
            result.append(event)
    return result


def body_of(events: Iterable[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, DataReceived))


def refused(raw: bytes, codec: H1ServerCodec | None = None) -> CodecError:
    """The error with which a server codec refuses `raw`; the codec must then insist on closing."""
    codec = codec or H1ServerCodec()
    with pytest.raises(CodecError) as caught:
        codec.receive(raw)
    assert not codec.keep_alive
    with pytest.raises(CodecError):
        codec.receive(b"GET / HTTP/1.1\r\nhost: next\r\n\r\n")
    return caught.value


def asking(method: bytes = b"GET", headers: Headers = NO_HEADERS, *, end_stream: bool = True) -> H1ClientCodec:
    """A client codec whose request is on its way."""
    codec = H1ClientCodec()
    codec.send_request(method, b"/", b"a", headers, end_stream=end_stream)
    codec.take_output()
    return codec


def refused_response(raw: bytes, codec: H1ClientCodec | None = None) -> CodecError:
    """The error with which a client codec refuses the response `raw`."""
    codec = codec or asking()
    with pytest.raises(CodecError) as caught:
        codec.receive(raw)
    assert not codec.reusable
    assert caught.value.status == 502
    return caught.value
