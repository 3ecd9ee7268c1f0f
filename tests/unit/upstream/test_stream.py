"""One exchange: events in order, both directions at once, and when a connection is given back."""

from __future__ import annotations

import pytest
import trio

from proxy.errors import ProxyError
from proxy.http.events import DataReceived, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, Rig, answering, origin, read_body, read_head


@run_trio
async def test_events_in_order() -> None:
    response = b"HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n" + OK
    async with origin(answering(response)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        assert not stream.pending
        kinds = [type(await stream.receive())]
        assert stream.pending
        kinds += [type(await stream.receive()) for _ in range(3)]
        assert kinds == [InformationalReceived, ResponseReceived, DataReceived, StreamEnded]
        assert stream.bytes_received == len(response)
        assert not stream.reused
        stream.close()
        assert [rig.stat("rq_103"), rig.stat("rq_200")] == [1, 1]
        again = await rig.cluster.open_stream()
        assert again.reused
        again.close()


@run_trio
async def test_the_request_arrives_as_sent() -> None:
    seen = b""

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal seen
        while not seen.endswith(b"0\r\n\r\n"):
            seen += await stream.receive_some()
        await stream.send_all(OK)
        await stream.receive_some()

    async with origin(serve) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"POST", b"/p?q", b"h:1", Headers([(b"x-a", b"1")]), end_stream=False)
        await stream.send_data(b"abc")
        await stream.send_end()
        assert await read_body(stream) == b"ok"
        assert stream.bytes_sent == len(seen)
        stream.close()
        assert rig.stat("cx_active") == 1
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [b"POST /p?q HTTP/1.1", b"host: h:1", b"x-a: 1", b"transfer-encoding: chunked"]
    assert body == b"3\r\nabc\r\n0\r\n\r\n"


@run_trio
async def test_both_directions_at_once_with_backpressure() -> None:
    size, piece = 8 << 20, 1 << 16

    async def echo(stream: trio.SocketStream) -> None:
        head = await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        data = head.partition(b"\r\n\r\n")[2]
        while data:
            await stream.send_all(data)
            data = await stream.receive_some(piece)

    async with origin(echo) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        headers = Headers([(b"content-length", b"%d" % size)])
        await stream.send_request(b"POST", b"/", b"h", headers, end_stream=False)

        async def upload() -> None:
            for _ in range(size // piece):
                await stream.send_data(bytes(piece))
            await stream.send_end()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload)
            assert await read_body(stream) == bytes(size)
        stream.close()
        assert [rig.stat("cx_active"), rig.stat("rq_200")] == [1, 1]


@run_trio
async def test_a_response_that_was_not_read_to_its_end_is_not_pooled() -> None:
    async with origin(answering(OK)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        assert isinstance(await stream.receive(), ResponseReceived)
        stream.close()
        assert rig.in_use() == {}
        assert rig.stat("cx_destroy_local_with_active_rq") == 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        (b"GE T", b"/", Headers(), b""),
        (b"GET", b"/a b", Headers(), b""),
        (b"GET", b"/", Headers([(b"x", b"a\r\nb: c")]), b""),
        (b"POST", b"/", Headers([(b"content-length", b"2")]), b"abc"),
    ],
)
@run_trio
async def test_what_cannot_be_written_never_reaches_the_wire(
    method: bytes, path: bytes, headers: Headers, body: bytes
) -> None:
    async with origin(answering(OK)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()

        async def send() -> None:
            await stream.send_request(method, path, b"h", headers, end_stream=not body)
            await stream.send_data(body)

        with pytest.raises(ProxyError) as caught:
            await send()
        stream.close()
        assert caught.value.side == "internal"
        assert rig.in_use() == {}
        assert await rig.get() == b"ok"


@run_trio
async def test_junk_behind_a_head_is_a_bad_gateway_as_long_as_nothing_was_passed_on() -> None:
    response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"
    async with origin(answering(response)) as server, Rig(server.address) as rig:
        with pytest.raises(ProxyError) as caught:
            await rig.get()
        assert (caught.value.status, rig.stat("rq_502")) == (502, 1)
