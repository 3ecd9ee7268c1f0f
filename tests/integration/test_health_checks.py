"""Health checks of a proxy with three workers: each host is checked once for all, whoever dies; a hot restart forgets
nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.integration.processes.family import wait_for_workers, workers
from tests.integration.reload.reloading import apply
from tests.integration.restart.restarting import restart
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.client import fetch
from tests.kit.health_origin import HealthOrigin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy, proxyctl
from tests.kit.routing import head

WORKERS = 3
INTERVAL = 0.1
WELL = [f"127.0.0.{number}" for number in range(1, 6)]
DOWN = "127.0.0.9"


def cluster(name: str, port: int, interval: float, well: Sequence[str] = WELL, down: str = DOWN) -> Fields:
    """Hosts that are well, and one whose checks get another answer."""
    endpoints: list[Fields] = [{"endpoint": {"address": socket_address(host, port)}} for host in well]
    own = {"hostname": "down.test"}
    endpoints.append({"endpoint": {"address": socket_address(down, port), "health_check_config": own}})
    often = dict.fromkeys(("interval", "no_traffic_interval"), f"{interval}s")
    kind = {"path": f"/{name}", "expected_statuses": [{"start": 200, "end": 201}]}
    check = {**often, "timeout": "5s", "healthy_threshold": 2, "unhealthy_threshold": 2, "http_health_check": kind}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "health_checks": [check],
    }


@pytest.fixture(scope="module")
def origin() -> Iterator[HealthOrigin]:
    with HealthOrigin(dict.fromkeys(("often", "seldom", "fresh"), ("200",)), down="down.test") as running:
        yield running


@pytest.fixture(scope="module")
def proxy(origin: HealthOrigin) -> Iterator[Proxy]:
    with Proxy(bootstrap([listener("often", "seldom")], clusters(origin)), concurrency=WORKERS) as running:
        yield running


def listener(*names: str) -> Fields:
    return http_listener(*(virtual_host(name, [name], route("/", name)) for name in names))


def clusters(origin: HealthOrigin) -> list[Fields]:
    return [cluster("often", origin.port, INTERVAL), cluster("seldom", origin.port, 600)]


def flags(proxy: Proxy, name: str) -> dict[str, str]:
    """By address."""
    lines = [line.split("::") for line in proxy.admin("/clusters").body.decode().splitlines()]
    return {
        parts[1].partition(":")[0]: parts[3] for parts in lines if parts[0] == name and parts[2:3] == ["health_flags"]
    }


def get(proxy: Proxy, name: str, times: int) -> set[int]:
    """The statuses of so many requests, each on a connection of its own."""
    return {fetch(proxy.address(), head("/app/ok", name)).status for _ in range(times)}


EXPECTED = {**dict.fromkeys(WELL, "healthy"), DOWN: "/failed_active_hc"}


def test_who_serves_knows_which_hosts_are_well(proxy: Proxy, origin: HealthOrigin) -> None:
    assert get(proxy, "seldom", 12) == {200}
    assert DOWN not in origin.requests
    assert flags(proxy, "seldom") == flags(proxy, "often") == EXPECTED


def test_whoever_asks_is_told_which_hosts_are_out(proxy: Proxy) -> None:
    answer = json.loads(proxy.admin("/explain?method=GET&url=http://seldom/&format=json").body)
    hosts = {host["address"].partition(":")[0]: host["health"] for host in answer["cluster"]["hosts"]}
    assert hosts == EXPECTED
    lines = proxyctl("clusters", "--filter", "seldom", runtime=proxy.runtime).stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["healthy"] * len(WELL) + ["failed_active_health_check"]


def test_each_host_is_checked_once_for_all_workers(proxy: Proxy, origin: HealthOrigin) -> None:
    # Workers that begin at the same moment may ask twice: three of their own would ask 18 times.
    assert asked(origin, "seldom") <= 2 * len(EXPECTED)
    before, began = dict(origin.checks), time.monotonic()
    wait_for_checks(origin, "often", 5)
    most = 1.5 * (time.monotonic() - began) / INTERVAL + 3
    assert max(origin.checks["often", host] - before["often", host] for host in EXPECTED) <= most


def asked(origin: HealthOrigin, name: str) -> int:
    """How often the hosts of a cluster have been checked."""
    return sum(origin.checks[name, host] for host in EXPECTED)


def wait_for_checks(origin: HealthOrigin, name: str, more: int) -> None:
    """Until each host of a cluster has been checked so many times more."""
    before = dict(origin.checks)

    def made() -> bool:
        return all(origin.checks[name, host] >= before[name, host] + more for host in EXPECTED)

    wait_for(made, deadline=20, what=f"each host of {name} was checked {more} times")


def test_another_worker_goes_on_when_one_dies(proxy: Proxy, origin: HealthOrigin) -> None:
    before = asked(origin, "seldom")
    for _ in range(2):
        victim = workers(proxy)[0]
        victim.kill()
        wait_for_checks(origin, "often", 2)
        wait_for_workers(proxy, WORKERS, but=frozenset([victim.pid]))
    assert flags(proxy, "often") == flags(proxy, "seldom") == EXPECTED
    assert asked(origin, "seldom") == before


def test_a_reload_asks_new_hosts_before_they_serve(proxy: Proxy, origin: HealthOrigin) -> None:
    fresh = cluster("fresh", origin.port, 600, well=["127.0.0.20"], down="127.0.0.21")
    apply(proxy, [listener("often", "seldom", "fresh")], [*clusters(origin), fresh])
    assert get(proxy, "fresh", 12) == {200}
    assert origin.requests["127.0.0.20"] == 12
    assert flags(proxy, "seldom") == flags(proxy, "often") == EXPECTED


def test_a_hot_restart_goes_on_with_what_is_known(proxy: Proxy, origin: HealthOrigin) -> None:
    before = asked(origin, "seldom")
    done = restart(proxy)
    assert done.returncode == 0, done.stderr
    assert get(proxy, "seldom", 12) == {200}
    assert flags(proxy, "seldom") == flags(proxy, "often") == EXPECTED
    assert DOWN not in origin.requests
    assert asked(origin, "seldom") == before  # nobody had to ask anew
