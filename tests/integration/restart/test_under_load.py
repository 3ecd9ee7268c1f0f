"""Hot restarts under load: nobody notices. One proxy for all, since every test leaves it serving."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.integration.processes.family import wait_for_workers
from tests.integration.restart.restarting import begin, restart, status, wait_until_alone, wait_until_restarted
from tests.kit.bootstrap import one_origin
from tests.kit.client import Connection, fetch
from tests.kit.load import Load
from tests.kit.origin import Origin, pattern
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

REQUESTS = "http.ingress.downstream_rq_total"
RESTARTS = 3
KEEP_ALIVE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(one_origin(origin.port), concurrency=2) as proxy:
        yield proxy


class Download(threading.Thread):
    """A response that takes as long as the test lets it: the origin pauses between its pieces."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._address = proxy.address()
        self.digest = ""

    def run(self) -> None:
        target = f"/?body={40 * 16384}&pause=0.25"
        response = fetch(self._address, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), timeout=120)
        self.digest = hashlib.sha256(response.body).hexdigest()


def test_no_request_fails_and_nothing_is_counted_twice_or_lost(proxy: Proxy) -> None:
    pid, before = proxy.pid, proxy.stats().get(REQUESTS, 0)
    with (
        Load(proxy.address(), mode="new", connections=3) as new,
        Load(proxy.address(), mode="keep-alive", connections=3) as kept,
        Load(proxy.admin_socket, mode="new", connections=1, target="/ready", pause=0.01) as admin,
    ):
        download = Download(proxy)
        download.start()
        for _ in range(RESTARTS - 1):
            done = restart(proxy)
            assert done.returncode == 0, done.stderr + proxy.output()
        reports = [load.finish() for load in (new, kept, admin)]
        download.join()
    for report in reports:
        assert report.failed.total() == 0, report.failed
        assert report.ok > 20
    assert download.digest == hashlib.sha256(pattern(40 * 16384)).hexdigest()
    served = reports[0].ok + reports[1].ok + 1
    assert proxy.stats()[REQUESTS] == before + served
    assert proxy.processes()[0]["pid"] == pid
    wait_until_alone(proxy)
    stats = proxy.stats()
    assert stats[REQUESTS] == before + served  # also once the last of the old processes has been folded
    assert stats["server.hot_restart_epoch"] == stats["server.hot_restart_generation"] - 1 == RESTARTS - 1


def test_an_open_connection_stays_until_its_next_response(proxy: Proxy) -> None:
    with Connection(proxy.address()) as idle:
        assert "close" not in idle.request(KEEP_ALIVE).values("connection")
        done = restart(proxy)
        assert done.returncode == 0, done.stderr
        assert "drains: 1 connections" in done.stderr
        stats = proxy.stats()
        assert stats["server.parent_connections"] == 1
        assert stats["http.ingress.downstream_cx_active"] == 1  # gauges of the old generation count
        assert {each["state"] for each in proxy.processes() if each["role"] == "worker"} == {"serving", "draining"}
        assert idle.request(KEEP_ALIVE).values("connection") == ["close"]
    wait_until_alone(proxy)
    assert proxy.stats()["http.ingress.downstream_cx_active"] == 0


def test_generations_are_capped(proxy: Proxy) -> None:
    with Connection(proxy.address()) as first:
        first.request(KEEP_ALIVE)
        assert restart(proxy).returncode == 0
        with Connection(proxy.address()) as second:
            second.request(KEEP_ALIVE)
            assert restart(proxy).returncode == 0
            done = restart(proxy)
            assert done.returncode == 5
            assert "3 generations are alive" in done.stderr
            assert first.request(KEEP_ALIVE).status == second.request(KEEP_ALIVE).status == 200
    wait_until_alone(proxy)


def test_a_signal_does_it_and_a_second_restart_is_refused(proxy: Proxy) -> None:
    generation = status(proxy)["leader"]
    proxy.kill(signal.SIGUSR2)
    wait_for(lambda: status(proxy)["phase"] != "idle", deadline=10, what="the restart has begun")
    done = restart(proxy)
    assert done.returncode == 5
    assert "in progress" in done.stderr
    wait_until_restarted(proxy, generation + 1)
    wait_until_alone(proxy)


def test_no_signal_at_any_moment_kills_it(proxy: Proxy) -> None:
    generation = status(proxy)["leader"]
    stop = threading.Event()

    def shower() -> None:
        while not stop.wait(0.002):
            proxy.kill(signal.SIGUSR1)
            proxy.kill(signal.SIGHUP)

    thread = threading.Thread(target=shower)
    thread.start()
    try:
        begin(proxy)
        wait_until_restarted(proxy, generation + 1)
    finally:
        stop.set()
        thread.join()
    wait_until_alone(proxy)
    wait_for_workers(proxy, 2)
