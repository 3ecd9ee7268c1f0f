"""Active health checks on the real Envoy and on ours: what is asked, what each answer comes to, and what it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import Connection, Response, fetch
from tests.kit.dns_server import DnsServer
from tests.kit.envoy import Envoy
from tests.kit.grpc_server import GrpcServer
from tests.kit.health_origin import CLOSE, HANG, HealthOrigin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.routing import head
from tests.parity.rules import of

CHECK = "config.core.v3.HealthCheck"
HTTP = f"{CHECK}.HttpHealthCheck"
SINK = "type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2 = {OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}}
CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

DEGRADED, FAIL = "200\nx-envoy-degraded: 1", "503\nx-envoy-immediate-health-check-fail: true"
NAMED, OTHER = (f"200\nx-envoy-upstream-healthchecked-cluster: {name}" for name in ("shop-1", "zoo"))
# By cluster: what is said at each check, and how the check is configured beside what all have.
SCRIPTS: dict[str, tuple[list[str], Fields]] = {
    "well": (["200"], {}),
    "down": (["500"], {}),
    "status": (["200", "503", "200", "200"], {}),
    "thresholds": (["200", CLOSE, "200", CLOSE, CLOSE, "200", CLOSE, "200", "200"], {}),
    "retriable": (["200", "503", "503", "200", "200"], {"retriable_statuses": [{"start": 500, "end": 504}]}),
    "expected": (["204", "200", "301", "204", "301"], {"expected_statuses": [{"start": 204, "end": 302}]}),
    "hangs": (["200", HANG, HANG, "200", "200"], {}),
    "never": ([HANG, HANG, "200"], {}),
    "degraded": (["200", DEGRADED, DEGRADED, "200", DEGRADED], {}),
    "excluded": (["200", FAIL, FAIL, "200", "200", FAIL], {}),
    "named": ([NAMED, OTHER, NAMED, NAMED], {"service_name_matcher": {"prefix": "shop"}}),
    "body": (
        ["200\nx-body: all is ok", "200\nx-body: ok is all", "200\nx-body: all ok", "200\nx-body: all ok"],
        {"receive": [{"text": "616c6c"}, {"text": "6f6b"}]},
    ),
    "posts": (["200"], {"method": "POST", "send": {"text": "68656c6c6f"}, "host": "posts.test"}),
    "edits": (["200"], {"request_headers_to_remove": ["user-agent"]}),
    "once": (["200"], {}),
}
AFTERWARDS = ("elsewhere", "fast", "closes", "keeps", "two", "stays", "leaves")
"""Hosts that begin well: what becomes of their requests and connections."""

SETTLED = {name: len(script) for name, (script, _) in SCRIPTS.items()}


# Not `health_check.degraded`, which in Envoy never falls (docs/parity.md).
GAUGES = [f"membership_{what}" for what in ("healthy", "degraded", "excluded", "total", "change")]
GAUGES.append("health_check.healthy")


OFTEN = ("interval", "no_traffic_interval", "no_traffic_healthy_interval")


def check(kind: Fields, **fields: Any) -> Fields:
    """Every 50 ms, with all results in the log."""
    sink = {"name": "file", "typed_config": {"@type": SINK, "event_log_path": "{directory}/events.log"}}
    return {
        "timeout": "10s",
        "healthy_threshold": 2,
        "unhealthy_threshold": 2,
        **dict.fromkeys(OFTEN, "0.05s"),
        "always_log_health_check_failures": True,
        "always_log_health_check_success": True,
        "event_logger": [sink],
        **kind,
        **fields,
    }


def http_check(name: str, fields: Fields) -> Fields:
    whose = {"header": {"key": "x-instance", "value": "{directory}"}}
    return {"http_health_check": {"path": f"/{name}", "request_headers_to_add": [whose], **fields}}


def scripted(name: str, port: int, **cluster: Any) -> Fields:
    _, fields = SCRIPTS[name]
    more: Fields = {"reuse_connection": False} if name == "once" else {}
    if HANG in SCRIPTS[name][0]:
        more = {"timeout": "0.6s"}
    return static_cluster(name, port, health_checks=[check(http_check(name, fields), **more)], **cluster)


def events(proxy: Envoy | Proxy, name: str) -> list[tuple[str, Any]]:
    """What has happened to the host of a cluster, in order: the event's name and what is in it."""
    found = []
    path = proxy.directory / "events.log"
    for line in path.read_text().splitlines() if path.exists() else []:
        event = json.loads(line)
        if event["cluster_name"] == name:
            found += [(key, value) for key, value in event.items() if key.endswith(("_event", "_host"))]
    return found


