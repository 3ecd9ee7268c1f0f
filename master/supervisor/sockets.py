"""Listening sockets. They belong to the supervisor; workers inherit them (DESIGN §1).

A TCP address has one SO_REUSEPORT socket per worker index, so that a dead worker's accept queue waits for its
successor. Sockets are bound first and listen only once somebody is ready to accept: a bound reuseport socket that does
not listen gets no connections.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Iterator

from master.supervisor import listen_queue
from master.supervisor.committed import Address, Listener
from master.supervisor.port_holder import holder
from master.supervisor.systemd.fd_store import StoredName
from master.supervisor.systemd.listen_fds import address_of
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.supply import ADMIN, NOTHING, Supplies, Supply
from shm.socket_name import SHARED, SocketName

log = logging.getLogger("supervisor")


class BindError(Exception):
    """An address cannot be had; the text names it, the reason and the remedy."""


def _somaxconn() -> int:
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        return int(file.read())


def _tcp(address: Address, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, port))
    except OSError as error:
        sock.close()
        raise _bind_error(address, error) from error
    return sock


def _bind_error(address: Address, error: OSError) -> BindError:
    if error.errno == errno.EADDRINUSE:
        return BindError(
            f"cannot bind {address}: the address is in use by {holder(address.port)}; stop it or choose another port"
        )
    if error.errno == errno.EACCES:
        return BindError(
            f"cannot bind {address}: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE "
            "(start as root with --user, or choose a higher port)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return BindError(f"cannot bind {address}: no interface of this machine has that address")
    return BindError(f"cannot bind {address}: {error.strerror}")


def probe(address: Address) -> None:
    """Fail if anybody listens on the TCP `address`: with SO_REUSEPORT two instances would share it silently."""
    if address.port:
        _tcp(address, address.port, reuse_port=False).close()


def unix(address: Address) -> socket.socket:
    """A bound Unix socket. A stale file is removed; a live or foreign one is an error; links are not followed."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    name = "\0" + address.path[1:] if address.path.startswith("@") else address.path
    try:
        if not address.path.startswith("@"):
            _remove_stale(address)
        # bind() applies the umask once; a chmod afterwards would leave a moment with wider rights
        mask = os.umask(0o777 & ~address.mode) if address.mode else None
        try:
            sock.bind(name)
        finally:
            if mask is not None:
                os.umask(mask)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise BindError(f"cannot bind {address}: another process listens there") from error
        raise BindError(f"cannot bind {address}: {error.strerror or error}") from error
    except BindError:
        sock.close()
        raise
    return sock


def _remove_stale(address: Address) -> None:
    try:
        status = os.lstat(address.path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise BindError(f"cannot bind {address}: a file that is no socket is there; it was left untouched")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address.path)
            return
        except TimeoutError:
            pass  # somebody listens and its queue is full
    raise BindError(f"cannot bind {address}: another process listens there")


class AddressSockets:
    """The sockets of one address of one listener: by worker index, or a single one under `SHARED`.

    `supply` are sockets that systemd handed us: they listen already, and others may hold them too.
    """

    def __init__(self, listener: Listener, number: int, address: Address, supply: Supply, notifier: Notifier) -> None:
        self.listener = listener
        self.number = number
        self.address = address
        self.given = supply.given
        self.per_worker = listener.reuse_port and not address.path
        self.sockets = {key: one.sock.dup() for key, one in supply.sockets.items()}
        self._listening = set(self.sockets)
        self._notifier = notifier
        self._port = 0
        self._closed = False  # or closing: it no longer listens for anybody
        if self.sockets:
            self.per_worker = SHARED not in self.sockets
            self.address = address_of(next(iter(self.sockets.values())))
        elif not address.path:
            probe(address)

    def ensure(self, index: int) -> dict[int, socket.socket]:
        """Bind what worker `index` needs and is not there yet; returns the new sockets. Never shrinks."""
        key = index if self.per_worker else SHARED
        if key in self.sockets:
            return {}
        path = self.address.path
        sock = unix(self.address) if path else _tcp(self.address, self.port, reuse_port=self.per_worker)
        self.sockets[key] = sock
        self._port = 0 if path else int(sock.getsockname()[1])
        return {key: sock}

    def name(self, index: int) -> str:
        return str(SocketName(self.listener.name, self.number, index))

    @property
    def port(self) -> int:
        """The bound port (0 only until the first socket of a port-0 address is bound)."""
        return self._port or self.address.port

    def listen(self, index: int) -> None:
        """Let the kernel queue connections for worker `index`, who is ready for them. From then on systemd holds the
        queue too, so that it outlives us.
        """
        key = index if self.per_worker else SHARED
        if key in self.sockets and key not in self._listening and not self._closed:
            self.sockets[key].listen(self.listener.backlog or _somaxconn())
            self._listening.add(key)
            self._notifier.store(self.stored_name(key), self.sockets[key].fileno())

    def stored_name(self, key: int) -> str:
        return str(StoredName.of(SocketName(self.listener.name, self.number, key)))

    @property
    def held(self) -> bool:
        """Whether systemd holds these sockets too: for whoever is started next, who serves what then waits in them."""
        return self.given or (bool(self._listening) and self._notifier.listened_to)

    @property
    def names(self) -> list[str]:
        """Those that listen."""
        return [self.name(key) for key in self._listening]

    def refuse(self) -> None:
        """No new connections; those in the queues can still be accepted. Sockets of a `.socket` unit are left alone:
        they are systemd's.
        """
        if self.given:
            log.warning("listener %s: its socket belongs to systemd, which keeps it open", self.listener.name)
        elif not self._closed:
            self._closed = True
            for key in self._listening:
                self._notifier.unstore(self.stored_name(key))
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

    def reopen(self, indexes: range) -> dict[int, socket.socket]:
        """Listen again, with sockets that are returned if the old ones had been shut down. Raises `BindError`."""
        if self.given:
            return {}
        if self._listening and not self.address.path:
            for key in self._listening:
                listen_queue.admit(self.sockets[key])
                self._notifier.store(self.stored_name(key), self.sockets[key].fileno())
            self._closed = False
            return {}
        keys = list(self.sockets)
        self._listening.clear()
        self.close()
        self.sockets.clear()
        if not self.address.path:
            probe(self._at_port())
        for key in keys:
            self.ensure(max(0, key))
        self._closed = False
        for index in indexes:
            self.listen(index)
        return self.sockets

    def bound(self) -> str:
        """The address as bound, a port 0 resolved."""
        return str(self._at_port())

    def _at_port(self) -> Address:
        return Address(host=self.address.host, port=self.port, path=self.address.path)

    def close(self) -> None:
        """Close them; the file of a Unix socket goes, unless systemd holds the socket for a successor."""
        for sock in self.sockets.values():
            sock.close()
        if self.address.path and not self.address.path.startswith("@") and not self.held:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address.path)


