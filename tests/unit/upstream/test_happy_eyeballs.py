"""Which address of a host is tried when, and which connection remains."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio

from proxy.config.cluster import Cluster, Host
from proxy.config.common import SocketAddress
from proxy.config.upstream_socket import HappyEyeballs
from proxy.net.peer import address_of
from proxy.upstream import happy_eyeballs
from proxy.upstream.connect import ConnectFailed
from proxy.upstream.happy_eyeballs import connect_to, in_order
from tests.kit.trio import run_trio

FOURS = [SocketAddress(f"10.0.0.{number}", 80) for number in range(1, 4)]
SIXES = [SocketAddress(f"fd00::{number}", 80) for number in range(1, 4)]
NAMES = {address: f"4{index}" for index, address in enumerate(FOURS)} | {
    address: f"6{index}" for index, address in enumerate(SIXES)
}


@pytest.mark.parametrize(
    ("addresses", "settings", "expected"),
    [
        (FOURS, HappyEyeballs(), "40 41 42"),
        (FOURS + SIXES, HappyEyeballs(), "40 60 41 61 42 62"),
        (SIXES + FOURS[:1], HappyEyeballs(), "60 40 61 62"),
        (SIXES + FOURS, HappyEyeballs(4, 1), "40 60 41 61 42 62"),
        (FOURS + SIXES, HappyEyeballs(6, 2), "60 61 40 62 41 42"),
        (FOURS, HappyEyeballs(6, 2), "40 41 42"),
        (SIXES[:1] + FOURS, HappyEyeballs(4, 2), "40 41 60 42"),
    ],
)
def test_the_order(addresses: list[SocketAddress], settings: HappyEyeballs, expected: str) -> None:
    assert " ".join(NAMES[address] for address in in_order(addresses, settings)) == expected


class Places:
    """Addresses of all kinds: `answers`, `refuses`, `hangs` (whose queue is full)."""

    def __init__(self) -> None:
        self._answering = socket.create_server(("127.0.0.1", 0))
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._filling = [socket.socket() for _ in range(3)]
        for sock in self._filling:
            sock.setblocking(False)
            sock.connect_ex(self._full.getsockname())
        kinds = {"answers": self._answering, "refuses": self._refusing, "hangs": self._full}
        self.at = {kind: SocketAddress(*sock.getsockname()) for kind, sock in kinds.items()}

    def close(self) -> None:
        for sock in (self._answering, self._refusing, self._full, *self._filling):
            sock.close()

    async def race(self, *kinds: str, timeout: float = 30.0) -> tuple[str, int]:
        """Which kind was connected to, and how many more attempts there were."""
        first, *others = (self.at[kind] for kind in kinds)
        more: list[None] = []
        host = Host(0, first, additional=tuple(others))
        config = Cluster("c", "STATIC", connect_timeout=timeout)
        with await connect_to(host, config, None, lambda: more.append(None)) as sock:
            remote = address_of(sock, peer=True)
        return next(kind for kind, address in self.at.items() if address == remote), len(more)


@pytest.fixture
def places() -> Iterator[Places]:
    found = Places()
    yield found
    found.close()


@run_trio
async def test_the_first_one_that_answers_is_connected_to(places: Places) -> None:
    assert await places.race("answers", "hangs") == ("answers", 0)
    assert await places.race("refuses", "answers", "hangs") == ("answers", 1)


@run_trio
async def test_one_that_does_not_answer_soon_gets_company(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happy_eyeballs, "NEXT_ATTEMPT", 0.01)
    assert await places.race("hangs", "refuses", "answers") == ("answers", 2)


@run_trio
async def test_when_all_fail_the_last_reason_is_told(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectFailed) as failed:
        await places.race("refuses", "refuses")
    assert "connect error: Connection refused" in failed.value.cause
    assert failed.value.remote
    monkeypatch.setattr(happy_eyeballs, "NEXT_ATTEMPT", 0.01)
    with pytest.raises(ConnectFailed) as failed:
        await places.race("hangs", "refuses", "hangs", timeout=0.05)
    assert failed.value.timed_out


@run_trio
async def test_who_asks_may_go(places: Places) -> None:
    with trio.move_on_after(0.05) as scope:
        await places.race("hangs", "hangs")
    assert scope.cancelled_caught
