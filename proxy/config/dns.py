"""Compiled DNS resolvers (`typed_dns_resolver_config`): whom the controller asks, and how. Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import SocketAddress

LookupFamily = Literal["AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"]
"""`Cluster.DnsLookupFamily`."""


class DnsResolver(msgspec.Struct, frozen=True):
    """Without anything set: the machine's own name servers, search list and limits.

    `servers` are asked instead of those of resolv.conf, with `fallback` only if that names none. `tcp`: never by UDP.
    `search`: short names are completed by the search list. `timeout` (seconds) and `tries` are those of one question to
    one server, 0: as resolv.conf says. `rotate`: who is asked first changes.

    `getaddrinfo`: by the C library, in at most `threads` threads; what fails for a moment is tried `retries` more
    times, None: until time is up. Nothing else counts then.
    """

    servers: tuple[SocketAddress, ...] = ()
    fallback: bool = False
    tcp: bool = False
    search: bool = True
    timeout: int = 0
    tries: int = 0
    rotate: bool = False
    getaddrinfo: bool = False
    threads: int = 1
    retries: int | None = None


MACHINE = DnsResolver()
