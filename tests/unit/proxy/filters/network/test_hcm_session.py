"""What is left on record of exchanges that end with the server."""

from __future__ import annotations

import pytest
import trio

from tests.integration.test_fields import virtual
from tests.unit.proxy.rig import GET, compiled, serving, until
from tests.unit.upstream.rig import origin

UPLOAD = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n"


async def listening(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("request_", [GET, UPLOAD], ids=["one task", "upload and download"])
@virtual
async def test_a_request_that_is_cut_off_is_told_apart(request_: bytes) -> None:
    async with origin(listening) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(request_)
        await until(lambda: upstream.accepted == 1)
        await trio.sleep(1)  # the express lane has given up waiting
        await rig.stop()
        (record,) = rig.records
        assert (record.flags, record.detail) == ("DC", "downstream_local_disconnect")
