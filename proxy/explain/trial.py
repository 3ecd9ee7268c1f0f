"""One request through a connection manager of its own, as far as where it would leave for a host.

Everything that happens to it on the way is done by the code that serves: codec, identity, routing, filters, router,
local replies. What is left out has effects, or waits for somebody: access logs, the filters that are not ours or that
do more than look at heads, and the upstream.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
import trio
from trio.testing import MockClock

from proxy import registry
from proxy.access_log.log import Log
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.common import Address, PluginConfig
from proxy.config.listener import Listener
from proxy.errors import ProxyError
from proxy.explain.routing import Routing, TracedTable
from proxy.filters.context import FilterContext
from proxy.filters.http import HTTP_FILTERS
from proxy.filters.http.match_delegate import Decision, MatchDelegate
from proxy.filters.http.router import Router
from proxy.filters.http_filters import build_filter, decode
from proxy.filters.network.hcm_config import Config, LogOptions
from proxy.filters.network.http_connection_manager import HttpConnectionManager
from proxy.filters.router.forwarding import Forwarding
from proxy.http.codec import CodecError
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.deadlines import Phase
from proxy.http.events import RequestReceived
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection
from proxy.net.memory_connection import MemoryConnection
from proxy.stats import MemoryStats
from proxy.upstream.cluster import Cluster
from proxy.upstream.manager import ClusterView
from proxy.upstream.tables import MemoryTables

LIKELIEST = 505050
"""A random value in the middle of every share of 100, 10,000 or 1,000,000: it does what most requests do."""

LEFT_FOR_A_HOST = "explained"
"""The detail of a request that was forwarded, which never reaches anybody."""


@dataclasses.dataclass(frozen=True)
class ByTls:
    """Stands for the `TlsSession` of a client that shows no certificate."""

    server_name: str = ""
    version: str = ""
    cipher: str = ""
    group: str = ""
    alpn: str = ""
    peer_signature_algorithm: str = ""
    resumed: bool = False
    validated: bool = False
    peer: None = None
    local: None = None


@dataclasses.dataclass(frozen=True)
class Question:
    """`head` is the request's head as a client would send it, from `remote` to `local`; `drawn` decides where chance
    would (below 2**64). `tls`: it comes by TLS.
    """

    head: bytes
    remote: Address
    local: Address
    drawn: int = LIKELIEST
    tls: ByTls | None = None


@dataclasses.dataclass
class Trial:
    """What became of it: each part is None if the request did not come so far.

    `received` is what the codec read; `admitted` what routing saw; `at_router` what the filters left of it; `upstream`
    what would be sent, on the terms of `forwarding`, within `limits`. Otherwise `status`, `headers` and `body` answer
    it, for the reason `detail`, with response `flags`. `from_inside`: the caller counts as internal; `remote` is who it
    is taken for. `skipped` are the names of the filters that were left out, `decided` says of filters with a matcher
    whether it lets them run.
    """

    received: Request | None = None
    routing: Routing | None = None
    at_router: Request | None = None
    forwarding: Forwarding | None = None
    upstream: Request | None = None
    limits: dict[Phase, float] = dataclasses.field(default_factory=dict)
    status: int = 0
    headers: Headers = dataclasses.field(default_factory=Headers)
    body: bytes = b""
    detail: str = ""
    flags: str = "-"
    upgrade: str = ""
    from_inside: bool = False
    remote: str = ""
    skipped: tuple[str, ...] = ()
    decided: dict[str, Decision] = dataclasses.field(default_factory=dict)

    @property
    def admitted(self) -> Request | None:
        return self.routing.request if self.routing is not None else None


def run(listener: Listener, config: Config, clusters: Mapping[str, ClusterConfig], question: Question) -> Trial:
    """Serve `question` as a connection manager of `config` on `listener` would. Blocks for as long as its route table
    takes to compile; waits for nobody.
    """
    trial = Trial(skipped=tuple(plugin.name for plugin in config.http_filters if not _runs(wrapped(plugin))))
    known = _Clusters(clusters)
    context = FilterContext(
        MemoryStats(),
        ClusterView(known),
        f"listener.{listener.stat_prefix}.",
        buffer_limit=listener.per_connection_buffer_limit_bytes,
        scheme=b"http" if question.tls is None else b"https",
    )

    def build(plugin: PluginConfig, context: FilterContext) -> Any:
        if registry.load(HTTP_FILTERS, plugin.type_url) is MatchDelegate:
            config = decode(plugin, MatchDelegate.Config)
            inner = build(msgspec.structs.replace(config.extension, name=plugin.name), context)
            return _Witness(plugin.name, config, inner, trial)
        if not _runs(plugin):
            return _Nothing()
        built = build_filter(plugin, context)
        return _End(built, trial) if isinstance(built, Router) else built

    manager = HttpConnectionManager("", _without_effects(config), context, build=build)
    traced = TracedTable(manager.routes, config.route_config, question.drawn)
    manager.routes = cast(Any, traced)

    def over(info: StreamInfo) -> None:
        trial.status, trial.detail, trial.flags, trial.upgrade = (
            info.status,
            info.detail,
            info.response_flags(),
            info.upgrade,
        )
        trial.from_inside, trial.remote = info.internal, str(info.downstream_remote or question.remote)

    manager.access_logs = (Log(over, cast(Any, None)),)
    trial.received = _read(question.head, {**manager.codec_options, "scheme": manager.scheme})
    connection = MemoryConnection([question.head], remote=question.remote, local=question.local, tls=question.tls)

    async def serve() -> None:
        with connection.scope:
            await manager(cast(Connection, connection), _nothing)

    trio.run(serve, clock=MockClock(autojump_threshold=0))
    trial.routing = traced.last
    head, _, trial.body = connection.sent.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        trial.headers.add(name, value)
    return trial


def wrapped(plugin: PluginConfig) -> PluginConfig:
    """The filter that does the work: what one with a matcher wraps, or `plugin` itself."""
    if registry.load(HTTP_FILTERS, plugin.type_url) is not MatchDelegate:
        return plugin
    return wrapped(decode(plugin, MatchDelegate.Config).extension)


def _runs(plugin: PluginConfig) -> bool:
    """Whether the filter is one of ours that does no more than look at heads and edit them, or the last one."""
    kind = registry.load(HTTP_FILTERS, plugin.type_url)
    return kind is Router or hasattr(kind, "on_request_headers") or hasattr(kind, "on_response_headers")


def _without_effects(config: Config) -> Config:
    filters = tuple(map(_without_logs, config.http_filters))
    return msgspec.structs.replace(config, http_filters=filters, access_log=(), log_options=LogOptions())


def _without_logs(plugin: PluginConfig) -> PluginConfig:
    if registry.load(HTTP_FILTERS, plugin.type_url) is not Router:
        return plugin
    router = msgspec.structs.replace(msgspec.msgpack.decode(plugin.config, type=Router.Config), upstream_log=None)
    return msgspec.structs.replace(plugin, config=msgspec.Raw(msgspec.msgpack.encode(router)))


def _read(head: bytes, options: dict[str, Any]) -> Request | None:
    """The request as the codec reads it; None if it refuses it."""
    try:
        events = H1ServerCodec(**options).receive(head)
    except CodecError:
        return None
    return next((Request(event) for event in events if isinstance(event, RequestReceived)), None)


class _Nothing:
    """Stands for a filter that is left out."""

    def on_request_headers(self, exchange: Exchange) -> None:
        """It does nothing."""


class _Witness(MatchDelegate):
    """Tells the trial what its matcher decided."""

    def __init__(self, name: str, config: MatchDelegate.Config, wrapped: Any, trial: Trial) -> None:
        super().__init__(name, config, wrapped)
        self._trial = trial

    def decide(self, exchange: Exchange) -> Decision:
        decision = self._trial.decided[self.name] = super().decide(exchange)
        return decision


class _End:
    """The router, up to where it would ask for a host."""

    terminal = True

    def __init__(self, router: Router, trial: Trial) -> None:
        self._router = router
        self._trial = trial

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        trial = self._trial
        trial.at_router = exchange.request.copy()
        trial.forwarding = self._router.prepare(exchange)
        trial.upstream = exchange.request.copy()
        trial.limits = exchange.deadlines.limits()
        raise ProxyError(LEFT_FOR_A_HOST, side="internal", status=0)


class _Clusters(Mapping[str, Cluster]):
    """The clusters of a configuration, each made when it is asked for. They have no hosts: none is to be reached."""

    def __init__(self, configs: Mapping[str, ClusterConfig]) -> None:
        self._configs = configs

    def __getitem__(self, name: str) -> Cluster:
        return Cluster(self._configs[name], None, MemoryStats(), MemoryTables(), seed=0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)


async def _nothing(connection: Connection) -> None:
    """There is no filter behind a connection manager."""
