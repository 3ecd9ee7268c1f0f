"""Whole answers: what becomes of a request, and where the configuration says so."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from master.explain.request.answer import Answer, Setting
from master.explain.request.explain import explain
from master.explain.request.located import located
from master.explain.request.place import DEFAULT
from master.explain.request.question import read
from tests.kit.config import HTTP_FILTERS, bootstrap, checked

HCM = """
normalize_path: true
use_remote_address: true
internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}
stream_idle_timeout: 60s
upgrade_configs: [{upgrade_type: websocket}]
"""
ROUTES = """
name: local
request_headers_to_add: [{header: {key: x-config, value: "1"}}]
virtual_hosts:
- name: shop
  domains: ["shop.test", "*.shop.test"]
  include_request_attempt_count: true
  retry_policy: {retry_on: reset, num_retries: 2, per_try_timeout: 2s}
  response_headers_to_remove: [x-secret]
  routes:
  - name: prod
    match: {prefix: "/", headers: [{name: x-env, string_match: {exact: prod}}]}
    route: {cluster: origin}
  - match: {prefix: "/old"}
    redirect: {path_redirect: /new, response_code: FOUND}
  - match: {path: "/hello"}
    direct_response: {status: 200, body: {inline_string: "hello"}}
  - name: api
    match: {prefix: "/api"}
    route:
      timeout: 3s
      prefix_rewrite: /v1
      host_rewrite_literal: inner.test
      weighted_clusters:
        clusters:
        - name: origin
          weight: 90
        - name: canary
          weight: 10
          request_headers_to_add: [{header: {key: x-share, value: canary}}]
    request_headers_to_remove: [x-client]
    request_headers_to_add: [{header: {key: x-route, value: api}, append_action: ADD_IF_ABSENT}]
    typed_per_filter_config:
      limit: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, disabled: true}
  - match: {prefix: "/high"}
    route: {cluster: origin, priority: HIGH}
    request_headers_to_add: [{header: {key: x-envoy-max-retries, value: "9"}}]
  - match: {prefix: "/lost"}
    route: {cluster_header: x-cluster}
- name: secure
  domains: ["secure.test"]
  require_tls: ALL
  routes: [{match: {prefix: "/"}, route: {cluster: origin}}]
"""
FILTERS = """
- name: limit
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 9}
- name: edit
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    mutations: {request_mutations: [{append: {header: {key: x-filter, value: "1"}}}]}
"""
CLUSTERS = """
- name: origin
  connect_timeout: 1s
  circuit_breakers: {thresholds: [{max_requests: 7}, {priority: HIGH, max_requests: 70}]}
  load_assignment:
    cluster_name: origin
    endpoints:
    - locality: {region: r, zone: z}
      lb_endpoints:
      - endpoint: {hostname: one.test, address: {socket_address: {address: 127.0.0.1, port_value: 81}}}
        load_balancing_weight: 3
- name: canary
  type: STRICT_DNS
  load_assignment:
    cluster_name: canary
    endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: canary.test, port_value: 82}}}}]}]
