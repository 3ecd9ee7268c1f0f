"""gRPC calls by Google's own library; prints the same line as `load` makes wrk print.

`python -m bench.grpc_load HOST PORT unary SECONDS` calls all the time, on each of a few connections a few at a time;
`… stream MESSAGES` sends so many on one bidirectional stream, and a message is a request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import grpc.aio

from bench.grpc_peer import STREAM, UNARY
from bench.load import MARKER, percentile
from bench.requests import HOST

_CONNECTIONS = 4
_AT_ONCE = 8
_MESSAGE = b"0123456789abcdef" * 8
_WINDOW = 32  # messages of a stream that are on their way


def _channel(target: str) -> grpc.aio.Channel:
    alone = ("grpc.use_local_subchannel_pool", 1)  # else channels to one address share a connection
    return grpc.aio.insecure_channel(target, options=[("grpc.default_authority", HOST), alone])


async def unary(target: str, seconds: float, times: list[float]) -> int:
    """Takes the time of each call in µs; returns how many failed."""
    end = time.monotonic() + seconds
    failed = 0

    async def call(channel: grpc.aio.Channel) -> None:
        nonlocal failed
        method = channel.unary_unary(UNARY)
        while (began := time.monotonic()) < end:
            try:
                answer = await method(_MESSAGE)
            except grpc.aio.AioRpcError:
                answer = b""
            failed += answer != _MESSAGE
            times.append((time.monotonic() - began) * 1e6)

    channels = [_channel(target) for _ in range(_CONNECTIONS)]
    await asyncio.gather(*(call(channel) for channel in channels for _ in range(_AT_ONCE)))
    for channel in channels:
        await channel.close()
    return failed


async def stream(target: str, count: int, times: list[float]) -> int:
    """The same of the messages of one stream."""
    sent: list[float] = []
    room = asyncio.Semaphore(_WINDOW)

    async def messages() -> AsyncIterator[bytes]:
        for _ in range(count):
            await room.acquire()
            sent.append(time.monotonic())
            yield _MESSAGE

    failed = 0
    async with _channel(target) as channel:
        async for answer in channel.stream_stream(STREAM)(messages()):
            failed += answer != _MESSAGE
            times.append((time.monotonic() - sent[len(times)]) * 1e6)
            room.release()
    return failed + count - len(times)


async def main(host: str, port: str, kind: str, amount: str) -> None:
    times: list[float] = []
    began = time.monotonic()
    failed = await (unary if kind == "unary" else stream)(f"{host}:{port}", int(amount), times)
    seconds = time.monotonic() - began
    times.sort()
    figures = {
        "requests": len(times),
        "microseconds": seconds * 1e6,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "p999": percentile(times, 0.999),
        "errors": {"not answered": failed},
    }
    print(MARKER + json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
