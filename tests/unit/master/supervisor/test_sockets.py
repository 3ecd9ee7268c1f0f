"""Binding: probe, reuseport sockets per worker, Unix sockets, stale files, names of culprits."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.supervisor.committed import Address, Listener
from master.supervisor.sockets import BindError, ListenSockets
from master.supervisor.systemd.listen_fds import Handed, address_of
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.supply import ADMIN, NOTHING, Supply
from shm.socket_name import SHARED, SocketName


def listener(*addresses: Address, reuse_port: bool = True) -> Listener:
    return Listener("web", addresses, reuse_port=reuse_port, backlog=16)


@pytest.fixture
def opened() -> Iterator[list[ListenSockets]]:
    sockets: list[ListenSockets] = []
    yield sockets
    for one in sockets:
        one.close()


def bind(
    opened: list[ListenSockets], tmp_path: Path, *listeners: Listener, admin: Address | None = None
) -> ListenSockets:
    sockets = ListenSockets(listeners, admin, str(tmp_path / "admin.sock"))
    opened.append(sockets)
    return sockets


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_one_reuseport_socket_per_worker_on_one_port(opened: list[ListenSockets], tmp_path: Path) -> None:
    sockets = bind(opened, tmp_path, listener(Address("127.0.0.1", 0)))
    first = sockets.ensure(0)
    second = sockets.ensure(1)
    assert [SocketName.parse(name) for name in [*first, *second]] == [SocketName("web", 0, 0), SocketName("web", 0, 1)]
    ports = {sock.getsockname() for address in sockets.addresses for sock in address.sockets.values()}
    assert len(ports) == 1
    assert sockets.ensure(1) == {}  # never twice


def test_bound_but_silent_until_listen(opened: list[ListenSockets], tmp_path: Path) -> None:
    sockets = bind(opened, tmp_path, listener(Address("127.0.0.1", 0)))
    sockets.ensure(0)
    ((_, (address,)),) = sockets.bound()
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    sockets.listen(0)
    connect(port)


def test_without_reuse_port_all_workers_share_one_socket(opened: list[ListenSockets], tmp_path: Path) -> None:
    sockets = bind(opened, tmp_path, listener(Address("127.0.0.1", 0), reuse_port=False))
    (name,) = sockets.ensure(0)
    parsed = SocketName.parse(name)
    assert parsed is not None
    assert parsed.index == SHARED
    assert sockets.ensure(1) == {}


def test_an_address_in_use_names_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:  # reuseport: a plain bind would succeed
        port = other.getsockname()[1]
        with pytest.raises(BindError, match=rf"127\.0\.0\.1:{port}.*in use by pid {os.getpid()} \("):
            ListenSockets((listener(Address("127.0.0.1", port)),), None, str(tmp_path / "admin.sock"))


def test_an_address_of_no_interface(opened: list[ListenSockets], tmp_path: Path) -> None:
    with pytest.raises(BindError, match="no interface of this machine"):
        bind(opened, tmp_path, listener(Address("192.0.2.1", 8080)))


def test_ipv6_takes_no_ipv4(opened: list[ListenSockets], tmp_path: Path) -> None:
    sockets = bind(opened, tmp_path, listener(Address("::", 0)))
    sockets.ensure(0)
    sockets.listen(0)
    ((_, (address,)),) = sockets.bound()
    with pytest.raises(ConnectionRefusedError):
        connect(int(address.rpartition(":")[2]))


def test_unix_socket_has_its_mode_from_the_start(opened: list[ListenSockets], tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    sockets = bind(opened, tmp_path, listener(Address(path=str(path), mode=0o640)))
    sockets.ensure(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    sockets.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(opened: list[ListenSockets], tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bind(opened, tmp_path, listener(Address(path=str(path)))).ensure(0)
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_live_unix_socket_is_left_alone(opened: list[ListenSockets], tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        sockets = bind(opened, tmp_path, listener(Address(path=str(path))))
        with pytest.raises(BindError, match="another process listens there"):
            sockets.ensure(0)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_is_never_removed(opened: list[ListenSockets], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("keep me")
    else:
        (tmp_path / "target").write_text("keep me")
        path.symlink_to(tmp_path / "target")
    sockets = bind(opened, tmp_path, listener(Address(path=str(path))))
    with pytest.raises(BindError, match="left untouched"):
        sockets.ensure(0)
    assert path.read_text() == "keep me"


def test_abstract_socket(opened: list[ListenSockets], tmp_path: Path) -> None:
    name = f"@trireme-test-{os.getpid()}"
    sockets = bind(opened, tmp_path, listener(Address(path=name)))
    sockets.ensure(0)
    sockets.listen(0)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name[1:])


def test_a_failed_bind_leaves_nothing_open(tmp_path: Path) -> None:
    admin_path = tmp_path / "admin.sock"
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BindError):
        ListenSockets((listener(Address("192.0.2.1", 1)),), Address("127.0.0.1", 0), str(admin_path))
    assert len(os.listdir("/proc/self/fd")) == before
    assert not admin_path.exists()


class Store(Notifier):
    """Remembers what it was told to store."""

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list[str] = []

    def store(self, name: str, fd: int) -> None:
        self.told.append(f"+{name}")

    def unstore(self, name: str) -> None:
        self.told.append(f"-{name}")


def handed(name: str, sock: socket.socket, *, reuse_port: bool = True) -> Handed:
    return Handed(name, sock, address_of(sock), reuse_port=reuse_port)


def test_a_socket_is_stored_when_it_listens_and_removed_when_it_is_shut(
    opened: list[ListenSockets], tmp_path: Path
) -> None:
    store = Store()
    sockets = ListenSockets((listener(Address("127.0.0.1", 0)),), None, str(tmp_path / "admin.sock"), NOTHING, store)
    opened.append(sockets)
    sockets.ensure(0)
    assert store.told == []
    sockets.listen(0)
    sockets.listen(0)
    sockets.shutdown()
    assert store.told == ["+trireme/0/0/web", "-trireme/0/0/web"]


def test_stored_sockets_come_back_with_their_queue(opened: list[ListenSockets], tmp_path: Path) -> None:
    store = Store()
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as old:
        address = address_of(old)
        with socket.create_connection(old.getsockname()):
            supplies = {("web", 0): Supply({2: handed("trireme/0/2/web", old)})}
            sockets = ListenSockets((listener(address),), None, str(tmp_path / "admin.sock"), supplies, store)
            opened.append(sockets)
            assert sockets.width == 3
            assert list(sockets.ensure(0)) == ["socket/0/0/web"]  # one more socket on the port that is held already
            (again,) = (sock for a in sockets.addresses for key, sock in a.sockets.items() if key == 2)
            again.accept()[0].close()
    sockets.listen(2)
    assert store.told == []  # it listens, and is stored, already
    sockets.listen(7)  # this listener never had so many


def test_sockets_of_another_listener_are_stored_under_the_new_name(opened: list[ListenSockets], tmp_path: Path) -> None:
    store = Store()
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as old:
        supplies = {("web", 0): Supply({0: handed("trireme/0/0/former", old)})}
        opened.append(ListenSockets((listener(address_of(old)),), None, str(tmp_path / "a"), supplies, store))
    assert store.told == ["-trireme/0/0/former", "+trireme/0/0/web"]


def test_the_socket_of_a_socket_unit_is_shared_and_never_shut(opened: list[ListenSockets], tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as unit:
        unit.bind(str(path))
        unit.listen()
        supplies = {("web", 0): Supply({SHARED: handed("web", unit, reuse_port=False)}, given=True)}
        sockets = ListenSockets((listener(Address("127.0.0.1", 1)),), None, str(tmp_path / "a"), supplies)
        opened.append(sockets)
        assert sockets.ensure(0) == sockets.ensure(1) == {}
        assert sockets.bound() == [("web", [str(path)])]
        sockets.shutdown()
        sockets.close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_the_admin_takes_a_given_socket(opened: list[ListenSockets], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unit:
        supplies = {(ADMIN, 0): Supply({SHARED: handed("trireme.socket", unit, reuse_port=False)}, given=True)}
        sockets = ListenSockets((), address_of(unit), str(tmp_path / "a"), supplies)
        opened.append(sockets)
        assert sockets.admin["tcp"].getsockname() == unit.getsockname()
