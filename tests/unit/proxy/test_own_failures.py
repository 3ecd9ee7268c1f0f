"""Which requests count as failed by our own doing: what a canary is judged by."""

from __future__ import annotations

import pytest

from proxy.config.common import SocketAddress
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, serving
from tests.unit.upstream.rig import OK, answering, origin

NOBODY = SocketAddress("127.0.0.1", 1)
DOWN = b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n"


@run_trio
@pytest.mark.parametrize("response", [OK, DOWN])
async def test_what_an_upstream_answers_does_not(response: bytes) -> None:
    async with origin(answering(response)) as upstream, serving(compiled(upstream.address)) as rig:
        for _ in range(3):
            await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        await rig.quiet()
        assert (rig.server.requests, rig.server.requests_failed) == (3, 0)


@run_trio
async def test_what_we_answer_for_want_of_an_upstream_does() -> None:
    async with serving(compiled(NOBODY)) as rig, await rig.connect() as client:
        for _ in range(3):
            await client.send(GET)
            head, _ = await client.response()
            assert head.startswith(b"HTTP/1.1 503")
        assert (rig.server.requests, rig.server.requests_failed) == (3, 3)


@run_trio
async def test_a_client_that_is_wrong_does_not() -> None:
    async with serving(compiled(NOBODY)) as rig:
        assert b" 400 " in await rig.ask(b"GET / HTTP/1.1\r\n\r\n")
        await rig.quiet()
        assert rig.server.requests_failed == 0