def tell(proxy: Envoy | Proxy, name: str) -> Any:
    """How the hosts of a cluster are, as text, as JSON, as endpoints and in stats."""
    lines = proxy.admin("/clusters").body.decode().splitlines()
    flags = [line.rpartition("::")[2] for line in lines if line.startswith(f"{name}::") and "::health_flags::" in line]
    dumps = json.loads(proxy.admin(f"/config_dump?include_eds&name_regex={name}").body)["configs"]
    dumped = [
        (host["health_status"], host["endpoint"]["health_check_config"])
        for dump in dumps
        for assignment in dump.get("static_endpoint_configs", ())
        for locality in assignment["endpoint_config"]["endpoints"]
        for host in locality["lb_endpoints"]
    ]
    statuses = json.loads(proxy.admin("/clusters?format=json").body)["cluster_statuses"]
    health = [host["health_status"] for each in statuses if each["name"] == name for host in each["host_statuses"]]
    stats = proxy.stats()
    return flags, health, dumped, {gauge: stats[f"cluster.{name}.{gauge}"] for gauge in GAUGES}


@pytest.fixture(scope="module")
def origin() -> Iterator[HealthOrigin]:
    scripts = {name: script for name, (script, _) in SCRIPTS.items()}
    with HealthOrigin({**scripts, **dict.fromkeys(AFTERWARDS, ("200",))}) as running:
        yield running


@pytest.fixture(scope="module")
def grpc_server() -> Iterator[GrpcServer]:
    with GrpcServer() as running:
        yield running


@pytest.fixture(scope="module")
def names() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.add("hosts.example", "A", "127.0.0.1", "127.0.0.2", ttl=0)
        yield server


@pytest.fixture(scope="module")
def pair(origin: HealthOrigin, grpc_server: GrpcServer, names: DnsServer) -> Iterator[Pair]:
    def of_grpc(name: str) -> Fields:
        checks = [check({"grpc_health_check": {"service_name": name}})]
        return static_cluster(
            f"grpc-{name}", grpc_server.port, health_checks=checks, typed_extension_protocol_options=HTTP2
        )

    clusters = [scripted(name, origin.port) for name in SCRIPTS]
    clusters += [of_grpc(name) for name in ("up", "down", "lost")]
    clusters.append(static_cluster("tcp", origin.port, health_checks=[check({"tcp_health_check": {}})]))
    clusters.append(static_cluster("refused", 1, health_checks=[check({"tcp_health_check": {}})]))
    seldom = check(http_check("fast", {}), **dict.fromkeys(OFTEN, "60s"))
    often = {name: check(http_check(name, {})) for name in AFTERWARDS}
    clusters += [
        static_cluster("fast", origin.port, health_checks=[seldom]),
        static_cluster("keeps", origin.port, health_checks=[often["keeps"]]),
        static_cluster(
            "closes", origin.port, health_checks=[often["closes"]], close_connections_on_host_health_failure=True
        ),
        static_cluster("two", origin.port, 1, health_checks=[often["two"]]),
    ]
    elsewhere = static_cluster("elsewhere", 1, health_checks=[check(http_check("elsewhere", {}))])
    (locality,) = elsewhere["load_assignment"]["endpoints"]
    locality["lb_endpoints"][0]["endpoint"]["health_check_config"] = {"port_value": origin.port, "hostname": "e.test"}
    clusters.append(elsewhere)
    clusters += [named("stays", origin, names), named("leaves", origin, names, ignore_health_on_host_removal=True)]
    hosts = [virtual_host(name, [name], route("/", name)) for name in ("fast", "two")]
    listeners = [http_listener(*hosts, name="http"), *(tcp_listener(name) for name in ("keeps", "closes"))]
    text = bootstrap(listeners, clusters)
    with run_pair(text, apart="each checks in its own time") as running:
        yield running


