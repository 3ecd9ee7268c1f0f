"""Listening sockets. They belong to the supervisor; workers inherit them (DESIGN §1).

A TCP address has one SO_REUSEPORT socket per worker index, so that a dead worker's accept queue waits for its
successor. Sockets are bound first and listen only once somebody is ready to accept: a bound reuseport socket that does
not listen gets no connections. Generations share the sockets of an address that both have; what a generation calls them
is in `listening.py`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterable
from typing import Any

from master.supervisor import bind, listen_queue
from master.supervisor.bind import BindError
from master.supervisor.committed import Address
from master.supervisor.state import Fd
from master.supervisor.systemd.fd_store import StoredName
from master.supervisor.systemd.listen_fds import address_of
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.supply import ADMIN, NOTHING, Supplies, Supply
from shm.socket_name import SHARED, SocketName

log = logging.getLogger("supervisor")


class AddressSockets:
    """The sockets of one address: by worker index (`per_worker`), or a single one under `SHARED`.

    `supply` are sockets that systemd handed us: they listen already, and others may hold them too.
    """

    def __init__(
        self, key: str, address: Address, notifier: Notifier, *, per_worker: bool, supply: Supply | None = None
    ) -> None:
        supply = supply or Supply({})
        self.key = key
        self.listener, self.number = ADMIN, 0  # who uses it, as the newest generation calls it
        self.address = address
        self.backlog = 0  # the kernel's most
        self.given = supply.given
        self.per_worker = per_worker and not address.path
        self.sockets = {index: one.sock.dup() for index, one in supply.sockets.items()}
        self._listening = set(self.sockets)
        self._stored = {index: one.name for index, one in supply.sockets.items() if not supply.given}
        self._notifier = notifier
        self._shut = False
        if self.sockets:
            self.per_worker = SHARED not in self.sockets
            self.address = address_of(next(iter(self.sockets.values())))

    def set_backlog(self, backlog: int) -> None:
        """How many connections may wait in each queue; 0 is the kernel's most."""
        if backlog != self.backlog:
            self.backlog = backlog
            for key in self._listening if not self._shut else ():
                self.sockets[key].listen(backlog or bind.somaxconn())

    def rename(self, listener: str, number: int) -> None:
        """It is address `number` of `listener` from now on."""
        self.listener, self.number = listener, number

    def store(self) -> None:
        """Let systemd hold every queue under its present name, so that it outlives us."""
        for index in sorted(self._listening):
            name = str(StoredName.of(SocketName(self.listener, self.number, index)))
            if self.listener == ADMIN or self.given or self._stored.get(index) == name:
                continue
            self._notifier.store(name, self.sockets[index].fileno())
            self._stored[index] = name

    def unstore(self) -> None:
        """Before another address is stored under the name of this one."""
        for index, name in list(self._stored.items()):
            if name != str(StoredName.of(SocketName(self.listener, self.number, index))):
                self._notifier.unstore(name)
                del self._stored[index]

    def forsake(self) -> None:
        """Have systemd hold none of the queues any more."""
        for name in self._stored.values():
            self._notifier.unstore(name)
        self._stored.clear()

    def ensure(self, index: int) -> dict[int, socket.socket]:
        """Bind what worker `index` needs and is not there yet; returns the new sockets. Never shrinks."""
        key = index if self.per_worker else SHARED
        if key in self.sockets:
            return {}
        if self.address.path:
            sock = bind.unix(self.address)
        else:
            sock = bind.tcp(self.address, self.port, reuse_port=self.per_worker)
        self.sockets[key] = sock
        return {key: sock}

    @property
    def port(self) -> int:
        """The bound port (0 only until the first socket of a port-0 address is bound)."""
        for sock in self.sockets.values():
            if not self.address.path:
                return int(sock.getsockname()[1])
        return self.address.port

    def listen(self, index: int) -> None:
        """Let the kernel queue connections for worker `index`, who is ready for them. From then on systemd holds the
        queue too.
        """
        key = index if self.per_worker else SHARED
        if key in self.sockets and key not in self._listening and not self._shut:
            self.sockets[key].listen(self.backlog or bind.somaxconn())
            self._listening.add(key)
            self.store()

    @property
    def listening(self) -> int:
        """One more than the highest worker index whose socket listens."""
        return max(self._listening, default=SHARED) + 1

    @property
    def held(self) -> bool:
        """Whether systemd holds these sockets too, for whoever is started next."""
        return self.given or bool(self._stored and self._notifier.keeps)

    @property
    def listening_keys(self) -> list[int]:
        return sorted(self._listening)

    @property
    def closed(self) -> bool:
        """`refuse`d, or shut down."""
        return self._shut

    def refuse(self) -> None:
        """No new connections; those in the queues can still be accepted. Sockets of a `.socket` unit are left alone:
        they are systemd's.
        """
        if self.given:
            log.warning("listener %s: its socket belongs to systemd, which keeps it open", self.listener)
        elif not self._shut:
            self._shut = True
            self.forsake()
            for key in self._listening:
                listen_queue.refuse(self.sockets[key])

    @property
    def empty(self) -> bool:
        """Whether nobody waits in the queues. Unix sockets keep theirs when they are shut down."""
        return bool(self.address.path) or not any(listen_queue.waiting(self.sockets[key]) for key in self._listening)

    @property
    def local(self) -> bool:
        """Whether a handshake is complete when `connect` returns, so that none can be under way."""
        return bool(self.address.path) or self.address.host in ("127.0.0.1", "::1")

    def shutdown(self) -> None:
        """After `refuse`, for everybody who holds the sockets; whoever polls them finds out."""
        if not self.given:
            for key in self._listening:
                self.sockets[key].shutdown(socket.SHUT_RDWR)
            self._listening.clear()

    def reopen(self) -> dict[int, socket.socket]:
        """`listen` has an effect again. Returns the sockets that are new, as those that were shut down are replaced: a
        port 0 would not stay what it was, and a Unix socket never listens again. Raises `BindError`.
        """
        if not self._shut:
            return {}
        if self._listening and not self.address.path:
            for key in self._listening:
                listen_queue.admit(self.sockets[key])
            self._shut = False
            self.store()
            return {}
        if not self.address.path:
            self.address = Address(host=self.address.host, port=self.port)
            bind.probe(self.address)
        old, self.sockets = self.sockets, {}
        try:
            for key in old:
                self.ensure(key)
        except BindError:
            for sock in self.sockets.values():
                sock.close()
            self.sockets = old
            raise
        for sock in old.values():
            sock.close()
        self._listening.clear()
        self._shut = False
        return dict(self.sockets)

    def bound(self) -> str:
        """The address as bound, a port 0 resolved."""
        return str(Address(host=self.address.host, port=self.port, path=self.address.path))

    def close(self) -> None:
        """Close them; the file of a Unix socket goes, unless systemd holds the socket for a successor."""
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()  # whoever still empties the queues finds nothing to do
        self._listening.clear()
        if self.address.path and not self.address.path.startswith("@") and not self.held:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address.path)

    # --- over an exec ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on with these sockets (`state.py`); the descriptors are in "sockets"."""
        return {
            "key": self.key,
            "host": self.address.host,
            "port": self.address.port,
            "path": self.address.path,
            "mode": self.address.mode,
            "per_worker": self.per_worker,
            "backlog": self.backlog,
            "sockets": {str(index): Fd(sock.fileno()) for index, sock in self.sockets.items()},
            "listening": sorted(self._listening),
            "shut": self._shut,
            "given": self.given,
            "stored": {str(index): name for index, name in self._stored.items()},
        }

    @classmethod
    def adopt(cls, state: dict[str, Any], notifier: Notifier) -> AddressSockets:
        """The inverse of `state`; takes the descriptors over."""
        address = Address(host=state["host"], port=state["port"], path=state["path"], mode=state["mode"])
        adopted = cls(state["key"], address, notifier, per_worker=state["per_worker"])
        adopted.backlog = state["backlog"]
        adopted.sockets = {int(index): socket.socket(fileno=fd) for index, fd in state["sockets"].items()}
        adopted._listening = set(state["listening"])
        adopted._shut = state["shut"]
        adopted.given = state["given"]
        adopted._stored = {int(index): name for index, name in state["stored"].items()}
        return adopted


