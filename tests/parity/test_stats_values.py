"""After the same traffic our proxy and the real Envoy show the same stats (features §13 rule 52)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

BOOTSTRAP = """
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["known"]
              routes:
              - {match: {prefix: /refused}, route: {cluster: "refusing:one"}}
              - {match: {prefix: /nobody}, route: {cluster: empty}}
              - {match: {prefix: /}, route: {cluster: back}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: back
    type: STATIC
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
  - name: "refusing:one"
    type: STATIC
    load_assignment:
      cluster_name: x
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
  - name: empty
    type: STATIC
    load_assignment: {cluster_name: empty}
"""

# The header x-envoy-upstream-service-time has as many digits as the milliseconds that it took. We keep nothing in
# buffers of idle connections, and need no timeout where the client closes after us (docs/parity.md).
VARYING = re.compile(r"http\.ingress\.downstream_cx_(tx_bytes_total|delayed_close_timeout)|.*_bytes_buffered")

# What is about the process and not about the traffic: the server, its own admin interface, how it was started.
OURSELVES = re.compile(r"(server|http\.admin|listener\.admin|listener_manager|cluster_manager|filesystem|runtime)\.")

# Envoy has no supervisor that starts workers again, no filters in Python, and no bound for its access logs.
OURS_ALONE = {
    "server.worker_restarts",
    "server.hot_restart_generation",
    "http.ingress.filter_exceptions",
    "access_log.lost",
}

REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: known\r\n\r\n",
    b"GET /?status=404&body=3 HTTP/1.1\r\nHost: known\r\n\r\n",
    b"GET /?status=503&body=0 HTTP/1.1\r\nHost: known\r\n\r\n",
    b"POST /?chunked=70000 HTTP/1.1\r\nHost: known\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /?body=9 HTTP/1.1\r\nHost: known\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HEAD /?body=9 HTTP/1.1\r\nHost: known\r\n\r\n",
    b"GET /refused HTTP/1.1\r\nHost: known\r\n\r\n",
    b"GET /nobody HTTP/1.1\r\nHost: known\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: unknown\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: known\r\nConnection: close\r\n\r\n",
    b"BAD\r\n\r\n",
)


class Stats(NamedTuple):
    ours: dict[str, int]
    envoy: dict[str, int]


def of_traffic(stats: dict[str, int]) -> dict[str, int]:
    """Without the port in listeners' names, and without what is not about traffic."""
    named = {re.sub(r"127\.0\.0\.1_\d+", "ADDRESS", name): value for name, value in stats.items()}
    return {name: value for name, value in named.items() if not OURSELVES.match(name)}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Both after the same traffic, all of whose connections are closed."""
    with Origin() as origin, run_pair(BOOTSTRAP % origin.port, apart="the tests compare all stats") as pair:
        for request in REQUESTS:
            pair.send(request)

        def quiet() -> bool:
            return not any(side.stats()["http.ingress.downstream_cx_active"] for side in (pair.ours, pair.envoy))

        wait_for(quiet, deadline=30, what="every connection is closed")
        yield pair


@pytest.fixture(scope="module")
def stats(pair: Pair) -> Stats:
    return Stats(of_traffic(pair.ours.stats()), of_traffic(pair.envoy.stats()))


@pytest.mark.parity("rule 52")
def test_we_show_nothing_that_envoy_does_not(stats: Stats) -> None:
    assert stats.ours.keys() - stats.envoy.keys() <= OURS_ALONE


@pytest.mark.parity("rule 52")
def test_what_both_show_has_the_same_value(stats: Stats) -> None:
    both = {name for name in stats.ours.keys() & stats.envoy.keys() if not VARYING.fullmatch(name)}
    assert {name: stats.ours[name] for name in both} == {name: stats.envoy[name] for name in both}
    assert len(both) > 400


# Envoy's quirks: a pool that is gone touched the other priority's gauge; memory of buffers, which we do not keep.
TOUCHED_BY_ENVOY = re.compile(r".*\.circuit_breakers\.high\.cx_pool_open|.*_bytes_buffered")


def used(side: Envoy | Proxy, query: str) -> set[str]:
    body = side.admin(f"/stats?usedonly&{query}").body.decode()
    return set(of_traffic({line.partition(": ")[0]: 0 for line in body.splitlines()}))


@pytest.mark.parity("rule 51")
@pytest.mark.parametrize("kind", ["Counters", "Gauges"])
def test_the_same_stats_were_used(pair: Pair, kind: str) -> None:
    envoy, ours = used(pair.envoy, f"type={kind}"), used(pair.ours, f"type={kind}")
    assert {
        name for name in envoy ^ ours if not VARYING.fullmatch(name) and not TOUCHED_BY_ENVOY.fullmatch(name)
    } == set()
    if kind == "Gauges":
        assert "cluster.back.upstream_rq_active" in ours  # back at zero, but used


@pytest.mark.parity("rule 51")
def test_what_a_start_writes_is_used(pair: Pair) -> None:
    query = "type=Gauges&filter=%5E(server%7Ccluster_manager%7Clistener_manager%7Cruntime)"
    envoy, ours = (
        {line.partition(b": ")[0] for line in side.admin(f"/stats?usedonly&{query}").body.splitlines()}
        for side in (pair.envoy, pair.ours)
    )
    assert ours - {b"server.hot_restart_generation"} == envoy


# Values of the server itself that cannot be the same, each with the reason.
MUST_DIFFER = {
    r"server\.memory_.*": "other processes with other allocators",
    r"server\.uptime": "they do not start in the same second",
    r"server\.version": "a number made of Envoy's own commit",
    r"server\.stats_recent_lookups": "Envoy's symbol table, which we do not have",
    r"runtime\.(load_success|override_dir_not_exists)": "Envoy builds a snapshot of the runtime, which we do not have",
    r"filesystem\..*": "Envoy under test logs the requests to its admin interface to a file",
    r"(http|listener)\.admin\..*": "who asked how often while it started",
}


@pytest.mark.parity("rule 52")
def test_the_server_says_the_same_of_itself(pair: Pair) -> None:
    ours, envoy = pair.ours.stats(), pair.envoy.stats()
    shared = {name for name in ours.keys() & envoy.keys() if OURSELVES.match(name)}
    different = {name for name in shared if ours[name] != envoy[name]}
    explained = {name: reason for name in different for what, reason in MUST_DIFFER.items() if re.fullmatch(what, name)}
    print(f"{len(shared)} values, {len(different)} of them different:")
    for name in sorted(different):
        print(f"  {name}: {ours[name]}, Envoy's {envoy[name]}: {explained.get(name, 'NOT EXPLAINED')}")
    assert different == explained.keys()
    assert "cluster_manager.cluster_added" in shared - different
    assert "listener_manager.listener_create_success" in shared - different


@pytest.mark.parity("rule 52")
def test_the_admin_interface_counts_alike(pair: Pair) -> None:
    """What one more request, on a connection of its own, adds."""

    def counted(side: Envoy | Proxy) -> dict[str, int]:
        return {name: value for name, value in side.stats().items() if re.match(r"(http|listener)\.admin\.", name)}

    def added(side: Envoy | Proxy) -> dict[str, int]:
        before = counted(side)
        side.admin("/ready")
        wait_for(lambda: counted(side)["http.admin.downstream_cx_active"] == 1, deadline=10, what="it is alone")
        after = counted(side)
        return {name: int(after[name] > before.get(name, 0)) for name in after}

    envoy, ours = added(pair.envoy), added(pair.ours)
    # Buffers are not kept; closes are counted by both, but not at the same moment.
    compared = {name for name in envoy.keys() & ours.keys() if not name.endswith("_bytes_buffered")}
    assert {name: ours[name] for name in compared} == {name: envoy[name] for name in compared}
    assert ours["http.admin.downstream_cx_rx_bytes_total"] == 1
