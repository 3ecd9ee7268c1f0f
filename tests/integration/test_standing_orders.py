"""Orders at run time reach every process, survive the deaths of any of them, and end when they should."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.integration.processes.family import one, titled, wait_for_workers, workers
from tests.kit.bootstrap import one_cluster
from tests.kit.client import fetch, get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    with Proxy(one_cluster(origin.port), concurrency=2) as proxy:
        yield proxy


def order(proxy: Proxy, *arguments: str) -> None:
    done = proxyctl(*arguments, runtime=proxy.runtime)
    assert done.returncode == 0, done.stderr


def replace_everyone(proxy: Proxy) -> None:
    """Kill the controller and all workers, and wait for their successors."""
    old = workers(proxy)
    controller = one(proxy, "controller")
    for process in [controller, *old]:
        process.kill()
    wait_for_workers(proxy, 2, but=frozenset(process.pid for process in old))
    wait_for(
        lambda: [p.pid for p in titled(proxy, "controller")] not in ([], [controller.pid]),
        deadline=30, what="a new controller",
    )  # fmt: skip


def closes(proxy: Proxy) -> bool:
    """Whether responses end their connections, asked often enough to meet every worker."""
    headers = [dict(fetch(proxy.address(), GET).headers) for _ in range(8)]
    return all(header.get("connection") == "close" for header in headers)


def test_failed_health_checks_close_connections_until_they_pass_again(proxy: Proxy) -> None:
    order(proxy, "healthcheck", "fail")
    wait_for(lambda: closes(proxy), deadline=30, what="every worker closes connections")
    ready = proxy.admin("/ready")
    assert (ready.status, ready.body) == (503, b"DRAINING\n")
    stats = proxy.stats()
    assert (stats["server.live"], stats["server.state"]) == (0, 1)
    replace_everyone(proxy)
    assert closes(proxy)
    assert proxy.admin("/ready").status == 503
    order(proxy, "healthcheck", "ok")
    wait_for(lambda: "connection" not in dict(fetch(proxy.address(), GET).headers), deadline=30, what="back to normal")
    assert proxy.admin("/ready").status == 200


def test_drained_listeners_refuse_while_open_connections_stay(proxy: Proxy) -> None:
    address = proxy.address()
    with socket.create_connection(address) as kept:
        kept.sendall(GET)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        order(proxy, "drain")

        def refused() -> bool:
            try:
                socket.create_connection(address).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_for(refused, deadline=30, what="new connections are refused")
        kept.sendall(GET)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        replace_everyone(proxy)
        order(proxy, "workers", "3")
        assert refused()
    assert proxy.stats()["listener_manager.listener_stopped"] == 1
    assert proxy.admin("/ready").status == 200


def test_counters_count_from_zero_and_only_upwards(proxy: Proxy) -> None:
    name = "http.main.downstream_rq_total"
    for _ in range(3):
        get(proxy.address(), "/")
    wait_for(lambda: proxy.stats()[name] == 3, deadline=30, what="three requests are counted")
    assert proxy.admin("/reset_counters", "POST").status == 200
    assert proxy.stats()[name] == 0
    get(proxy.address(), "/")
    replace_everyone(proxy)
    assert proxy.stats()[name] == 1


def test_levels_reach_every_process_and_revert_by_themselves(proxy: Proxy) -> None:
    order(proxy, "log", "proxy.http=debug", "--for", "1s")
    shown = json.loads(proxyctl("log", "--json", runtime=proxy.runtime).stdout)["data"]
    assert shown["dns"] == "info"
    one(proxy, "controller").kill()

    def reverted() -> bool:
        done = proxyctl("log", "--json", runtime=proxy.runtime)
        return done.returncode == 0 and json.loads(done.stdout)["data"]["proxy.http"] == "info"

    wait_for(reverted, deadline=30, what="the successor takes the change back")


def test_silence_reaches_the_supervisor_too(proxy: Proxy) -> None:
    order(proxy, "log", "off")
    before = proxy.output()
    old = workers(proxy)
    old[0].kill()
    wait_for_workers(proxy, 2, but=frozenset([old[0].pid]))
    assert proxy.output() == before
