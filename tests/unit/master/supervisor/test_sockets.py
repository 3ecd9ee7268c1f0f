"""Binding: probe, reuseport sockets per worker, Unix sockets, stale files, names of culprits."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from master.supervisor.bind import BindError
from master.supervisor.committed import Address, Committed, Listener
from master.supervisor.listening import ListenSockets
from master.supervisor.sockets import AddressSockets, SocketPool
from master.supervisor.systemd.listen_fds import Handed, address_of
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.supply import ADMIN, Supplies, Supply
from shm.socket_name import SHARED, SocketName


def listener(*addresses: Address, reuse_port: bool = True) -> Listener:
    return Listener("web", addresses, reuse_port=reuse_port, backlog=16, takes_idle=True)


@pytest.fixture
def pool() -> Iterator[SocketPool]:
    pool = SocketPool(Notifier(None))
    yield pool
    pool.close()


def bind(
    pool: SocketPool, tmp_path: Path, *listeners: Listener, admin: Address | None = None, count: int = 0
) -> ListenSockets:
    committed = Committed(-1, 1, listeners, admin, 0, 0, (1,))
    return ListenSockets(pool, committed, str(tmp_path / "admin.sock"), count=count)


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_one_reuseport_socket_per_worker_on_one_port(pool: SocketPool, tmp_path: Path) -> None:
    sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)))
    first = sockets.ensure(0)
    second = sockets.ensure(1)
    assert [SocketName.parse(name) for name in [*first, *second]] == [SocketName("web", 0, 0), SocketName("web", 0, 1)]
    ports = {sock.getsockname() for bound in sockets.bounds for sock in bound.sockets.sockets.values()}
    assert len(ports) == 1
    assert sockets.ensure(1) == {}  # never twice


def test_bound_but_silent_until_listen(pool: SocketPool, tmp_path: Path) -> None:
    sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)))
    sockets.ensure(0)
    ((_, (address,)),) = sockets.bound()
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    sockets.listen(0)
    connect(port)


def test_without_reuse_port_all_workers_share_one_socket(pool: SocketPool, tmp_path: Path) -> None:
    sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0), reuse_port=False))
    (name,) = sockets.ensure(0)
    parsed = SocketName.parse(name)
    assert parsed is not None
    assert parsed.index == SHARED
    assert sockets.ensure(1) == {}


def test_an_address_in_use_names_its_holder(pool: SocketPool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:  # reuseport: a plain bind would succeed
        port = other.getsockname()[1]
        with pytest.raises(BindError, match=rf"127\.0\.0\.1:{port}.*in use by pid {os.getpid()} \("):
            bind(pool, tmp_path, listener(Address("127.0.0.1", port)))


def test_an_address_of_no_interface(pool: SocketPool, tmp_path: Path) -> None:
    with pytest.raises(BindError, match="no interface of this machine"):
        bind(pool, tmp_path, listener(Address("192.0.2.1", 8080)))


def test_ipv6_takes_no_ipv4(pool: SocketPool, tmp_path: Path) -> None:
    sockets = bind(pool, tmp_path, listener(Address("::", 0)))
    (fd,) = sockets.ensure(0).values()
    sockets.listen(0)
    ((_, (address,)),) = sockets.bound()
    with suppress(ConnectionRefusedError):  # somebody else may have this port of IPv4, and get the connection
        connect(int(address.rpartition(":")[2]))
    with socket.socket(fileno=os.dup(fd)) as listening:
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_unix_socket_has_its_mode_from_the_start(pool: SocketPool, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    sockets = bind(pool, tmp_path, listener(Address(path=str(path), mode=0o640)))
    sockets.ensure(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    pool.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(pool: SocketPool, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bind(pool, tmp_path, listener(Address(path=str(path)))).ensure(0)
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_live_unix_socket_is_left_alone(pool: SocketPool, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        sockets = bind(pool, tmp_path, listener(Address(path=str(path))))
        with pytest.raises(BindError, match="another process listens there"):
            sockets.ensure(0)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_is_never_removed(pool: SocketPool, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("keep me")
    else:
        (tmp_path / "target").write_text("keep me")
        path.symlink_to(tmp_path / "target")
    sockets = bind(pool, tmp_path, listener(Address(path=str(path))))
    with pytest.raises(BindError, match="left untouched"):
        sockets.ensure(0)
    assert path.read_text() == "keep me"


def test_abstract_socket(pool: SocketPool, tmp_path: Path) -> None:
    name = f"@trireme-test-{os.getpid()}"
    sockets = bind(pool, tmp_path, listener(Address(path=name)))
    sockets.ensure(0)
    sockets.listen(0)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name[1:])


def test_a_failed_bind_leaves_nothing_open(pool: SocketPool, tmp_path: Path) -> None:
    admin_path = tmp_path / "admin.sock"
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BindError):
        bind(pool, tmp_path, listener(Address("192.0.2.1", 1)), admin=Address("127.0.0.1", 0))
    assert len(os.listdir("/proc/self/fd")) == before
    assert not admin_path.exists()


def test_generations_share_the_sockets_of_an_address(pool: SocketPool, tmp_path: Path) -> None:
    first = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=2)
    port = first.bounds[0].sockets.port
    again = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=2)
    assert again.named() == first.named()
    assert again.bounds[0].sockets.port == port
    assert again.admin_named() == first.admin_named()


def test_a_failed_successor_leaves_the_sockets_of_its_predecessor(pool: SocketPool, tmp_path: Path) -> None:
    first = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BindError):
        bind(pool, tmp_path, listener(Address("127.0.0.1", 0), Address("192.0.2.1", 1)), count=3)
    first.listen(0)
    connect(first.bounds[0].sockets.port)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # sockets of more workers may stay: nobody listens there


def test_one_address_of_two_listeners_is_refused(pool: SocketPool, tmp_path: Path) -> None:
    first = Listener("a", (Address("127.0.0.1", 0),), reuse_port=True, backlog=0, takes_idle=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    twice = [
        Listener(name, (Address("127.0.0.1", port),), reuse_port=True, backlog=0, takes_idle=True) for name in "bc"
    ]
    with pytest.raises(BindError, match="two listeners"):
        bind(pool, tmp_path, first, *twice)
    assert not pool.addresses


class Store(Notifier):
    """Remembers what it was told to store."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list[str] = []

    def store(self, name: str, fd: int) -> None:
        self.told.append(f"+{name}")

    def unstore(self, name: str) -> None:
        self.told.append(f"-{name}")


