"""Streams to access log services (`envoy.service.accesslog.v3.AccessLogService`): requests add entries to bounded
buffers and never wait for a service.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import trio

from proxy.config.grpc_service import GrpcService
from proxy.errors import ProxyError
from proxy.http.grpc_messages import GrpcError
from proxy.limits import LOG_PATIENCE, LOG_QUEUE_SIZE
from proxy.net.bell import Bell
from proxy.stats import Stats
from proxy.upstream.grpc_client import Clusters, GrpcCall, GrpcClient

log = logging.getLogger("proxy.access_log")

SERVICE, METHOD = "envoy.service.accesslog.v3.AccessLogService", "StreamAccessLogs"
LEAST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries of a stream, doubling."""

Pack = Callable[[list[Any], bool], bytes]
"""Entries as a message of the stream; whether it is its first."""


class StreamKey(NamedTuple):
    """Loggers that say the same share a stream. Sizes in bytes, the interval in seconds."""

    service: GrpcService
    log_name: str
    kind: str
    flush_interval: float
    buffer_size: int


class GrpcLogStream:
    """One stream. `run` it; `finish` ends it."""

    def __init__(self, key: StreamKey, pack: Pack, client: GrpcClient, stats: Stats) -> None:
        self._key = key
        self._pack = pack
        self._client = client
        self._entries: list[tuple[Any, int]] = []
        self._size = 0
        self._full = Bell()
        self._some = Bell()
        self._closing = trio.Event()
        self._over = trio.Event()
        self._written = stats.counter("access_logs.grpc_access_log.logs_written")
        self._dropped = stats.counter("access_logs.grpc_access_log.logs_dropped")

    def add(self, entry: Any, size: int) -> None:
        """Have an entry of `size` bytes sent; dropped and counted if the service does not keep up."""
        if self._size + size > LOG_QUEUE_SIZE:
            self._dropped.inc()
            return
        self._written.inc()
        self._entries.append((entry, size))
        self._size += size
        self._some.ring()
        if self._size >= self._key.buffer_size:
            self._full.ring()

    async def finish(self) -> None:
        """Send what there is without waiting for more, until the service has it all, or does not take it."""
        self._closing.set()
        self._some.ring()
        self._full.ring()
        await self._over.wait()

    async def run(self) -> None:
        """Until `finish`: a stream that ends is opened again once there is something to send."""
        pause = LEAST_PAUSE
        while await self._has_entries():
            began, last = trio.current_time(), self._closing.is_set()
            try:
                async with self._client.call(SERVICE, METHOD) as call:
                    await self._send_all(call)
            except GrpcError as error:
                log.warning("access log service %s, log %r: %s", self._key.service.cluster, self._key.log_name, error)
            if last:
                break  # what is left has had its chance
            if trio.current_time() - began > LONGEST_PAUSE:
                pause = LEAST_PAUSE
            with trio.move_on_after(pause * random.uniform(0.5, 1.0)):
                await self._closing.wait()
            pause = min(2 * pause, LONGEST_PAUSE)
        self._dropped.inc(len(self._entries))
        self._over.set()

    async def _has_entries(self) -> bool:
        """Wait for entries; False if none will come."""
        while not self._entries and not self._closing.is_set():
            await self._some.wait()
        return bool(self._entries)

    async def _send_all(self, call: GrpcCall) -> None:
        """Send entries as they come, until the service ends the stream, or its cluster is another one."""
        failed: Exception | None = None  # a nursery would make a group of what is raised in it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, call, nursery.cancel_scope)
            nursery.start_soon(_leave, call, nursery.cancel_scope)
            try:
                while await call.receive() is not None:
                    """It has nothing to say (`StreamAccessLogsResponse`)."""
            except (GrpcError, ProxyError) as error:
                failed = error
            nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _send(self, call: GrpcCall, scope: trio.CancelScope) -> None:
        first = True
        while await self._has_entries():
            if self._size < self._key.buffer_size and not self._closing.is_set():
                with trio.move_on_after(self._key.flush_interval):
                    await self._full.wait()
            if not await self._send_batch(call, first=first):
                log.warning("access log service %s takes nothing: its stream ends", self._key.service.cluster)
                scope.cancel()  # with the call goes what is queued of it: else more would be, behind that
                return
            first = False
        await call.end()

    async def _send_batch(self, call: GrpcCall, *, first: bool) -> bool:
        """Send what has come so far; counted as dropped if the service does not take it, which is said."""
        entries, self._entries = self._entries, []
        sent = False
        try:
            with trio.move_on_after(LOG_PATIENCE) as scope:
                await call.send(self._pack([entry for entry, _ in entries], first))
            sent = not scope.cancelled_caught
        finally:
            self._size -= sum(size for _, size in entries)
            if not sent:
                self._dropped.inc(len(entries))
        return sent


async def _leave(call: GrpcCall, scope: trio.CancelScope) -> None:
    """A stream would keep a cluster that has been replaced for ever, and its hosts' rows with it."""
    await call.retired.wait()
    scope.cancel()


class GrpcLogStreams:
    """All of one worker, by what they are for. Without `run` nothing is sent."""

    def __init__(self, clusters: Clusters, stats: Stats) -> None:
        self._clusters = clusters
        self._stats = stats
        self._streams: dict[StreamKey, GrpcLogStream] = {}
        self._nursery: trio.Nursery | None = None

    def stream(self, key: StreamKey, pack: Pack) -> GrpcLogStream:
        """The stream of `key`, which writes what `pack` makes of entries."""
        found = self._streams.get(key)
        if found is None:
            service = key.service
            client = GrpcClient(self._clusters, service.cluster, authority=service.authority, metadata=service.metadata)
            found = self._streams[key] = GrpcLogStream(key, pack, client, self._stats)
            if self._nursery is not None:
                self._nursery.start_soon(found.run)
        return found

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for stream in self._streams.values():
                    nursery.start_soon(stream.run)
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def finish(self, patience: float) -> None:
        """Give what is left `patience` seconds."""
        with trio.move_on_after(patience):
            async with trio.open_nursery() as nursery:
                for stream in self._streams.values():
                    nursery.start_soon(stream.finish)
