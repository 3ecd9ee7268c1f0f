"""The calls of the gRPC rows, straight to their peer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench import grpc_load
from bench.grpc_peer import GrpcPeer


@pytest.fixture(scope="module")
def peer() -> Iterator[GrpcPeer]:
    with GrpcPeer() as running:
        yield running


def test_every_call_is_answered_and_timed(peer: GrpcPeer) -> None:
    times: list[float] = []
    assert asyncio.run(grpc_load.unary(f"127.0.0.1:{peer.port}", 0.1, times)) == 0
    assert len(times) > 0
    assert min(times) > 0


def test_every_message_of_a_stream_comes_back(peer: GrpcPeer) -> None:
    times: list[float] = []
    assert asyncio.run(grpc_load.stream(f"127.0.0.1:{peer.port}", 200, times)) == 0
    assert len(times) == 200


def test_a_call_that_is_not_answered_counts() -> None:
    times: list[float] = []
    assert asyncio.run(grpc_load.unary("127.0.0.1:1", 0.01, times)) == len(times) > 0
