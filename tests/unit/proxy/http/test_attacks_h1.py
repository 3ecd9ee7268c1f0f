"""One regression test per known attack on HTTP/1 framing and routing; the row numbers are the threat model's."""

from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import MAX_INFORMATIONAL, H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from tests.unit.proxy.http.h1_helpers import NO_HEADERS, asking, body_of, refused, refused_response, request, response

POST = (b"POST / HTTP/1.1", b"Host: a")
GET = (b"GET / HTTP/1.1", b"Host: a")
CHUNKED = (*POST, b"Transfer-Encoding: chunked")


def first(raw: bytes) -> RequestReceived:
    event = H1ServerCodec().receive(raw)[0]
    assert isinstance(event, RequestReceived)
    return event


def test_row_01_cl_and_te() -> None:
    for lines in (
        (b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    ):
        error = refused(request(*POST, *lines, body=b"0\r\n\r\n"))
        assert (error.status, error.detail) == (400, "http1.content_length_and_chunked_not_allowed")


def test_row_01_the_client_never_writes_both() -> None:
    codec = H1ClientCodec()
    headers = Headers([(b"transfer-encoding", b"chunked"), (b"content-length", b"3")])
    codec.send_request(b"POST", b"/", b"a", headers, end_stream=False)
    assert b"transfer-encoding" not in codec.take_output()


def test_row_02_te_in_http_10() -> None:
    raw = request(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    assert refused(raw).status == 426
    assert refused(raw, H1ServerCodec(accept_http_10=True)).status == 400


@pytest.mark.parametrize("values", [(b"4", b"5"), (b"4, 5",), (b"4,5",)])
def test_row_03_two_different_content_lengths(values: tuple[bytes, ...]) -> None:
    assert refused(request(*POST, *(b"Content-Length: " + value for value in values))).status == 400


@pytest.mark.parametrize("values", [(b"4", b"4"), (b"4, 4",), (b"4,4",)])
def test_row_04_equal_content_lengths(values: tuple[bytes, ...]) -> None:
    assert refused(request(*POST, *(b"Content-Length: " + value for value in values))).status == 400


@pytest.mark.parametrize(
    "value", [b"", b"+4", b"-1", b"0x4", b"1_0", b"1" * 21, b"4 4", b"4;", b"\xb2", b"4.0", b"18446744073709551615"]
)
def test_row_05_invalid_content_length(value: bytes) -> None:
    assert refused(request(*POST, b"Content-Length: " + value)).status == 400


@pytest.mark.parametrize(
    "value",
    [b"xchunked", b"chunked, chunked", b"identity", b"gzip", b"gzip, chunked", b"chunked;q=1", b'"chunked"', b"",
     b"chunked,", b",chunked", b"chunked\tx"],
)  # fmt: skip
def test_row_06_transfer_encoding_obfuscation(value: bytes) -> None:
    error = refused(request(*POST, b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"))
    assert (error.status, error.detail) == (501, "http1.invalid_transfer_encoding")


def test_row_06_control_characters_and_repeats() -> None:
    assert refused(request(*POST, b"Transfer-Encoding: \x0bchunked")).status == 400
    assert refused(request(*CHUNKED, b"Transfer-Encoding: chunked")).status == 501
    assert refused(request(*CHUNKED, b"Transfer-Encoding: identity")).status == 501


@pytest.mark.parametrize("line", [b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"X : y"])
def test_row_07_space_before_colon(line: bytes) -> None:
    assert refused(request(*POST, line)).status == 400


@pytest.mark.parametrize("line", [b": x", b":", b"no colon", b"(x): y", b"\xc3\xa9: y"])
def test_row_08_empty_or_invalid_name(line: bytes) -> None:
    assert refused(request(*GET, line)).status == 400


@pytest.mark.parametrize("lines", [(*GET, b"X: a", b" b"), (*GET, b"X: a", b"\tb"), (GET[0], b" X: a", GET[1])])
def test_row_09_obs_fold(lines: tuple[bytes, ...]) -> None:
    assert refused(request(*lines)).status == 400
    assert refused_response(response(b"HTTP/1.1 200 OK", b"X: a", b" b")).status == 502


@pytest.mark.parametrize(
    "raw",
    [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\n",
     b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
)  # fmt: skip
def test_row_10_bare_lf(raw: bytes) -> None:
    assert refused(raw).status == 400


@pytest.mark.parametrize(
    "body",
    [b"4\nabcd\r\n0\r\n\r\n", b"4\r\nabcd\n0\r\n\r\n", b"+4\r\nabcd\r\n0\r\n\r\n", b"0x4\r\nabcd\r\n0\r\n\r\n",
     b"4;a\nb\r\nabcd\r\n0\r\n\r\n", b"4;a\rb\r\nabcd\r\n0\r\n\r\n", b"4;\x00\r\nabcd\r\n0\r\n\r\n",
     b" 4\r\nabcd\r\n0\r\n\r\n", b"4\r\nabcdX\r\n0\r\n\r\n", b"4\r\nabcd0\r\n\r\n", b"\r\nabcd\r\n0\r\n\r\n",
     b"4x\r\nabcd\r\n0\r\n\r\n", b"10000000000000004\r\nabcd\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\nabcd\r\n0\r\n\r\n",
     b"-1\r\nabcd", b"4_0\r\nabcd", b"4\r\nabcd\rX", b"0\r\nX-T: 1\n\r\n", b"0\n\r\n"],
)  # fmt: skip
def test_row_11_malformed_chunks(body: bytes) -> None:
    assert refused(request(*CHUNKED, body=body)).status == 400
    assert refused_response(response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=body)).status == 502


def test_row_11_endless_chunk_extensions() -> None:
    codec = H1ServerCodec()
    codec.receive(request(*CHUNKED))
    chunk = b"1;" + b"x" * 100 + b"\r\na\r\n"
    with pytest.raises(CodecError) as caught:
        codec.receive(chunk * 1000)
    assert caught.value.status == 400
    assert refused(request(*CHUNKED, body=b"4;" + b"x" * 5000)).status == 400


def test_row_11_many_small_chunks_are_no_attack() -> None:
    codec = H1ServerCodec()
    codec.receive(request(*CHUNKED))
    assert body_of(codec.receive(b"1\r\na\r\n" * 10_000)) == b"a" * 10_000


@pytest.mark.parametrize("octet", [0, 1, 8, 0x0B, 0x0C, 0x0D, 0x1F, 0x7F])
def test_row_12_control_characters(octet: int) -> None:
    byte = bytes([octet])
    assert refused(request(*GET, b"X: a" + byte + b"b")).status == 400
    assert refused(request(b"GET /a" + byte + b"b HTTP/1.1", b"Host: a")).status == 400
    assert refused(request(*GET, b"X" + byte + b": b")).status == 400
    refused_response(response(b"HTTP/1.1 200 OK", b"X: a" + byte + b"b"))
    with pytest.raises(CodecError):
        asking(headers=Headers([(b"x", b"a" + byte + b"b")]))


def test_row_12_obs_text_is_kept() -> None:
    assert first(request(*GET, b"X: \x80\xff")).headers.get(b"x") == b"\x80\xff"


@pytest.mark.parametrize(
    "name",
    [b"Content-Length", b"Transfer-Encoding", b"Host", b"Authorization", b"Cookie", b"Connection", b"TE", b"Trailer",
     b"X-Forwarded-For", b"X-Envoy-Internal", b"If-Match", b"Content-Type"],
)  # fmt: skip
def test_row_13_trailers_that_reframe_reroute_or_authenticate(name: bytes) -> None:
    events = H1ServerCodec().receive(request(*CHUNKED, body=b"0\r\n" + name + b": 1\r\nX-Sum: 2\r\n\r\n"))
    assert events[-1] == StreamEnded(1, Headers([(b"x-sum", b"2")]))


def test_row_13_endless_trailers() -> None:
    assert refused(request(*CHUNKED, body=b"0\r\n" + b"x: 1\r\n" * 101)).detail == "http1.too_many_headers"
    assert refused(request(*CHUNKED, body=b"0\r\nx: " + b"a" * 70_000)).detail == "http1.headers_too_large"
    assert refused(request(*CHUNKED, body=b"0\r\nx: 1\r\n y\r\n\r\n")).status == 400


def test_row_14_response_before_the_request_body() -> None:
    server = H1ServerCodec()
    server.receive(request(*POST, b"Content-Length: 100", body=b"half"))
    server.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert b"connection: close\r\n" in server.take_output()
    assert not server.keep_alive
    client = asking(b"POST", Headers([(b"content-length", b"100")]), end_stream=False)
    client.receive(response(b"HTTP/1.1 200 OK", b"Content-Length: 0"))
    client.send_data(1, b"x" * 100)
    client.send_end(1)
    assert not client.reusable


def test_row_15_bytes_after_an_upgrade_are_a_tunnel_only_after_101() -> None:
    raw = request(*GET, b"Connection: Upgrade", b"Upgrade: WebSocket", body=b"GET /smuggled HTTP/1.1\r\n\r\n")
    server = H1ServerCodec()
    (event,) = server.receive(raw)
    assert isinstance(event, RequestReceived)
    assert event.upgrade == "websocket"
    server.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert b"connection: close" in server.take_output()
    assert not server.keep_alive
    with pytest.raises(RuntimeError):
        server.next_exchange()
    assert server.receive(b"GET /more HTTP/1.1\r\nhost: a\r\n\r\n") == []
    server = H1ServerCodec()
    server.receive(raw)
    server.send_headers(1, 101, Headers([(b"upgrade", b"websocket")]), end_stream=False)
    assert server.next_exchange() == [DataReceived(1, b"GET /smuggled HTTP/1.1\r\n\r\n")]


def test_row_15_connect_is_a_tunnel_only_after_2xx() -> None:
    raw = request(b"CONNECT a:443 HTTP/1.1", b"Host: a:443", body=b"\x16\x03")
    server = H1ServerCodec()
    server.receive(raw)
    server.send_headers(1, 403, NO_HEADERS, end_stream=True)
    assert not server.keep_alive
    server = H1ServerCodec()
    server.receive(raw)
    server.send_headers(1, 200, Headers([(b"content-length", b"5")]), end_stream=False)
    assert server.take_output() == b"HTTP/1.1 200 OK\r\n\r\n"
    assert server.next_exchange() == [DataReceived(1, b"\x16\x03")]
    assert refused(request(b"CONNECT a:443 HTTP/1.1", b"Host: a", b"Content-Length: 3")).status == 400


def test_row_16_unrequested_101() -> None:
    refused_response(response(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: x", b"Connection: upgrade"))
    server = H1ServerCodec()
    server.receive(request(*GET))
    with pytest.raises(CodecError):
        server.send_headers(1, 101, NO_HEADERS, end_stream=False)


def test_row_16_h2c_offer_is_removed() -> None:
    event = first(
        request(*GET, b"Connection: Upgrade, HTTP2-Settings, x-y", b"Upgrade: h2c", b"HTTP2-Settings: AAA", b"X-Y: 1")
    )
    assert event.upgrade == ""
    assert event.headers == Headers([(b"connection", b"x-y"), (b"x-y", b"1")])
    both = first(request(*GET, b"Connection: Upgrade", b"Upgrade: h2c, websocket", b"HTTP2-Settings: AAA"))
    assert both.upgrade == "websocket"
    assert both.headers == Headers([(b"connection", b"upgrade"), (b"upgrade", b"websocket")])


def test_row_17_expectation_answered_by_a_final_response() -> None:
    server = H1ServerCodec()
    (event,) = server.receive(request(*POST, b"Expect: 100-continue", b"Content-Length: 4"))
    assert isinstance(event, RequestReceived)
    assert event.expect_continue
    server.send_headers(1, 417, NO_HEADERS, end_stream=True)
    assert not server.keep_alive
    client = asking(b"POST", Headers([(b"content-length", b"4")]), end_stream=False)
    client.receive(response(b"HTTP/1.1 403 Forbidden", b"Content-Length: 0"))
    assert not client.reusable


@pytest.mark.parametrize(
    ("method", "raw"),
    [(b"GET", response(b"HTTP/1.1 200 OK", b"Content-Length: 1", body=b"aHTTP/1.1 200 OK\r\n\r\n")),
     (b"GET", response(b"HTTP/1.1 304 Not Modified", b"Content-Length: 4", body=b"abcd")),
     (b"GET", response(b"HTTP/1.1 204 No Content", body=b"abcd")),
     (b"HEAD", response(b"HTTP/1.1 200 OK", b"Content-Length: 4", body=b"abcd"))],
)  # fmt: skip
def test_row_18_surplus_bytes_after_a_response(method: bytes, raw: bytes) -> None:
    client = asking(method)
    events = client.receive(raw)
    assert isinstance(events[0], ResponseReceived)
    assert body_of(events) in (b"", b"a")
    assert not client.reusable


def test_row_18_bytes_on_an_idle_connection() -> None:
    refused_response(response(b"HTTP/1.1 408 Request Timeout"), H1ClientCodec())


def test_row_19_upstream_cl_and_te() -> None:
    raw = response(b"HTTP/1.1 200 OK", b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    assert refused_response(raw).detail == "http1.content_length_and_chunked_not_allowed"
    refused_response(response(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked"))
    refused_response(response(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked"))
    refused_response(response(b"HTTP/1.1 204 No Content", b"Content-Length: 4"))
    refused_response(response(b"HTTP/1.1 200 OK", b"Content-Length: 4", b"Content-Length: 5"))


def test_row_19_endless_1xx() -> None:
    client = asking()
    client.receive(response(b"HTTP/1.1 103 Early Hints") * MAX_INFORMATIONAL)
    refused_response(response(b"HTTP/1.1 103 Early Hints"), client)


@pytest.mark.parametrize("version", [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0"])
def test_row_20_other_versions(version: bytes) -> None:
    assert refused(request(b"GET / " + version, b"Host: a")).status == 505


@pytest.mark.parametrize("version", [b"HTTP/1.10", b"HTTP/11", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1", b"ICY/1.1", b""])
def test_row_20_version_text_that_is_none(version: bytes) -> None:
    assert refused(request(b"GET / " + version, b"Host: a")).status == 400


def test_row_21_no_host_and_two_hosts() -> None:
    error = refused(request(GET[0]))
    assert (error.status, error.detail, error.body) == (400, "missing_host_header", "")
    assert refused(request(*GET, b"Host: a")).status == 400
    assert refused(request(*GET, b"HOST: b")).status == 400
    assert refused(request(b"GET http://a/ HTTP/1.1", b"Host: a", b"Host: b")).status == 400


def test_row_22_absolute_form_wins_over_host() -> None:
    event = first(request(b"GET http://b:81/x?y HTTP/1.1", b"Host: a"))
    assert (event.scheme, event.authority, event.path) == (b"http", b"b:81", b"/x?y")
    assert b"host" not in event.headers
    assert first(request(b"GET HTTPS://b HTTP/1.1", b"Host: a")).scheme == b"https"
    assert first(request(b"GET http://b?q HTTP/1.1", b"Host: a")).path == b"/?q"


@pytest.mark.parametrize(
    "host",
    [b"", b"a/b?c@d", b"u@a", b"a b", b"a,b", b"a:x", b"a:999999", b"[::1", b"a#b", b"\x80", b'a"b', b"a:1:2", b"::1",
     b"a<b", b"a\\b", b"a^b", b"a%2", b"http://a"],
)  # fmt: skip
def test_row_22_junk_in_host(host: bytes) -> None:
    assert refused(request(GET[0], b"Host: " + host)).status == 400
    if host and b"/" not in host:
        assert refused(request(b"GET http://" + host.replace(b" ", b"|") + b"/ HTTP/1.1", b"Host: a")).status == 400


@pytest.mark.parametrize("target", [b"http:///x", b"ftp://b/x", b"ws://b/x", b"http:/b", b"x", b"?q", b"b:80", b"*"])
def test_row_22_other_targets(target: bytes) -> None:
    assert refused(request(b"GET " + target + b" HTTP/1.1", b"Host: a")).status == 400


ABSOLUTE = [(b"GET", b"http://evil/"), (b"GET", b"evil:80"), (b"GET", b"x"), (b"GET", b"/#"), (b"GET", b"/\xe9")]


def test_row_24_method_and_path_that_cannot_stand_on_a_request_line() -> None:
    for method, path in (
        (b"GET /x", b"/"),
        (b"GET", b"/a b"),
        (b"GET", b"/a\r\nX: y"),
        (b"", b"/"),
        (b"GET", b""),
        *ABSOLUTE,
    ):
        codec = H1ClientCodec()
        with pytest.raises(CodecError) as caught:
            codec.send_request(method, path, b"a", NO_HEADERS, end_stream=True)
        assert caught.value.status == 400
        assert codec.take_output() == b""
        assert codec.reusable
    with pytest.raises(CodecError):
        H1ClientCodec().send_request(b"GET", b"/", b"a\r\nX: y", NO_HEADERS, end_stream=True)


def test_row_34_header_bytes_and_count() -> None:
    codec = H1ServerCodec(max_headers_bytes=1000)
    error = refused(request(*GET, b"X: " + b"a" * 1000), codec)
    assert (error.status, error.detail) == (431, "http1.headers_too_large")
    assert refused(b"GET /" + b"a" * 61_440).detail == "http1.headers_too_large"
    error = refused(request(*GET, *[b"x: 1"] * 100))
    assert (error.status, error.detail) == (431, "http1.too_many_headers")
    assert len(first(request(*GET, *[b"x: 1"] * 99)).headers) == 99
    refused_response(response(b"HTTP/1.1 200 OK", *[b"x: 1"] * 101))
    refused_response(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 61_440)


@pytest.mark.parametrize("target", [b"/a#b", b"/#", b"http://b/x#f", b"http://b#f", b"#", b"/a?b#c"])
def test_row_40_fragment_in_target(target: bytes) -> None:
    error = refused(request(b"GET " + target + b" HTTP/1.1", b"Host: a"))
    assert (error.status, error.detail) == (400, "path_normalization_failed")


def test_conclusion_7_written_fields_cannot_smuggle_a_line() -> None:
    for name, value in ((b"x", b"a\r\nb: c"), (b"x: y\r\nz", b"a"), (b"x", b"\x00"), (b"", b"a"), (b"x y", b"a")):
        server = H1ServerCodec()
        server.receive(request(*GET))
        with pytest.raises(CodecError) as caught:
            server.send_headers(1, 200, Headers([(name, value)]), end_stream=True)
        assert caught.value.status == 502
        assert server.take_output() == b""
        server.send_headers(1, 502, NO_HEADERS, end_stream=True)
        assert server.take_output().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
