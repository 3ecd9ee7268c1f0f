"""`envoy.filters.http.stateful_session`: a client's requests go to the host that its first one went to."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import msgspec

from proxy import registry
from proxy.config.common import PluginConfig
from proxy.config.context import CompileContext
from proxy.errors import Flag
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange
from proxy.http.response_edits import ResponseHead
from proxy.http.session_states import SESSION_STATES
from proxy.http.session_states.session_state import SessionState
from proxy.stats import Counter, Stats
from proxy.upstream.override_host import OverrideHost

PACKAGE = "envoy.extensions.filters.http.stateful_session.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.StatefulSession": ("session_state", "strict", "stat_prefix"),
    f"{PACKAGE}.StatefulSessionPerRoute": ("disabled", "stateful_session"),
}


class SessionConfig(msgspec.Struct, frozen=True):
    """`StatefulSession`. `strict`: a request whose host is not to be had fails. Without a `state` there are no
    sessions, unless a route has some.
    """

    state: PluginConfig | None = None
    strict: bool = False
    stat_prefix: str = ""


class SessionStats:
    """`http.<prefix>.stateful_session.<stat_prefix>.*`."""

    def __init__(self, stats: Stats, prefix: str) -> None:
        def counter(name: str) -> Counter:
            return stats.counter(f"{prefix}{name}")

        self.routed = counter("routed")
        self.failed_open = counter("failed_open")
        self.failed_closed = counter("failed_closed")
        self.no_session = counter("no_session")


class Sessions:
    """A `SessionConfig`, ready for requests; those of routes have no `stats`, as in Envoy."""

    def __init__(self, config: SessionConfig, stats: SessionStats | None = None) -> None:
        self.stats = stats
        self.strict = config.strict
        self.state: SessionState | None = None
        if config.state is not None:
            kind = registry.load(SESSION_STATES, config.state.type_url)
            self.state = kind(msgspec.msgpack.decode(config.state.config, type=kind.Config))


class StatefulSession:
    """The router hears which host is wanted (`StreamInfo.override_host`); the client, whenever that is another one than
    it said, which host it has got.
    """

    terminal = False
    Config = SessionConfig

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> SessionConfig:
        """Compiles a `StatefulSession`."""
        state = None
        if message.HasField("session_state"):
            here = context.at("session_state", "typed_config")
            state = here.plugin("", message.session_state.typed_config, SESSION_STATES, "session state")
        return SessionConfig(state, message.strict, message.stat_prefix)

    def __init__(self, name: str, config: SessionConfig, context: FilterContext) -> None:
        self.name = name
        stats = None
        if config.stat_prefix:
            stats = SessionStats(context.stats, f"{context.stat_prefix}stateful_session.{config.stat_prefix}.")
        self._own = Sessions(config, stats)

    def on_request_headers(self, exchange: Exchange) -> None:
        override: Override | None = exchange.filter_config(self.name)
        sessions = self._own if override is None else override.sessions
        if sessions is None:
            return
        wanted = sessions.state.read(exchange.request) if sessions.state is not None else None
        if wanted:
            exchange.info.override_host = OverrideHost(wanted, sessions.strict)
        exchange.on_response_headers(functools.partial(_answered, exchange, sessions, wanted))


def _answered(exchange: Exchange, sessions: Sessions, wanted: str | None, head: ResponseHead) -> None:
    """A response is about to go out."""
    info, stats = exchange.info, sessions.stats
    if info.upstream_host is None:
        if stats is not None and sessions.strict and Flag.NO_HEALTHY_UPSTREAM in info.flags and wanted is not None:
            stats.failed_closed.inc()
        return
    address = str(info.upstream_host)
    if wanted is None or sessions.state is None:
        if stats is not None:
            stats.no_session.inc()
    elif address == wanted:
        if stats is not None:
            stats.routed.inc()
    else:
        sessions.state.write(address, head.headers)
        if stats is not None and not sessions.strict:
            stats.failed_open.inc()


class Override(NamedTuple):
    """What a route says in place of the filter's configuration: `sessions` of its own, or None for none."""

    sessions: Sessions | None


class StatefulSessionPerRoute:
    """`StatefulSessionPerRoute`."""

    class Config(msgspec.Struct, frozen=True):
        """`session` is None where the filter is disabled."""

        session: SessionConfig | None = None

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `StatefulSessionPerRoute`."""
        if message.WhichOneof("override") != "stateful_session":
            return cls.Config()
        here = context.at("stateful_session")
        if message.stateful_session.stat_prefix:
            here.error(("stat_prefix",), "sessions of routes do not count", "no stat_prefix")
        return cls.Config(StatefulSession.from_proto(message.stateful_session, here))

    @staticmethod
    def prepare(config: Config) -> Override:
        """As requests need it."""
        return Override(None if config.session is None else Sessions(config.session))
