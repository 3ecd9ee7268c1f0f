"""gRPC checks, of a real gRPC server and of what one may send."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import GrpcCheck
from proxy.http.grpc_messages import GrpcError
from proxy.upstream.health.checkers.grpc import GrpcChecker, _last_number
from proxy.upstream.health.verdicts import Failure, Result
from tests.kit.grpc_server import GrpcServer
from tests.kit.h2_origin import H2Origin
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import TargetRig

SERVES = Result()
FAILS = Result(Failure.ACTIVE)


@pytest.fixture(scope="module")
def server() -> Iterator[SocketAddress]:
    with GrpcServer() as running:
        yield SocketAddress("127.0.0.1", running.port)


@contextlib.asynccontextmanager
async def checking(kind: GrpcCheck, address: SocketAddress, *, reuse: bool = True) -> AsyncIterator[GrpcChecker]:
    rig = TargetRig(kind, address, reuse_connection=reuse)
    async with trio.open_nursery() as nursery:
        await nursery.start(rig.background.run)
        checker = GrpcChecker(rig.target)
        yield checker
        checker.close()
        assert not {name for name in rig.counted() if "upstream" in name}
        nursery.cancel_scope.cancel()


REFUSING = (Mutation(b"x-refuse", "APPEND_IF_EXISTS_OR_ADD", "yes"),)


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (GrpcCheck(), SERVES),
        (GrpcCheck("up"), SERVES),
        (GrpcCheck("down"), FAILS),
        (GrpcCheck("lost"), FAILS),
        (GrpcCheck("s" * 300), SERVES),
        (GrpcCheck(edits=REFUSING), FAILS),
    ],
)
@run_trio
async def test_a_server_says_how_its_services_are(server: SocketAddress, kind: GrpcCheck, result: Result) -> None:
    async with checking(kind, server) as checker:
        assert [await checker.check() for _ in range(2)] == [result] * 2


@run_trio
async def test_a_connection_for_each_check(server: SocketAddress) -> None:
    async with checking(GrpcCheck(), server, reuse=False) as checker:
        assert [await checker.check() for _ in range(2)] == [SERVES] * 2


@run_trio
async def test_a_server_that_is_none() -> None:
    with H2Origin() as origin:
        address = SocketAddress("127.0.0.1", origin.port)
        async with checking(GrpcCheck(), address) as checker:
            assert await checker.check() == FAILS  # it has no grpc-status
    async with checking(GrpcCheck(), address) as checker:
        assert await checker.check() == Result(Failure.NETWORK)


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x01\x08\x02", 2),
        (b"\x08\x81\x00", 1),
        (b"\x12\x03abc\x08\x01", 1),
        (b"\x0d\x00\x00\x00\x00\x08\x01", 1),
        (b"\x09" + bytes(8) + b"\x08\x01", 1),
        (b"\x10\x05\x08\x01", 1),
    ],
)
def test_messages(message: bytes, number: int) -> None:
    assert _last_number(message, 1) == number


@pytest.mark.parametrize("message", [b"\x08", b"\x08\x80", b"\x12\x05abc", b"\x0d\x00", b"\x0b", b"\xff"])
def test_no_messages(message: bytes) -> None:
    with pytest.raises(GrpcError):
        _last_number(message, 1)
