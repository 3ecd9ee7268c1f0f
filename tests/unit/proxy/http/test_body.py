"""The request body as a filter pulls it: piece by piece, whole, within a limit, and with `100 Continue`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Flag, ProxyError
from proxy.http.body import RequestBody
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.deadlines import Deadlines
from proxy.http.downstream import H1Downstream
from proxy.http.events import RequestReceived
from proxy.http.stream_info import StreamInfo
from proxy.limits import SMALL_BODY
from proxy.net.connection import Connection

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"


class Rig:
    """A body behind its head, and the client's end of the connection."""

    def __init__(self, ours: socket.socket, client: socket.socket) -> None:
        self.client = client
        self.info = StreamInfo(0.0)
        self.connection = Connection(ours, trio.CancelScope())
        self.downstream = H1Downstream(self.connection, H1ServerCodec())
        self.body: RequestBody

    async def begin(self, data: bytes) -> RequestBody:
        """The body of the request in `data`, the client's first bytes."""
        self.client.send(data)
        event = await self.downstream.receive()
        assert isinstance(event, RequestReceived)
        self.info.stream_id, self.info.request_complete = event.stream_id, event.end_stream
        self.body = RequestBody(self.downstream, Deadlines(0.0, 0.0), self.info, expect_continue=event.expect_continue)
        return self.body


@contextmanager
def rig() -> Iterator[Rig]:
    ours, client = socket.socketpair()
    ours.setblocking(False)
    client.setblocking(False)
    found = Rig(ours, client)
    try:
        yield found
    finally:
        found.connection.close()
        client.close()


def test_pieces_come_as_they_arrive_and_then_the_end() -> None:
    async def check() -> None:
        with rig() as r:
            body = await r.begin(HEAD % 5 + b"ab")
            assert not body.ended
            assert not body.is_small
            assert await body.read() == b"ab"
            r.client.send(b"cde")
            assert body.is_small is False  # not here yet, as far as we know
            assert await body.read() == b"cde"
            assert await body.read() == b""
            assert await body.read() == b""
            assert body.ended
            assert r.info.request_complete
            assert r.info.bytes_received == 5

    trio.run(check)


def test_a_request_without_a_body_has_ended() -> None:
    async def check() -> None:
        with rig() as r:
            body = await r.begin(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert body.ended
            assert await body.read() == b""
            assert await body.read_all(0) == b""

    trio.run(check)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 210))
def test_read_all_gives_the_whole_within_its_limit_and_leaves_it_to_be_read(data: bytes, limit: int) -> None:
    async def check() -> None:
        with rig() as r:
            body = await r.begin(HEAD % len(data) + data)
            if len(data) > limit:
                with pytest.raises(ProxyError) as caught:
                    await body.read_all(limit)
                assert caught.value.status == 413
                assert caught.value.close
                return
            assert await body.read_all(limit) == data
            assert r.info.request_complete
            assert not body.ended
            assert body.is_small
            assert await body.read_all(limit) == data
            assert await body.read() == data
            assert await body.read() == b""
            assert body.ended
            assert r.info.bytes_received == len(data)

    trio.run(check)


def test_small_means_here_and_small() -> None:
    async def check() -> None:
        for size, small in [(SMALL_BODY, True), (SMALL_BODY + 1, False)]:
            with rig() as r:
                assert (await r.begin(HEAD % size + bytes(size))).is_small is small

    trio.run(check)


def test_trailers_are_told_at_the_end() -> None:
    async def check() -> None:
        with rig() as r:
            head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            body = await r.begin(head + b"1\r\nx\r\n0\r\nx-t: 1\r\n\r\n")
            assert await body.read() == b"x"
            assert body.trailers is None
            assert await body.read() == b""
            assert body.trailers is not None
            assert body.trailers.items == [(b"x-t", b"1")]

    trio.run(check)


def test_100_continue_is_sent_with_the_first_read_and_once() -> None:
    async def check() -> None:
        with rig() as r:
            body = await r.begin(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert not body.is_small
            with pytest.raises(BlockingIOError):
                r.client.recv(1)
            await body.send_continue()
            await body.send_continue()
            assert r.client.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
            r.client.send(b"ab")
            assert await body.read_all(9) == b"ab"
            assert r.info.continued
            with pytest.raises(BlockingIOError):
                r.client.recv(1)

    trio.run(check)


@pytest.mark.parametrize(
    ("rest", "flag"),
    [
        (b"", Flag.DOWNSTREAM_CONNECTION_TERMINATION),
        (b"zz\r\n", Flag.DOWNSTREAM_PROTOCOL_ERROR),
    ],
)
def test_a_client_that_leaves_or_lies_within_the_body(rest: bytes, flag: Flag) -> None:
    async def check() -> None:
        with rig() as r:
            body = await r.begin(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            r.client.send(rest)
            r.client.shutdown(socket.SHUT_WR)
            with pytest.raises(ProxyError) as caught:
                await body.read()
            assert caught.value.flag is flag

    trio.run(check)
