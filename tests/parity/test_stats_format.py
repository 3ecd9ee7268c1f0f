"""Our renderers, fed with the real Envoy's values, write what Envoy writes, byte by byte (features §13 rules 50-52)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from master.stats import json as json_format
from master.stats import prometheus, text
from master.stats.snapshot import Snapshot
from shm.histogram import bucket_of
from tests.kit.client import Connection, ConnectionEnded, fetch
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for

# One of each kind of scope whose tags are extracted by default, as far as a plain bootstrap can make them.
BOOTSTRAP = """
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters:
    - name: limit
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit
        stat_prefix: llr
        token_bucket: {max_tokens: 100000, fill_interval: 1s}
    filter_chains:
    - filters:
      - name: rbac
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC
          stat_prefix: nr.
      - name: limit
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit
          stat_prefix: nlr
          token_bucket: {max_tokens: 100000, fill_interval: 1s}
      - name: connections
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit
          stat_prefix: cl
          max_connections: 1000
      - name: manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              virtual_clusters:
              - {name: vc, headers: [{name: ":path", string_match: {prefix: /x}}]}
              routes:
              - match: {prefix: /direct}
                direct_response: {status: 204}
              - match: {prefix: /}
                stat_prefix: rt
                route: {cluster: "refusing:quote\\"d"}
          http_filters:
          - name: limit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: lrl
          - name: rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules_stat_prefix: pre
          - name: fault
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: tunnel
    stat_prefix: named
    address: {socket_address: {address: "127.0.0.1", port_value: 0}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: pipe
          cluster: plain
  - name: v6
    address: {socket_address: {address: "::1", port_value: 0}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: pipe6
          cluster: plain
  clusters:
  - name: 'refusing:quote"d'
    load_assignment:
      cluster_name: x
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
  - name: plain
    load_assignment: {cluster_name: plain}
"""

# Not the admin listener's own stats and the server's, which move while they are read.
FILTER = r"^(cluster|http\.ingress|listener\.(127|named|\[)|tcp|vhost|lrl|llr|nlr|nr|pre|connection_limit|.*local_rate)"


class Shown(NamedTuple):
    """What Envoy says, and its values as our renderers take them."""

    stats: Snapshot
    answers: dict[str, bytes]


QUERIES = {
    "text": "/stats?",
    "text cumulative": "/stats?histogram_buckets=cumulative&",
    "text disjoint": "/stats?histogram_buckets=disjoint&",
    "text detailed": "/stats?histogram_buckets=detailed&",
    "json": "/stats?format=json&",
    "json cumulative": "/stats?format=json&histogram_buckets=cumulative&",
    "json disjoint": "/stats?format=json&histogram_buckets=disjoint&",
    "json detailed": "/stats?format=json&histogram_buckets=detailed&",
    "prometheus": "/stats/prometheus?",
    "prometheus summary": "/stats/prometheus?histogram_buckets=summary&",
    "counters": "/stats?format=json&type=Counters&",
    "gauges": "/stats?format=json&type=Gauges&",
}


def ask_all(envoy: Envoy) -> dict[str, bytes]:
    encoded = FILTER.replace("\\", "%5C").replace("|", "%7C").replace("[", "%5B").replace("^", "%5E")
    return {name: envoy.admin(f"{path}filter={encoded}").body for name, path in QUERIES.items()}


def simple(body: bytes) -> dict[str, int]:
    return {stat["name"]: stat["value"] for stat in json.loads(body)["stats"]}


def bins(found: list[dict[str, Any]]) -> dict[int, int]:
    return {bucket_of(int(one["lower_bound"])): one["count"] for one in found}


def parse(answers: dict[str, bytes]) -> Snapshot:
    details = json.loads(answers["json detailed"])["stats"][-1]["histograms"]["details"]
    return Snapshot(
        simple(answers["counters"]),
        simple(answers["gauges"]),
        {one["name"]: bins(one["totals"]) for one in details},
        {one["name"]: bins(one["intervals"]) for one in details if one["intervals"]},
    )


def traffic(envoy: Envoy) -> None:
    for path in ("/direct", "/x", "/y", "/x"):
        fetch(envoy.address("web"), f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    with Connection(envoy.address("tunnel")) as connection, pytest.raises((ConnectionEnded, ConnectionResetError)):
        connection.receive()


@pytest.fixture(scope="module")
def shown() -> Shown:
    with Envoy(BOOTSTRAP, concurrency=2) as envoy:
        traffic(envoy)

        def flushed() -> bool:
            return b"P50(" in envoy.admin("/stats?filter=listener.127.*cx_length").body

        wait_for(flushed, deadline=30, what="Envoy merged its histograms")
        traffic(envoy)
        for _ in range(20):  # a flush between two answers changes the values
            answers = ask_all(envoy)
            if answers == ask_all(envoy):
                break
        else:
            raise AssertionError("Envoy's stats never stood still")
    return Shown(parse(answers), answers)


@pytest.mark.parity("rule 51")
@pytest.mark.parametrize("mode", ["", "cumulative", "disjoint", "detailed"])
def test_text(shown: Shown, mode: str) -> None:
    ours = "".join(text.render(shown.stats, mode))
    assert ours.splitlines() == shown.answers[f"text {mode}".strip()].decode().splitlines()


@pytest.mark.parity("rule 51")
@pytest.mark.parametrize("mode", ["", "cumulative", "disjoint", "detailed"])
def test_json(shown: Shown, mode: str) -> None:
    assert json_format.render(shown.stats, mode) == shown.answers[f"json {mode}".strip()]


@pytest.mark.parity("rule 50", "rule 52")
@pytest.mark.parametrize("mode", ["", "summary"])
def test_prometheus_names_labels_order_and_values(shown: Shown, mode: str) -> None:
    ours = "".join(prometheus.render(shown.stats, mode))
    theirs = shown.answers[f"prometheus {mode}".strip()].decode()
    assert [rounded(line) for line in ours.splitlines()] == [rounded(line) for line in theirs.splitlines()]


def rounded(line: str) -> str:
    """A histogram's sum to 14 digits: it is added up from its buckets, and the last bit depends on the order."""
    name, _, value = line.rpartition(" ")
    return f"{name} {float(value):.14g}" if "_sum{" in name else line


@pytest.mark.parity("rule 52")
def test_the_bootstrap_shows_every_kind_of_label_that_we_claim_to_compare(shown: Shown) -> None:
    scraped = shown.answers["prometheus"].decode()
    for label in (
        "cluster_name", "http_conn_manager_prefix", "listener_address", "response_code", "response_code_class",
        "virtual_host", "virtual_cluster", "route", "tcp_prefix", "local_http_ratelimit_prefix",
        "local_network_ratelimit_prefix", "local_listener_ratelimit_prefix", "rbac_prefix", "connection_limit_prefix",
        "worker_id", "rbac_http_prefix",
    ):  # fmt: skip
        assert f'envoy_{label}="' in scraped, label
