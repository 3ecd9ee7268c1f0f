"""How header names are written (`header_key_format`); the combinations are in `tests/parity/test_http1_options.py`."""

from __future__ import annotations

import pytest

from proxy.config.http1 import HeaderCase, UpstreamHttp1Options
from proxy.http import header_case
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import RequestReceived, ResponseReceived
from proxy.http.headers import Headers


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (b"x-request-id", b"X-Request-Id"),
        (b"host", b"Host"),
        (b"x_b--c1d", b"X_B--C1d"),
        (b"3d-thing", b"3d-Thing"),
        (b"!odd~name", b"!Odd~Name"),
    ],
)
def test_proper_case(name: bytes, written: bytes) -> None:
    assert header_case.proper(name) == written


def test_the_first_spelling_of_a_name_counts() -> None:
    head = b"GET / HTTP/1.1\r\nHOST: a\r\nX-Foo: 1\r\nx-FOO: 2\r\n\r\n"
    remember = header_case.reader(HeaderCase(preserves=True, proper=True))
    assert remember is not None
    headers = Headers()
    remember(headers, head, head.index(b"HOST"))
    assert headers.key_format is not None
    names = (b"host", b"x-foo", b"x-other")
    assert [headers.key_format(name) for name in names] == [b"HOST", b"X-Foo", b"X-Other"]
    assert headers.copy().key_format is headers.key_format


def test_nobody_remembers_what_nobody_asks_for() -> None:
    assert header_case.reader(None) is None
    assert header_case.reader(HeaderCase(proper=True)) is None
    assert header_case.written_here(HeaderCase(preserves=True, proper=True)) is None


@pytest.mark.parametrize("line", [b"200 Fine ", b"200 Fine", b"200  Fine"])
def test_a_reason_goes_on_as_it_came(line: bytes) -> None:
    options = UpstreamHttp1Options(header_case=HeaderCase(preserves=True, forwards_reason=True))
    client = H1ClientCodec(options=options)
    client.send_request(b"GET", b"/", b"a", Headers(), end_stream=True)
    (event, *_) = client.receive(b"HTTP/1.1 " + line + b"\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(event, ResponseReceived)
    server = H1ServerCodec()
    server.receive(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    server.send_headers(1, event.status, event.headers, end_stream=True)
    written = line.strip(b" ").replace(b"  ", b" ")
    assert server.take_output() == b"HTTP/1.1 " + written + b"\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"


def test_an_upstream_gets_what_the_client_wrote() -> None:
    server = H1ServerCodec(header_case=HeaderCase(preserves=True))
    (event, *_) = server.receive(b"GET / HTTP/1.1\r\nHOst: a\r\nAccEPT: 1\r\n\r\n")
    assert isinstance(event, RequestReceived)
    event.headers.add(b"x-ours", b"2")
    client = H1ClientCodec(options=UpstreamHttp1Options(header_case=HeaderCase(proper=True)))
    client.send_request(b"GET", b"/", b"a", event.headers, end_stream=True)
    assert client.take_output() == b"GET / HTTP/1.1\r\nHOst: a\r\nAccEPT: 1\r\nx-ours: 2\r\n\r\n"
