"""What the plain reader takes, h11 reads the same; what it does not take, h11 is asked."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.http import h1_canonical, h1_strict
from proxy.http.codec import CodecError

names = st.sampled_from([b"A", b"content-type", b"X-Y", b"x_y", b"Accept", b"!#$%&'*+-.^_`|~0"])
values = st.one_of(
    st.sampled_from([b"", b"a", b"a b", b"a  b", b"\xe9", b"a, b", b'"q"', b":", b"=;"]),
    st.lists(st.integers(0x20, 0xFF).filter(lambda octet: octet != 0x7F), max_size=20).map(bytes),
)
separators = st.sampled_from([b":", b": ", b":  ", b":\t", b" :"])
endings = st.sampled_from([b"\r\n", b" \r\n", b"\t\r\n"])


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(names, separators, values, endings), max_size=6))
    return b"".join(b"".join(line) for line in lines)


@given(blocks())
@example(b"A: b\r\n")
@example(b"A:\r\n")
def test_requests_read_as_h11_reads_them(block: bytes) -> None:
    head = b"GET /p?q HTTP/1.1\r\nHost: h\r\n" + block + b"\r\n"
    try:
        line = h1_strict.check_request_head(head, max_headers_count=100)
    except CodecError:
        return
    fields = h1_canonical.fields(head, line.fields_at)
    if fields is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert fields == list(request.headers)
    assert (line.method, line.target, line.version) == (request.method, request.target, request.http_version)


@given(blocks(), st.sampled_from([b"200 OK", b"404 Not Found", b"204", b"302 \xe9"]))
def test_responses_read_as_h11_reads_them(block: bytes, status: bytes) -> None:
    head = b"HTTP/1.1 " + status + b"\r\n" + block + b"\r\n"
    try:
        line = h1_strict.check_response_head(head, max_headers_count=100)
    except CodecError:
        return
    fields = h1_canonical.fields(head, line.fields_at)
    if fields is None:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.receive_data(head)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert fields == list(response.headers)
    assert (line.version, line.status) == (response.http_version, response.status_code)


CLIENTS = {
    "curl": b"Host: h\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n",
    "wrk": b"Host: h:8080\r\n",
    "python-requests": (
        b"Host: h\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
        b"Connection: keep-alive\r\n"
    ),
    "Go": b"Host: h\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n",
    "Firefox": (
        b"Host: h\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        b"Accept-Language: en-US,en;q=0.5\r\n"
        b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nCookie: a=b; c=d\r\nPriority: u=0, i\r\n"
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_common_clients_are_plain(client: str) -> None:
    assert h1_canonical.fields(CLIENTS[client] + b"\r\n", 0) is not None
