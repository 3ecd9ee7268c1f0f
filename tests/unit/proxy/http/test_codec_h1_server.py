from __future__ import annotations

import pytest

from proxy.http.codec import CodecError, ServerCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import ConnectionEnded, DataReceived, RequestReceived, StreamEnded
from proxy.http.headers import Headers
from tests.unit.proxy.http.h1_helpers import NO_HEADERS, refused, request

GET = request(b"GET / HTTP/1.1", b"Host: a")
HEAD = request(b"HEAD / HTTP/1.1", b"Host: a")
UPLOAD = request(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 4")


def serving(raw: bytes, **options: bool) -> H1ServerCodec:
    codec = H1ServerCodec(**options)  # type: ignore[arg-type]
    codec.receive(raw)
    return codec


def test_it_is_the_seam() -> None:
    codec: ServerCodec = H1ServerCodec()
    assert codec.keep_alive


def test_a_request() -> None:
    raw = request(b"GET /x?y HTTP/1.1", b"Host: a:1", b"Accept: */*")
    assert H1ServerCodec(scheme=b"https").receive(raw) == [
        RequestReceived(
            stream_id=1,
            method=b"GET",
            scheme=b"https",
            authority=b"a:1",
            path=b"/x?y",
            protocol="HTTP/1.1",
            headers=Headers([(b"accept", b"*/*")]),
            end_stream=True,
            head=raw,
        )
    ]


def test_a_body_comes_as_it_arrives() -> None:
    codec = H1ServerCodec()
    (head,) = codec.receive(UPLOAD)
    assert isinstance(head, RequestReceived)
    assert not head.end_stream
    assert codec.receive(b"ab") == [DataReceived(1, b"ab")]
    assert codec.receive(b"cd") == [DataReceived(1, b"cd"), StreamEnded(1)]


def test_pipelined_requests_wait_for_their_turn() -> None:
    codec = serving(UPLOAD + b"abcd" + GET + GET[:10])
    assert codec.receive(GET[10:]) == []
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    for number in (2, 3):
        (head,) = codec.next_exchange()
        assert isinstance(head, RequestReceived)
        assert head.stream_id == number
        codec.send_headers(number, 200, NO_HEADERS, end_stream=True)
    assert codec.next_exchange() == []
    assert not codec.begun


def test_the_next_exchange_needs_this_one_to_be_over() -> None:
    codec = serving(UPLOAD)
    with pytest.raises(RuntimeError):
        codec.next_exchange()
    codec = serving(GET)
    with pytest.raises(RuntimeError):
        codec.next_exchange()


def test_a_sized_response() -> None:
    codec = serving(GET)
    codec.send_headers(1, 200, Headers([(b"content-length", b"4"), (b"x", b"y")]), end_stream=False)
    codec.send_data(1, b"ab")
    codec.send_data(1, b"cd")
    codec.send_end(1)
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx: y\r\n\r\nabcd"
    assert codec.take_output() == b""
    assert codec.keep_alive


def test_a_chunked_response_with_trailers() -> None:
    codec = serving(GET)
    codec.send_headers(1, 200, NO_HEADERS, end_stream=False)
    codec.send_data(1, b"ab")
    codec.send_end(1, Headers([(b"x-sum", b"1")]))
    assert codec.take_output() == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n"
    )


def test_head_keeps_the_length_and_drops_the_body() -> None:
    codec = serving(HEAD)
    codec.send_headers(1, 200, Headers([(b"content-length", b"4")]), end_stream=False)
    codec.send_data(1, b"abcd")
    codec.send_end(1)
    assert codec.take_output() == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert codec.keep_alive


def test_informational_responses_come_first() -> None:
    codec = serving(GET)
    codec.send_informational(1, 100, NO_HEADERS)
    codec.send_informational(1, 103, Headers([(b"link", b"</a>")]))
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert codec.take_output().startswith(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Unknown\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"
    )
    with pytest.raises(RuntimeError):
        codec.send_informational(1, 100, NO_HEADERS)


@pytest.mark.parametrize("status", [101, 99, 200])
def test_what_is_not_informational(status: int) -> None:
    with pytest.raises(CodecError):
        serving(GET).send_informational(1, status, NO_HEADERS)


@pytest.mark.parametrize("status", [0, 100, 101, 199, 1000])
def test_what_is_not_a_final_status(status: int) -> None:
    codec = serving(GET)
    with pytest.raises(CodecError) as caught:
        codec.send_headers(1, status, NO_HEADERS, end_stream=True)
    assert caught.value.status == 502
    codec.send_headers(1, 502, NO_HEADERS, end_stream=True)


def test_either_side_may_end_the_connection() -> None:
    asked = serving(request(b"GET / HTTP/1.1", b"Host: a", b"Connection: close"))
    assert not asked.keep_alive
    asked.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert asked.take_output().count(b"connection: close\r\n") == 1
    ended = serving(GET)
    assert ended.keep_alive
    ended.send_headers(1, 200, Headers([(b"connection", b"close")]), end_stream=True)
    assert ended.take_output().count(b"connection: close\r\n") == 1
    assert not ended.keep_alive


def test_a_body_longer_than_promised_is_not_sent() -> None:
    codec = serving(GET)
    codec.send_headers(1, 200, Headers([(b"content-length", b"2")]), end_stream=False)
    codec.take_output()
    with pytest.raises(CodecError) as caught:
        codec.send_data(1, b"abc")
    assert caught.value.status == 0
    assert codec.take_output() == b""
    assert not codec.keep_alive