@pytest.fixture
def store() -> Store:
    return Store()


@contextmanager
def supplied(store: Store, supplies: Supplies) -> Iterator[SocketPool]:
    """A pool that begins with what systemd handed over."""
    pool = SocketPool(store, supplies)
    try:
        yield pool
    finally:
        pool.close()


def handed(name: str, sock: socket.socket, *, reuse_port: bool = True) -> Handed:
    return Handed(name, sock, address_of(sock), reuse_port=reuse_port)


def serve(sockets: ListenSockets, count: int) -> None:
    """As the workforce does."""
    sockets.rename()
    for index in range(count):
        sockets.listen(index)


def shut(sockets: ListenSockets) -> None:
    """As `draining.py` does once the queues are empty."""
    for bound in sockets.bounds:
        bound.sockets.refuse()
        assert bound.sockets.empty
        bound.sockets.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "unix"])
def test_a_listener_that_was_closed_opens_again_where_it_was(store: Store, tmp_path: Path, host: str) -> None:
    wanted = Address(path=str(tmp_path / "s")) if host == "unix" else Address(host, 0)
    with supplied(store, {}) as pool:
        sockets = bind(pool, tmp_path, listener(wanted), count=2)
        serve(sockets, 2)
        before = sockets.bound()
        (address,) = [bound.sockets for bound in sockets.bounds]
        shut(sockets)
        with pytest.raises(ConnectionRefusedError):
            connect_to(address)
        new = sockets.reopen({"web"})
        assert new == sockets.named()
        serve(sockets, 2)
        assert sockets.bound() == before
        connect_to(address)
        assert sockets.reopen({"web"}) == {}  # it is open


def test_a_closing_listener_opens_again_with_the_sockets_that_it_has(store: Store, tmp_path: Path) -> None:
    with supplied(store, {}) as pool:
        sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
        serve(sockets, 1)
        (address,) = [bound.sockets for bound in sockets.bounds]
        connect_to(address)  # it waits in the queue, so the socket is not shut down yet
        address.refuse()
        assert not address.empty
        assert sockets.reopen() == {}
        connect_to(address)
    assert store.told == ["+trireme/0/0/web", "-trireme/0/0/web", "+trireme/0/0/web"]


def test_a_closed_listener_whose_port_was_taken_meanwhile_stays_closed(store: Store, tmp_path: Path) -> None:
    with supplied(store, {}) as pool:
        sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
        serve(sockets, 1)
        (address,) = [bound.sockets for bound in sockets.bounds]
        port = address.port
        shut(sockets)
        with socket.socket() as taker:  # as another instance of the same user may
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taker.bind(("127.0.0.1", port))
            taker.listen()
            with pytest.raises(BindError, match="in use by"):
                sockets.reopen()
        assert sockets.reopen() == sockets.named()