def named(name: str, origin: HealthOrigin, names: DnsServer, **fields: Any) -> Fields:
    """The hosts of a name that is looked up again and again."""
    resolver = {"@type": CARES, "resolvers": [socket_address("127.0.0.1", names.port)]}
    endpoint = {"endpoint": {"address": socket_address("hosts.example", origin.port)}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "0.05s",
        "typed_dns_resolver_config": {"name": "cares", "typed_config": resolver},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "health_checks": [check(http_check(name, {}), unhealthy_threshold=1)],
        **fields,
    }


def tcp_listener(cluster: str) -> Fields:
    proxy = {"@type": TCP_PROXY, "stat_prefix": cluster, "cluster": cluster}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    return {"name": cluster, "address": socket_address("127.0.0.1", 0), "filter_chains": [{"filters": filters}]}


def settled(pair: Pair, name: str, count: int) -> list[list[tuple[str, Any]]]:
    """The first `count` results of both, each with all that came of it."""

    def first(proxy: Envoy | Proxy) -> list[tuple[str, Any]] | None:
        found = events(proxy, name)
        return found[:count] if len(found) >= count else None

    def both() -> list[list[tuple[str, Any]]] | None:
        envoy, ours = first(pair.envoy), first(pair.ours)
        return None if envoy is None or ours is None else [envoy, ours]

    found: list[list[tuple[str, Any]]] = wait_for(both, deadline=10, what=f"{count} events of {name}")
    return found


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parity(
    "rule 74",
    *of(CHECK, "unhealthy_threshold", "healthy_threshold", "timeout", "event_logger"),
    *of(HTTP, "expected_statuses", "retriable_statuses", "receive", "service_name_matcher"),
)
def test_what_each_answer_comes_to(pair: Pair, name: str) -> None:
    envoy, ours = settled(pair, name, SETTLED[name] + 1)
    assert ours == envoy


@pytest.mark.parametrize("name", ["grpc-up", "grpc-down", "grpc-lost", "tcp", "refused", "elsewhere"])
@pytest.mark.parity("rule 74", f"{CHECK}.grpc_health_check", f"{CHECK}.tcp_health_check")
def test_other_kinds_of_checks(pair: Pair, name: str) -> None:
    envoy, ours = settled(pair, name, 3)
    assert ours == envoy
    assert tell(pair.ours, name) == tell(pair.envoy, name)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parity("rule 74", "rule 73", *of(HTTP, "host", "path", "method", "send", "request_headers_to_remove"))
def test_what_is_asked_and_what_is_told_in_the_end(pair: Pair, origin: HealthOrigin, name: str) -> None:
    settled(pair, name, SETTLED[name] + 1)
    asked = [origin.heads[name, str(proxy.directory)] for proxy in (pair.envoy, pair.ours)]
    assert asked[1] == asked[0]
    wait_for(lambda: tell(pair.ours, name) == tell(pair.envoy, name), deadline=5, what="both tell the same")


@pytest.mark.parity(f"{CHECK}.event_logger")
def test_a_line_of_the_event_log(pair: Pair) -> None:
    settled(pair, "well", 1)
    lines = [
        next(json.loads(line) for line in (proxy.directory / "events.log").read_text().splitlines() if '"well"' in line)
        for proxy in (pair.envoy, pair.ours)
    ]
    for line in lines:
        assert line.pop("timestamp").endswith("Z")
    assert lines[1] == lines[0]
    assert list(lines[1]) == list(lines[0])


