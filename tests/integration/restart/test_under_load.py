"""Hot restarts under load: nobody notices. One proxy for all, since every test leaves it serving."""

from __future__ import annotations

import contextlib
import copy
import signal
import threading
from collections.abc import Iterator

import pytest
import yaml

from tests.integration.processes.family import wait_for_workers
from tests.integration.restart.restarting import begin, restart, status, wait_until_alone, wait_until_restarted
from tests.integration.tls.terminating import context, inline
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection
from tests.kit.load import Load, Loads, Part
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

OPEN = "http.ingress.downstream_cx_active"
REQUESTS = "http.ingress.downstream_rq_total"
RESTARTS = 3
KEEP_ALIVE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(with_tls(one_origin(origin.port)), concurrency=2) as proxy:
        yield proxy


def with_tls(text: str) -> str:
    """The same, with a listener `tls` beside the first one, whose ticket keys outlive a generation."""
    tree = yaml.safe_load(text)
    (plain,) = tree["static_resources"]["listeners"]
    secured = copy.deepcopy(plain)
    secured["name"] = "tls"
    (chain,) = secured["filter_chains"]
    chain["transport_socket"] = context(session_ticket_keys={"keys": [inline("o" * 80), inline("k" * 80)]})
    tree["static_resources"]["listeners"].append(secured)
    return yaml.safe_dump(tree, sort_keys=False)


def test_no_request_fails_and_nothing_is_counted_twice_or_lost(proxy: Proxy) -> None:
    pid, before = proxy.pid, proxy.stats().get(REQUESTS, 0)
    with (
        Load(proxy.address("web"), mode="new", connections=3) as new,
        Load(proxy.address("web"), mode="keep-alive", connections=3) as kept,
        Load(proxy.address("web"), mode="keep-alive", connections=12, pause=0.01) as mostly_idle,
        Load(proxy.address("web"), mode="download", connections=4) as downloads,
        Load(proxy.admin_socket, mode="new", connections=1, target="/ready", pause=0.01) as admin,
    ):
        for _ in range(RESTARTS - 1):
            done = restart(proxy)
            assert done.returncode == 0, done.stderr + proxy.output()
        reports = [load.finish() for load in (new, kept, mostly_idle, downloads, admin)]
    for report in reports:
        assert report.failed.total() == 0, report.failed
    assert all(report.ok > 20 for report in (*reports[:3], reports[-1]))
    served = sum(report.ok for report in reports[:-1])
    assert proxy.stats()[REQUESTS] == before + served
    assert proxy.processes()[0]["pid"] == pid
    wait_until_alone(proxy)
    stats = proxy.stats()
    assert stats[REQUESTS] == before + served  # also once the last of the old processes has been folded
    assert stats["server.hot_restart_epoch"] == stats["server.hot_restart_generation"] - 1 == RESTARTS - 1


def test_idle_connections_change_over_and_the_drain_ends(proxy: Proxy) -> None:
    """More than one message carries; some have had a request, some have not."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Connection(proxy.address("web"))) for _ in range(130)]
        for connection in idle[:65]:
            assert connection.request(KEEP_ALIVE).status == 200
        wait_for(lambda: proxy.stats()[OPEN] == len(idle), deadline=10, what="all connections are accepted")
        assert restart(proxy).returncode == 0
        wait_until_alone(proxy)
        assert proxy.stats()[OPEN] == len(idle)
        for connection in idle:
            response = connection.request(KEEP_ALIVE)
            assert response.status == 200
            assert response.values("connection") == []  # it is an ordinary connection of the new generation
    wait_for(lambda: proxy.stats()[OPEN] == 0, deadline=10, what="no connection is left")


class Begun:
    """A connection on which a part of a request has been read, so that it stays where it is."""

    def __init__(self, proxy: Proxy) -> None:
        self._connection = Connection(proxy.address("web"))
        self._connection.sock.sendall(KEEP_ALIVE[:-2])

    def finish(self) -> None:
        response = self._connection.request(KEEP_ALIVE[-2:])
        assert response.status == 200
        assert response.values("connection") == ["close"]
        self._connection.close()


def test_a_connection_with_a_request_stays_until_its_response(proxy: Proxy) -> None:
    begun = Begun(proxy)
    done = restart(proxy)
    assert done.returncode == 0, done.stderr
    assert "drains: 1 connections" in done.stderr
    stats = proxy.stats()
    assert stats["server.parent_connections"] == 1
    assert stats[OPEN] == 1  # gauges of the old generation count
    assert {each["state"] for each in proxy.processes() if each["role"] == "worker"} == {"serving", "draining"}
    begun.finish()
    wait_until_alone(proxy)
    assert proxy.stats()[OPEN] == 0


def test_generations_are_capped(proxy: Proxy) -> None:
    first = Begun(proxy)
    assert restart(proxy).returncode == 0
    second = Begun(proxy)
    assert restart(proxy).returncode == 0
    done = restart(proxy)
    assert done.returncode == 5
    assert "3 generations are alive" in done.stderr
    first.finish()
    second.finish()
    wait_until_alone(proxy)


def test_a_signal_does_it_and_a_second_restart_is_refused(proxy: Proxy) -> None:
    """Under clients that speak TLS: no request of theirs fails, and they go on with their sessions."""
    generation = status(proxy)["leader"]
    parts = [Part(proxy.address("tls"), mode, connections=1, pause=0.03) for mode in ("tls-new", "tls-keep-alive")]
    with Loads(parts) as loads:
        proxy.kill(signal.SIGUSR2)
        wait_for(lambda: status(proxy)["phase"] != "idle", deadline=10, what="the restart has begun")
        done = restart(proxy)
        assert done.returncode == 5
        assert "in progress" in done.stderr
        wait_until_restarted(proxy, generation + 1)
        reports = loads.finish_parts()
    assert [report.failed.total() for report in reports] == [0, 0], [report.failed for report in reports]
    assert all(report.ok > 10 for report in reports)
    wait_until_alone(proxy)
    stats = {name.rpartition(".ssl.")[2]: value for name, value in proxy.stats().items() if ".ssl." in name}
    assert stats["handshake"] - stats["session_reused"] == 2, "only each client's first handshake is a full one"


def test_no_signal_at_any_moment_kills_it(proxy: Proxy) -> None:
    generation = status(proxy)["leader"]
    stop = threading.Event()

    def shower() -> None:
        while not stop.wait(0.002):
            proxy.kill(signal.SIGUSR1)
            proxy.kill(signal.SIGHUP)

    thread = threading.Thread(target=shower)
    begin(proxy)  # before the first SIGHUP: a reload that is in progress would have it refused
    thread.start()
    try:
        wait_until_restarted(proxy, generation + 1)
    finally:
        stop.set()
        thread.join()
    wait_until_alone(proxy)
    wait_for_workers(proxy, 2)