"""
TEXT = bootstrap(hcm=HCM, route_config=ROUTES, http_filters=FILTERS + HTTP_FILTERS.lstrip("\n"), clusters=CLUSTERS)
CHECKED = checked(TEXT)


def ask(url: str, *headers: str, method: str = "GET", **options: Any) -> Answer:
    assert CHECKED.config is not None, CHECKED.findings
    answer = explain(read(method, url, headers, **options), CHECKED.config, CHECKED.config.endpoints)
    return located(answer, CHECKED.locate)


def line_at(place: Any) -> str:
    """The line of the configuration to which `place` leads, from its column on."""
    return TEXT.splitlines()[place.line - 1][place.column - 1 :]


def settings(found: tuple[Setting, ...]) -> dict[str, tuple[str, str]]:
    """(value, what says so) by name."""
    return {one.name: (one.value, one.by or (line_at(one.place) if one.place.path else "")) for one in found}


def test_a_request_that_is_forwarded() -> None:
    answer = ask("http://www.shop.test/x/../api/a?b=c", "x-env: dev", "x-client: me")
    assert (answer.outcome, answer.matched, answer.reply) == ("forwarded", True, None)
    assert (answer.listener.name, answer.listener.how) == ("main", "the only listener")
    assert answer.virtual_host is not None
    assert answer.virtual_host.how == "its domain *.shop.test takes 'www.shop.test'"
    assert line_at(answer.virtual_host.place) == '"*.shop.test"]'
    assert answer.route is not None
    assert (answer.route.index, answer.route.name, answer.route.how) == (3, "api", "prefix '/api'")
    assert line_at(answer.route.place) == "name: api"
    assert answer.upstream is not None
    assert (answer.upstream.path, answer.upstream.authority) == ("/v1/a?b=c", "inner.test")
    assert dict(answer.upstream.headers).keys() >= {"x-filter", "x-route", "x-config", "x-envoy-attempt-count"}
    assert "x-client" not in dict(answer.upstream.headers)


def test_each_earlier_route_says_why_not() -> None:
    tried = ask("http://shop.test/api", "x-env: dev").tried
    assert [(one.index, one.name, one.why, one.by_path) for one in tried] == [
        (0, "prod", "header x-env is 'dev', wants exact 'prod'", False),
        (1, "", "the path is '/api', wants prefix '/old'", True),
        (2, "", "the path is '/api', wants exact '/hello'", True),
    ]
    assert [line_at(one.place) for one in tried] == [
        "{name: x-env, string_match: {exact: prod}}]}",
        'prefix: "/old"}',
        'path: "/hello"}',
    ]


def test_timeouts_and_retries_say_who_sets_them() -> None:
    answer = ask("http://shop.test/api")
    assert settings(answer.timeouts) == {
        "request_headers_timeout": ("none", ""),
        "request_timeout": ("none", ""),
        "timeout": ("3 s", "timeout: 3s"),
        "idle_timeout": ("60 s", "stream_idle_timeout: 60s"),
        "max_stream_duration": ("none", ""),
        "per_try_timeout": ("2 s", "per_try_timeout: 2s}"),
        "per_try_idle_timeout": ("none", ""),
        "connect_timeout": ("1 s", "connect_timeout: 1s"),
        "upstream max_stream_duration": ("none", ""),
    }
    assert settings(answer.retry) == {
        "retry_on": ("reset", "retry_on: reset, num_retries: 2, per_try_timeout: 2s}"),
        "num_retries": ("2", "num_retries: 2, per_try_timeout: 2s}"),
        "retry_back_off": ("up to 0.025 s, doubling to 0.25 s", ""),
    }


def test_what_a_request_from_inside_asks_for_counts() -> None:
    asks = ("x-envoy-upstream-rq-timeout-ms: 700", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 5")
    answer = ask("http://shop.test/api", *asks, source="10.1.2.3")
    assert answer.caller == "10.1.2.3, from inside"
    assert settings(answer.timeouts)["timeout"] == ("0.7 s", "x-envoy-upstream-rq-timeout-ms")
    assert settings(answer.retry)["retry_on"] == ("5xx, reset", "x-envoy-retry-on")
    assert settings(answer.retry)["num_retries"] == ("5", "x-envoy-max-retries")
    outside = ask("http://shop.test/api", *asks)
    assert settings(outside.timeouts)["timeout"] == ("3 s", "timeout: 3s")
    removed = {change.part for change in outside.admission if change.after is None}
    assert removed == {f"header {line.partition(':')[0]}" for line in asks}


def test_what_edits_ask_for_counts_and_hedging_is_told() -> None:
    hedging = ask("http://shop.test/high", "x-envoy-hedge-on-per-try-timeout: true", source="10.1.1.1")
    found = settings(hedging.retry)
    assert found["num_retries"] == ("9", "x-envoy-max-retries")
    assert found["hedge_policy"][1] == "x-envoy-hedge-on-per-try-timeout"


def test_edits_come_in_their_order_with_their_places() -> None:
    edits = ask("http://shop.test/api", drawn="95").edits
    assert [(one.direction, one.level, one.what) for one in edits] == [
        ("request", "virtual host", "set x-envoy-attempt-count: (attempts)"),
        ("request", "weighted cluster", "append x-share: canary"),
        ("request", "route", "remove x-client"),
        ("request", "route", "add if absent x-route: api"),
        ("request", "route configuration", "append x-config: 1"),
        ("request", "route", "host becomes inner.test"),
        ("request", "route", "path /api → /v1"),
        ("response", "virtual host", "remove x-secret"),
    ]
    assert [line_at(one.place) for one in edits] == [
        "include_request_attempt_count: true",
        "{header: {key: x-share, value: canary}}]",
        "x-client]",
        "{header: {key: x-route, value: api}, append_action: ADD_IF_ABSENT}]",
        '{header: {key: x-config, value: "1"}}]',
        "host_rewrite_literal: inner.test",
        "prefix_rewrite: /v1",
        "x-secret]",
    ]


def test_chance_is_told_and_can_be_pinned() -> None:
    answer = ask("http://shop.test/api")
    assert answer.cluster is not None
    assert [(one.cluster, one.percent, one.drawn) for one in answer.cluster.shares] == [
        ("origin", 90.0, True),
        ("canary", 10.0, False),
    ]
    pinned = ask("http://shop.test/api", drawn="95")
    assert pinned.cluster is not None
    assert (pinned.cluster.name, pinned.cluster.how) == ("canary", "a weighted cluster")
    assert line_at(pinned.cluster.place) == "name: canary"
    assert pinned.cluster.note == "its hosts are not known before it runs: their names are resolved then"


def test_hosts_and_breakers_of_the_cluster() -> None:
    cluster = ask("http://shop.test/", "x-env: prod").cluster
    assert cluster is not None
    (host,) = cluster.hosts
    assert (host.address, host.hostname, host.health, host.weight, host.locality) == (
        "127.0.0.1:81",
        "one.test",
        "healthy",
        3,
        "r/z",
    )
    breakers = {one.name: (one.limit, one.used, one.place) for one in cluster.breakers}
    limit, used, place = breakers["max_requests"]
    assert (limit, used, line_at(place)) == (7, None, "max_requests: 7}, {priority: HIGH, max_requests: 70}]}")
    assert {one.name: one.limit for one in ask("http://shop.test/high").cluster.breakers}["max_requests"] == 70  # type: ignore[union-attr]
    assert breakers["max_retries"] == (3, None, DEFAULT)


def test_filters_that_run_and_those_that_are_not_run_here() -> None:
    filters = ask("http://shop.test/api").filters
    assert [(one.name, one.kind, one.note) for one in filters] == [
        ("limit", "Buffer", "disabled for this route"),
        ("edit", "HeaderMutation", ""),
        ("router", "Router", ""),
    ]
    assert line_at(filters[0].place) == "name: limit"
    (override,) = filters[0].overrides
    assert line_at(override).startswith("limit: {")
    elsewhere = ask("http://shop.test/", "x-env: prod")
    assert elsewhere.filters[0].note.startswith("not run here")
    assert elsewhere.notes == ("filters that were not run: limit",)


@pytest.mark.parametrize(
    ("path", "outcome", "status", "headers", "body"),
    [
        ("/old?q", "answered", 302, {"location": "http://shop.test/new?q"}, ""),
        ("/hello", "answered", 200, {"content-type": "text/plain"}, "hello"),
        ("/lost", "failed", 503, {}, ""),
        ("/none", "no_route", 404, {}, ""),
        ("/a%00", "refused", 400, {}, ""),
    ],
)
def test_what_the_proxy_answers_itself(
    path: str, outcome: str, status: int, headers: dict[str, str], body: str
) -> None:
    answer = ask(f"http://shop.test{path}")
    assert answer.reply is not None
    assert (answer.outcome, answer.reply.status, answer.reply.body) == (outcome, status, body)
    assert dict(answer.reply.headers).items() >= headers.items()
    assert answer.matched == (outcome in ("answered", "failed"))


def test_a_virtual_host_that_wants_tls() -> None:
    answer = ask("http://secure.test/x")
    assert answer.route is not None
    assert (answer.route.index, line_at(answer.route.place)) == (-1, "require_tls: ALL")
    assert answer.reply is not None
    assert dict(answer.reply.headers)["location"] == "https://secure.test/x"


def test_a_port_in_the_authority_is_a_trap_that_is_told() -> None:
    answer = ask("http://shop.test:81/api")
    assert (answer.outcome, answer.virtual_host) == ("no_route", None)
    assert answer.notes[0].startswith("'shop.test:81' is no domain of the 2 virtual hosts; 'shop.test' would be")


def test_a_head_that_the_codec_refuses() -> None:
    answer = ask("http://shop.test/", "transfer-encoding: chunked", "content-length: 3")
    assert answer.reply is not None
    assert (answer.outcome, answer.reply.status, answer.seen) == ("refused", 400, None)


def test_an_upgrade_that_nobody_allows_is_refused_and_another_is_not() -> None:
    refused = ask("http://shop.test/api", "connection: upgrade", "upgrade: other")
    assert refused.reply is not None
    assert (refused.outcome, refused.reply.status) == ("failed", 403)
    assert ask("http://shop.test/api", "connection: upgrade", "upgrade: websocket").outcome == "forwarded"


def test_a_listener_that_speaks_no_http() -> None:
    text = textwrap.dedent("""
        static_resources:
          listeners:
          - name: tcp
            address: {socket_address: {address: 127.0.0.1, port_value: 5432}}
            filter_chains:
            - filters:
              - name: tcp
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  stat_prefix: t
                  cluster: db
          clusters: [{name: db}]
    """)
    result = checked(text)
    assert result.config is not None, result.findings
    answer = explain(read("GET", "http://x:5432/"), result.config, result.config.endpoints)
    assert answer.cluster is not None
    assert (answer.outcome, answer.matched, answer.cluster.name) == ("tcp", True, "db")
    assert str(answer.cluster.place).endswith("typed_config.cluster")
