"""The hash of an exchange's request, for clusters whose balancer looks at it, and the cookies that are made for it."""

from __future__ import annotations

from typing import NamedTuple

import xxhash

from proxy.config.hash_policy import CookieMaker
from proxy.http.cookies import set_cookie
from proxy.http.exchange import Exchange
from proxy.route.entry import RouteEntry
from proxy.route.hash_policy import RequestHash, Subject, client_of
from proxy.upstream.cluster import Cluster


class Hashed(NamedTuple):
    """`number` is None where nothing is to be hashed. `cookies` are values of `set-cookie` for the client."""

    number: int | None = None
    cookies: tuple[bytes, ...] = ()


def policy_of(entry: RouteEntry, cluster: Cluster) -> RequestHash | None:
    """What is hashed of requests of `entry` to `cluster`: what the cluster says goes before what the route says."""
    return (cluster.request_hash or entry.request_hash) if cluster.config.lb.hashes else None


def hashed(policy: RequestHash, exchange: Exchange) -> Hashed:
    """Of the request as it comes to the router, before its route edits it."""
    info, cookies = exchange.info, list[bytes]()

    def bake(name: str, maker: CookieMaker) -> bytes:
        value = cookie_value(exchange)
        cookies.append(set_cookie(name, value, maker))
        return value

    number = policy.number(Subject(exchange.request, client_of(info), info.filter_state, bake))
    return Hashed(number, tuple(cookies))


def cookie_value(exchange: Exchange) -> bytes:
    """The same for all requests of a connection, so that those that race for a cookie get the same one (Envoy's
    `addDownstreamSetCookie`). Empty for a request that no client has sent.
    """
    connection = exchange.info.connection
    if connection is None:
        return b""
    return xxhash.xxh64_hexdigest(f"{connection.remote}{connection.local}".encode()).encode()
