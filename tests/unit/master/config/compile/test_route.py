"""Route configurations: virtual hosts, matches, actions."""

from __future__ import annotations

import pytest

from master.config.finding import Finding
from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import ClusterAction, ClusterWeight, DirectResponseAction, QueryParameterMatcher, RouteMatch
from tests.kit.config import bootstrap, findings, routes

ROUTE = "envoy.config.route.v3"
MATCHER = "envoy.type.matcher.v3"
PREFIX = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]."


def with_route(route: str) -> str:
    return bootstrap(
        route_config=f'{{name: local, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{{route}}}]}}]}}'
    )


def with_match(match: str) -> str:
    return with_route(f"match: {{{match}}}, route: {{cluster: origin}}")


def compiled_match(match: str) -> RouteMatch:
    return routes(with_match(match)).virtual_hosts[0].routes[0].match


def header(text: str) -> HeaderMatcher:
    return compiled_match(f'prefix: "/", headers: [{{{text}}}]').headers[0]


def fault(text: str) -> Finding:
    (found,) = findings(text)
    return found


@pytest.mark.field(
    f"{ROUTE}.RouteConfiguration.name",
    f"{ROUTE}.RouteConfiguration.virtual_hosts",
    f"{ROUTE}.VirtualHost.name",
    f"{ROUTE}.VirtualHost.domains",
    f"{ROUTE}.VirtualHost.routes",
    f"{ROUTE}.Route.name",
    f"{ROUTE}.Route.match",
    f"{ROUTE}.Route.route",
    f"{ROUTE}.RouteAction.cluster",
    f"{ROUTE}.RouteAction.timeout",
    f"{ROUTE}.RouteMatch.prefix",
)
def test_a_route_configuration() -> None:
    found = routes(
        bootstrap(
            route_config="{name: local, virtual_hosts: [{name: one, domains: [A.example, '*.b.example'],"
            "routes: [{name: all, match: {prefix: /x}, route: {cluster: origin, timeout: 0.5s}}]}]}"
        )
    )
    (host,) = found.virtual_hosts
    (route,) = host.routes
    assert (found.name, host.name, host.domains) == ("local", "one", ("A.example", "*.b.example"))
    assert (route.name, route.match, route.action) == (
        "all",
        RouteMatch("prefix", "/x"),
        ClusterAction("origin", timeout=0.5),
    )


def test_a_route_waits_15_seconds_by_default_and_for_ever_with_0() -> None:
    assert routes(with_match('prefix: "/"')).virtual_hosts[0].routes[0].action.timeout == 15.0
    text = with_route('match: {prefix: "/"}, route: {cluster: origin, timeout: 0s}')
    assert routes(text).virtual_hosts[0].routes[0].action.timeout == 0.0


@pytest.mark.field(f"{ROUTE}.RouteMatch.path", f"{ROUTE}.RouteMatch.case_sensitive")
def test_match_of_a_path() -> None:
    assert compiled_match("path: /x, case_sensitive: false") == RouteMatch("path", "/x", case_sensitive=False)


@pytest.mark.field(f"{ROUTE}.RouteMatch.path_separated_prefix")
def test_match_of_a_path_separated_prefix() -> None:
    assert compiled_match("path_separated_prefix: /x") == RouteMatch("path_separated_prefix", "/x")


@pytest.mark.field(f"{ROUTE}.RouteMatch.safe_regex", f"{MATCHER}.RegexMatcher.regex")
def test_match_of_a_regex() -> None:
    assert compiled_match("safe_regex: {regex: '/x[0-9]+'}") == RouteMatch("regex", "/x[0-9]+")


@pytest.mark.field(
    f"{ROUTE}.RouteMatch.headers",
    f"{ROUTE}.HeaderMatcher.name",
    f"{ROUTE}.HeaderMatcher.string_match",
    f"{ROUTE}.HeaderMatcher.invert_match",
    f"{ROUTE}.HeaderMatcher.treat_missing_header_as_empty",
    f"{MATCHER}.StringMatcher.exact",
    f"{MATCHER}.StringMatcher.ignore_case",
)
def test_match_of_a_header() -> None:
    match = "string_match: {exact: b, ignore_case: true}, invert_match: true, treat_missing_header_as_empty: true"
    assert header(f"name: X-A, {match}") == HeaderMatcher(
        "x-a", string=StringMatcher("exact", "b", ignore_case=True), invert=True, treat_missing_as_empty=True
    )


@pytest.mark.field(
    f"{ROUTE}.RouteMatch.query_parameters",
    f"{ROUTE}.QueryParameterMatcher.name",
    f"{ROUTE}.QueryParameterMatcher.string_match",
    f"{ROUTE}.QueryParameterMatcher.present_match",
    f"{MATCHER}.StringMatcher.exact",
)
def test_match_of_query_parameters() -> None:
    parameters = "{name: A, string_match: {exact: b}}, {name: c, present_match: false}, {name: d}"
    assert compiled_match(f"prefix: /, query_parameters: [{parameters}]").query_parameters == (
        QueryParameterMatcher("A", string=StringMatcher("exact", "b")),
        QueryParameterMatcher("c", present=False),
        QueryParameterMatcher("d"),
    )


