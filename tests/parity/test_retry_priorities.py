"""Retries leave the priorities whose hosts have been tried: the same hosts in the same order on both."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, virtual_host
from tests.kit.client import Connection, fetch
from tests.kit.config import findings
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.proxy import Proxy

PRIORITIES = "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_serial = itertools.count(1)


def policy(frequency: int, retries: int) -> Fields:
    config = {"@type": f"type.googleapis.com/envoy.{PRIORITIES}", "update_frequency": frequency}
    return {
        "retry_policy": {
            "retry_on": "5xx",
            "num_retries": retries,
            "retry_back_off": {"base_interval": "0.001s"},
            "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": config},
        }
    }


def cluster(name: str, levels: list[list[tuple[int, str]]], **fields: object) -> Fields:
    """Hosts by priority: ports, and how they are."""
    endpoints = [
        {
            "priority": priority,
            "lb_endpoints": [
                {"endpoint": {"address": socket_address("127.0.0.1", port)}, "health_status": status}
                for port, status in hosts
            ],
        }
        for priority, hosts in enumerate(levels)
    ]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **fields}


CASES = {
    "each": ("three", 1, 4),
    "every-second": ("three", 2, 5),
    "down": ("down", 1, 4),
    "panic": ("panic", 1, 3),
    "alone": ("alone", 1, 2),
    "hashed": ("hashed", 1, 4),
}
"""Of routes: their cluster, the frequency, how many retries."""


OF_CLUSTERS = {
    r"cluster\.\w+\.membership_change": "Envoy counts each priority of a bootstrap",
    r"cluster\.\w+\.maglev_lb\..*": "of tables, which tests of balancing compare",
}


@pytest.fixture(scope="module")
def bed() -> Iterator[tuple[Pair, Origin]]:
    with Origin("a", "b", "c") as origin:
        a, b, c = ((port, "HEALTHY") for port in origin.ports.values())
        clusters = [
            cluster("three", [[a], [b], [c]]),
            cluster(
                "down", [[a], [(b[0], "UNHEALTHY")], [c]], common_lb_config={"healthy_panic_threshold": {"value": 0}}
            ),
            cluster("panic", [[a], [(b[0], "UNHEALTHY")], [(c[0], "DEGRADED")]]),
            cluster("alone", [[a]]),
            cluster("hashed", [[a], [b], [c]], lb_policy="MAGLEV"),
        ]
        routes = [route(f"/{name}/", to, **policy(often, retries)) for name, (to, often, retries) in CASES.items()]
        text = bootstrap([http_listener(virtual_host("v", ["*"], *routes))], clusters)
        with run_pair(text, otherwise=OF_CLUSTERS) as pair:
            yield pair, origin


def tried(proxy: Envoy | Proxy, origin: Origin, name: str) -> str:
    key = f"p{next(_serial)}"
    with Connection(proxy.address()) as connection:
        head = f"GET /{name}/ HTTP/1.1\r\nhost: h\r\nx-script: status=503&key={key}\r\n\r\n"
        assert connection.request(head.encode()).status == 503
    told = fetch(("127.0.0.1", origin.port), f"GET /?told={key} HTTP/1.1\r\nhost: o\r\n\r\n".encode())
    return "".join(echo["origin"] for echo in json.loads(told.body))


@pytest.mark.parity("rule 46", "config.route.v3.RetryPolicy.retry_priority", f"{PRIORITIES}.update_frequency")
@pytest.mark.parametrize("name", CASES)
def test_the_same_hosts_in_the_same_order(bed: tuple[Pair, Origin], name: str) -> None:
    pair, origin = bed
    envoy, ours = (tried(proxy, origin, name) for proxy in (pair.envoy, pair.ours))
    assert ours == envoy
    assert len(ours) == CASES[name][2] + 1


@pytest.mark.field(
    "envoy.config.route.v3.RetryPolicy.retry_priority",
    "envoy.config.route.v3.RetryPolicy.RetryPriority.typed_config",
    f"envoy.{PRIORITIES}.update_frequency",
)
def test_the_order(bed: tuple[Pair, Origin]) -> None:
    pair, origin = bed
    for proxy in pair.envoy, pair.ours:
        assert [tried(proxy, origin, name) for name in ("each", "every-second")] == ["abcab", "aabbcc"]


def test_other_retry_priorities_are_an_error() -> None:
    other = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    policy = {"retry_priority": {"name": "x", "typed_config": other}}
    text = bootstrap([http_listener(virtual_host("v", ["*"], route("/", "c", retry_policy=policy)))], [{"name": "c"}])
    assert any("retry_priority" in fault.field_path for fault in findings(text))
