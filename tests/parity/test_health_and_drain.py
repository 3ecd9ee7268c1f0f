"""What clients see of `/healthcheck/fail` and `/drain_listeners`, on both (features §13 rule 55)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, virtual_host
from tests.kit.client import fetch
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Address = tuple[str, int]
LISTENERS: dict[str, dict[str, str]] = {
    "main": {},
    "modify": {"drain_type": "MODIFY_ONLY"},
    "in": {"traffic_direction": "INBOUND"},
    "out": {"traffic_direction": "OUTBOUND"},
}


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Listeners of each kind that the orders tell apart."""
    everything = virtual_host("all", ["*"], {"match": {"prefix": "/"}, "direct_response": {"status": 200}})
    listeners = [http_listener(everything, name=name) | more for name, more in LISTENERS.items()]
    draining = ("--drain-time-s", "2", "--drain-strategy", "immediate")
    apart = "a test asks as often as it takes"
    with run_pair(bootstrap(listeners, []), arguments=draining, apart=apart) as pair:
        yield pair


def ask(pair: Pair, target: str, method: str = "GET") -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """(ours, Envoy's)."""
    line = f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    ours, theirs = pair.ours.admin(target, method), fetch(pair.envoy.admin_address, line)
    return (ours.status, ours.body), (theirs.status, theirs.body)


def addresses(pair: Pair, listener: str = "main") -> tuple[Address, Address]:
    """(ours, Envoy's)."""
    return pair.ours.address(listener), pair.envoy.address(listener)


def equal(pair: Pair, target: str) -> bool:
    ours, theirs = ask(pair, target)
    return ours == theirs


def answers(connection: str | None, address: Address) -> bool:
    """Whether a response has this `connection` header."""
    return dict(fetch(address, GET).headers).get("connection") == connection


def both(condition: Callable[[Address], bool], pair: Pair, what: str, listener: str = "main") -> None:
    for address in addresses(pair, listener):
        wait_for(partial(condition, address), deadline=30, what=what)


@pytest.mark.parity("rule 55")
def test_failed_health_checks(pair: Pair) -> None:
    for order, header in (("fail", "close"), ("ok", None)):
        ours, theirs = ask(pair, f"/healthcheck/{order}", "POST")
        assert ours == theirs
        both(partial(answers, header), pair, f"connection is {header} after {order}")
        both(partial(answers, None), pair, f"{order} is nothing to a listener that drains for changes", "modify")
        ours, theirs = ask(pair, "/ready")
        assert ours == theirs
        # Envoy's server.state follows with the next flush of its stats.
        wait_for(partial(equal, pair, "/stats?filter=^server.(live|state)$"), deadline=30, what="equal server.state")
        ours, theirs = ask(pair, "/stats?filter=^http.main.*drain_close$")
        assert (b": 0\n" in ours[1]) == (b": 0\n" in theirs[1])  # each counts as often as it was asked


@pytest.mark.parity("rule 55")
def test_closed_listeners(pair: Pair) -> None:
    kept = [socket.create_connection(address) for address in addresses(pair)]
    ours, theirs = ask(pair, "/drain_listeners?inboundonly", "POST")
    assert ours == theirs
    both(refused, pair, "inbound connections are refused", "in")
    both(partial(answers, None), pair, "others are not")
    try:
        for sock in kept:
            sock.sendall(GET)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        ours, theirs = ask(pair, "/drain_listeners", "POST")
        assert ours == theirs
        both(refused, pair, "connections are refused")
        for sock in kept:
            sock.sendall(GET)
            assert b"\r\nconnection: close\r\n" in sock.recv(65536)
        for target in ("/ready", "/stats?filter=^listener_manager.listener_stopped$"):
            ours, theirs = ask(pair, target)
            assert ours == theirs
    finally:
        for sock in kept:
            sock.close()


@pytest.mark.parity("rule 55")
def test_graceful_drains(pair: Pair) -> None:
    ours, theirs = ask(pair, "/drain_listeners?graceful&inboundonly", "POST")
    assert ours == theirs
    both(partial(answers, "close"), pair, "inbound connections leave", "in")
    for listener in ("main", "modify", "out"):
        both(partial(answers, None), pair, "others stay", listener)
    ours, theirs = ask(pair, "/drain_listeners?graceful", "POST")
    assert ours == theirs
    for listener in LISTENERS:
        both(partial(leaving, listener), pair, "all connections leave", listener)
    for listener in LISTENERS:
        both(refused, pair, "all listeners are closed when the drain time is over", listener)
    for target in ("/ready", "/stats?filter=^listener_manager.listener_stopped$"):
        wait_for(partial(equal, pair, target), deadline=5, what=f"equal {target}")


@pytest.mark.parity("rule 55")
def test_a_drain_that_closes_nothing(pair: Pair) -> None:
    ours, theirs = ask(pair, "/drain_listeners?skip_exit", "POST")
    assert ours == theirs
    for listener in LISTENERS:
        both(partial(answers, "close"), pair, "all connections leave", listener)


def leaving(listener: str, address: Address) -> bool:
    """The inbound listener, whose drain began before, may have closed by now."""
    return (listener == "in" and refused(address)) or answers("close", address)


def refused(address: Address) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False