def test_a_body_shorter_than_promised_ends_the_connection() -> None:
    codec = serving(GET)
    codec.send_headers(1, 200, Headers([(b"content-length", b"2")]), end_stream=False)
    codec.send_data(1, b"a")
    with pytest.raises(CodecError):
        codec.send_end(1)
    assert not codec.keep_alive


def test_one_response_for_one_request() -> None:
    codec = serving(GET)
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    with pytest.raises(RuntimeError):
        codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    with pytest.raises(RuntimeError):
        codec.send_data(1, b"x")
    with pytest.raises(RuntimeError):
        codec.send_end(1)
    with pytest.raises(RuntimeError):
        serving(GET).send_data(1, b"x")


def test_a_refused_request_can_be_answered() -> None:
    codec = H1ServerCodec()
    error = refused(b"nonsense\r\n\r\n", codec)
    codec.send_headers(1, error.status, NO_HEADERS, end_stream=False)
    codec.send_data(1, error.body.encode())
    codec.send_end(1)
    assert codec.take_output().startswith(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n")


def test_the_client_leaves_between_requests() -> None:
    assert H1ServerCodec().receive(b"") == [ConnectionEnded()]
    codec = serving(GET)
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    codec.next_exchange()
    assert codec.receive(b"") == [ConnectionEnded()]


def test_the_client_leaves_while_it_waits_for_the_answer() -> None:
    codec = serving(GET)
    assert codec.receive(b"") == [ConnectionEnded()]
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert codec.next_exchange() == [ConnectionEnded()]


def test_the_client_leaves_with_requests_waiting() -> None:
    codec = serving(GET + GET + GET[:10])
    assert codec.receive(b"") == [ConnectionEnded()]
    codec.send_headers(1, 200, NO_HEADERS, end_stream=True)
    assert isinstance(codec.next_exchange()[0], RequestReceived)
    codec.send_headers(2, 200, NO_HEADERS, end_stream=True)
    with pytest.raises(CodecError):
        codec.next_exchange()


@pytest.mark.parametrize(
    "raw",
    [GET[:-1], b"G", UPLOAD + b"abc", request(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked")],
)
def test_the_client_leaves_in_the_middle(raw: bytes) -> None:
    codec = serving(raw)
    with pytest.raises(CodecError) as caught:
        codec.receive(b"")
    assert (caught.value.status, caught.value.detail) == (0, "downstream_remote_disconnect")
    assert not codec.keep_alive


def test_begun_tells_of_bytes_without_events() -> None:
    codec = H1ServerCodec()
    assert not codec.begun
    codec.receive(GET[:5])
    assert codec.begun
    codec.receive(GET[5:])
    assert not codec.begun


def test_http_10() -> None:
    raw = request(b"GET / HTTP/1.0", b"Host: a", b"Connection: keep-alive", b"Expect: 100-continue")
    codec = H1ServerCodec(accept_http_10=True)
    (head,) = codec.receive(raw)
    assert isinstance(head, RequestReceived)
    assert (head.protocol, head.expect_continue) == ("HTTP/1.0", False)
    codec.send_informational(1, 100, NO_HEADERS)
    codec.send_headers(1, 200, NO_HEADERS, end_stream=False)
    codec.send_data(1, b"body")
    codec.send_end(1)
    assert codec.take_output() == b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nbody"
    assert not codec.keep_alive


def test_http_10_may_leave_out_the_host() -> None:
    raw = request(b"GET / HTTP/1.0")
    assert refused(raw, H1ServerCodec(accept_http_10=True)).detail == "missing_host_header"
    (head,) = H1ServerCodec(accept_http_10=True, default_host_for_http_10=b"default").receive(raw)
    assert isinstance(head, RequestReceived)
    assert head.authority == b"default"
    codec = H1ServerCodec(accept_http_10=True, default_host_for_http_10=b"default")
    assert refused(request(b"GET / HTTP/1.1"), codec).detail == "missing_host_header"


def test_http_10_cannot_upgrade() -> None:
    raw = request(b"GET / HTTP/1.0", b"Host: a", b"Connection: upgrade", b"Upgrade: websocket")
    (head,) = H1ServerCodec(accept_http_10=True).receive(raw)
    assert isinstance(head, RequestReceived)
    assert head.upgrade == ""


def test_custom_methods() -> None:
    raw = request(b"BREW / HTTP/1.1", b"Host: a")
    assert refused(raw).status == 400
    assert H1ServerCodec(allow_custom_methods=True).receive(raw)


def test_a_tunnel_passes_everything_both_ways() -> None:
    codec = serving(request(b"GET / HTTP/1.1", b"Host: a", b"Connection: upgrade", b"Upgrade: x", body=b"early"))
    codec.send_headers(1, 101, Headers([(b"connection", b"upgrade"), (b"upgrade", b"x")]), end_stream=False)
    assert codec.take_output() == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    assert not codec.keep_alive
    assert codec.next_exchange() == [DataReceived(1, b"early")]
    assert codec.receive(b"GET / HTTP/1.1\n\n\x00") == [DataReceived(1, b"GET / HTTP/1.1\n\n\x00")]
    codec.send_data(1, b"\x00raw")
    assert codec.take_output() == b"\x00raw"
    assert codec.receive(b"") == [StreamEnded(1)]
    codec.send_end(1)
    assert codec.take_output() == b""


def test_a_tunnel_behind_an_upgrade_with_a_body() -> None:
    codec = serving(
        request(b"GET / HTTP/1.1", b"Host: a", b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 2", body=b"hi!")
    )
    codec.send_headers(1, 101, NO_HEADERS, end_stream=False)
    assert codec.next_exchange() == [DataReceived(1, b"!")]
