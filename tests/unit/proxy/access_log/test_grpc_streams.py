"""Streams to access log services that are not there, or come to their end."""

from __future__ import annotations

from typing import Any

import trio

from proxy.access_log.grpc_streams import GrpcLogStreams, StreamKey
from proxy.config.grpc_service import GrpcService
from proxy.stats import MemoryStats
from proxy.upstream.cluster import Cluster
from tests.kit.trio import run_trio

KEY = StreamKey(GrpcService("als"), "log", "http", 1.0, 100)


class Nobody:
    """No cluster at all."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, name: str) -> Cluster | None:
        self.asked += 1
        return None


def pack(entries: list[Any], first: bool) -> bytes:
    return b"".join(entries)


@run_trio(virtual_time=True, deadline=1000)
async def test_a_service_that_is_not_there_is_asked_less_and_less_often() -> None:
    stats, clusters = MemoryStats(), Nobody()
    streams = GrpcLogStreams(clusters, stats)
    stream = streams.stream(KEY, pack)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(streams.run)
        stream.add(b"x", 1)
        await trio.sleep(600)
        assert 15 < clusters.asked < 60
        nursery.cancel_scope.cancel()


@run_trio(virtual_time=True, deadline=1000)
async def test_the_end_waits_for_no_service_that_is_not_there() -> None:
    stats, clusters = MemoryStats(), Nobody()
    streams = GrpcLogStreams(clusters, stats)
    stream = streams.stream(KEY, pack)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(streams.run)
        stream.add(b"x", 1)
        await trio.sleep(100)  # it pauses now
        began = trio.current_time()
        await streams.finish(5)
        assert trio.current_time() - began < 1
        assert stats.value("access_logs.grpc_access_log.logs_dropped") == 1
        nursery.cancel_scope.cancel()


@run_trio(virtual_time=True, deadline=1000)
async def test_what_finds_no_room_is_dropped() -> None:
    stats = MemoryStats()
    stream = GrpcLogStreams(Nobody(), stats).stream(KEY, pack)
    for _ in range(10):
        stream.add(b"x", 1024 * 1024)
    assert stats.value("access_logs.grpc_access_log.logs_written") == 8
    assert stats.value("access_logs.grpc_access_log.logs_dropped") == 2
