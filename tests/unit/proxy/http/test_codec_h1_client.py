from __future__ import annotations

import pytest

from proxy.http.codec import ClientCodec, CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.events import ConnectionEnded, DataReceived, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from tests.unit.proxy.http.h1_helpers import NO_HEADERS, asking, refused_response, response

EMPTY = response(b"HTTP/1.1 200 OK", b"Content-Length: 0")
OFFER = Headers([(b"connection", b"upgrade"), (b"upgrade", b"x")])
SIZED = Headers([(b"content-length", b"4")])


def test_it_is_the_seam() -> None:
    codec: ClientCodec = H1ClientCodec()
    assert codec.reusable


def test_requests_on_one_connection() -> None:
    codec = H1ClientCodec()
    for number in (1, 2, 3):
        assert codec.send_request(b"GET", b"/x?y", b"a:1", Headers([(b"x", b"y")]), end_stream=True) == number
        assert codec.take_output() == b"GET /x?y HTTP/1.1\r\nhost: a:1\r\nx: y\r\n\r\n"
        assert not codec.reusable
        (head,) = codec.receive(EMPTY)
        assert isinstance(head, ResponseReceived)
        assert (head.stream_id, head.end_stream) == (number, True)
        assert codec.reusable


def test_a_request_with_a_sized_body() -> None:
    codec = H1ClientCodec()
    codec.send_request(b"PUT", b"/", b"a", SIZED, end_stream=False)
    codec.send_data(1, b"ab")
    codec.send_data(1, b"cd")
    codec.send_end(1)
    assert codec.take_output() == b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nabcd"


def test_a_request_with_a_chunked_body_and_trailers() -> None:
    codec = H1ClientCodec()
    codec.send_request(b"PUT", b"/", b"a", NO_HEADERS, end_stream=False)
    codec.send_data(1, b"ab")
    codec.send_end(1, Headers([(b"x-sum", b"1")]))
    assert codec.take_output() == (
        b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n"
    )


def test_connect_names_its_authority() -> None:
    codec = H1ClientCodec()
    codec.send_request(b"CONNECT", b"", b"a:443", NO_HEADERS, end_stream=True)
    assert codec.take_output() == b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"


def test_the_connection_carries_one_request_at_a_time() -> None:
    codec = asking()
    with pytest.raises(RuntimeError):
        codec.send_request(b"GET", b"/", b"a", NO_HEADERS, end_stream=True)
    with pytest.raises(RuntimeError):
        codec.send_data(1, b"x")


@pytest.mark.parametrize("sent", [b"abc", b"abcde"])
def test_a_request_body_of_another_length_than_promised(sent: bytes) -> None:
    codec = asking(b"PUT", SIZED, end_stream=False)
    with pytest.raises(CodecError):
        send_all(codec, sent)
    codec.receive(EMPTY)
    assert not codec.reusable


def send_all(codec: H1ClientCodec, data: bytes) -> None:
    codec.send_data(1, data)
    codec.send_end(1)


def test_a_response_in_pieces() -> None:
    codec = asking()
    first, second = b"HTTP/1.1 200 ", b"OK\r\nContent-Length: 4\r\n\r\n"
    assert codec.receive(first) == []
    assert codec.receive(second) == [ResponseReceived(1, 200, "HTTP/1.1", SIZED, end_stream=False, head=first + second)]
    assert codec.receive(b"abc") == [DataReceived(1, b"abc")]
    assert not codec.reusable
    assert codec.receive(b"d") == [DataReceived(1, b"d"), StreamEnded(1)]
    assert codec.reusable


def test_interim_responses() -> None:
    codec = asking()
    going_on, early = response(b"HTTP/1.1 100 Continue"), response(b"HTTP/1.1 103 Early", b"Link: a")
    events = codec.receive(going_on + early + EMPTY)
    assert events[:2] == [
        InformationalReceived(1, 100, NO_HEADERS, going_on),
        InformationalReceived(1, 103, Headers([(b"link", b"a")]), early),
    ]
    assert codec.reusable


@pytest.mark.parametrize(
    "raw",
    [
        response(b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: 0"),
        response(b"HTTP/1.0 200 OK", b"Connection: keep-alive", b"Content-Length: 0"),
        EMPTY + b"x",
    ],
)
def test_responses_that_end_the_connection(raw: bytes) -> None:
    codec = asking()
    codec.receive(raw)
    assert not codec.reusable


def test_a_request_that_ends_the_connection() -> None:
    codec = asking(headers=Headers([(b"connection", b"close")]))
    codec.receive(EMPTY)
    assert not codec.reusable


def test_a_response_until_close() -> None:
    codec = asking()
    events = codec.receive(response(b"HTTP/1.1 200 OK", body=b"abc"))
    assert events[1:] == [DataReceived(1, b"abc")]
    assert codec.receive(b"") == [StreamEnded(1)]
    assert not codec.reusable


def test_the_upstream_leaves_instead_of_answering() -> None:
    codec = asking()
    with pytest.raises(CodecError) as caught:
        codec.receive(b"")
    assert (caught.value.status, caught.value.detail) == (503, "connection_termination")
    assert not codec.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n",
        response(b"HTTP/1.1 200 OK", b"Content-Length: 4", body=b"abc"),
        response(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", body=b"1\r\na\r\n"),
    ],
)
def test_the_upstream_leaves_in_the_middle(raw: bytes) -> None:
    codec = asking()
    codec.receive(raw)
    assert refused_response(b"", codec).detail == "http1.truncated_response"


def test_the_upstream_leaves_between_requests() -> None:
    codec = asking()
    codec.receive(EMPTY)
    assert codec.receive(b"") == [ConnectionEnded()]
    assert not codec.reusable


def test_a_connection_that_ended_with_its_response_is_not_used_again() -> None:
    codec = asking()
    codec.receive(EMPTY[:-1])
    codec.receive(b"\n")
    codec.receive(b"")
    assert not codec.reusable
    with pytest.raises(RuntimeError):
        codec.send_request(b"GET", b"/", b"a", NO_HEADERS, end_stream=True)


def test_a_tunnel_after_101() -> None:
    codec = asking(headers=OFFER)
    events = codec.receive(response(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: x", body=b"\x00early"))
    assert isinstance(events[0], ResponseReceived)
    assert events[0].status == 101
    assert events[1:] == [DataReceived(1, b"\x00early")]
    codec.send_data(1, b"\x00raw")
    assert codec.take_output() == b"\x00raw"
    assert codec.receive(b"HTTP/1.1") == [DataReceived(1, b"HTTP/1.1")]
    assert codec.receive(b"") == [StreamEnded(1)]
    codec.send_data(1, b"more")
    codec.send_end(1)
    assert codec.take_output() == b"more"
    assert not codec.reusable


def test_nothing_may_be_sent_before_the_tunnel_stands() -> None:
    codec = H1ClientCodec()
    codec.send_request(b"CONNECT", b"", b"a:443", NO_HEADERS, end_stream=True)
    with pytest.raises(RuntimeError):
        codec.send_data(1, b"x")
    codec.receive(response(b"HTTP/1.1 200 OK", b"Content-Length: 5"))
    codec.take_output()
    codec.send_data(1, b"x")
    assert codec.take_output() == b"x"
    assert codec.receive(b"123456") == [DataReceived(1, b"123456")]


def test_an_offer_needs_both_fields() -> None:
    codec = asking(headers=Headers([(b"upgrade", b"x")]))
    refused_response(response(b"HTTP/1.1 101 Switching Protocols"), codec)
