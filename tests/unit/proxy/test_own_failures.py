"""Which requests count as failed by our own doing: what a canary is judged by."""

from __future__ import annotations

import pytest

from proxy.config.common import SocketAddress
from proxy.net.connection import Connection
from proxy.snapshot import Listener
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, serving, until
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


@run_trio
@pytest.mark.parametrize(("owner", "failing"), [(Listener, "log"), (Connection, "close")])
async def test_an_end_that_fails_is_of_one_connection_alone(
    owner: type, failing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    really = getattr(owner, failing)

    def fail(*args: object) -> None:
        really(*args)
        raise OSError("injected")

    async with serving(compiled(NOBODY)) as rig, await rig.connect() as client:
        with monkeypatch.context() as patch:
            patch.setattr(owner, failing, fail)
            assert b" 400 " in await rig.ask(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: rig.server.connections <= 1)
        await client.send(GET)
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 503")
    assert "listener l: the end of a connection failed" in caplog.text
