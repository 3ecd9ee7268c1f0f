"""Which filter chain a connection gets (`config.listener.v3.FilterChainMatch`). Pure.

Envoy asks one question after the other and keeps, each time, only those chains whose answer is the most specific; it
never goes back (`FilterChainManagerImpl::findFilterChain`). So the chains are a tree with one level per question.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from proxy.config.common import Address, SocketAddress
from proxy.config.listener import ChainMatch

_ANY = ""
_EVERYWHERE = ("0.0.0.0/0", "::/0")
_NOWHERE = ipaddress.ip_address("0.0.0.0")  # a Unix socket, for questions about addresses

Node = dict[Any, Any]


class Arrival(NamedTuple):
    """What is known of a connection. `transport` is `tls` or `raw_buffer`; `applications` are in the client's order."""

    local: Address
    remote: Address
    transport: str = "raw_buffer"
    server_name: str = ""
    applications: Sequence[str] = ()


class SameRules(ValueError):
    """No connection can reach the chain `index`: the one at `other` has the same rules."""

    def __init__(self, index: int, other: int) -> None:
        super().__init__(f"filter chain {index} has the same matching rules as {other}")
        self.index = index
        self.other = other


class ChainTree:
    """The matches of a listener's filter chains, in order. Raises `SameRules`."""

    def __init__(self, matches: Iterable[ChainMatch]) -> None:
        self._root: Node = {}
        for index, match in enumerate(matches):
            for keys in itertools.product(*_keys(match)):
                node = self._root
                for key in keys[:-1]:
                    node = node.setdefault(key, {})
                if node.setdefault(keys[-1], index) != index:
                    raise SameRules(index, node[keys[-1]])

    def find(self, arrival: Arrival) -> int | None:
        """The index of the chain that serves the connection."""
        node: Any = self._root
        for choose in _QUESTIONS:
            node = choose(node, arrival)
            if node is None:
                return None
        assert isinstance(node, int)
        return node


def _keys(match: ChainMatch) -> Iterator[Sequence[Any]]:
    """The answers that a chain accepts, question by question."""
    yield (match.destination_port or 0,)
    yield _networks(match.prefix_ranges)
    yield [name.removeprefix("*").lower() for name in match.server_names] or (_ANY,)
    yield (match.transport_protocol,)
    yield match.application_protocols or (_ANY,)
    yield _networks(match.direct_source_prefix_ranges)
    yield (match.source_type,)
    yield _networks(match.source_prefix_ranges)
    yield match.source_ports or (0,)


def _networks(ranges: Sequence[str]) -> Sequence[Any]:
    return [ipaddress.ip_network(text, strict=False) for text in ranges or _EVERYWHERE]


def _by_port(port: Callable[[Arrival], Address]) -> Callable[[Node, Arrival], Any]:
    def choose(node: Node, arrival: Arrival) -> Any:
        address = port(arrival)
        number = address.port if isinstance(address, SocketAddress) else 0
        return node.get(number, node.get(0))

    return choose


def _by_network(side: Callable[[Arrival], Address]) -> Callable[[Node, Arrival], Any]:
    def choose(node: Node, arrival: Arrival) -> Any:
        address = _ip(side(arrival))
        found = [network for network in node if address in network]
        return node[max(found, key=lambda network: network.prefixlen)] if found else None

    return choose


def _ip(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.host) if isinstance(address, SocketAddress) else _NOWHERE


def _by_server_name(node: Node, arrival: Arrival) -> Any:
    """The name itself, then `.example.com` and `.com` for `www.example.com`."""
    name = arrival.server_name
    while name:
        if name in node:
            return node[name]
        dot = name.find(".", 1)
        name = name[dot:] if dot >= 0 else ""
    return node.get(_ANY)


def _by_transport(node: Node, arrival: Arrival) -> Any:
    return node.get(arrival.transport, node.get(_ANY))


def _by_application(node: Node, arrival: Arrival) -> Any:
    return next((node[name] for name in arrival.applications if name in node), node.get(_ANY))


def _by_source_type(node: Node, arrival: Arrival) -> Any:
    kind = "SAME_IP_OR_LOOPBACK" if _is_here(arrival) else "EXTERNAL"
    return node.get(kind, node.get("ANY"))


def _is_here(arrival: Arrival) -> bool:
    """`Utility::isSameIpOrLoopback`: a Unix socket is here as well."""
    remote, local = arrival.remote, arrival.local
    if not isinstance(remote, SocketAddress) or not isinstance(local, SocketAddress):
        return True
    return remote.host == local.host or _ip(remote).is_loopback


def _local(arrival: Arrival) -> Address:
    return arrival.local


def _remote(arrival: Arrival) -> Address:
    return arrival.remote


_QUESTIONS = (
    _by_port(_local),
    _by_network(_local),
    _by_server_name,
    _by_transport,
    _by_application,
    _by_network(_remote),
    _by_source_type,
    _by_network(_remote),
    _by_port(_remote),
)
