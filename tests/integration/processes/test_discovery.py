"""Hosts from DNS: found by the controller, applied by every worker, kept over the controller's death."""

from __future__ import annotations

from tests.integration.processes.family import one, wait_for_workers, workers
from tests.kit.bootstrap import one_origin
from tests.kit.client import get
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy


def by_name(origin: Origin) -> str:
    return one_origin(origin.port, host="localhost", type="STRICT_DNS", dns_lookup_family="V4_ONLY")


def test_a_name_is_resolved_before_the_first_connection_is_accepted() -> None:
    with Origin() as origin, Proxy(by_name(origin), concurrency=2) as proxy:
        for _ in range(8):  # both workers
            assert get(proxy.address()).status == 200
        assert f"127.0.0.1:{origin.port}" in proxy.admin("/clusters").body.decode()


def test_workers_that_start_without_a_controller_know_the_hosts() -> None:
    with Origin() as origin, Proxy(by_name(origin), concurrency=2) as proxy:
        controller, victim = one(proxy, "controller"), workers(proxy)[0]
        controller.suspend()
        victim.kill()
        wait_for(
            lambda: len(workers(proxy)) == 2 and victim.pid not in {p.pid for p in workers(proxy)},
            deadline=30,
            what="reborn",
        )
        for _ in range(8):
            assert get(proxy.address()).status == 200
        wait_for_workers(proxy, 2)  # the controller hangs, so it is replaced, and can tell again
