"""More and fewer workers under load, and nobody notices."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.processes.family import wait_for_workers, workers
from tests.kit.bootstrap import one_origin
from tests.kit.load import Load, Mode
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl

REQUESTS = "http.ingress.downstream_rq_total"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(one_origin(origin.port), concurrency=2, arguments=["--drain-time-s", "5"]) as proxy:
        yield proxy


@pytest.mark.parametrize("mode", ["new", "keep-alive"])
def test_no_request_fails_while_the_number_changes(proxy: Proxy, mode: Mode) -> None:
    with Load(proxy.address(), mode=mode, connections=6) as load:
        for count in (4, 1, 3, 2):
            time.sleep(0.2)
            done = proxyctl("workers", str(count), runtime=proxy.runtime)
            assert done.returncode == 0, done.stderr
            wait_for(
                lambda count=count: proxy.stats()["server.concurrency"] == count, deadline=30, what=f"{count} serve"
            )  # type: ignore[misc]
        time.sleep(0.2)
        report = load.finish()
    assert report.failed.total() == 0, report.failed
    assert report.ok > 50
    assert proxy.stats()[REQUESTS] >= report.ok  # those who left took no counter with them
    wait_for_workers(proxy, 2)


def test_signals_change_it_by_one(proxy: Proxy) -> None:
    proxy.kill(signal.SIGTTIN)
    wait_for_workers(proxy, 3)
    proxy.kill(signal.SIGTTOU)
    wait_for_workers(proxy, 2)


def test_one_is_the_least(proxy: Proxy) -> None:
    proxyctl("workers", "1", runtime=proxy.runtime)
    wait_for_workers(proxy, 1)
    proxy.kill(signal.SIGTTOU)
    wait_for(lambda: "at least 1 worker" in proxy.output(), deadline=30, what="the refusal is logged")
    assert len(workers(proxy)) == 1


def test_more_than_there_are_slots_is_rejected_with_the_reason(proxy: Proxy) -> None:
    done = proxyctl("workers", "200", runtime=proxy.runtime)
    assert done.returncode == 5
    assert "more than there are slots" in done.stderr
    wait_for_workers(proxy, 2)


def test_a_worker_that_dies_during_growth_does_not_stop_it(proxy: Proxy) -> None:
    before = {p.pid for p in workers(proxy)}
    proxy.kill(signal.SIGTTIN)
    wait_for(lambda: {p.pid for p in workers(proxy)} - before, deadline=30, what="the third is born")
    for process in workers(proxy):
        if process.pid not in before:
            process.kill()
    wait_for_workers(proxy, 3)
