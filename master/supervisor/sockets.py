"""Listening sockets. They belong to the supervisor; workers inherit them (DESIGN §1).

A TCP address has one SO_REUSEPORT socket per worker index, so that a dead worker's accept queue waits for its
successor. Sockets are bound first and listen only once somebody is ready to accept: a bound reuseport socket that does
not listen gets no connections. Generations share the sockets of an address that both have; what a generation calls them
is in `listening.py`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Any

from master.supervisor import bind
from master.supervisor.committed import Address
from master.supervisor.state import Fd
from shm.socket_name import SHARED


class AddressSockets:
    """The sockets of one address: by worker index (`per_worker`), or a single one under `SHARED`."""

    def __init__(self, key: str, address: Address, *, per_worker: bool, backlog: int = 0) -> None:
        self.key = key
        self.address = address
        self.per_worker = per_worker
        self.backlog = backlog  # 0: the kernel's most
        self.sockets: dict[int, socket.socket] = {}
        self._listening: set[int] = set()
        self._shut = False

    @classmethod
    def bind(cls, key: str, address: Address, *, per_worker: bool, backlog: int = 0) -> AddressSockets:
        """For an address that nobody else listens on; raises `BindError`. The first socket comes with `ensure`."""
        if not address.path:
            bind.probe(address)
        return cls(key, address, per_worker=per_worker and not address.path, backlog=backlog)

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
        """Let the kernel queue connections for worker `index`, who is ready for them."""
        key = index if self.per_worker else SHARED
        if key not in self._listening and not self._shut:
            self.sockets[key].listen(self.backlog or bind.somaxconn())
            self._listening.add(key)

    @property
    def listening(self) -> int:
        """One more than the highest worker index whose socket listens."""
        return max(self._listening, default=SHARED) + 1

    def shutdown(self) -> None:
        """Connections are refused from now on, whoever holds the sockets."""
        self._shut = True
        for key in self._listening:
            self.sockets[key].shutdown(socket.SHUT_RDWR)
        self._listening.clear()

    def reopen(self) -> None:
        """`listen` has an effect again: the sockets are still bound."""
        self._shut = False

    def bound(self) -> str:
        """The address as bound, a port 0 resolved."""
        return str(Address(host=self.address.host, port=self.port, path=self.address.path))

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        if self.address.path and not self.address.path.startswith("@"):
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
        }

    @classmethod
    def adopt(cls, state: dict[str, Any]) -> AddressSockets:
        """The inverse of `state`; takes the descriptors over."""
        address = Address(host=state["host"], port=state["port"], path=state["path"], mode=state["mode"])
        adopted = cls(state["key"], address, per_worker=state["per_worker"], backlog=state["backlog"])
        adopted.sockets = {int(index): socket.socket(fileno=fd) for index, fd in state["sockets"].items()}
        adopted._listening = set(state["listening"])
        adopted._shut = state["shut"]
        return adopted


class SocketPool:
    """Every address that the instance has bound, whichever generations use it."""

    def __init__(self, adopted: Iterable[AddressSockets] = ()) -> None:
        self.addresses: dict[str, AddressSockets] = {address.key: address for address in adopted}

    def take(self, key: str, address: Address, *, per_worker: bool, backlog: int) -> AddressSockets:
        """The sockets of `address`, bound now or by an earlier generation. Raises `BindError`."""
        if key not in self.addresses:
            self.addresses[key] = AddressSockets.bind(key, address, per_worker=per_worker, backlog=backlog)
        found = self.addresses[key]
        found.backlog = backlog
        return found

    def release(self, key: str) -> None:
        """Nobody uses the address any more."""
        self.addresses.pop(key).close()

    def close(self) -> None:
        for key in list(self.addresses):
            self.release(key)