@pytest.mark.field(f"{ROUTE}.RouteMatch.grpc")
def test_match_of_grpc_requests() -> None:
    assert compiled_match("prefix: /, grpc: {}") == RouteMatch("prefix", "/", grpc=True)


@pytest.mark.field(
    f"{ROUTE}.RouteMatch.runtime_fraction",
    "envoy.config.core.v3.RuntimeFractionalPercent.default_value",
    "envoy.type.v3.FractionalPercent.numerator",
    "envoy.type.v3.FractionalPercent.denominator",
)
def test_match_of_a_share_of_requests() -> None:
    fraction = "default_value: {numerator: 5, denominator: TEN_THOUSAND}, runtime_key: k"
    assert compiled_match(f"prefix: /, runtime_fraction: {{{fraction}}}").runtime_fraction == (5, 10_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"{name}: b", StringMatcher(name, "b"), marks=pytest.mark.field(f"{MATCHER}.StringMatcher.{name}"))
        for name in ("prefix", "suffix", "contains")
    ]
    + [
        pytest.param(
            "safe_regex: {regex: b+}",
            StringMatcher("regex", "b+"),
            marks=pytest.mark.field(f"{MATCHER}.StringMatcher.safe_regex", f"{MATCHER}.RegexMatcher.regex"),
        )
    ],
)
def test_match_of_a_string(text: str, expected: StringMatcher) -> None:
    assert header(f"name: a, string_match: {{{text}}}").string == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"{name}_match: b",
            StringMatcher(name, "b"),
            marks=pytest.mark.field(f"{ROUTE}.HeaderMatcher.{name}_match"),
        )
        for name in ("exact", "prefix", "suffix", "contains")
    ]
    + [
        pytest.param(
            "safe_regex_match: {regex: b+}",
            StringMatcher("regex", "b+"),
            marks=pytest.mark.field(f"{ROUTE}.HeaderMatcher.safe_regex_match"),
        )
    ],
)
def test_the_deprecated_forms_of_a_string_match_mean_the_same(text: str, expected: StringMatcher) -> None:
    assert header(f"name: a, {text}") == HeaderMatcher("a", string=expected)


@pytest.mark.field(f"{ROUTE}.HeaderMatcher.present_match")
def test_match_of_a_headers_presence() -> None:
    assert header("name: a, present_match: true").present is True
    assert header("name: a") == HeaderMatcher("a")


@pytest.mark.field(
    f"{ROUTE}.HeaderMatcher.range_match", "envoy.type.v3.Int64Range.start", "envoy.type.v3.Int64Range.end"
)
def test_match_of_a_number() -> None:
    assert header("name: a, range_match: {start: -1, end: 10}").range == (-1, 10)


def test_a_route_names_a_cluster_that_exists() -> None:
    found = fault(with_route('match: {prefix: "/"}, route: {cluster: orign}'))
    assert found == Finding(
        "reference",
        found.path,
        "unknown cluster 'orign'",
        "the name of a cluster in static_resources.clusters",
        "origin",
    )
    assert found.field_path == PREFIX + "routes[0].route.cluster"


@pytest.mark.parametrize(
    "domains", ["'*', '*'", "a.example, A.example", "'*.a.example', '*.A.example'", "'a.*', 'a.*'"]
)
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_domain_stands_once_whatever_its_case(domains: str, hosts: int) -> None:
    """Features §13 rule 1."""
    lists = [domains] if hosts == 1 else domains.split(", ")
    virtual = ", ".join(f"{{name: v{number}, domains: [{found}]}}" for number, found in enumerate(lists))
    found = fault(bootstrap(route_config=f"{{name: local, virtual_hosts: [{virtual}]}}"))
    assert found.kind == "duplicate"
    assert found.field_path.endswith("virtual_hosts[0].domains[1]" if hosts == 1 else "virtual_hosts[1].domains[0]")
    assert found.message.endswith("stands already in virtual host 'v0'")


def test_virtual_hosts_may_share_a_name() -> None:
    hosts = "{name: v, domains: [a]}, {name: v, domains: [b]}"
    assert len(routes(bootstrap(route_config=f"{{name: local, virtual_hosts: [{hosts}]}}")).virtual_hosts) == 2


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "invalid regex '(': missing ): ("),
        ("(?=a)", "invalid regex '(?=a)': invalid perl operator: (?="),
        ("a" * 97, f"regex {'a' * 97!r} has an RE2 program of size 101, more than 100"),
    ],
)
def test_a_regex_is_one_that_re2_and_envoy_take(regex: str, message: str) -> None:
    found = fault(with_match(f"safe_regex: {{regex: '{regex}'}}"))
    assert (found.field_path, found.message) == (PREFIX + "routes[0].match.safe_regex.regex", message)
    found = fault(with_match(f"prefix: /, headers: [{{name: a, string_match: {{safe_regex: {{regex: '{regex}'}}}}}}]"))
    assert found.field_path == PREFIX + "routes[0].match.headers[0].string_match.safe_regex.regex"


