"""Which address gets which of the sockets that systemd handed us, and what becomes of the others.

`assign` is the decision, and pure; `release` acts on what is left over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from master.supervisor.committed import Address, Committed
from master.supervisor.systemd.fd_store import StoredName, label
from master.supervisor.systemd.listen_fds import Handed
from master.supervisor.systemd.notify import Notifier
from shm.socket_name import SHARED

log = logging.getLogger("supervisor")

ADMIN = ""  # in place of a listener's name: the admin interface, which is found by its address alone


class Wanted(NamedTuple):
    """Address number `number` of `listener`."""

    listener: str
    number: int
    address: Address


@dataclasses.dataclass(frozen=True, slots=True)
class Supply:
    """The sockets of one address, by worker index or under `SHARED`. `given`: they belong to a `.socket` unit."""

    sockets: dict[int, Handed]
    given: bool = False


Supplies = Mapping[tuple[str, int], Supply]
"""By (listener, address number); those that get nothing are left out."""

NOTHING: Supplies = MappingProxyType({})


def wanted(committed: Committed) -> Iterator[Wanted]:
    for listener in committed.listeners:
        for number, address in enumerate(listener.addresses):
            yield Wanted(listener.name, number, address)
    if committed.admin is not None:
        yield Wanted(ADMIN, 0, committed.admin)


def assign(wanted: Sequence[Wanted], handed: Sequence[Handed]) -> Supplies:
    """Who gets what.

    Our own sockets from the store go where they were, or to whoever has their address now: all of an address, so that
    none of its queues is lost. A socket of a `.socket` unit goes to the listener with its address, else to the listener
    with its name, wherever it is bound.
    """
    supplies: dict[tuple[str, int], Supply] = {}
    ours = {one: name for one in handed if (name := StoredName.parse(one.name)) is not None}
    for belongs in (_was_there, lambda want, _, one: _same(want.address, one.address)):
        _assign_ours(wanted, ours, belongs, supplies)
    strangers = [one for one in handed if StoredName.parse(one.name) is None]
    for fits in (lambda want, one: _same(want.address, one.address), _has_name):
        for want in wanted:
            if want[:2] in supplies:
                continue
            one = next((one for one in strangers if fits(want, one)), None)
            if one is not None:
                strangers.remove(one)
                supplies[want[:2]] = Supply({SHARED: one}, given=True)
    return supplies


def _assign_ours(
    wanted: Sequence[Wanted],
    ours: dict[Handed, StoredName],
    belongs: Callable[[Wanted, StoredName, Handed], bool],
    supplies: dict[tuple[str, int], Supply],
) -> None:
    """Moves what belongs to somebody out of `ours`."""
    for want in wanted:
        for one, name in list(ours.items()):
            if want.listener == ADMIN or not belongs(want, name, one):
                continue
            sockets = supplies.setdefault(want[:2], Supply({})).sockets
            index = name.index if one.reuse_port and name.index >= 0 else SHARED
            if SHARED in sockets or (index == SHARED and sockets):
                continue  # the kernel knows no such mixture
            while index in sockets:
                index += 1
            sockets[index] = one
            del ours[one]


def _was_there(want: Wanted, name: StoredName, one: Handed) -> bool:
    """Is it the socket that this very address of this listener had? A port 0 keeps the port that it got."""
    if (name.label, name.address) != (label(want.listener), want.number):
        return False
    return _same(dataclasses.replace(want.address, port=want.address.port or one.address.port), one.address)


def _has_name(want: Wanted, one: Handed) -> bool:
    return want.listener != ADMIN and want.listener == one.name


def _same(one: Address, other: Address) -> bool:
    return (one.host, one.port, one.path) == (other.host, other.port, other.path)


def release(supplies: Supplies, handed: Sequence[Handed], notifier: Notifier) -> None:
    """Deal with the sockets that nobody gets. Ours are closed everywhere, also in the store, so that their addresses
    are free; of those that belong to a `.socket` unit the operator hears, as clients would wait there for ever.
    """
    used = [one for supply in supplies.values() for one in supply.sockets.values()]
    for one in handed:
        if one in used:
            continue
        if StoredName.parse(one.name) is None:
            log.warning(
                "systemd listens on %s for us (%s), but no listener has this address or name: connections wait there "
                "in vain; remove it from the .socket unit, or give a listener its address",
                one.address, one.name,
            )  # fmt: skip
        else:
            log.info("no listener is on %s any more: its socket is closed", one.address)
            notifier.unstore(one.name)
            with contextlib.suppress(OSError):  # it may have been shut down before
                one.sock.shutdown(socket.SHUT_RDWR)
        one.sock.close()
