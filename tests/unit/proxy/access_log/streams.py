"""Exchanges as operators see them, made by hand."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from proxy.access_log.format import compile_text
from proxy.config.common import SocketAddress
from proxy.errors import Flag
from proxy.http.events import RequestReceived
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo


def request(*headers: tuple[bytes, bytes], path: bytes = b"/p/x?a=1&b=%20x&a=2") -> Request:
    """A GET of `path` with these headers."""
    return Request(RequestReceived(1, b"GET", b"http", b"ex.com:80", path, "HTTP/1.1", Headers(headers), True))


def complete() -> StreamInfo:
    """An exchange that went well, each of its facts another value."""
    info = StreamInfo(100.0)
    info.started_at = 1795383814.135162
    info.request = request(
        (b"x-a", b"hello"), (b"x-dup", b"1"), (b"x-dup", b"2"), (b"user-agent", b"ua"), (b"x-request-id", b"id-1")
    )
    info.response_headers = Headers([(b"server", b"envoy"), (b"x-envoy-upstream-service-time", b"7")])
    info.status, info.detail = 200, "via_upstream"
    info.bytes_received, info.bytes_sent = 5, 509
    info.response_complete = True
    tick = 1 / 1024  # sums of it are exact
    info.request_received, info.request_begun, info.request_sent = 100 + 2 * tick, 100 + 3 * tick, 100 + 4 * tick
    info.response_begun, info.response_received, info.ended = 100 + 16 * tick, 100 + 32 * tick, 100 + 48 * tick
    info.route_name, info.upstream_cluster = "rn", "o"
    info.upstream_host = info.upstream_remote = SocketAddress("127.0.0.1", 8000)
    info.upstream_local = SocketAddress("::1", 8001)
    info.upstream_attempts, info.upstream_bytes_sent, info.upstream_bytes_received = 1, 242, 581
    return info


def failed() -> StreamInfo:
    """A connection that ended before a request could be read."""
    info = StreamInfo(100.0)
    info.started_at = 1795383814.0
    info.status, info.detail = 400, "http1.codec error"
    info.flags.add(Flag.DOWNSTREAM_PROTOCOL_ERROR)
    info.ended = 100.001
    return info


def render(text: str, info: StreamInfo | None = None) -> str:
    """`text` for a `complete` exchange, or for `info`."""
    return compile_text(text)(info or complete()).decode()


@contextlib.contextmanager
def replaced(standard: int, fd: int) -> Iterator[None]:
    """`fd` in place of a standard stream. No fixture: pytest's capture moves them between setup and test."""
    saved = os.dup(standard)
    os.dup2(fd, standard)
    try:
        yield
    finally:
        os.dup2(saved, standard)
        os.close(saved)
