"""Which listener a request reaches. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from master.config.suggest import nearest
from master.explain.request.question import Question, QuestionError
from proxy.config.common import Address, SocketAddress
from proxy.config.listener import Listener


class Reached(NamedTuple):
    """Listener number `number` at `local`, the address that the client connected to. `how` says why this one."""

    number: int
    local: Address
    how: str


def find(question: Question, listeners: Sequence[Listener], bound: Mapping[str, Sequence[Address]]) -> Reached:
    """The listener that is named, or has the address of the URL, or is the only one. `bound` are the addresses that
    each really has, where that is known. Raises `QuestionError`.
    """
    if not listeners:
        raise QuestionError("the configuration has no listener")
    if question.listener:
        return _named(question, listeners, bound)
    reached = [
        (index, address)
        for index, listener in enumerate(listeners)
        for address in _addresses(listener, bound)
        if _takes(address, question)
    ]
    exact = [one for one in reached if not _is_wildcard(one[1])]
    if found := exact or reached:
        index, address = found[0]
        return Reached(index, _local(address, question), f"listens on {address}")
    if len(listeners) == 1:
        return Reached(0, _local(_addresses(listeners[0], bound)[0], question), "the only listener")
    where = f"{question.host or '(any host)'}:{question.port}" if question.port else "the request's host"
    names = ", ".join(f"{one.name} ({', '.join(map(str, _addresses(one, bound)))})" for one in listeners[:10])
    raise QuestionError(f"no listener has {where}: name one with --listener. There are {names}")


def _named(question: Question, listeners: Sequence[Listener], bound: Mapping[str, Sequence[Address]]) -> Reached:
    for name_of in (_name, _stat_prefix):
        for number, listener in enumerate(listeners):
            if name_of(listener) == question.listener:
                addresses = _addresses(listener, bound)
                own = [address for address in addresses if _takes(address, question)]
                return Reached(number, _local((own or addresses)[0], question), "named")
    names = [listener.name for listener in listeners]
    meant = nearest(question.listener, names)
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(names[:10])}"
    raise QuestionError(f"no listener is called {question.listener!r}; {hint}")


def _name(listener: Listener) -> str:
    return listener.name


def _stat_prefix(listener: Listener) -> str:
    """What `why` calls it."""
    return listener.stat_prefix


def _addresses(listener: Listener, bound: Mapping[str, Sequence[Address]]) -> Sequence[Address]:
    return bound.get(listener.name) or listener.addresses


def _takes(address: Address, question: Question) -> bool:
    """A host that is a name may lead to any address of this machine."""
    if not isinstance(address, SocketAddress) or not question.port or address.port != question.port:
        return False
    asked = _ip(question.host)
    return asked is None or _is_wildcard(address) or asked == _ip(address.host)


def _is_wildcard(address: Address) -> bool:
    return isinstance(address, SocketAddress) and ipaddress.ip_address(address.host).is_unspecified


def _local(address: Address, question: Question) -> Address:
    if not isinstance(address, SocketAddress) or not _is_wildcard(address):
        return address
    asked = _ip(question.host)
    return SocketAddress(str(asked) if asked is not None else "127.0.0.1", address.port)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