def test_a_regex_of_envoys_largest_size_is_taken() -> None:
    assert compiled_match(f"safe_regex: {{regex: '{'a' * 96}'}}").value == "a" * 96


def test_ignore_case_does_not_go_with_a_regex() -> None:
    found = fault(
        with_match("prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: a}, ignore_case: true}}]")
    )
    assert found.message == "ignore_case has no effect for safe_regex"


@pytest.mark.parametrize("seconds", ["-1s", "9223372036s"])
def test_a_duration_is_within_envoys_range(seconds: str) -> None:
    found = fault(with_route(f'match: {{prefix: "/"}}, route: {{cluster: origin, timeout: {seconds}}}'))
    assert found.field_path == PREFIX + "routes[0].route.timeout"
    assert "out of range" in found.message


def test_the_default_regex_engine_may_be_named() -> None:
    assert compiled_match("safe_regex: {google_re2: {}, regex: a}") == compiled_match("safe_regex: {regex: a}")


@pytest.mark.field(
    f"{ROUTE}.Route.direct_response", f"{ROUTE}.DirectResponseAction.status", f"{ROUTE}.DirectResponseAction.body"
)
def test_a_direct_response() -> None:
    text = with_route('match: {prefix: "/"}, direct_response: {status: 418, body: {inline_string: tea}}')
    assert routes(text).virtual_hosts[0].routes[0].action == DirectResponseAction(418, b"tea")


@pytest.mark.field(f"{ROUTE}.RouteConfiguration.max_direct_response_body_size_bytes")
def test_the_body_of_a_direct_response_has_a_limit() -> None:
    def sized(size: int, more: str = "") -> str:
        answer = f"direct_response: {{status: 200, body: {{inline_string: {'a' * size}}}}}"
        hosts = f'[{{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, {answer}}}]}}]'
        return bootstrap(route_config=f"{{name: local, virtual_hosts: {hosts}, {more}}}")

    assert routes(sized(4096)).virtual_hosts
    found = fault(sized(4097))
    assert (found.field_path, found.message) == (
        f"{PREFIX}routes[0].direct_response.body.inline_string",
        "4097 bytes are too many",
    )
    assert routes(sized(5000, "max_direct_response_body_size_bytes: 5000")).virtual_hosts


@pytest.mark.field(f"{ROUTE}.RouteConfiguration.validate_clusters")
def test_a_route_to_a_cluster_that_does_not_exist() -> None:
    def of(more: str) -> str:
        action = "route: {cluster: none}"
        hosts = f'[{{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, {action}}}]}}]'
        return bootstrap(route_config=f"{{name: local, virtual_hosts: {hosts}, {more}}}")

    assert fault(of("")).message == fault(of("validate_clusters: true")).message == "unknown cluster 'none'"
    assert routes(of("validate_clusters: false")).virtual_hosts[0].routes[0].action == ClusterAction("none")


def with_weighted(clusters: str) -> str:
    route = f"{{timeout: 3s, weighted_clusters: {{clusters: [{clusters}]}}}}"
    return with_route(f'match: {{prefix: "/"}}, route: {route}')


@pytest.mark.field(
    f"{ROUTE}.RouteAction.weighted_clusters",
    f"{ROUTE}.WeightedCluster.clusters",
    f"{ROUTE}.WeightedCluster.ClusterWeight.name",
    f"{ROUTE}.WeightedCluster.ClusterWeight.weight",
)
def test_weighted_clusters() -> None:
    text = with_weighted("{name: origin, weight: 3}, {name: origin, weight: 0}")
    action = routes(text).virtual_hosts[0].routes[0].action
    assert action == ClusterAction("", 3.0, (ClusterWeight("origin", 3), ClusterWeight("origin", 0)))


@pytest.mark.field(f"{ROUTE}.WeightedCluster.ClusterWeight.typed_per_filter_config")
def test_a_weighted_cluster_has_filter_configuration_of_its_own() -> None:
    buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute"
    own = f'typed_per_filter_config: {{b: {{"@type": {buffer}, disabled: true}}}}'
    action = routes(with_weighted(f"{{name: origin, weight: 3, {own}}}")).virtual_hosts[0].routes[0].action
    assert isinstance(action, ClusterAction)
    assert list(action.weighted[0].typed_per_filter_config) == ["b"]


@pytest.mark.parametrize(
    ("clusters", "path", "message"),
    [
        ("{name: nope, weight: 1}", "clusters[0].name", "unknown cluster 'nope'"),
        ("{name: origin, weight: 1}, {name: origin}", "clusters[1]", "cluster 'origin' has no weight"),
        ("{weight: 1}", "clusters[0]", "a weighted cluster without a name"),
        ("{name: origin, weight: 0}", "clusters", "the weights add up to 0"),
        (
            "{name: origin, weight: 4294967295}, {name: origin, weight: 1}",
            "clusters",
            f"the weights add up to {2**32}",
        ),
    ],
)
def test_faults_of_weighted_clusters(clusters: str, path: str, message: str) -> None:
    found = fault(with_weighted(clusters))
    assert (found.field_path, found.message) == (f"{PREFIX}routes[0].route.weighted_clusters.{path}", message)
