"""The listening sockets of one generation: which of the instance's addresses its listeners and its admin use."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from master.supervisor.bind import BindError
from master.supervisor.committed import Address, Committed, Listener
from master.supervisor.sockets import AddressSockets, SocketPool
from master.supervisor.systemd.supply import ADMIN
from shm.socket_name import SHARED, SocketName

ADMIN_BACKLOG = 128
LEAVING = 1_000_000  # more addresses than a listener has


class Bound(NamedTuple):
    """One address of a listener: its number in the listener, and its sockets."""

    listener: Listener
    number: int
    sockets: AddressSockets

    def name(self, index: int) -> str:
        return str(SocketName(self.listener.name, self.number, index))


class ListenSockets:
    """Binds what is not bound yet, for `count` workers; raises `BindError`, and then has changed nothing."""

    def __init__(self, pool: SocketPool, committed: Committed, admin_path: str, *, count: int) -> None:
        self.bounds: list[Bound] = []
        self.admin: dict[str, AddressSockets] = {}
        before = set(pool.addresses)
        try:
            for listener in committed.listeners:
                for number, address in enumerate(listener.addresses):
                    key = _key(address, listener.name, number)
                    if key in self.in_use():
                        raise BindError(f"cannot bind {address}: two listeners of the configuration have it")
                    sockets = pool.take(key, address, (listener.name, number), per_worker=listener.reuse_port)
                    self.bounds.append(Bound(listener, number, sockets))
            if committed.admin is not None:
                self._take_admin(pool, "tcp", committed.admin)
            self._take_admin(pool, "unix", Address(path=admin_path, mode=0o600))
            for index in range(count):
                self.ensure(index)
        except BindError:
            for key in set(pool.addresses) - before:
                pool.forget(key)
            raise

    def _take_admin(self, pool: SocketPool, name: str, address: Address) -> None:
        wanted = (ADMIN, 0) if name == "tcp" else (ADMIN, 1)
        self.admin[name] = sockets = pool.take(_key(address, "admin", 0), address, wanted, per_worker=False)
        sockets.backlog = ADMIN_BACKLOG
        sockets.ensure(SHARED)
        sockets.listen(SHARED)

    def in_use(self) -> set[str]:
        """The addresses in use, as `SocketPool` calls them."""
        return {bound.sockets.key for bound in self.bounds} | {sockets.key for sockets in self.admin.values()}

    def ensure(self, index: int) -> dict[str, int]:
        """Bind what worker `index` needs; the new sockets as `SocketName` → descriptor."""
        new: dict[str, int] = {}
        for bound in self.bounds:
            for key, sock in bound.sockets.ensure(index).items():
                new[bound.name(key)] = sock.fileno()
        return new

    def named(self) -> dict[str, int]:
        """Every bound socket as `SocketName` → descriptor."""
        return {bound.name(key): sock.fileno() for bound in self.bounds for key, sock in bound.sockets.sockets.items()}

    def admin_named(self) -> dict[str, int]:
        return {f"admin/{name}": sockets.sockets[SHARED].fileno() for name, sockets in self.admin.items()}

    def rename(self) -> None:
        """This generation serves: its names and backlogs are the ones that count, in systemd's store too."""
        for bound in self.bounds:
            bound.sockets.rename(bound.listener.name, bound.number)
            bound.sockets.set_backlog(bound.listener.backlog)
        for sockets in self._addresses():  # old names first, because two listeners may have changed places
            sockets.unstore()
        for sockets in self._addresses():
            sockets.store()

    def listen(self, index: int) -> None:
        for sockets in self._addresses():
            sockets.listen(index)

    @property
    def listening(self) -> int:
        """How many socket indexes there are: a generation before may have had more workers."""
        return max((sockets.listening for sockets in self._addresses()), default=0)

    def queues(self, addresses: Collection[AddressSockets]) -> list[str]:
        """What this generation calls the sockets of `addresses` that listen."""
        return [
            bound.name(key)
            for bound in self.bounds
            if bound.sockets in addresses
            for key in bound.sockets.listening_keys
        ]

    def canary(self) -> list[str]:
        """What worker 0 may accept on before this generation serves: what listens already, of index 0 or shared."""
        return [
            bound.name(key)
            for bound in self.bounds
            for key in bound.sockets.listening_keys
            if key in (0, SHARED) and not bound.sockets.closed
        ]

    def reopen(self, listeners: Collection[str] | None = None) -> dict[str, int]:
        """These listeners (all of them without names), which an operator closed, may listen again; returns the sockets
        that are new for workers. Raises `BindError`.
        """
        new: dict[str, int] = {}
        for bound in self.bounds:
            if listeners is None or bound.listener.name in listeners:
                for key, sock in bound.sockets.reopen().items():
                    new[bound.name(key)] = sock.fileno()
        return new

    def bound(self) -> list[tuple[str, list[str]]]:
        """(listener name, its bound addresses) in configuration order."""
        result: dict[str, list[str]] = {}
        for bound in self.bounds:
            result.setdefault(bound.listener.name, []).append(bound.sockets.bound())
        return list(result.items())

    def _addresses(self) -> Iterator[AddressSockets]:
        for bound in self.bounds:
            yield bound.sockets


def renamed(before: ListenSockets, now: ListenSockets, *, mark: int) -> tuple[dict[str, str], dict[str, int]]:
    """What workers that know the sockets as in `before` have to be told: old name → new one, and new sockets.

    A socket that ends while its name goes to another one gets a name that nobody else has, by `mark`, since what waits
    in it must still be accepted. Sockets of systemd's `.socket` units, which never end, are dropped: "".
    """
    names = {(bound.sockets.key, index): bound.name(index) for bound in now.bounds for index in bound.sockets.sockets}
    old = {(bound.sockets.key, index): bound for bound in before.bounds for index in bound.sockets.sockets}
    changed: dict[str, str] = {}
    for (key, index), bound in old.items():
        was = bound.name(index)
        if (key, index) in names:
            name = names[key, index]
        elif bound.sockets.given:
            name = ""
        elif was in names.values():
            name = str(SocketName(bound.listener.name, LEAVING * mark + bound.number, index))
        else:
            continue
        if name != was:
            changed[was] = name
    new = {
        bound.name(index): sock.fileno()
        for bound in now.bounds
        for index, sock in bound.sockets.sockets.items()
        if (bound.sockets.key, index) not in old
    }
    return changed, new


def _key(address: Address, listener: str, number: int) -> str:
    """What makes an address the same one in two configurations. Each port 0 is a port of its own."""
    return str(address) if address.path or address.port else f"{address} of {listener} {number}"
