"""Our own gRPC client, of a server that is not ours (grpcio)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.http.grpc import GrpcStatus
from proxy.http.grpc_messages import GrpcError
from proxy.upstream.cluster import Cluster
from proxy.upstream.grpc_client import GrpcClient
from tests.kit.grpc_server import SERVICE, GrpcServer, pack, unpack
from tests.unit.upstream.h2_rig import H2Rig


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcServer]:
    with GrpcServer() as server:
        yield server


def rig(server: GrpcServer) -> H2Rig:
    return H2Rig(SocketAddress("127.0.0.1", server.port))


class One:
    """The cluster `c` alone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, name: str) -> Cluster | None:
        return self._cluster if name == "c" else None


def client(of: H2Rig, **options: int) -> GrpcClient:
    return GrpcClient(One(of.cluster), "c", **options)  # type: ignore[arg-type]


def test_a_call_and_its_answer(server: GrpcServer) -> None:
    async def main() -> None:
        async with rig(server) as of:
            request = pack({"sizes": [7]}, b"abc")
            fields, payload = unpack(await client(of).unary(SERVICE, "UnaryCall", request, timeout=20))
            assert (fields["received"], payload) == (3, b"a" * 7)
            assert await client(of).unary(SERVICE, "EmptyCall", b"", timeout=20) == b""
            assert of.stat("rq_total") == 2
            assert of.stat("cx_total") == 1
            assert of.in_use() in ({"CONNECTIONS": 1, "cx_active": 1, "CX_ACTIVE": 1}, {})

    trio.run(main)


def test_a_large_message_each_way(server: GrpcServer) -> None:
    async def main() -> None:
        async with rig(server) as of:
            request = pack({"sizes": [8_000_000]}, b"x" * 8_000_000)
            answer = await client(of, max_message=9_000_000).unary(SERVICE, "UnaryCall", request, timeout=60)
            assert unpack(answer)[0]["received"] == 8_000_000
            assert len(unpack(answer)[1]) == 8_000_000

    trio.run(main)


def failure(server: GrpcServer, method: str, message: bytes, *, timeout: float = 20.0, **options: int) -> GrpcError:
    """How a call fails."""

    async def main() -> GrpcError:
        async with rig(server) as of:
            with pytest.raises(GrpcError) as caught:
                await client(of, **options).unary(SERVICE, method, message, timeout=timeout)
            assert await client(of).unary(SERVICE, "EmptyCall", b"", timeout=20) == b""  # and the next one does not
            return caught.value

    return trio.run(main)


def test_statuses_with_their_words(server: GrpcServer) -> None:
    error = failure(server, "UnaryCall", pack({"code": 9, "text": "not yet: 100 % ☺"}))
    assert (error.status, error.message) == (GrpcStatus.FAILED_PRECONDITION, "not yet: 100 % ☺")
    assert failure(server, "Nothing", b"").status is GrpcStatus.UNIMPLEMENTED


def test_a_deadline(server: GrpcServer) -> None:
    error = failure(server, "UnaryCall", pack({"sleep": 30}), timeout=0.3)
    assert error.status is GrpcStatus.DEADLINE_EXCEEDED


def test_an_answer_that_is_too_large(server: GrpcServer) -> None:
    error = failure(server, "UnaryCall", pack({"sizes": [5000]}), max_message=4000)
    assert error.status is GrpcStatus.RESOURCE_EXHAUSTED


def test_messages_both_ways_at_once(server: GrpcServer) -> None:
    async def main() -> None:
        async with rig(server) as of, client(of).call(SERVICE, "FullDuplexCall") as call:
            for size in (3, 50_000, 0, 17):
                await call.send(pack({"sizes": [size, 1]}))
                for expected in (size, 1):
                    answer = await call.receive()
                    assert answer is not None
                    assert len(unpack(answer)[1]) == expected
            await call.end()
            assert await call.receive() is None

    trio.run(main)


def test_many_calls_share_a_connection(server: GrpcServer) -> None:
    async def main() -> None:
        async with rig(server) as of:
            answers: list[bytes] = []

            async def ask() -> None:
                request = pack({"sizes": [1], "sleep": 0.05})
                answers.append(await client(of).unary(SERVICE, "UnaryCall", request, timeout=60))

            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(ask)
            assert len(answers) == 200
            assert of.stat("cx_total") <= 3

    trio.run(main)


def test_whoever_leaves_cancels(server: GrpcServer) -> None:
    async def main() -> None:
        async with rig(server) as of:
            before = unpack(await client(of).unary(SERVICE, "Told", b"", timeout=20))[0]["cancelled"]
            async with client(of).call(SERVICE, "StreamingOutputCall") as call:
                await call.send(pack({"sizes": [1] * 1000, "interval": 0.05}), last=True)
                assert await call.receive() is not None
            with trio.fail_after(20):
                while True:
                    told = unpack(await client(of).unary(SERVICE, "Told", b"", timeout=20))[0]
                    if told["cancelled"] > before:
                        break
                    await trio.sleep(0.02)
            assert of.stat("rq_tx_reset") == 1

    trio.run(main)


def test_nobody_there() -> None:
    async def main() -> None:
        async with H2Rig(SocketAddress("127.0.0.1", 1)) as of:
            with pytest.raises(GrpcError) as caught:
                await client(of).unary("s.S", "M", b"", timeout=20)
            assert caught.value.status is GrpcStatus.UNAVAILABLE
            assert "refused" in caught.value.message
            with pytest.raises(GrpcError) as caught:
                await GrpcClient(One(of.cluster), "other").unary("s.S", "M", b"", timeout=20)
            assert "no cluster 'other'" in caught.value.message

    trio.run(main)
