"""Who is ejected by what, and who comes back: the same on both, told in the same stats, events and flags."""

from __future__ import annotations

import contextlib
import json
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.config import findings
from tests.kit.envoy import Envoy, validate
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.unreachable import Unreachable
from tests.parity.rules import of

PATIENCE = 20.0  # s: on a machine that has much else to do, logs may be late
FOREVER = "1000s"
ONE = {"max_ejection_percent": 100, "interval": FOREVER}
"""Of a cluster whose only host may be ejected, and stays so."""

REFUSED, NEVER = "refused", "never-accepted"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


class Case(NamedTuple):
    """A cluster of these hosts (names of origins, or of addresses where nobody answers), and queries sent to it."""

    detection: Fields
    queries: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("a",)
    headers: str = ""
    method: str = "GET"
    action: Fields = {}  # noqa: RUF012 - nobody writes it


RETRYING = {"retry_policy": {"retry_on": "5xx", "num_retries": 4, "retry_back_off": {"base_interval": "0.001s"}}}
GATEWAY = {**ONE, "consecutive_5xx": 0, "enforcing_consecutive_gateway_failure": 100}
SPLIT = {**ONE, "split_external_local_origin_errors": True}
CASES: dict[str, Case] = {
    "five_in_a_row": Case(ONE, ("status=500",) * 5),
    "four_in_a_row": Case(ONE, ("status=500",) * 4 + ("status=404",) + ("status=599",) * 4),
    "not_enforced": Case({**ONE, "enforcing_consecutive_5xx": 0}, ("status=500",) * 5),
    "threshold": Case({**ONE, "consecutive_5xx": 2}, ("status=500",) * 2),
    "gateway": Case(GATEWAY, ("status=502", "status=503", "status=504", "status=502", "status=503")),
    "gateway_and_others": Case(GATEWAY, ("status=502",) * 4 + ("status=500",) + ("status=502",) * 4),
    "gateway_threshold": Case({**GATEWAY, "consecutive_gateway_failure": 2}, ("status=504",) * 2),
    "closed": Case(ONE, ("close=before",) * 5),
    "reset": Case(GATEWAY, ("close=before&reset=1",) * 5),
    "cut_short": Case({**ONE, "consecutive_5xx": 1}, ("body=10&chunk=5&close=half",)),
    "garbage": Case(ONE, ("raw=garbage%0d%0a%0d%0a",) * 5),
    "refused": Case(GATEWAY, ("",) * 5, (REFUSED,)),
    "timeout": Case({**GATEWAY, "consecutive_gateway_failure": 2}, ("delay=0.2",) * 2, action={"timeout": "0.05s"}),
    "timeout_of_tries": Case(
        {**ONE, "consecutive_5xx": 2},
        ("delay=0.2",),
        action={"retry_policy": {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.05s"}},
    ),
    "timeout_of_hedged_tries": Case(
        {**ONE, "consecutive_5xx": 1},
        ("delay=0.2",),
        action={
            "retry_policy": {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.1s"},
            "hedge_policy": {"hedge_on_per_try_timeout": True},
        },
    ),
    "connect_timeout": Case({**ONE, "consecutive_5xx": 1}, ("",), (NEVER,)),
    "timeout_while_connecting": Case({**ONE, "consecutive_5xx": 1}, ("",), (NEVER,), action={"timeout": "0.05s"}),
    "timeout_of_streams": Case(
        {**ONE, "consecutive_5xx": 1}, ("delay=0.2",), action={"max_stream_duration": {"max_stream_duration": "0.05s"}}
    ),
    "retries": Case(ONE, ("status=500",), action=RETRYING),
    "grpc": Case(
        ONE, ("header=grpc-status:14&body=0",) * 5, headers="content-type: application/grpc\r\n", method="POST"
    ),
    "grpc_well": Case(
        ONE, ("header=grpc-status:5&body=0",) * 5, headers="content-type: application/grpc\r\n", method="POST"
    ),
    "grpc_status_without_grpc": Case(ONE, ("header=grpc-status:14&body=0",) * 5),
    "split": Case(SPLIT, ("",) * 5, (REFUSED,)),
    "split_threshold": Case({**SPLIT, "consecutive_local_origin_failure": 2}, ("",) * 2, (REFUSED,)),
    "split_not_enforced": Case({**SPLIT, "enforcing_consecutive_local_origin_failure": 0}, ("",) * 5, (REFUSED,)),
    "split_statuses": Case(SPLIT, ("status=500",) * 5),
    "split_closed": Case({**SPLIT, "consecutive_local_origin_failure": 2}, ("close=before",) * 5),
    "split_timeout": Case(
        {**SPLIT, "consecutive_local_origin_failure": 1}, ("delay=0.2",), action={"timeout": "0.05s"}
    ),
    "overloaded": Case({**ONE, "consecutive_5xx": 1}, ("",)),
}
LIMITED = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}

NOT_IN_A_ROW = {
    "consecutive_5xx": 0,
    "consecutive_gateway_failure": 0,
    "consecutive_local_origin_failure": 0,
    "max_ejection_percent": 50,
    "interval": "0.3s",
    "base_ejection_time": FOREVER,
    "max_ejection_time": FOREVER,
}
BY_RATE = {"success_rate_minimum_hosts": 3, "success_rate_request_volume": 3, "success_rate_stdev_factor": 1000}
BY_FAILURES = {"failure_percentage_minimum_hosts": 3, "failure_percentage_request_volume": 3}
RATES: dict[str, Fields] = {
    "rate": BY_RATE,
    "rate_not_enforced": {**BY_RATE, "enforcing_success_rate": 0},
    "rate_of_few_hosts": {**BY_RATE, "success_rate_minimum_hosts": 4},
    "failures": {**BY_FAILURES, "enforcing_failure_percentage": 100},
    "failures_not_enforced": BY_FAILURES,
    "failures_below": {**BY_FAILURES, "enforcing_failure_percentage": 100, "failure_percentage_request_volume": 1000},
    "local_rate": {**BY_RATE, "split_external_local_origin_errors": True},
    "local_rate_not_enforced": {
        **BY_RATE,
        "split_external_local_origin_errors": True,
        "enforcing_local_origin_success_rate": 0,
    },
    "local_failures": {
        **BY_FAILURES,
        "split_external_local_origin_errors": True,
        "enforcing_failure_percentage_local_origin": 100,
    },
}
"""Of three hosts, one of which refuses."""

ONE_OF_TWO: dict[str, Fields] = {
    "half": {"max_ejection_percent": 50},
    "always_one": {"always_eject_one_host": True},
    "less_than_half": {"max_ejection_percent": 49},
    "default_share": {},
}

BACK = {"consecutive_5xx": 2, "max_ejection_percent": 100, "interval": "0.1s", "base_ejection_time": "0.2s"}


class Bed(NamedTuple):
    pair: Pair
    hosts: dict[str, Any]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Origin("a", "b") as origin, Unreachable(tmp_path_factory.mktemp("dead")) as nobody:
        ports = {**origin.ports, REFUSED: nobody.addresses[REFUSED].port, NEVER: nobody.addresses[NEVER].port}  # type: ignore[union-attr]
        clusters, routes = [], []

        def add(name: str, hosts: tuple[str, ...], detection: Fields, action: Fields, **fields: Any) -> None:
            fields = {"connect_timeout": "0.2s", "outlier_detection": detection, **fields}
            clusters.append(static_cluster(name, *(ports[host] for host in hosts), **fields))
            routes.append(route(f"/{name}/", name, **action))

        for name, case in CASES.items():
            add(name, case.hosts, case.detection, case.action, **(LIMITED if name == "overloaded" else {}))
        for name, detection in RATES.items():
            add(name, ("a", "b", REFUSED), {**NOT_IN_A_ROW, **detection}, {})
        add("back", ("a",), BACK, {})
        add("panic", ("a",), {**ONE, "consecutive_5xx": 1}, {})
        for name, detection in ONE_OF_TWO.items():
            add(name, ("a", "b"), {"interval": FOREVER, "consecutive_5xx": 2, **detection}, {})
        add("tcp", (REFUSED,), ONE, {})
        add("tcp_well", ("a",), {**ONE, "consecutive_5xx": 1}, {})
        listeners = [http_listener(virtual_host("v", ["*"], *routes)), tcp("tcp"), tcp("tcp_well")]
        tree = yaml.safe_load(bootstrap(listeners, clusters))
        tree["cluster_manager"] = {"outlier_detection": {"event_log_path": "{directory}/events"}}
        with run_pair(yaml.safe_dump(tree), apart="when who comes back is told is a matter of intervals") as pair:
            yield Bed(pair, ports)


def tcp(name: str) -> Fields:
    config = {"@type": TCP_PROXY, "stat_prefix": name, "cluster": name}
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": config}]}
    return {"name": name, "address": socket_address("127.0.0.1", 0), "filter_chains": [chain]}


def ask(proxy: Envoy | Proxy, name: str, queries: tuple[str, ...], headers: str = "", method: str = "GET") -> list[int]:
    """The statuses of the answers, -1 for one that was cut short, after which there is another connection."""
    found, address = [], proxy.address("main")
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(Connection(address))
        for query in queries:
            length = "content-length: 0\r\n" if method == "POST" else ""
            head = f"{method} /{name}/?{query} HTTP/1.1\r\nhost: h\r\n{headers}{length}\r\n"
            try:
                found.append(connection.request(head.encode()).status)
            except ConnectionEnded:
                found.append(-1)
                connection = stack.enter_context(Connection(address))
    return found


def counted(proxy: Envoy | Proxy, name: str) -> dict[str, int]:
    wanted = rf"^cluster\.{name}\.(outlier_detection|membership_healthy$)"
    lines = proxy.admin(f"/stats?filter={quote(wanted)}").body.decode().splitlines()
    return {
        stat.removeprefix(f"cluster.{name}."): int(value) for stat, _, value in (one.partition(": ") for one in lines)
    }


def events(proxy: Envoy | Proxy, name: str) -> list[Fields]:
    path = Path(proxy.directory) / "events"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = [event for event in lines if event["cluster_name"] == name]
    for event in found:
        del event["timestamp"]
    return found


def flags(proxy: Envoy | Proxy, name: str) -> Counter[str]:
    text = proxy.admin(f"/clusters?filter=^{name}$").body.decode()
    return Counter(line.rpartition("::")[2] for line in text.splitlines() if "::health_flags::" in line)


def told(proxy: Envoy | Proxy, name: str, hosts: int) -> Any:
    """All that a reader can see; which of several hosts it was is a matter of whose turn it was."""
    said = [{**event, "upstream_url": event["upstream_url"] if hosts == 1 else ""} for event in events(proxy, name)]
    return counted(proxy, name), said, flags(proxy, name)


def same(bed: Bed, name: str, hosts: int) -> bool:
    return told(bed.pair.envoy, name, hosts) == told(bed.pair.ours, name, hosts)


def assert_same(bed: Bed, name: str, hosts: int = 1) -> None:
    """Once nothing changes any more."""
    with contextlib.suppress(AssertionError):  # it is told below what differs
        wait_for(partial(same, bed, name, hosts), deadline=PATIENCE, what="the same is told")
    assert told(bed.pair.ours, name, hosts) == told(bed.pair.envoy, name, hosts), bed.pair.ours.output()[-3000:]


@pytest.mark.parity(
    "rule 36",
    "rule 37",
    "config.cluster.v3.Cluster.outlier_detection",
    *of(
        "config.cluster.v3.OutlierDetection",
        "consecutive_5xx",
        "consecutive_gateway_failure",
        "consecutive_local_origin_failure",
        "split_external_local_origin_errors",
        "max_ejection_percent",
        "always_eject_one_host",
        "enforcing_consecutive_5xx",
        "enforcing_consecutive_gateway_failure",
        "enforcing_consecutive_local_origin_failure",
    ),
    "config.bootstrap.v3.ClusterManager.OutlierDetection.event_log_path",
)
@pytest.mark.parametrize("name", CASES)
def test_failures_in_a_row(bed: Bed, name: str) -> None:
    case = CASES[name]
    envoy, ours = (
        ask(proxy, name, case.queries, case.headers, case.method) for proxy in (bed.pair.envoy, bed.pair.ours)
    )
    assert ours == envoy
    assert_same(bed, name, len(case.hosts))


@pytest.mark.parity(
    *of(
        "config.cluster.v3.OutlierDetection",
        "interval",
        "success_rate_minimum_hosts",
        "success_rate_request_volume",
        "success_rate_stdev_factor",
        "failure_percentage_minimum_hosts",
        "failure_percentage_request_volume",
        "enforcing_success_rate",
        "enforcing_local_origin_success_rate",
        "enforcing_failure_percentage",
        "enforcing_failure_percentage_local_origin",
    ),
)
def test_rates(bed: Bed) -> None:
    """Who is found out may be found out in several intervals: what counts is by what, and who is ejected. Requests must
    come fast enough for one interval, which takes another go on a machine that has much else to do.
    """

    def send(name: str) -> None:
        for proxy in bed.pair.envoy, bed.pair.ours:
            ask(proxy, name, ("body=0",) * 12)

    for _ in range(2):
        for name in RATES:
            send(name)

    def verdict(proxy: Envoy | Proxy, name: str) -> Any:
        words = counted(proxy, name).items()
        found = {stat.rpartition(".")[2] for stat, value in words if value and stat.startswith("outlier_detection")}
        kinds = {(event["type"], event["action"], event["enforced"]) for event in events(proxy, name)}
        return found, kinds, {event["upstream_url"] for event in events(proxy, name)}, flags(proxy, name)

    def equal(name: str) -> bool:
        if verdict(bed.pair.envoy, name) == verdict(bed.pair.ours, name):
            return True
        send(name)
        return False

    for name in RATES:
        with contextlib.suppress(AssertionError):
            wait_for(partial(equal, name), deadline=PATIENCE, what="the same is told")
        assert verdict(bed.pair.ours, name) == verdict(bed.pair.envoy, name), name
    assert verdict(bed.pair.ours, "rate")[1] == {("SUCCESS_RATE", "EJECT", True)}


@pytest.mark.parity("rule 37", *of("config.cluster.v3.OutlierDetection", "base_ejection_time", "max_ejection_time"))
def test_who_is_ejected_comes_back(bed: Bed) -> None:
    for number in (1, 2):
        for proxy in bed.pair.envoy, bed.pair.ours:
            assert ask(proxy, "back", ("status=500",) * 2) == [500, 500]

            def back(proxy: Envoy | Proxy = proxy, number: int = number) -> bool:
                return [event["action"] for event in events(proxy, "back")] == ["EJECT", "UNEJECT"] * number

            wait_for(back, deadline=PATIENCE, what="it is back")
    envoy, ours = (events(proxy, "back") for proxy in (bed.pair.envoy, bed.pair.ours))
    assert [set(event) for event in ours] == [set(event) for event in envoy]
    for key in ("type", "action", "num_ejections", "enforced"):
        assert [event[key] for event in ours] == [event[key] for event in envoy]
    found = [counted(proxy, "back") for proxy in (bed.pair.envoy, bed.pair.ours)]
    assert found[0] == found[1]


@pytest.mark.parity(
    "rule 37", *of("config.cluster.v3.OutlierDetection", "max_ejection_percent", "always_eject_one_host")
)
@pytest.mark.parametrize("name", ONE_OF_TWO)
def test_one_of_two_may_be_ejected(bed: Bed, name: str) -> None:
    """Both fail; how often the second one is found out depends on when workers hear of the first one."""
    found = []
    for proxy in bed.pair.envoy, bed.pair.ours:

        def overflows(proxy: Envoy | Proxy = proxy) -> bool:
            ask(proxy, name, ("status=500",) * 4)
            return counted(proxy, name)["outlier_detection.ejections_overflow"] > 0

        wait_for(overflows, deadline=PATIENCE, what="no more hosts may be ejected")
        found.append((counted(proxy, name)["outlier_detection.ejections_active"], flags(proxy, name)))
    assert found[1] == found[0]
    assert found[0][0] == (name in ("half", "always_one"))


@pytest.mark.parity("rule 34", "rule 37")
def test_where_all_are_ejected_all_are_asked(bed: Bed) -> None:
    for proxy in bed.pair.envoy, bed.pair.ours:
        assert ask(proxy, "panic", ("status=500",)) == [500]

        def panicked(proxy: Envoy | Proxy = proxy) -> bool:
            assert ask(proxy, "panic", ("",)) == [200]
            return proxy.stats()["cluster.panic.lb_healthy_panic"] > 0

        wait_for(panicked, deadline=PATIENCE, what="the only host is asked although it is ejected")


@pytest.mark.parity("config.cluster.v3.OutlierDetection.consecutive_5xx")
def test_connections_of_tcp(bed: Bed) -> None:
    for proxy in bed.pair.envoy, bed.pair.ours:
        for _ in range(5):
            sock = socket.create_connection(proxy.address("tcp"), timeout=5)
            with sock, contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        with Connection(proxy.address("tcp_well")) as connection:
            assert connection.request(b"GET /?status=500 HTTP/1.1\r\nhost: h\r\n\r\n").status == 500
    assert_same(bed, "tcp")
    assert_same(bed, "tcp_well")


@pytest.mark.parity("rule 36", "rule 37")
def test_both_refuse_a_longest_time_below_the_shortest() -> None:
    cluster = static_cluster("c", 80, outlier_detection={"base_ejection_time": "3s", "max_ejection_time": "2s"})
    text = bootstrap([], [cluster])
    accepted, _ = validate(text)
    assert not accepted
    assert findings(text)
