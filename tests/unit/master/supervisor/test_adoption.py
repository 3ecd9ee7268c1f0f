"""Connections that change over are kept until their worker says that it has them. Real descriptors, no processes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from master.supervisor import adoption
from master.supervisor.adoption import MOST, PATIENCE, Adoptions
from master.supervisor.child import Child


class Owner:
    number = 2

    def on_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        raise NotImplementedError

    def on_death(self, child: Child, status: int) -> None:
        raise NotImplementedError


class Stage:
    """Workers, and what they were sent: (worker, packet, descriptors)."""

    def __init__(self) -> None:
        self.workers = [self.worker(index) for index in range(2)]
        self.everyone = list(self.workers)
        self.sent: list[tuple[Child, int, list[int]]] = []
        self.adoptions = Adoptions(lambda: self.workers, self._send)
        self._clients: list[socket.socket] = []

    def worker(self, index: int) -> Child:
        child = Child.create(Owner(), "worker", index=index)
        child.state = "ready"
        return child

    def _send(self, worker: Child, message: dict[str, Any], fds: list[int]) -> None:
        assert (message["type"], message["listener"]) == ("connections", "web")
        self.sent.append((worker, message["packet"], fds))

    def connection(self) -> int:
        """The proxy's end of a connection whose other end is ours."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._clients.append(ours)
        return theirs.detach()

    def drop(self) -> None:
        """What the last packet carried is closed, as the kernel does when its reader dies, or as the reader does."""
        for fd in self.sent[-1][2]:
            os.close(fd)

    def open(self) -> bool:
        """The last connection is."""
        try:
            return self._clients[-1].recv(1) != b""
        except BlockingIOError:
            return True

    def close(self) -> None:
        self.adoptions.expire(time.monotonic() + 2 * PATIENCE)
        for client in self._clients:
            client.close()
        for child in self.everyone:
            child.abandon()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_what_a_worker_has_is_its_own(stage: Stage) -> None:
    stage.adoptions.pass_on("web", fds := [stage.connection()])
    assert fds == []  # taken
    ((worker, packet, _),) = stage.sent
    stage.adoptions.arrived(packet, worker)
    stage.adoptions.bereaved(worker)
    assert len(stage.sent) == 1
    stage.drop()
    assert not stage.open()


def test_what_it_never_had_goes_to_another(stage: Stage) -> None:
    stage.adoptions.pass_on("web", [stage.connection()])
    ((first, packet, _),) = stage.sent
    stage.drop()
    assert stage.open()
    stage.workers.remove(first)
    stage.adoptions.bereaved(first)
    (second, again, _) = stage.sent[-1]
    assert (second, again != packet) == (stage.workers[0], True)
    stage.adoptions.arrived(again, first)  # not its to say
    stage.drop()
    assert stage.open()
    stage.adoptions.arrived(again, second)
    assert not stage.open()


def test_without_a_worker_it_waits_for_one(stage: Stage) -> None:
    worker = stage.workers.pop()
    stage.workers.clear()
    stage.adoptions.pass_on("web", [stage.connection()])
    assert stage.sent == []
    assert stage.open()
    stage.workers.append(worker)
    stage.adoptions.found()
    assert stage.sent[-1][0] is worker
    stage.drop()


def test_those_that_are_ready_come_first_and_in_turn(stage: Stage) -> None:
    stage.everyone.append(stage.worker(2))
    stage.workers.append(stage.everyone[-1])
    stage.workers[1].state = "hung"
    for _ in range(4):
        stage.adoptions.pass_on("web", [stage.connection()])
        stage.drop()
    assert sorted(worker.index for worker, _, _ in stage.sent) == [0, 0, 2, 2]


def test_copies_that_are_too_old_are_not_passed_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "PATIENCE", 0.05)
    stage.workers.pop()
    for _ in range(2):
        stage.adoptions.pass_on("web", [stage.connection()])
        stage.drop()
    time.sleep(0.06)
    stage.adoptions.bereaved(stage.workers[0])
    assert len(stage.sent) == 3
    assert not stage.open()  # the second one's time was over when the first one was passed on
    stage.drop()


def test_copies_are_kept_neither_for_ever_nor_without_number(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.adoptions.pass_on("web", [stage.connection()])
    stage.drop()
    stage.adoptions.expire(time.monotonic() + PATIENCE - 1)
    assert stage.open()
    stage.adoptions.expire(time.monotonic() + PATIENCE + 1)
    assert not stage.open()
    assert MOST >= 200  # a packet's worth, at the very least
    monkeypatch.setattr(adoption, "MOST", 1)
    stage.adoptions.pass_on("web", [stage.connection(), stage.connection()])
    stage.drop()
    assert not stage.open()