class SocketPool:
    """Every address that the instance has bound, whichever generations use it.

    `supplies` are sockets that systemd handed us at the start; they stay the caller's. `notifier` stores ours there.
    """

    def __init__(
        self, notifier: Notifier, supplies: Supplies = NOTHING, adopted: Iterable[AddressSockets] = ()
    ) -> None:
        self._notifier = notifier
        self._supplies = supplies
        self.addresses: dict[str, AddressSockets] = {address.key: address for address in adopted}

    def take(self, key: str, address: Address, wanted: tuple[str, int], *, per_worker: bool) -> AddressSockets:
        """The sockets of `address`: handed by systemd, bound by an earlier generation, or free to be bound by `ensure`
        (which may raise, as this does, `BindError`). `wanted`: the listener (or `ADMIN`) and its address's number.
        """
        if key not in self.addresses:
            supply = self._supplies.get(wanted)
            if supply is None and not address.path:
                bind.probe(address)
            self.addresses[key] = AddressSockets(key, address, self._notifier, per_worker=per_worker, supply=supply)
        return self.addresses[key]

    def settle(self) -> None:
        """The start is over: what systemd handed us has found its place, and is closed by whoever took it."""
        self._supplies = NOTHING

    def release(self, key: str) -> None:
        """Nobody uses the address any more: it is closed for good, also in systemd's store. The socket of a `.socket`
        unit is kept: it cannot be bound again for as long as systemd has it.
        """
        address = self.addresses[key]
        if not address.given:
            address.forsake()
            address.shutdown()
            self.forget(key)

    def forget(self, key: str) -> None:
        """Close our descriptors; what systemd holds is for a successor."""
        self.addresses.pop(key).close()

    def close(self) -> None:
        for key in list(self.addresses):
            self.forget(key)
