"""After the same traffic our proxy and the real Envoy show the same stats (features §13 rule 52)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.kit.process import wait_for

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
# buffers of idle connections.
VARYING = re.compile(r"http\.ingress\.downstream_cx_tx_bytes_total|.*_bytes_buffered")

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
)


class Stats(NamedTuple):
    ours: dict[str, int]
    envoy: dict[str, int]


def of_traffic(stats: dict[str, int]) -> dict[str, int]:
    """Without the port in listeners' names, and without what is not about traffic."""
    named = {re.sub(r"127\.0\.0\.1_\d+", "ADDRESS", name): value for name, value in stats.items()}
    return {name: value for name, value in named.items() if not OURSELVES.match(name)}


@pytest.fixture(scope="module")
def stats() -> Iterator[Stats]:
    with Origin() as origin, run_pair(BOOTSTRAP % origin.port) as pair:
        for request in REQUESTS:
            pair.send(request)

        def quiet() -> Stats | None:
            both = Stats(of_traffic(pair.ours.stats()), of_traffic(pair.envoy.stats()))
            active = (side["http.ingress.downstream_cx_active"] for side in both)
            return None if any(active) else both

        yield wait_for(quiet, deadline=20, what="every connection is closed")


@pytest.mark.parity("rule 52")
def test_we_show_nothing_that_envoy_does_not(stats: Stats) -> None:
    assert stats.ours.keys() - stats.envoy.keys() <= OURS_ALONE


@pytest.mark.parity("rule 52")
def test_what_both_show_has_the_same_value(stats: Stats) -> None:
    both = {name for name in stats.ours.keys() & stats.envoy.keys() if not VARYING.fullmatch(name)}
    assert {name: stats.ours[name] for name in both} == {name: stats.envoy[name] for name in both}
    assert len(both) > 400
