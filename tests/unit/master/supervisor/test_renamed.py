"""What the workers are told of sockets when the listeners change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from master.supervisor.committed import Address, Committed, Listener
from master.supervisor.listening import LEAVING, ListenSockets, renamed
from master.supervisor.sockets import SocketPool
from master.supervisor.systemd.notify import Notifier
from shm.socket_name import SocketName
from tests.integration.reload.reloading import free_port


@pytest.fixture
def pool() -> Iterator[SocketPool]:
    made = SocketPool(Notifier(None))
    yield made
    made.close()


def bind(pool: SocketPool, tmp_path: Path, **ports: int) -> ListenSockets:
    """A listener for each name, with two workers."""
    listeners = tuple(
        Listener(name, (Address("127.0.0.1", port),), reuse_port=True, backlog=16, takes_idle=True)
        for name, port in ports.items()
    )
    return ListenSockets(pool, Committed(-1, 1, listeners, None, 0, 0, (1,)), str(tmp_path / "admin.sock"), count=2)


def names(listener: str, number: int = 0) -> list[str]:
    return [str(SocketName(listener, number, index)) for index in range(2)]


def test_an_address_that_stays_is_not_mentioned(pool: SocketPool, tmp_path: Path) -> None:
    a, b = free_port(), free_port()
    before = bind(pool, tmp_path, one=a)
    told, new = renamed(before, bind(pool, tmp_path, one=a, two=b), mark=2)
    assert told == {}
    assert sorted(new) == names("two")


def test_two_listeners_change_places(pool: SocketPool, tmp_path: Path) -> None:
    a, b = free_port(), free_port()
    told, new = renamed(bind(pool, tmp_path, one=a, two=b), bind(pool, tmp_path, one=b, two=a), mark=2)
    assert told == dict(zip([*names("one"), *names("two")], [*names("two"), *names("one")], strict=True))
    assert new == {}


def test_a_queue_that_is_emptied_keeps_its_name_unless_another_gets_it(pool: SocketPool, tmp_path: Path) -> None:
    a, b = free_port(), free_port()
    before = bind(pool, tmp_path, one=a)
    assert renamed(before, bind(pool, tmp_path), mark=2) == ({}, {})
    told, new = renamed(before, bind(pool, tmp_path, one=b), mark=2)
    assert told == dict(zip(names("one"), names("one", 2 * LEAVING), strict=True))
    assert sorted(new) == names("one")
