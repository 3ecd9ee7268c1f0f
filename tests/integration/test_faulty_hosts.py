"""One of three hosts is not well: how many requests of clients fail, with and without retries and outlier detection."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.faulty import Faulty
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.unreachable import Unreachable

REQUESTS = 12
FEW = 6  # where each that fails takes its time
FAULTS = ("refuses", "hangs", "cuts", "babbles", "flaps")
NOT_RETRIED = ("cuts",)
"""The client has seen the beginning of the response."""

PREVIOUS_HOSTS = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
RETRY_POLICY: Fields = {
    "retry_on": "5xx,connect-failure,reset",
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.001s"},
    "retry_host_predicate": [{"name": "other", "typed_config": {"@type": PREVIOUS_HOSTS}}],
    "host_selection_retry_max_attempts": 5,
}
IN_A_ROW = {"cuts": 1}
"""Failures; the head of a response that is cut short later is a success first, and ends a row."""

DETECTION: Fields = {
    "max_ejection_percent": 40,
    "interval": "0.2s",
    "base_ejection_time": "600s",
    "max_ejection_time": "600s",
}
PLAIN, RETRIED, DETECTED, BOTH = "plain", "retried", "detected", "both"


class Bed(NamedTuple):
    proxy: Proxy

    def send(self, name: str, count: int = REQUESTS) -> int:
        """How many of so many requests fail, each over a connection of its own and so in any worker."""
        return sum(not self._served(name) for _ in range(count))

    def _served(self, name: str) -> bool:
        with Connection(self.proxy.address()) as connection:
            try:
                return connection.request(f"GET /{name}/?body=10 HTTP/1.1\r\nhost: h\r\n\r\n".encode()).status == 200
            except (ConnectionEnded, ConnectionResetError):
                return False

    def stat(self, name: str, stat: str) -> int:
        text = self.proxy.admin(f"/stats?filter={quote(f'^cluster.{name}.{stat}$')}").body.decode()
        return int(text.rpartition(": ")[2])

    def ejected(self, name: str) -> bool:
        return self.stat(name, "outlier_detection.ejections_active") == 1

    def flags(self, name: str) -> int:
        return self.proxy.admin(f"/clusters?filter=^{name}$").body.decode().count("/failed_outlier_check")


def action(fault: str, *, retries: bool) -> Fields:
    """Time is short only where it is what ends an attempt."""
    patience = "0.2s" if fault == "hangs" else "5s"
    if not retries:
        return {"timeout": patience}
    return {"timeout": "5s", "retry_policy": {**RETRY_POLICY, "per_try_timeout": patience}}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with contextlib.ExitStack() as stack:
        well = stack.enter_context(Origin("a", "b"))
        nobody = stack.enter_context(Unreachable(tmp_path_factory.mktemp("dead")))
        clusters, routes = [], []
        for fault in FAULTS:
            for kind in (PLAIN, RETRIED, DETECTED, BOTH):
                # Each has a host of its own: one that flaps counts.
                port = (
                    nobody.addresses["refused"].port if fault == "refuses" else stack.enter_context(Faulty(fault)).port
                )  # type: ignore[union-attr]
                name = f"{fault}-{kind}"
                detection = {"outlier_detection": {**DETECTION, "consecutive_5xx": IN_A_ROW.get(fault, 2)}}
                fields = detection if kind in (DETECTED, BOTH) else {}
                clusters.append(static_cluster(name, *well.ports.values(), port, **fields))
                routes.append(route(f"/{name}/", name, **action(fault, retries=kind in (RETRIED, BOTH))))
        text = bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)
        yield Bed(stack.enter_context(Proxy(text, concurrency=2)))


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_requests(bed: Bed, fault: str) -> None:
    """Alone, a faulty host fails every third request. Retries save what can be tried again; detection ends it for all
    but the first few; together they leave nothing of what can be tried again.
    """
    count = FEW if fault == "hangs" else REQUESTS
    failed = {kind: bed.send(f"{fault}-{kind}", count) for kind in (PLAIN, RETRIED)}
    for kind in (DETECTED, BOTH):
        name, failed[kind] = f"{fault}-{kind}", 0

        def noticed(name: str = name, kind: str = kind) -> bool:
            failed[kind] += bed.send(name, 3)
            return bed.ejected(name)

        wait_for(noticed, deadline=10, what="the host is ejected")
        assert bed.flags(name) == 1

        def over(name: str = name, kind: str = kind) -> bool:
            failures = bed.send(name)
            failed[kind] += failures
            return failures == 0

        wait_for(over, deadline=5, what="every worker knows")
    print(fault, failed)  # for who looks with -s
    assert failed[PLAIN] > 0
    assert failed[DETECTED] >= IN_A_ROW.get(fault, 2)
    for kind in (RETRIED, BOTH):
        assert (failed[kind] > 0) == (fault in NOT_RETRIED), failed
    assert bed.stat(f"{fault}-{DETECTED}", "outlier_detection.ejections_enforced_total") == 1


def test_who_is_ejected_stays_so_whoever_dies(bed: Bed) -> None:
    """Each of the workers once: one of them decides for the cluster."""
    name = "refuses-detected"
    wait_for(lambda: bed.send(name) == 0 and bed.ejected(name), deadline=10, what="the host is ejected, and all know")
    workers = [process for process in bed.proxy.processes() if process["role"] == "worker"]
    for worker in workers:
        os.kill(worker["pid"], signal.SIGKILL)

        def replaced(pid: int = worker["pid"]) -> bool:
            found = [each for each in bed.proxy.processes() if each["role"] == "worker" and each["state"] == "serving"]
            return len(found) == len(workers) and pid not in [each["pid"] for each in found]

        wait_for(replaced, deadline=20, what="another worker serves")
        assert bed.flags(name) == 1
        assert bed.send(name) == 0
    wait_for(partial(bed.ejected, name), deadline=5, what="somebody looks after it again")
