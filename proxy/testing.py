"""Runs a filter without a proxy, without sockets and in virtual time: for the tests of whoever writes filters.

    from proxy import testing

    def test_strangers_are_refused() -> None:
        deny = testing.make(Deny, {"prefix": "/admin"})
        result = testing.run(deny, path="/admin/x")
        assert (result.status, result.detail, result.upstream) == (403, "denied", None)

The request is written and read by the proxy's own codec, and passes its connection manager: what a client would see,
and what an upstream would, is what comes out. docs/python-filters.md is the manual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import trio
from trio.testing import MockClock

from proxy.config.common import PluginConfig
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.errors import ProxyError
from proxy.filters.context import FilterContext
from proxy.filters.http import python_loader
from proxy.filters.network.hcm_config import Config as HcmConfig
from proxy.filters.network.http_connection_manager import HttpConnectionManager
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.events import DataReceived, Event, ResponseReceived
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext, build_chain
from proxy.http.filter_failures import FilterFailures
from proxy.http.headers import Headers
from proxy.http.stream_data import Metadata, StateObject
from proxy.net.connection import Connection
from proxy.net.memory_connection import MemoryConnection
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterView

__all__ = ["Response", "Result", "UpstreamRequest", "make", "make_route_config", "run"]

HeaderLines = Mapping[str, str] | Sequence[tuple[str, str]]
Body = bytes | Sequence[bytes]


@dataclasses.dataclass(frozen=True)
class Response:
    """What the upstream answers. A body in pieces comes chunked, piece by piece. With `error` it fails instead."""

    status: int = 200
    headers: HeaderLines = ()
    body: Body = b""
    error: ProxyError | None = None


@dataclasses.dataclass(frozen=True)
class UpstreamRequest:
    """The request as the filter sent it on."""

    method: bytes
    path: bytes
    authority: bytes
    headers: Headers
    body: bytes


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of the request.

    `status`, `headers` and `body` are the client's; a status of 0 means that it saw no response, a `complete` that is
    false that its connection ended within one. `upstream` is None if no request went there. `detail` and `flags` are
    what an access log shows; `dynamic_metadata` and `filter_state` are what the filter has left there, {} if nothing.
    `exceptions` are the filter's own: each of them was, or would have been, a 500. `closed`:
    the client's connection cannot be used for another request.
    """

    status: int
    headers: Headers
    body: bytes
    complete: bool
    upstream: UpstreamRequest | None
    detail: str
    flags: str
    exceptions: tuple[BaseException, ...]
    closed: bool
    dynamic_metadata: Metadata = dataclasses.field(default_factory=dict)
    filter_state: Mapping[str, StateObject] = dataclasses.field(default_factory=dict)


def make(filter_class: type, config: Any = None, *, name: str = "filter") -> Any:
    """The filter that `filter_config: config` gives. Raises `LoadError` for a configuration that the proxy refuses."""
    loaded = python_loader.inspect_filter(filter_class, filter_class.__name__)
    return loaded.create(name, python_loader.decode(loaded.config_type, config))


def make_route_config(filter_class: type, config: Any) -> Any:
    """The value of a per-route `filter_config: config`. Raises `LoadError` as well."""
    loaded = python_loader.inspect_filter(filter_class, filter_class.__name__)
    return python_loader.decode(loaded.route_type, config)


def run(
    http_filter: Any,
    *,
    method: str = "GET",
    path: str = "/",
    authority: str = "test",
    headers: HeaderLines = (),
    body: Body = b"",
    upstream: Response | None = None,
    route_config: Any = None,
    client_leaves: bool = False,
) -> Result:
    """Send one request through `http_filter` (an object of `make`, or an async function) to an upstream that answers
    `upstream`, by default 200 without a body.

    A `body` in pieces is chunked and arrives piece by piece. `route_config` is what `Exchange.filter_config` gives the
    filter. With `client_leaves` the client closes after what it has sent, before the end of the body.
    """
    scene = _Scene(http_filter, upstream or Response(), route_config)
    client = H1ClientCodec()
    pieces = [body] if isinstance(body, bytes) else list(body)
    lines = _headers(headers)
    if isinstance(body, bytes) and body and b"content-length" not in lines:
        lines.add(b"content-length", b"%d" % len(body))
    ended = not any(pieces)
    client.send_request(method.encode(), path.encode(), authority.encode(), lines, end_stream=ended)
    arriving = [client.take_output()]
    for piece in pieces if not ended else ():
        client.send_data(1, piece)
        arriving.append(client.take_output())
    if not ended and not client_leaves:
        client.send_end(1)
        arriving.append(client.take_output())
    connection = MemoryConnection([data for data in arriving if data])
    trio.run(scene.serve, connection, clock=MockClock(autojump_threshold=0))
    return scene.result(client.receive(connection.sent) if connection.sent else [], connection)


