"""What is at hand goes to the upstream together: head, body and end cost one system call, and wake the host once."""

from __future__ import annotations

import pytest
import trio

from proxy.config.common import PluginConfig
from proxy.filters.http.buffer import Buffer
from proxy.upstream.http1_connection import Http1Connection
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import compiled, plugin, serving
from tests.unit.upstream.rig import OK, answering, origin, read_head

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\n"
SIZED = HEAD + b"content-length: 3\r\n\r\n", b"abc"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n", b"9000\r\n" + bytes(0x9000) + b"\r\n0\r\n\r\n"
BUFFER = plugin("b", "envoy.extensions.filters.http.buffer.v3.Buffer", Buffer.Config(1 << 20))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was sent to upstreams, send by send."""
    sent: list[bytes] = []
    send = Http1Connection.send

    async def recorded(self: Http1Connection, data: bytes) -> None:
        sent.append(data)
        await send(self, data)

    monkeypatch.setattr(Http1Connection, "send", recorded)
    return sent


@run_trio
@pytest.mark.parametrize("filters", [(), (BUFFER,)], ids=["streamed", "buffered"])
@pytest.mark.parametrize(("head", "body"), [SIZED, CHUNKED], ids=["sized", "chunked"])
async def test_a_request_that_is_here_whole_is_sent_whole(
    head: bytes, body: bytes, filters: tuple[PluginConfig, ...], sent: list[bytes]
) -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address, filters=filters)) as rig:
        client = await rig.connect()
        await client.send(head + body)
        await client.response()
    (everything,) = sent
    assert everything.startswith(b"POST / HTTP/1.1\r\n")
    assert everything.endswith(body if not filters else (b"abc", bytes(0x9000))[len(body) > 3])


@run_trio
async def test_a_head_does_not_wait_for_its_body(sent: list[bytes]) -> None:
    asked = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        assert await stream.receive_some(9) == b"abc"
        await stream.send_all(OK)

    head, body = SIZED
    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(head)
        await asked.wait()
        await client.send(body)
        await client.response()
    assert [data[-3:] for data in sent] == [b"\n\r\n", b"abc"]
