"""Local replies: what a `ProxyError` looks like on the wire (features §13 rule 28)."""

from __future__ import annotations

from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.local_reply import render as render_for
from proxy.http.stream_info import StreamInfo


def render(error: ProxyError) -> tuple[Headers, bytes]:
    reply = render_for(error, StreamInfo(0.0))
    return reply.headers, reply.body


def test_text_comes_with_its_length_and_type_after_other_headers() -> None:
    error = ProxyError("d", side="upstream", status=503, body="größe", headers=((b"x-envoy-overloaded", b"true"),))
    headers, body = render(error)
    assert body == "größe".encode()
    assert headers.items == [
        (b"x-envoy-overloaded", b"true"),
        (b"content-length", b"7"),
        (b"content-type", b"text/plain"),
    ]


def test_a_body_of_bytes_goes_as_it_is() -> None:
    assert render(ProxyError("d", side="downstream", status=200, body=b"\xff"))[1] == b"\xff"


def test_an_empty_reply_has_neither() -> None:
    headers, body = render(ProxyError("d", side="downstream", status=404))
    assert (headers.items, body) == ([], b"")
