"""Drains under load: clients leave, listeners close, the instance ends, and nobody who was let in is turned away."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.processes.family import wait_for_workers, workers
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection, get
from tests.kit.load import Load, Report
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REQUESTS = "http.ingress.downstream_rq_total"
CLIENTS = 30  # more than chance would give to one of two sockets


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    arguments = ["--drain-time-s", "1", "--drain-strategy", "immediate", "--shutdown-idle-time-s", "15"]
    with Proxy(one_origin(origin.port), concurrency=2, arguments=arguments) as proxy:
        yield proxy


def drain(proxy: Proxy, *arguments: str) -> None:
    done = proxyctl("drain", *arguments, runtime=proxy.runtime)
    assert done.returncode == 0, done.stderr


def state(proxy: Proxy) -> str:
    (listener,) = json.loads(proxy.admin("/drains").body)["listeners"]
    return str(listener["state"])


def assert_only_late_comers_failed(report: Report) -> None:
    """Nobody failed but those who came when the listener was closed."""
    assert report.ok
    assert set(report.failed) <= {"refused"}, report.failed


def run_on(proxy: Proxy, requests: int = 100) -> None:
    """Until so many more requests have come."""
    before = proxy.stats()[REQUESTS]
    wait_for(lambda: proxy.stats()[REQUESTS] >= before + requests, deadline=20, what="the load runs")


def test_no_request_fails_through_a_graceful_drain_its_undoing_and_the_end(proxy: Proxy) -> None:
    address = proxy.address()
    with Load(address, mode="keep-alive", connections=6) as kept, Load(address, mode="new", connections=3) as new:
        run_on(proxy)
        drain(proxy, "--graceful", "--wait")
        assert state(proxy) == "closed"
        reports = [kept.finish(), new.finish()]
    for report in reports:
        assert_only_late_comers_failed(report)
    stats = proxy.stats()
    assert stats["http.ingress.downstream_cx_drain_close"] > 0
    assert stats["listener_manager.listener_stopped"] == 1
    drain(proxy, "--undo")
    with Load(address, mode="keep-alive", connections=6) as kept, Load(address, mode="new", connections=3) as new:
        run_on(proxy)
        proxy.kill(signal.SIGTERM)
        assert proxy.process.wait(20) == 0
        reports = [kept.finish(), new.finish()]
    for report in reports:
        assert_only_late_comers_failed(report)


def test_a_drain_that_is_taken_back_in_time_closes_nothing(proxy: Proxy) -> None:
    drain(proxy, "--graceful", "web")
    assert state(proxy) == "draining"
    assert get(proxy.address()).value("connection") == "close"
    drain(proxy, "--undo", "web")
    wait_for(lambda: get(proxy.address()).value("connection") is None, deadline=5, what="back to normal")
    time.sleep(1.2)  # past the moment at which it would have closed
    assert state(proxy) == "open"
    assert get(proxy.address()).status == 200
    drain(proxy, "--keep-open")
    for victim in workers(proxy):  # their successors know it too
        victim.kill()
    wait_for_workers(proxy, 2)
    assert get(proxy.address()).value("connection") == "close"
    done = proxyctl("drain", "nobody", runtime=proxy.runtime)
    assert done.returncode == 2
    assert "there are: web" in done.stderr


def test_the_queue_of_a_worker_that_hangs_is_emptied_before_its_listener_closes(proxy: Proxy) -> None:
    hung, _ = workers(proxy)
    hung.suspend()
    clients = asked(proxy)
    drain(proxy)
    for client in clients:
        assert client.receive().status == 200
        client.close()
    wait_for(lambda: refused(proxy), deadline=5, what="the listener is closed")
    hung.resume()


def test_queues_are_emptied_at_the_end_and_not_reset(proxy: Proxy) -> None:
    hung, other = workers(proxy)
    hung.suspend()
    other.suspend()
    with Connection(proxy.address()) as silent:
        clients = asked(proxy)
        proxy.kill(signal.SIGTERM)
        wait_for(lambda: "SIGTERM" in proxy.output(), deadline=5, what="the end has begun")
        other.resume()
        for client in clients:
            assert client.receive().status == 200
            client.close()
        assert silent.request(GET).value("connection") == "close"  # idle, and not closed under its client's feet
    hung.resume()
    assert proxy.process.wait(20) == 0


def test_idle_connections_hold_up_the_end_no_longer_than_they_may(origin: Origin) -> None:
    arguments = ["--shutdown-idle-time-s", "0.3"]
    with Proxy(one_origin(origin.port), arguments=arguments) as proxy, Connection(proxy.address()) as connection:
        assert connection.request(GET).status == 200
        proxy.stop()
        assert connection.rest() == b""


def asked(proxy: Proxy) -> list[Connection]:
    """Clients that have connected and sent a request."""
    clients = [Connection(proxy.address()) for _ in range(CLIENTS)]
    for client in clients:
        client.send(GET)
    return clients


def refused(proxy: Proxy) -> bool:
    try:
        Connection(proxy.address()).close()
    except ConnectionRefusedError:
        return True
    return False
