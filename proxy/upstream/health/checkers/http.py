"""`http_health_check`: a request, whose response says how its host is."""

from __future__ import annotations

import sys
from typing import Final

import trio

from proxy.config.health_check import HttpCheck
from proxy.errors import ProxyError
from proxy.http.events import DataReceived, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import compile_string
from proxy.upstream.health.payload import PayloadMatcher
from proxy.upstream.health.target import USER_AGENT, Target
from proxy.upstream.health.verdicts import Failure, Result
from proxy.upstream.stream import IMMEDIATE_FAIL, UpstreamStream

DEGRADED: Final = b"x-envoy-degraded"
HEALTH_CHECKED_CLUSTER: Final = b"x-envoy-upstream-healthchecked-cluster"


class HttpChecker:
    """Implements `Checker`."""

    def __init__(self, target: Target[HttpCheck]) -> None:
        self._target = target
        self._config = target.kind
        self._pool = target.pool(http2=self._config.http2)
        name = self._config.service_name
        self._is_named = compile_string(name) if name is not None else None

    async def check(self) -> Result:
        target = self._target
        try:
            stream = await self._pool.open(target.outcomes)
            try:
                await self._send(stream)
                result = await self._receive(stream)
            finally:
                stream.close()
        except ProxyError:
            return Result(Failure.NETWORK)
        if not target.reuses:
            self.abandon()
        return result

    async def _send(self, stream: UpstreamStream) -> None:
        target, config = self._target, self._config
        headers = Headers([(b"user-agent", USER_AGENT)])
        target.edit(headers, StreamInfo(trio.current_time()))
        if config.send:
            headers.set(b"content-length", b"%d" % len(config.send))
        await stream.send_request(
            config.method.encode(),
            config.path.encode(),
            target.authority,
            headers,
            end_stream=not config.send,
            flush=not config.send,
            scheme=target.scheme,
        )
        if config.send:
            await stream.send_data(config.send)
            await stream.send_end()

    async def _receive(self, stream: UpstreamStream) -> Result:
        head: ResponseReceived | None = None
        limit = self._config.response_buffer_size or sys.maxsize
        body = PayloadMatcher(self._config.receive)
        while True:
            event = await stream.receive()
            if isinstance(event, ResponseReceived):
                head = event
            elif isinstance(event, DataReceived):
                body.feed(event.data[:limit])
                limit -= min(limit, len(event.data))
            elif not isinstance(event, InformationalReceived | StreamEnded):
                return Result(Failure.NETWORK)  # it has left HTTP
            if head is not None and (head.end_stream or isinstance(event, StreamEnded)):
                return self._judge(head, matches=body.matched)

    def _judge(self, head: ResponseReceived, *, matches: bool) -> Result:
        config, status, headers = self._config, head.status, head.headers
        if not matches or not _in(config.expected, status):
            retriable = matches and _in(config.retriable, status)
            return Result(Failure.ACTIVE, retriable, excludes=IMMEDIATE_FAIL in headers, status=status)
        if self._is_named is not None:
            self._target.stats.verify_cluster.inc()
            if not self._is_named(headers.get(HEALTH_CHECKED_CLUSTER) or b""):
                return Result(Failure.ACTIVE, status=status)
        return Result(degraded=DEGRADED in headers, status=status)

    async def watch(self) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    def abandon(self) -> None:
        self._pool.drain()
        self._pool = self._target.pool(http2=self._config.http2)

    def close(self) -> None:
        self._pool.drain()


def _in(ranges: tuple[tuple[int, int], ...], status: int) -> bool:
    return any(start <= status < end for start, end in ranges)
