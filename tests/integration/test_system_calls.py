"""System calls per request, counted by strace: the price that no profile of Python shows, and that nobody adds unseen.

What is asserted are counts, never times: exactly so many requests through one worker, and what it asked the kernel for.
A bound may be lowered with the code; raising one is a decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.client import Connection, fetch
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy
from tests.kit.strace import Strace

REQUESTS = 1000
CONNECTIONS = 8
SLACK = REQUESTS // 2
"""What a worker does by itself meanwhile: heartbeats, timers. One more call of a kind for each request is beyond it."""

GET = b"GET /?body=12 HTTP/1.1\r\nhost: test\r\nuser-agent: test\r\naccept: */*\r\n\r\n"
CLOSING = GET[:-2] + b"connection: close\r\n\r\n"

# Per event: trio's epoll tells of ours, ours tells of the socket, trio's is armed anew. A request is two events when
# nothing else goes on; under load many events share one wait. How many do depends on the machine: one more each.
WAITS = {"epoll_wait": 5, "epoll_ctl": 3}
KEPT = WAITS | {"recvfrom": 2, "sendto": 2}
CLOSED = {
    "accept4": 2,  # the second finds the queue empty
    "prlimit64": 1,
    "ioctl": 1,
    "setsockopt": 1,
    "getpeername": 1,
    "getsockname": 2,
    "recvfrom": 2,
    "sendto": 2,
    "close": 1,
    "epoll_wait": 4,
    "epoll_ctl": 3,
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Origin() as origin, Proxy(one_cluster(origin.port)) as running:
        yield running


def worker(proxy: Proxy) -> int:
    (pid,) = (process["pid"] for process in proxy.processes() if process["role"].startswith("worker"))
    assert isinstance(pid, int)
    return pid


def assert_within(calls: Mapping[str, int], bounds: Mapping[str, int]) -> None:
    """No call more often than its bound per request; those without a bound not at all."""
    beyond = {name for name, count in calls.items() if count > bounds.get(name, 0) * REQUESTS + SLACK}
    shown = "\n".join(
        f"{name:>12} {count / REQUESTS:6.2f}, at most {bounds.get(name, 0)}{' <--' if name in beyond else ''}"
        for name, count in sorted(calls.items(), key=lambda item: -item[1])
    )
    assert not beyond, f"system calls per request, over {REQUESTS} requests:\n{shown}"
    assert calls["recvfrom"] >= 2 * REQUESTS, f"strace has not seen all of it:\n{shown}"


def test_a_small_get_on_a_kept_connection(proxy: Proxy, tmp_path: Path) -> None:
    address = proxy.address()
    clients = [Connection(address) for _ in range(CONNECTIONS)]
    for client in clients:
        assert client.request(GET).status == 200
    with Strace(worker(proxy), tmp_path) as strace:
        for _ in range(REQUESTS // CONNECTIONS):
            for client in clients:
                assert client.request(GET).status == 200
    for client in clients:
        client.close()
    assert_within(strace.calls, KEPT)


def test_small_gets_at_the_same_time(proxy: Proxy, tmp_path: Path) -> None:
    address = proxy.address()
    clients = [Connection(address) for _ in range(CONNECTIONS)]

    def round_of_requests() -> None:
        for client in clients:
            client.send(GET)
        for client in clients:
            assert client.receive().status == 200

    for _ in range(20):  # as many connections to the origin as will be needed, or nearly
        round_of_requests()
    with Strace(worker(proxy), tmp_path) as strace:
        for _ in range(REQUESTS // CONNECTIONS):
            round_of_requests()
    for client in clients:
        client.close()
    assert_within(strace.calls, KEPT)


def test_a_client_that_comes_for_one_request(proxy: Proxy, tmp_path: Path) -> None:
    address = proxy.address()
    for _ in range(CONNECTIONS):
        assert fetch(address, CLOSING).status == 200
    with Strace(worker(proxy), tmp_path) as strace:
        for _ in range(REQUESTS):
            assert fetch(address, CLOSING).status == 200
    assert_within(strace.calls, CLOSED)
