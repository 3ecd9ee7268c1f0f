from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.h1_outgoing import frame_request, frame_response, status_line
from proxy.http.h1_writer import ChunkedWriter, NoBodyWriter, RawWriter, SizedWriter
from proxy.http.headers import Headers

LENGTH = (b"content-length", b"3")
ZERO = (b"content-length", b"0")
CHUNKED = (b"transfer-encoding", b"chunked")
OTHER = (b"x", b"y")


def request(method: bytes, *fields: tuple[bytes, bytes], end_stream: bool) -> tuple[list[tuple[bytes, bytes]], type]:
    kept, added, writer = frame_request(method, Headers(fields), end_stream=end_stream)
    return kept + added, type(writer)


def response(
    status: int,
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: bytes = b"1.1",
    opens_tunnel: bool = False,
    end_stream: bool = False,
) -> tuple[list[tuple[bytes, bytes]], type]:
    kept, added, writer = frame_response(
        status, Headers(fields), method=method, version=version, opens_tunnel=opens_tunnel, end_stream=end_stream
    )
    return kept + added, type(writer)


def test_requests() -> None:
    assert request(b"POST", OTHER, LENGTH, end_stream=False) == ([OTHER, LENGTH], SizedWriter)
    assert request(b"POST", OTHER, end_stream=False) == ([OTHER, CHUNKED], ChunkedWriter)
    assert request(b"POST", OTHER, CHUNKED, LENGTH, end_stream=False) == ([OTHER, LENGTH], SizedWriter)
    assert request(b"POST", OTHER, (b"host", b"evil"), end_stream=True) == ([OTHER, ZERO], SizedWriter)
    assert request(b"GET", ZERO, end_stream=True) == ([ZERO], SizedWriter)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"TRACE"])
def test_methods_without_a_body_need_no_length(method: bytes) -> None:
    assert request(method, end_stream=True) == ([], SizedWriter)


def test_connect_has_no_content() -> None:
    assert request(b"CONNECT", ZERO, CHUNKED, end_stream=True) == ([], NoBodyWriter)
    with pytest.raises(CodecError):
        request(b"CONNECT", LENGTH, end_stream=False)


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"3, 3"])
def test_a_length_that_is_none_is_not_written(value: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        request(b"POST", (b"content-length", value), end_stream=False)
    assert caught.value.status == 400
    with pytest.raises(CodecError) as caught:
        response(200, (b"content-length", value))
    assert caught.value.status == 502


def test_a_length_without_a_body_is_not_written() -> None:
    with pytest.raises(CodecError):
        request(b"POST", LENGTH, end_stream=True)
    with pytest.raises(CodecError):
        response(200, LENGTH, end_stream=True)
    with pytest.raises(CodecError):
        response(200, ZERO, ZERO)


def test_responses() -> None:
    assert response(200, OTHER, LENGTH) == ([OTHER, LENGTH], SizedWriter)
    assert response(200, LENGTH, CHUNKED) == ([LENGTH], SizedWriter)
    assert response(200, OTHER) == ([OTHER, CHUNKED], ChunkedWriter)
    assert response(404, end_stream=True) == ([ZERO], SizedWriter)


def test_http_10_clients_get_no_chunks() -> None:
    assert response(200, CHUNKED, version=b"1.0") == ([], RawWriter)
    assert response(200, LENGTH, version=b"1.0") == ([LENGTH], SizedWriter)
    assert response(200, method=b"HEAD", version=b"1.0") == ([], NoBodyWriter)


def test_responses_that_have_no_body() -> None:
    assert response(200, LENGTH, method=b"HEAD") == ([LENGTH], NoBodyWriter)
    assert response(200, LENGTH, method=b"HEAD", end_stream=True) == ([LENGTH], NoBodyWriter)
    assert response(200, method=b"HEAD") == ([CHUNKED], NoBodyWriter)
    assert response(204, LENGTH, CHUNKED) == ([], NoBodyWriter)
    assert response(304, LENGTH) == ([LENGTH], NoBodyWriter)
    assert response(304) == ([], NoBodyWriter)


def test_a_tunnel_has_no_framing() -> None:
    assert response(200, LENGTH, CHUNKED, method=b"CONNECT", opens_tunnel=True) == ([], RawWriter)
    assert response(101, OTHER, opens_tunnel=True) == ([OTHER], RawWriter)


def test_status_lines() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(418, b"1.0") == b"HTTP/1.0 418 Unknown\r\n"