def _admin(address: Address, supply: Supply) -> socket.socket:
    if supply.sockets:
        return supply.sockets[SHARED].sock.dup()
    if address.path:
        return unix(address)
    probe(address)
    return _tcp(address, address.port, reuse_port=False)


class ListenSockets:
    """All listening sockets of the configuration, and the admin's.

    `supplies` are sockets that systemd handed us; they stay the caller's. `notifier` stores ours with systemd.
    """

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        admin: Address | None,
        admin_path: str,
        supplies: Supplies = NOTHING,
        notifier: Notifier | None = None,
    ) -> None:
        self.addresses: list[AddressSockets] = []
        self.admin: dict[str, socket.socket] = {}
        self._admin_path = admin_path
        self._notifier = notifier or Notifier(None)
        try:
            for listener in listeners:
                for number, address in enumerate(listener.addresses):
                    supply = supplies.get((listener.name, number), Supply({}))
                    self.addresses.append(AddressSockets(listener, number, address, supply, self._notifier))
            if admin is not None:
                self.admin["tcp"] = _admin(admin, supplies.get((ADMIN, 0), Supply({})))
            self.admin["unix"] = unix(Address(path=admin_path, mode=0o600))
            for sock in self.admin.values():
                sock.listen(128)
        except BindError:
            self.close()
            raise
        self._rename(supplies)

    def _rename(self, supplies: Supplies) -> None:
        """Sockets from the store that another listener has now are stored under its name; old names first, because
        two listeners may have changed places.
        """
        new: dict[str, int] = {}
        for address, key, sock in self._all():
            one = supplies.get((address.listener.name, address.number), Supply({})).sockets.get(key)
            if one is not None and not address.given and one.name != address.stored_name(key):
                self._notifier.unstore(one.name)
                new[address.stored_name(key)] = sock.fileno()
        for name, fd in new.items():
            self._notifier.store(name, fd)

    @property
    def width(self) -> int:
        """How many worker indexes have a socket: more than there are workers, if there were more of them once."""
        return 1 + max((key for _, key, _ in self._all()), default=-1)

    def ensure(self, index: int) -> dict[str, int]:
        """Bind what worker `index` needs; the new sockets as `SocketName` → descriptor."""
        new: dict[str, int] = {}
        for address in self.addresses:
            for key, sock in address.ensure(index).items():
                new[address.name(key)] = sock.fileno()
        return new

    def named(self) -> dict[str, int]:
        """Every bound socket as `SocketName` → descriptor."""
        return {address.name(key): sock.fileno() for address, key, sock in self._all()}

    def _all(self) -> Iterator[tuple[AddressSockets, int, socket.socket]]:
        for address in self.addresses:
            for key, sock in address.sockets.items():
                yield address, key, sock

    def listen(self, index: int) -> None:
        for address in self.addresses:
            address.listen(index)

    def bound(self) -> list[tuple[str, list[str]]]:
        """(listener name, its bound addresses) in configuration order."""
        result: dict[str, list[str]] = {}
        for address in self.addresses:
            result.setdefault(address.listener.name, []).append(address.bound())
        return list(result.items())

    def close(self) -> None:
        for address in self.addresses:
            address.close()
        for sock in self.admin.values():
            sock.close()
