"""Messages to systemd: their bytes, and a manager that is there, slow, or gone."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.systemd import notify
from master.supervisor.systemd.notify import Notifier, encode


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    with closing(Notifier(manager.getsockname(), keeps=True)) as notifier:
        yield notifier


def fields(data: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in data.decode().split("\n"))


@given(st.text())
def test_a_value_never_begins_another_line(text: str) -> None:
    assert list(fields(encode(STATUS=text, READY="1"))) == ["STATUS", "READY"]
    assert len(encode(STATUS=text)) <= 4 * notify.MAX_VALUE + 10


@pytest.mark.parametrize(
    ("variable", "address"),
    [("/run/notify", "/run/notify"), ("@abstract", "\0abstract"), ("", None), ("vsock:2:1", None), ("notify", None)],
)
def test_the_address(variable: str, address: str | None) -> None:
    assert notify.address({"NOTIFY_SOCKET": variable}) == address
    assert notify.address({}) is None


def test_a_life(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("starting")
    notifier.ready("serving")
    notifier.alive()
    notifier.stopping("draining")
    assert [manager.recv(4096) for _ in range(4)] == [
        b"STATUS=starting",
        b"READY=1\nSTATUS=serving",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=draining",
    ]


def test_a_status_that_is_no_news_is_not_sent(notifier: Notifier, manager: socket.socket) -> None:
    notifier.ready("serving")
    notifier.status("serving")
    notifier.status("serving less")
    assert [manager.recv(4096) for _ in range(2)] == [b"READY=1\nSTATUS=serving", b"STATUS=serving less"]
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_reloading_carries_the_monotonic_time_in_the_same_message(notifier: Notifier, manager: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading("reloading")
    found = fields(manager.recv(4096))
    assert found["RELOADING"] == "1"
    assert before <= int(found["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_stored_descriptor_is_the_same_file(notifier: Notifier, manager: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        notifier.store("trireme/0/0/web", server.fileno())
        data, ancillary, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(4))
        ((_, _, raw),) = ancillary
        (fd,) = array.array("i", raw)
        assert os.path.sameopenfile(fd, server.fileno())
        os.close(fd)
    assert data == b"FDSTORE=1\nFDNAME=trireme/0/0/web"
    notifier.unstore("trireme/0/0/web")
    assert manager.recv(4096) == b"FDSTOREREMOVE=1\nFDNAME=trireme/0/0/web"


@pytest.mark.parametrize(("size", "keeps"), [("4096", True), ("0", False), ("", False), ("many", False)])
def test_whether_descriptors_are_kept(manager: socket.socket, size: str, keeps: bool) -> None:
    with closing(Notifier.of({"NOTIFY_SOCKET": manager.getsockname(), "FDSTORE": size})) as notifier:
        assert notifier.keeps is keeps
        notifier.unstore("trireme/0/0/web")
        notifier.alive()
        assert manager.recv(4096) == (b"FDSTOREREMOVE=1\nFDNAME=trireme/0/0/web" if keeps else b"WATCHDOG=1")
    assert not Notifier.of({"FDSTORE": "1"}).keeps


def test_nobody_listens() -> None:
    notifier = Notifier(None)
    notifier.ready("serving")
    notifier.flush()
    assert not notifier.listened_to


def test_what_a_busy_manager_does_not_take_waits_in_order(notifier: Notifier, manager: socket.socket) -> None:
    sent = 2000  # more than any queue of datagrams that a kernel has by default
    for number in range(sent):
        notifier.status(f"number {number}")
    notifier.alive()  # dropped: it would come too late
    received = []
    while len(received) < sent:
        received.append(manager.recv(4096))
        notifier.flush()
    assert received == [b"STATUS=number %d" % number for number in range(sent)]


def test_a_manager_that_comes_back_hears_what_it_missed(tmp_path: Path) -> None:
    with (
        closing(Notifier(str(tmp_path / "notify"))) as notifier,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        notifier.ready("serving")
        sock.bind(str(tmp_path / "notify"))
        notifier.flush()
        assert sock.recv(4096) == b"READY=1\nSTATUS=serving"


def test_the_queue_is_bounded_and_its_descriptors_are_copies(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        closing(Notifier(str(tmp_path / "nobody"), keeps=True)) as notifier,
    ):
        before = len(os.listdir("/proc/self/fd"))
        notifier.store("trireme/0/0/web", server.fileno())
        assert len(os.listdir("/proc/self/fd")) == before + 1
        for _ in range(notify.MAX_PENDING):
            notifier.unstore("trireme/0/0/web")
        notifier.store("trireme/0/1/web", server.fileno())
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before - 2  # the server's, the notifier's, and the copy
