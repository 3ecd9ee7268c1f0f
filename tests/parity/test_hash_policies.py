"""Hash policies: RING_HASH and MAGLEV pick the host that Envoy picks for the request, and clients get its cookies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import xxhash

from tests.kit.bootstrap import (
    ROUTER,
    Fields,
    bootstrap,
    http_listener,
    route,
    socket_address,
    static_cluster,
    virtual_host,
)
from tests.kit.client import Connection, Response
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

POLICY = "config.route.v3.RouteAction.HashPolicy"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
FILTER_STATE = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
BAKED = {
    "name": "k",
    "ttl": "90.7s",
    "path": "/p",
    "attributes": [{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}],
}


def rewritten(pattern: str, substitution: str) -> Fields:
    header = {"header_name": "x-key", "regex_rewrite": {"pattern": {"regex": pattern}, "substitution": substitution}}
    return {"header": header}


KEY = {"header": {"header_name": "x-key"}}
QUERY = {"query_parameter": {"name": "q"}}
SOURCE = {"connection_properties": {"source_ip": True}}
POLICIES: dict[str, list[Fields]] = {
    "header": [KEY],
    "host": [{"header": {"header_name": "host"}}],
    "path": [{"header": {"header_name": ":path"}}],
    "accept": [{"header": {"header_name": "accept"}}],
    "rewrite": [rewritten("[0-9]+", "some")],
    "source": [SOURCE],
    "query": [QUERY],
    "cookie": [{"cookie": {"name": "k"}}],
    "twice": [KEY, KEY],
    "several": [KEY, QUERY, SOURCE],
    "terminal": [{**KEY, "terminal": True}, QUERY],
    "terminal_first": [QUERY, {**KEY, "terminal": True}, SOURCE],
    "state": [{"filter_state": {"key": "hashable"}}],
}
WEIGHTS = {"a": 20, "b": 30, "c": 50}
BAKING: dict[str, Fields] = {"baked": BAKED, "session": {"name": "k", "ttl": "0s"}}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin("a", "b", "c", "d", "e") as origin:
        yield origin


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    ports = origin.ports.values()
    clusters = [
        static_cluster("ring", *ports, lb_policy="RING_HASH"),
        static_cluster("maglev", *ports, lb_policy="MAGLEV"),
        static_cluster("in_turn", *ports),
        static_cluster("nobody", lb_policy="MAGLEV"),
    ]
    routes = [
        route(f"/{cluster}/{name}", cluster, hash_policy=policies)
        for cluster in ("ring", "maglev")
        for name, policies in POLICIES.items()
    ]
    baking = [
        route(f"/{cluster}/{name}", cluster, hash_policy=[{"cookie": cookie}])
        for cluster in ("ring", "in_turn", "nobody")
        for name, cookie in BAKING.items()
    ]
    shares = {
        "use_hash_policy": True,
        "clusters": [{"name": f"of_{name}", "weight": weight} for name, weight in WEIGHTS.items()],
    }
    clusters += [static_cluster(f"of_{name}", origin.ports[name]) for name in WEIGHTS]
    routes += [
        {"match": {"prefix": f"/weighted/{name}"}, "route": {"weighted_clusters": shares, "hash_policy": policies}}
        for name, policies in POLICIES.items()
    ]
    baking[0]["response_headers_to_add"] = [{"header": {"key": "set-cookie", "value": "other=1"}}]
    values = [
        {
            "object_key": key,
            "factory_key": f"envoy.{factory}",
            "format_string": {"text_format_source": {"inline_string": "%REQ(x-key)%"}},
        }
        for key, factory in (("hashable", "hashable_string"), ("text", "string"))
    ]
    filters = [
        {"name": "state", "typed_config": {"@type": FILTER_STATE, "on_request_headers": values}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    everything = virtual_host("v", ["*"], *routes, *baking)
    listener = http_listener(everything, http_filters=filters)
    plain = http_listener(everything, name="plain")
    trusting = http_listener(everything, name="trusting", use_remote_address=True, xff_num_trusted_hops=1)
    proxy = {"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": "ring", "hash_policy": [{"source_ip": {}}]}
    tcp = {
        "name": "tcp",
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    text = bootstrap([listener, plain, trusting, tcp], clusters)
    with run_pair(text, apart="which host gets a request without a hash is drawn") as pair:
        yield pair


def ask(connection: Connection, path: str, *lines: str) -> Response:
    head = "".join(f"{line}\r\n" for line in lines)
    return connection.request(f"GET {path} HTTP/1.1\r\nhost: h\r\n{head}\r\n".encode())


Asked = list[tuple[str, tuple[str, ...]]]

KEYED: Asked = [(f"?q={number * 7}", (f"x-key: key-{number % 5}",)) for number in range(10)]
ODD: Asked = [
    ("?q=1&q=2", ("x-key: b", "x-key: a")),
    ("?p=1&q=%31", ("x-key: a", "x-key: b")),
    ("?q=", ("x-key: ", "accept: b", "accept: a")),
    ("?q", ("X-Key: a", "accept: a", "accept: b")),
    ("/more?q=1", ("cookie: a=b; k=v", "x-key: b")),
    ("", ("cookie: k=v", "x-key: 12-34")),
    ("", ('cookie: k="v"', "x-key: 56-7")),
    ("", ("cookie: K=v; k =w;k=v ", "x-key: c")),
    ("", ("cookie: k=first", "cookie: k=second", "x-key: d")),
    ("", ("cookie: k=; k=x", "x-key: e")),
    ("", ("cookie: junk; k=a=b", "x-key: f")),
]


def hosts(address: Any, path: str, asked: Asked, source: str | None = None) -> list[str]:
    with contextlib.closing(Connection(address, source=source).__enter__()) as connection:
        return [json.loads(ask(connection, path + more, *lines).body)["origin"] for more, lines in asked]


@pytest.mark.parity(
    "rule 59",
    *of("config.route.v3.RouteAction", "hash_policy"),
    *of("config.route.v3.WeightedCluster", "use_hash_policy"),
    *of(POLICY, "header", "cookie", "connection_properties", "query_parameter", "filter_state", "terminal"),
    *of(f"{POLICY}.Header", "header_name", "regex_rewrite"),
    *of(f"{POLICY}.FilterState", "key"),
)
@pytest.mark.parametrize(
    ("listener", "name"),
    [
        ("main", "header"),
        ("main", "cookie"),
        ("main", "state"),
        *(("plain", name) for name in POLICIES if name != "state"),
    ],
)
def test_the_same_host(pair: Pair, listener: str, name: str) -> None:
    """`plain` has express lanes, `main` has none."""
    asked = KEYED + ODD
    if name == "cookie":
        asked = [one for one in ODD if any("k=" in line and "k=;" not in line for line in one[1])]
    elif name == "query":
        asked = [one for one in asked if "q" in one[0]]
    elif name == "accept":
        asked = [one for one in asked if any(line.startswith("accept") for line in one[1])]
    for cluster in ("ring", "maglev", "weighted"):
        if name == "state" and cluster == "weighted":  # no filter has set it then
            continue
        for source in ("127.0.0.1", "127.0.0.9", "127.1.2.3") if name in ("source", "several") else (None,):
            envoy, ours = (
                hosts(proxy.address(listener), f"/{cluster}/{name}", asked, source) for proxy in (pair.envoy, pair.ours)
            )
            assert ours == envoy, (cluster, source)


@pytest.mark.parity(*of(f"{POLICY}.ConnectionProperties", "source_ip"))
def test_the_client_behind_trusted_hops(pair: Pair) -> None:
    asked: Asked = [("", (f"x-forwarded-for: 1.2.3.4, 10.0.0.{number}",)) for number in range(8)]
    envoy, ours = (hosts(proxy.address("trusting"), "/ring/source", asked) for proxy in (pair.envoy, pair.ours))
    assert ours == envoy
    assert len(set(ours)) > 1


@pytest.mark.parity(*of("extensions.filters.network.tcp_proxy.v3.TcpProxy", "hash_policy"))
def test_the_client_of_a_tcp_proxy(pair: Pair) -> None:
    for source in ("127.0.0.1", "127.0.0.9", "127.1.2.3", "127.1.2.4"):
        envoy, ours = (hosts(proxy.address("tcp"), "/", [("", ())], source) for proxy in (pair.envoy, pair.ours))
        assert ours == envoy, source


@pytest.mark.parity(
    *of(f"{POLICY}.Cookie", "name", "ttl", "path", "attributes"), *of(f"{POLICY}.CookieAttribute", "name", "value")
)
@pytest.mark.parametrize("name", BAKING)
def test_a_client_without_a_cookie_gets_one(pair: Pair, name: str) -> None:
    seen = []
    for proxy in (pair.envoy, pair.ours):
        with Connection(proxy.address("plain")) as connection:
            ends = [f"{host}:{port}" for host, port in (connection.sock.getsockname(), connection.sock.getpeername())]
            value = xxhash.xxh64_hexdigest("".join(ends).encode())
            answers = [ask(connection, f"/ring/{name}") for _ in range(3)]
            first, second, third = (one.values("set-cookie") for one in answers)
            assert first == second == third
            assert len({json.loads(one.body)["origin"] for one in answers}) == 1
            assert value in "".join(first)
            again = ask(connection, f"/ring/{name}", f"cookie: k={value}")
            assert not [cookie for cookie in again.values("set-cookie") if cookie.startswith("k=")]
            assert json.loads(again.body)["origin"] == json.loads(answers[0].body)["origin"]
        names = [key for key, _ in answers[0].headers]
        seen.append((names, [cookie.replace(value, "*") for cookie in first]))
    envoy, ours = seen
    assert ours == envoy


@pytest.mark.parity(*of(f"{POLICY}.Cookie", "ttl"))
@pytest.mark.parametrize("cluster", ["in_turn", "nobody"])
def test_who_gets_none(pair: Pair, cluster: str) -> None:
    """Neither clients of clusters that do not look at the hash, nor whoever gets a local reply."""
    for proxy in (pair.envoy, pair.ours):
        with Connection(proxy.address("plain")) as connection:
            answer = ask(connection, f"/{cluster}/session")
            assert answer.status == (200 if cluster == "in_turn" else 503)
            assert not answer.values("set-cookie")
