"""The few things that a filter may need when it is built (style rule 17)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.access_log.periodic import Periodic
from proxy.access_log.sinks import Sinks, no_sinks
from proxy.filters.express_watch import ExpressWatch
from proxy.filters.shadows import Shadows
from proxy.flight_recorder import MemoryRecorder, Recorder
from proxy.http.disconnects import DisconnectWatch
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection
from proxy.net.drain import ListenerDrain
from proxy.net.pipe import PipePool
from proxy.stats import Stats
from proxy.upstream.manager import ClusterView


@dataclass
class Activity:
    """What one worker is doing now. `draining`: it ends as soon as its connections have.

    `begun` and `ended` count requests and proxied TCP connections, `failed` those of the ended that failed by our own
    doing. `streams` has the exchange, or proxied TCP connection, that a connection is in the middle of (those of the
    express lane are over before anybody can look).
    """

    connections: int = 0
    begun: int = 0
    ended: int = 0
    failed: int = 0
    streams: dict[Connection, StreamInfo] = field(default_factory=dict)
    draining: bool = False
    health_check_failed: bool = False

    @property
    def requests(self) -> int:
        """Those in hand."""
        return self.begun - self.ended


@dataclass(frozen=True)
class FilterContext:
    """`listener_prefix` is `listener.<address>.`; `stat_prefix` is the HTTP scope `http.<prefix>.`, "" for network
    filters. `drain` is the listener's, and so is `buffer_limit`, its `per_connection_buffer_limit_bytes`. `scheme` is
    what connections of the filter chain speak: `https` over TLS."""

    stats: Stats
    clusters: ClusterView
    listener_prefix: str
    activity: Activity = field(default_factory=Activity)
    drain: ListenerDrain = field(default_factory=ListenerDrain)
    disconnects: DisconnectWatch = field(default_factory=DisconnectWatch)
    express: ExpressWatch = field(default_factory=ExpressWatch)
    pipes: PipePool = field(default_factory=PipePool)
    recorder: Recorder = field(default_factory=MemoryRecorder)
    shadows: Shadows = field(default_factory=Shadows)
    stat_prefix: str = ""
    buffer_limit: int = 1024 * 1024
    scheme: bytes = b"http"
    periodic: Periodic = field(default_factory=Periodic)
    log_sinks: Sinks = field(default_factory=no_sinks)


Resume = Callable[[], None]
"""Serves a connection on without the task that returned it."""


class Keeper(Protocol):
    """Who keeps a listener's connections, as those see it that need no task of their own."""

    def start_task(self, connection: Connection, run: Callable[[Connection], Awaitable[Resume | None]]) -> None:
        """Run `run` in a task under a scope of the connection's; it ends the connection unless it says who goes on."""

    def ended(self, connection: Connection) -> None:
        """Close it: it is over, and has no task."""


CallNextNetwork = Callable[[Connection], Awaitable[None]]


class NetworkFilter(Protocol):
    """The same onion around a connection: when `call_next` returns, the connection is done."""

    async def __call__(self, connection: Connection, call_next: CallNextNetwork) -> None: ...
