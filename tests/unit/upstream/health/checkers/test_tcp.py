"""TCP checks of an origin on real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from proxy.config.common import PipeAddress
from proxy.config.health_check import TcpCheck
from proxy.upstream.health.checkers.tcp import TcpChecker
from proxy.upstream.health.verdicts import Failure, Result
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import TargetRig
from tests.unit.upstream.rig import origin

PING = TcpCheck(send=b"ping", receive=(b"po", b"ng"))


async def ponging(stream: trio.SocketStream) -> None:
    async for data in stream:
        for piece in (b"-p", b"o", b"n", b"g\n") if data == b"ping" else (b"what?",):
            await stream.send_all(piece)


@run_trio
async def test_a_connection_is_enough() -> None:
    give, got = trio.open_memory_channel[bytes](2)

    async def serve(stream: trio.SocketStream) -> None:
        give.send_nowait(await stream.receive_some())

    async with origin(serve) as server:
        rig = TargetRig(TcpCheck(send=b"x"), server.address)
        checker = TcpChecker(rig.target)
        for _ in range(2):
            assert await checker.check() == Result()
        assert [await got.receive() for _ in range(2)] == [b"", b""]  # nothing is sent, as in Envoy
        assert rig.counted() == {}


@pytest.mark.parametrize(("reuses", "connections"), [(True, 1), (False, 3)])
@run_trio
async def test_an_answer_in_pieces(reuses: bool, connections: int) -> None:
    async with origin(ponging) as server:
        checker = TcpChecker(TargetRig(PING, server.address, reuse_connection=reuses).target)
        for _ in range(3):
            assert await checker.check() == Result()
        assert server.accepted == connections
        checker.close()


@run_trio
async def test_who_closes_instead_has_failed() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with origin(serve) as server:
        assert await TcpChecker(TargetRig(PING, server.address).target).check() == Result(Failure.NETWORK)


@run_trio
async def test_who_closes_between_two_checks_has_failed() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"pong")

    async with origin(serve) as server:
        checker = TcpChecker(TargetRig(PING, server.address).target)
        assert await checker.check() == Result()
        assert await checker.watch() == Result(Failure.NETWORK)
        assert await checker.check() == Result()
        checker.close()


@run_trio
async def test_nobody_is_there(tmp_path: Path) -> None:
    async with origin(ponging) as server:
        pass
    for address in (server.address, PipeAddress(str(tmp_path / "none.sock"))):
        assert await TcpChecker(TargetRig(PING, address).target).check() == Result(Failure.NETWORK)
