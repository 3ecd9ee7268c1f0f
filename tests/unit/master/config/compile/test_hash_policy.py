"""Hash policies of routes and of the TCP proxy."""

from __future__ import annotations

import msgspec
import pytest

from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.config.route import ClusterAction
from proxy.filters.network.tcp_proxy_config import Config
from tests.kit.config import bootstrap, compiled, findings, routes
from tests.unit.proxy.filters.network.tcp import TCP_PROXY, tcp_bootstrap

ACTION = "envoy.config.route.v3.RouteAction"
POLICY = f"{ACTION}.HashPolicy"


def with_policy(policy: str) -> str:
    route = f'match: {{prefix: "/"}}, route: {{cluster: origin, hash_policy: [{policy}]}}'
    return bootstrap(
        route_config=f'{{name: local, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{{route}}}]}}]}}'
    )


def policy_of(text: str) -> HashPolicy:
    action = routes(with_policy(text)).virtual_hosts[0].routes[0].action
    assert isinstance(action, ClusterAction)
    (found,) = action.hash_policies
    return found


@pytest.mark.field(
    f"{ACTION}.hash_policy",
    f"{POLICY}.header",
    f"{POLICY}.terminal",
    f"{POLICY}.Header.header_name",
    f"{POLICY}.Header.regex_rewrite",
)
def test_a_header() -> None:
    rewrite = 'regex_rewrite: {pattern: {regex: "[0-9]+"}, substitution: "x"}'
    assert policy_of(f"{{header: {{header_name: X-Key, {rewrite}}}, terminal: true}}") == HashPolicy(
        "header", "x-key", terminal=True, pattern="[0-9]+", substitution="x"
    )


@pytest.mark.field(
    f"{POLICY}.cookie",
    f"{POLICY}.Cookie.name",
    f"{POLICY}.Cookie.ttl",
    f"{POLICY}.Cookie.path",
    f"{POLICY}.Cookie.attributes",
    f"{POLICY}.CookieAttribute.name",
    f"{POLICY}.CookieAttribute.value",
)
def test_a_cookie() -> None:
    attributes = "[{name: SameSite, value: Lax}, {name: Secure}]"
    assert policy_of(f"{{cookie: {{name: k, ttl: 1.5s, path: /p, attributes: {attributes}}}}}") == HashPolicy(
        "cookie", "k", cookie=CookieMaker(1, "/p", (("SameSite", "Lax"), ("Secure", "")))
    )
    assert policy_of("{cookie: {name: k}}") == HashPolicy("cookie", "k")


@pytest.mark.field(
    f"{POLICY}.connection_properties",
    f"{POLICY}.ConnectionProperties.source_ip",
    f"{POLICY}.query_parameter",
    f"{POLICY}.QueryParameter.name",
    f"{POLICY}.filter_state",
    f"{POLICY}.FilterState.key",
)
def test_others() -> None:
    assert policy_of("{connection_properties: {source_ip: true}}") == HashPolicy("source_ip")
    assert policy_of("{query_parameter: {name: q}}") == HashPolicy("query_parameter", "q")
    assert policy_of("{filter_state: {key: s}}") == HashPolicy("filter_state", "s")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("{connection_properties: {}}", "this hashes nothing"),
        ("{cookie: {name: k, path: /p}}", "has no effect where no cookie is made"),
        ("{cookie: {name: k, attributes: [{name: Secure}]}}", "has no effect where no cookie is made"),
        ('{cookie: {name: "a;b"}}', "'a;b' cannot stand in a cookie"),
        (
            '{header: {header_name: a, regex_rewrite: {pattern: {regex: "a"}, substitution: \\1}}}',
            "\\1 is no group of 'a', which has 0",
        ),
    ],
)
def test_policies_that_cannot_be_meant(policy: str, message: str) -> None:
    (found,) = findings(with_policy(policy))
    assert found.message == message


@pytest.mark.field(f"{TCP_PROXY}.hash_policy", "envoy.type.v3.HashPolicy.source_ip")
def test_the_client_of_a_tcp_proxy() -> None:
    fields = "stat_prefix: t, cluster: c, hash_policy: [{source_ip: {}}]"
    plugin = compiled(tcp_bootstrap(fields, c=1)).listeners[0].filter_chains[0].filters[0]
    assert msgspec.msgpack.decode(plugin.config, type=Config).hash_source_ip


def weighted(policy: str) -> str:
    clusters = "[{name: origin, weight: 1}, {name: origin, weight: 3}]"
    action = f"weighted_clusters: {{use_hash_policy: true, clusters: {clusters}}}, hash_policy: [{policy}]"
    route = f'match: {{prefix: "/"}}, route: {{{action}}}'
    return bootstrap(
        route_config=f'{{name: local, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{{route}}}]}}]}}'
    )


@pytest.mark.field("envoy.config.route.v3.WeightedCluster.use_hash_policy")
def test_clusters_by_hash() -> None:
    action = routes(weighted("{query_parameter: {name: q}}")).virtual_hosts[0].routes[0].action
    assert isinstance(action, ClusterAction)
    assert action.drawn_by_hash
    (found,) = findings(weighted(""))
    assert found.message == "there is nothing to hash"