def await_flags(proxy: Envoy | Proxy, name: str, part: str) -> str:
    """The flags of the only host of a cluster, once `part` is in them."""
    found: str = wait_for(
        lambda: next((flags for flags in tell(proxy, name)[0] if part in flags), None),
        deadline=5,
        what=f"{name} is {part}",
    )
    return found


@pytest.mark.parity("rule 58")
def test_a_response_may_say_that_its_host_wants_no_more(pair: Pair) -> None:
    """It is out at once, and its connections with it: in panic, it gets another one."""
    seen = []
    for proxy in (pair.envoy, pair.ours):

        def get(target: str, proxy: Envoy | Proxy = proxy) -> Response:
            return fetch(proxy.address("http"), head(target, "fast"))

        def closed(proxy: Envoy | Proxy = proxy) -> bool:
            return proxy.stats()["cluster.fast.upstream_cx_destroy_local"] == 1

        before = [get("/app/ok").value("x-connection") for _ in range(2)]
        said = get("/app/fail")
        told = await_flags(proxy, "fast", "excluded")
        wait_for(closed, deadline=5, what="its connection is closed")
        numbers = [*before, said.value("x-connection"), get("/app/ok").value("x-connection")]
        stats = {key: value for key, value in proxy.stats().items() if key.startswith("cluster.fast.health_check.")}
        same = [number == before[0] for number in numbers]
        seen.append((same, said.value("x-envoy-immediate-health-check-fail"), stats, told))
    assert seen[1] == seen[0]
    assert seen[0][0] == [True, True, True, False]


@pytest.mark.parity("rule 58", "config.cluster.v3.Cluster.close_connections_on_host_health_failure")
def test_tcp_connections_to_a_host_that_fails_are_closed_where_that_is_asked_for(
    pair: Pair, origin: HealthOrigin
) -> None:
    ended: list[object] = []
    for proxy in (pair.envoy, pair.ours):
        for name in ("keeps", "closes"):
            origin.say(name, "200")
            await_flags(proxy, name, "healthy")
            with Connection(proxy.address(name)) as client:
                client.send(head("/app/ok"))
                client.receive()
                origin.say(name, "500")
                await_flags(proxy, name, "failed")
                if name == "closes":
                    ended.append(client.sock.recv(1))
                else:
                    client.send(head("/app/ok"))
                    ended.append(client.receive().status)
    assert ended[2:] == ended[:2]


@pytest.mark.parity("rule 58")
def test_a_host_that_was_never_well_gets_no_request(pair: Pair) -> None:
    for proxy in (pair.envoy, pair.ours):
        assert [fetch(proxy.address("http"), head("/app/ok", "two")).status for _ in range(8)] == [200] * 8
    assert tell(pair.ours, "two") == tell(pair.envoy, "two")


@pytest.mark.parity("rule 58", "config.cluster.v3.Cluster.ignore_health_on_host_removal")
def test_hosts_that_discovery_has_no_more_stay_while_they_are_well(
    pair: Pair, origin: HealthOrigin, names: DnsServer
) -> None:
    def hosts(proxy: Envoy | Proxy) -> list[str]:
        lines = proxy.admin("/clusters").body.decode().splitlines()
        return sorted(line for line in lines if line.startswith(("stays::", "leaves::")) and "::health_flags::" in line)

    def settled(count: int) -> bool:
        same = hosts(pair.ours) == hosts(pair.envoy) and tell(pair.ours, "stays")[3] == tell(pair.envoy, "stays")[3]
        return same and len(hosts(pair.envoy)) == count

    # The hosts of both clusters together: what has left is of one alone, until it fails.
    for addresses, status, count in ((1, 2), "200", 4), ((1,), "200", 3), ((1, 2), "200", 4), ((1,), "500", 2):
        names.add("hosts.example", "A", *(f"127.0.0.{number}" for number in addresses), ttl=0)
        for name in ("stays", "leaves"):
            origin.say(name, status)
        wait_for(lambda count=count: settled(count), deadline=10, what=f"{count} hosts")
