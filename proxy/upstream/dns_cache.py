"""Names that requests bring, and their addresses: Envoy's DNS cache of the dynamic forward proxy, one per worker.

A name is looked up when it is asked for the first time, and from then on for as long as somebody asks for it. Names
come from clients, so there are `max_hosts` of them at most, and `max_pending` requests wait for an answer.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator
from typing import Protocol

import trio

from proxy.config.common import SocketAddress
from proxy.config.dns import DnsResolver, LookupFamily
from proxy.config.dns_cache import DnsCache as DnsCacheConfig
from proxy.dns.backoff import FailureBackoff
from proxy.dns.result import Failed, Failure, Resolved, Result
from proxy.errors import Flag, ProxyError
from proxy.stats import Stats
from proxy.upstream.background import Background

_COUNTERS = (
    "dns_query_attempt",
    "dns_query_success",
    "dns_query_failure",
    "dns_query_timeout",
    "host_added",
    "host_removed",
    "host_address_changed",
    "host_overflow",
    "dns_rq_pending_overflow",
    "cache_load",
    "dns_address_filter_out",
)
_REASONS = {
    Failure.TIMEOUT: "resolve_timeout",
    Failure.SERVER_FAILURE: "server_failure",
    Failure.BAD_NAME: "bad_name",
}
_NO_SUCH_NAME = "no_records"


class Lookup(Protocol):
    """`Resolvers`."""

    async def lookup(self, name: str, family: LookupFamily, how: DnsResolver) -> Result: ...


class Name:
    """A name with a port. `addresses`: the first one is connected to first; without any, `failure` says why. `known` is
    set once the first answer has come, `asked` is when a request last wanted it.
    """

    def __init__(self, name: str, port: int, now: float) -> None:
        self.name = name
        self.port = port
        self.addresses: tuple[SocketAddress, ...] = ()
        self.failure = ""
        self.known = trio.Event()
        self.asked = now


class DnsCache:
    """Of one cluster. `changed` is called when a name has other addresses, or is forgotten; `retired` ends it."""

    def __init__(
        self,
        config: DnsCacheConfig,
        stats: Stats,
        resolvers: Lookup,
        background: Background,
        changed: Callable[[], None],
        retired: trio.Event,
    ) -> None:
        self._config = config
        self._resolvers = resolvers
        self._background = background
        self._changed = changed
        self._retired = retired
        self._rng = random.Random()
        self._pending = 0
        self.names: dict[str, Name] = {}
        prefix = f"dns_cache.{config.name}."
        self._count = {name: stats.counter(prefix + name) for name in _COUNTERS}
        self._num_hosts = stats.gauge(f"{prefix}num_hosts")

    def preresolve(self) -> None:
        """Ask for the names of the configuration."""
        for name, port in self._config.preresolve:
            with contextlib.suppress(ProxyError):
                self._name(name, port)

    async def load(self, name: str, port: int) -> None:
        """Returns once the addresses of `name` are known. Raises `ProxyError`: there are none, too many names, too many
        who wait.
        """
        with self._turn():
            found = self._name(name, port)
            found.asked = trio.current_time()
            await found.known.wait()
        if not found.addresses:
            raise ProxyError(
                f"dns_resolution_failure{{{found.failure}}}",
                side="upstream",
                status=503,
                body="DNS resolution failure",
                flag=Flag.DNS_RESOLUTION_FAILED,
            )

    def find(self, name: str, port: int) -> Name | None:
        """What is known of it; None if nobody has loaded it."""
        found = self.names.get(key_of(name, port))
        if found is not None:
            found.asked = trio.current_time()
        return found

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._pending >= self._config.max_pending:
            self._count["dns_rq_pending_overflow"].inc()
            raise ProxyError(
                "dynamic_forward_proxy_pending_request_overflow",
                side="internal",
                status=503,
                body="Dynamic forward proxy pending request overflow",
                flag=Flag.UPSTREAM_OVERFLOW,
            )
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1

    def _name(self, name: str, port: int) -> Name:
        key = key_of(name, port)
        found = self.names.get(key)
        if found is not None:
            return found
        found = Name(name, port, trio.current_time())
        full = len(self.names) >= self._config.max_hosts
        if full or not self._background.start(functools.partial(self._keep, key, found)):  # else the worker ends
            self._count["host_overflow"].inc()
            raise ProxyError("dns_cache_overflow", side="internal", status=503, body="DNS cache overflow")
        self.names[key] = found
        self._count["host_added"].inc()
        self._num_hosts.add(1)
        return found

    async def _keep(self, key: str, found: Name) -> None:
        """Look it up until nobody asks for it any more."""
        config = self._config
        backoff = FailureBackoff(config.refresh_rate, config.failure_base, config.failure_max, self._rng)
        try:
            while True:
                delay = self._apply(found, await self._ask(found.name), backoff)
                found.known.set()
                if not found.addresses and not config.refresh_on_failure:
                    return
                with trio.move_on_after(delay):
                    await self._retired.wait()
                    return
                if trio.current_time() - found.asked > config.host_ttl:
                    return
        finally:
            found.known.set()
            del self.names[key]
            self._count["host_removed"].inc()
            self._num_hosts.add(-1)
            self._changed()

    async def _ask(self, name: str) -> Result:
        config = self._config
        self._count["dns_query_attempt"].inc()
        with trio.move_on_after(config.query_timeout):
            return await self._resolvers.lookup(name, config.lookup_family, config.resolver)
        return Failed(Failure.TIMEOUT)

    def _apply(self, found: Name, result: Result, backoff: FailureBackoff) -> float:
        """Takes a result in; what was known before stays if it is none. Seconds until the next lookup."""
        if isinstance(result, Failed):
            if result.failure is Failure.TIMEOUT:
                self._count["dns_query_timeout"].inc()
            self._count["dns_query_failure"].inc()
            found.failure = _REASONS[result.failure]
            return backoff.next()
        self._count["dns_query_success"].inc()
        addresses = tuple(dict.fromkeys(SocketAddress(answer.address, found.port) for answer in result.answers))
        if not addresses:
            found.failure = _NO_SUCH_NAME
            return backoff.next()
        backoff.reset()
        if addresses != found.addresses:
            found.addresses = addresses
            self._count["host_address_changed"].inc()
            self._changed()
        return self._refresh_after(result)

    def _refresh_after(self, result: Resolved) -> float:
        ttl = min(answer.ttl for answer in result.answers)
        return max(float(ttl), self._config.min_refresh_rate) if ttl else self._config.refresh_rate


def key_of(name: str, port: int) -> str:
    """What a name with a port is known by."""
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def split(authority: bytes, default_port: int) -> tuple[str, int]:
    """Name and port of a request's authority; what is no port is part of the name, which then is none."""
    text = authority.decode("latin-1")
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if bracket and not rest:
            return name, default_port
        port = rest.removeprefix(":") if rest.startswith(":") else ""
    else:
        name, colon, port = text.rpartition(":")
        if not colon:
            return text, default_port
    if port.isascii() and port.isdecimal() and int(port[:6]) <= 0xFFFF:
        return name, int(port)
    return text, default_port