def _headers(lines: HeaderLines) -> Headers:
    pairs = lines.items() if isinstance(lines, Mapping) else lines
    return Headers((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs)


class _Failures(FilterFailures):
    """Keeps the exceptions instead of logging them."""

    def __init__(self) -> None:
        super().__init__(MemoryStats().counter("filter_exceptions"))
        self.seen: list[BaseException] = []

    def report(self, error: BaseException) -> ProxyError:
        self.seen.append(error)
        return self.reply_to(error)


async def _nothing(connection: Connection) -> None:
    """There is no filter behind a connection manager."""


class _Scene:
    """A connection manager whose chain is the filter and an upstream in memory."""

    def __init__(self, http_filter: Any, response: Response, route_config: Any) -> None:
        self._response = response
        self._exchange: Exchange | None = None
        self._sent_on: UpstreamRequest | None = None
        self._failures = _Failures()
        name = getattr(http_filter, "name", "filter") or "filter"
        override = PluginConfig(name, "", msgspec.Raw(b"\xc0"))
        overrides = {} if route_config is None else {name: override}
        route = Route(RouteMatch("prefix", "/"), ClusterAction("upstream"), "", overrides)
        routes = RouteConfiguration("", (VirtualHost("", ("*",), (route,)),))
        manager = HttpConnectionManager(
            "", HcmConfig("test", routes, ()), FilterContext(MemoryStats(), ClusterView({}), "listener.test.")
        )
        manager.chain = build_chain([self._watch, http_filter, self._upstream])
        manager.policy = dataclasses.replace(
            manager.policy, filter_configs={id(override): route_config}, failures=self._failures
        )
        self._override = override
        self._manager = manager

    async def serve(self, connection: MemoryConnection) -> None:
        with connection.scope:
            await self._manager(cast(Connection, connection), _nothing)

    async def _watch(self, exchange: Exchange, call_next: CallNext) -> None:
        self._exchange = exchange
        await call_next(exchange)

    async def _upstream(self, exchange: Exchange, call_next: CallNext) -> None:
        request = exchange.request
        body = b""
        while data := await exchange.body.read():
            body += data
        self._sent_on = UpstreamRequest(request.method, request.path, request.authority, request.headers.copy(), body)
        response = self._response
        if response.error is not None:
            raise response.error
        exchange.info.detail = "via_upstream"
        headers = _headers(response.headers)
        pieces = [response.body] if isinstance(response.body, bytes) else list(response.body)
        if isinstance(response.body, bytes):
            headers.set(b"content-length", b"%d" % len(response.body))
        ended = not any(pieces) or request.method == b"HEAD"
        await exchange.send_headers(response.status, headers, end_stream=ended)
        if not ended:
            for piece in pieces:
                await exchange.send_data(piece)
            await exchange.send_end()

    def result(self, events: list[Event], connection: MemoryConnection) -> Result:
        heads = [event for event in events if isinstance(event, ResponseReceived)]
        info = self._exchange.info if self._exchange is not None else None
        return Result(
            status=heads[0].status if heads else 0,
            headers=heads[0].headers if heads else Headers(),
            body=b"".join(event.data for event in events if isinstance(event, DataReceived)),
            complete=info is not None and info.response_complete,
            upstream=self._sent_on,
            detail=info.detail if info is not None else "",
            flags=info.response_flags() if info is not None else "-",
            exceptions=tuple(self._failures.seen),
            closed=connection.lingered,
            dynamic_metadata=(info.dynamic_metadata or {}) if info is not None else {},
            filter_state=(info.filter_state or {}) if info is not None else {},
        )