def connect_to(address: AddressSockets) -> None:
    name = address.bound()
    with socket.socket(socket.AF_UNIX if name.startswith("/") else socket.AF_INET) as client:
        client.settimeout(5)
        client.connect(name if name.startswith("/") else ("127.0.0.1", address.port))


def test_a_socket_is_stored_when_it_listens_and_removed_when_it_is_shut(store: Store, tmp_path: Path) -> None:
    with supplied(store, {}) as pool:
        sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
        assert store.told == []
        serve(sockets, 1)
        serve(sockets, 1)
        shut(sockets)
    assert store.told == ["+trireme/0/0/web", "-trireme/0/0/web"]


def test_an_end_leaves_the_store_alone(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with supplied(store, {}) as pool:
        serve(bind(pool, tmp_path, listener(Address(path=str(path))), count=1), 1)
    assert store.told == ["+trireme/0/-1/web"]


def test_stored_sockets_come_back_with_their_queue(store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as old, socket.create_connection(old.getsockname()):
        supplies = {("web", 0): Supply({2: handed("trireme/0/2/web", old)})}
        with supplied(store, supplies) as pool:
            sockets = bind(pool, tmp_path, listener(address_of(old)), count=1)  # one more socket on the port we hold
            serve(sockets, 1)
            assert sockets.listening == 3
            sockets.bounds[0].sockets.sockets[2].accept()[0].close()
    assert store.told == ["+trireme/0/0/web"]  # the other one is there already


def test_sockets_of_another_listener_are_stored_under_the_new_name(store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as old:
        supplies = {("web", 0): Supply({0: handed("trireme/0/0/former", old)})}
        with supplied(store, supplies) as pool:
            serve(bind(pool, tmp_path, listener(address_of(old)), count=1), 1)
    assert store.told == ["-trireme/0/0/former", "+trireme/0/0/web"]


def test_the_socket_of_a_socket_unit_is_shared_and_never_shut(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as unit:
        unit.bind(str(path))
        unit.listen()
        supplies = {("web", 0): Supply({SHARED: handed("web", unit, reuse_port=False)}, given=True)}
        with supplied(store, supplies) as pool:
            sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 1)), count=2)
            assert list(sockets.named()) == ["socket/0/-1/web"]
            assert sockets.bound() == [("web", [str(path)])]
            serve(sockets, 2)
            shut(sockets)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert store.told == []


def test_the_admin_takes_a_given_socket(store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unit:
        supplies = {(ADMIN, 0): Supply({SHARED: handed("trireme.socket", unit, reuse_port=False)}, given=True)}
        with supplied(store, supplies) as pool:
            sockets = bind(pool, tmp_path, admin=address_of(unit))
            assert sockets.admin["tcp"].port == unit.getsockname()[1]


def test_an_address_that_nobody_uses_leaves_the_store(store: Store, tmp_path: Path) -> None:
    with supplied(store, {}) as pool:
        sockets = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
        serve(sockets, 1)
        (bound,) = sockets.bounds
        address = bound.sockets.bound()
        pool.release(bound.sockets.key)
        assert store.told == ["+trireme/0/0/web", "-trireme/0/0/web"]
        bound.sockets.shutdown()  # a timer may still want this
        assert bound.sockets.bound().rpartition(":")[0] == address.rpartition(":")[0]
        with pytest.raises(ConnectionRefusedError):
            connect(int(address.rpartition(":")[2]))


def test_a_given_socket_is_there_for_the_generation_after_the_next(store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unit:
        supplies = {("web", 0): Supply({SHARED: handed("web", unit, reuse_port=False)}, given=True)}
        with supplied(store, supplies) as pool:
            first = bind(pool, tmp_path, listener(address_of(unit)), count=1)
            pool.settle()
            pool.release(first.bounds[0].sockets.key)
            again = bind(pool, tmp_path, listener(address_of(unit)), count=1)
            assert list(again.named()) == ["socket/0/-1/web"]


def test_what_systemd_handed_over_is_for_the_start_alone(store: Store, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as old,
        supplied(store, {("web", 0): Supply({0: handed("trireme/0/0/web", old)})}) as pool,
    ):
        bind(pool, tmp_path, listener(address_of(old)), count=1)
        pool.settle()
        successor = bind(pool, tmp_path, listener(Address("127.0.0.1", 0)), count=1)
        assert successor.bounds[0].sockets.port != old.getsockname()[1]
