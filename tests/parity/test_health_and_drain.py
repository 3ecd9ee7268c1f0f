"""What clients see of `/healthcheck/fail` and `/drain_listeners`, on both (features §13 rule 55)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.client import fetch
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Address = tuple[str, int]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Origin() as origin, run_pair(one_cluster(origin.port)) as pair:
        yield pair


def ask(pair: Pair, target: str, method: str = "GET") -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """(ours, Envoy's)."""
    line = f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    ours, theirs = pair.ours.admin(target, method), fetch(pair.envoy.admin_address, line)
    return (ours.status, ours.body), (theirs.status, theirs.body)


def addresses(pair: Pair) -> tuple[Address, Address]:
    (theirs,) = pair.envoy.listeners["main"]
    return pair.ours.address(), theirs


def equal(pair: Pair, target: str) -> bool:
    ours, theirs = ask(pair, target)
    return ours == theirs


def answers(connection: str | None, address: Address) -> bool:
    """Whether a response has this `connection` header."""
    return dict(fetch(address, GET).headers).get("connection") == connection


def both(condition: Callable[[Address], bool], pair: Pair, what: str) -> None:
    for address in addresses(pair):
        wait_for(partial(condition, address), deadline=30, what=what)


@pytest.mark.parity("rule 55")
def test_failed_health_checks(pair: Pair) -> None:
    for order, header in (("fail", "close"), ("ok", None)):
        ours, theirs = ask(pair, f"/healthcheck/{order}", "POST")
        assert ours == theirs
        both(partial(answers, header), pair, f"connection is {header} after {order}")
        ours, theirs = ask(pair, "/ready")
        assert ours == theirs
        # Envoy's server.state follows with the next flush of its stats.
        wait_for(partial(equal, pair, "/stats?filter=^server.(live|state)$"), deadline=30, what="equal server.state")
        ours, theirs = ask(pair, "/stats?filter=^http.main.*drain_close$")
        assert (b": 0\n" in ours[1]) == (b": 0\n" in theirs[1])  # each counts as often as it was asked


@pytest.mark.parity("rule 55")
def test_closed_listeners(pair: Pair) -> None:
    kept = [socket.create_connection(address) for address in addresses(pair)]
    try:
        for sock in kept:
            sock.sendall(GET)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        ours, theirs = ask(pair, "/drain_listeners", "POST")
        assert ours == theirs
        both(refused, pair, "connections are refused")
        for sock in kept:
            sock.sendall(GET)
            assert b"\r\nconnection:" not in sock.recv(65536)
        for target in ("/ready", "/stats?filter=^listener_manager.listener_stopped$"):
            ours, theirs = ask(pair, target)
            assert ours == theirs
    finally:
        for sock in kept:
            sock.close()


def refused(address: Address) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False
