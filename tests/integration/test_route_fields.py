"""Fields of routes as a client and an origin see them; tests/parity compares with Envoy what they mean exactly."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import trio

from tests.integration.test_fields import asked, cluster, one_listener, proxy, virtual
from tests.kit.config import ROUTE_CONFIG, bootstrap
from tests.unit.proxy.rig import Rig, serving
from tests.unit.upstream.rig import OK, Serve, origin

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTE = "envoy.config.route.v3"
ACTION = f"{ROUTE}.RouteAction"
SHARE = f"{ROUTE}.WeightedCluster.ClusterWeight"
REDIRECT = f"{ROUTE}.RedirectAction"
MATCH = f"{ROUTE}.RouteMatch"
SUBSTITUTION = "envoy.type.matcher.v3.RegexMatchAndSubstitute"
PATH = "envoy.extensions.path"
MUTATIONS = (
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
)


class Seen(NamedTuple):
    """One request: what the origin got, what the client got, and what was counted."""

    request: bytes
    response: bytes
    words: dict[str, int]


def reading_into(received: bytearray, response: bytes = OK) -> Serve:
    """An origin that keeps the head that it gets."""

    async def reading(stream: trio.SocketStream) -> None:
        while not received.endswith(b"\r\n\r\n"):
            if not (data := await stream.receive_some()):
                return  # a request that has no form was never sent
            received.extend(data)
        await stream.send_all(response)

    return reading


async def seen(
    route_config: str = ROUTE_CONFIG,
    *lines: str,
    target: str = "/",
    method: str = "GET",
    host: str = "a",
    hcm: str = "",
    response: bytes = OK,
) -> Seen:
    received = bytearray()

    def words(rig: Rig) -> dict[str, int]:
        return {name: word.value for name, word in rig.stats.words.items() if word.value}

    data = "\r\n".join([f"{method} {target} HTTP/1.1", f"host: {host}", *lines, "", ""]).encode()
    async with proxy(reading_into(received, response), hcm=hcm, route_config=route_config) as rig:
        head = await (await asked(rig, data)).until(b"\r\n\r\n")
        await rig.quiet() if b"connection: close" in head else None
        return Seen(bytes(received), head, words(rig))


def routes(*routes: str, host: str = "", config: str = "") -> str:
    """YAML of a route configuration; `host` and `config` are further fields of the virtual host and of itself."""
    return f"{{name: r, {config} virtual_hosts: [{{name: v, domains: ['*'], {host} routes: [{', '.join(routes)}]}}]}}"


def forwarded(action: str = "cluster: origin", *, match: str = "prefix: /", route: str = "") -> str:
    return routes(f"{{match: {{{match}}}, {route} route: {{{action}}}}}")


def redirected(action: str) -> str:
    return routes(f"{{match: {{prefix: /a}}, redirect: {{{action}}}}}")


def template(path: str) -> str:
    config = (
        f"'@type': type.googleapis.com/{PATH}.match.uri_template.v3.UriTemplateMatchConfig, path_template: '{path}'"
    )
    return f"path_match_policy: {{name: t, typed_config: {{{config}}}}}"


def by_template(path: str) -> str:
    kind = f"type.googleapis.com/{PATH}.rewrite.uri_template.v3.UriTemplateRewriteConfig"
    config = f"'@type': {kind}, path_template_rewrite: '{path}'"
    return f"cluster: origin, path_rewrite_policy: {{name: t, typed_config: {{{config}}}}}"


TO_ORIGIN = [
    (["Route.route", "RouteAction.prefix_rewrite"], forwarded("cluster: origin, prefix_rewrite: /b/"), "GET /b/a ", []),
    (
        ["RouteAction.regex_rewrite", f"/{SUBSTITUTION}.pattern", f"/{SUBSTITUTION}.substitution"],
        forwarded(r"cluster: origin, regex_rewrite: {pattern: {regex: '/(a)'}, substitution: '/\1\1'}"),
        "GET /aa ",
        [],
    ),
    (
        [
            "RouteMatch.path_match_policy",
            "RouteAction.path_rewrite_policy",
            f"/{PATH}.match.uri_template.v3.UriTemplateMatchConfig.path_template",
            f"/{PATH}.rewrite.uri_template.v3.UriTemplateRewriteConfig.path_template_rewrite",
            "/envoy.config.core.v3.TypedExtensionConfig.typed_config",
        ],
        forwarded(by_template("/x/{all}"), match=template("/{all=**}")),
        "GET /x/a ",
        [],
    ),
    (
        ["RouteAction.host_rewrite_literal"],
        forwarded("cluster: origin, host_rewrite_literal: new"),
        "host: new\r\n",
        [],
    ),
    (
        ["RouteAction.host_rewrite_header"],
        forwarded("cluster: origin, host_rewrite_header: x-new"),
        "host: new\r\n",
        ["x-new: new"],
    ),
    (
        ["RouteAction.host_rewrite_path_regex"],
        forwarded("cluster: origin, host_rewrite_path_regex: {pattern: {regex: '/(.*)'}, substitution: 'of-path'}"),
        "host: of-path\r\n",
        [],
    ),
    (
        ["RouteAction.append_x_forwarded_host"],
        forwarded("cluster: origin, host_rewrite_literal: new, append_x_forwarded_host: true"),
        "x-forwarded-host: a\r\n",
        [],
    ),
    (["RouteAction.cluster_header"], forwarded("cluster_header: x-c"), "GET /a ", ["x-c: origin"]),
    (
        ["WeightedCluster.ClusterWeight.cluster_header"],
        forwarded("weighted_clusters: {clusters: [{cluster_header: x-c, weight: 1}]}"),
        "GET /a ",
        ["x-c: origin"],
    ),
    (
        ["WeightedCluster.ClusterWeight.host_rewrite_literal"],
        forwarded("weighted_clusters: {clusters: [{name: origin, weight: 1, host_rewrite_literal: new}]}"),
        "host: new\r\n",
        [],
    ),
    (
        ["WeightedCluster.header_name"],
        forwarded(
            "weighted_clusters: {header_name: x-n, clusters: [{cluster_header: x-none, weight: 4294967294},"
            " {name: origin, weight: 1}]}"
        ),
        "GET /a ",
        ["x-n: 4294967294"],
    ),
    (
        ["RouteConfiguration.vhost_header"],
        "{name: r, vhost_header: x-v, virtual_hosts: [{name: v, domains: [b],"
        " routes: [{match: {prefix: /}, route: {cluster: origin}}]}]}",
        "GET /a ",
        ["x-v: b"],
    ),
    (
        ["RouteConfiguration.ignore_port_in_host_matching"],
        "{name: r, ignore_port_in_host_matching: true, virtual_hosts: [{name: v, domains: [b],"
        " routes: [{match: {prefix: /}, route: {cluster: origin}}]}]}",
        "GET /a ",
        [],
        "b:81",
    ),
    (
        ["VirtualHost.include_request_attempt_count"],
        routes("{match: {prefix: /}, route: {cluster: origin}}", host="include_request_attempt_count: true,"),
        "x-envoy-attempt-count: 1\r\n",
        [],
    ),
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case[0][-1].rpartition(".")[2],
            marks=pytest.mark.field(*(name[1:] if name.startswith("/") else f"{ROUTE}.{name}" for name in case[0])),
        )
        for case in TO_ORIGIN
    ],
)
@virtual
async def test_what_the_origin_gets(case: tuple[list[str], str, str, list[str], str]) -> None:
    _, config, text, lines, *host = case
    found = await seen(config, *lines, target="/a", host=host[0] if host else "a")
    assert text.encode() in found.request


TO_CLIENT = [
    (["Route.redirect", "RedirectAction.https_redirect"], redirected("https_redirect: true"), "https://a/a?q\r\n"),
    (["RedirectAction.scheme_redirect"], redirected("scheme_redirect: ftp"), "ftp://a/a?q\r\n"),
    (["RedirectAction.host_redirect"], redirected("host_redirect: b"), "http://b/a?q\r\n"),
    (["RedirectAction.port_redirect"], redirected("port_redirect: 81"), "http://a:81/a?q\r\n"),
    (["RedirectAction.path_redirect"], redirected("path_redirect: /b"), "http://a/b?q\r\n"),
    (["RedirectAction.prefix_rewrite"], redirected("prefix_rewrite: /b"), "http://a/b?q\r\n"),
    (
        ["RedirectAction.regex_rewrite"],
        redirected("regex_rewrite: {pattern: {regex: a}, substitution: bb}"),
        "http://a/bb?q\r\n",
    ),
    (["RedirectAction.strip_query"], redirected("strip_query: true"), "http://a/a\r\n"),
    (["RedirectAction.response_code"], redirected("response_code: PERMANENT_REDIRECT"), "HTTP/1.1 308 "),
    (
        ["RouteAction.cluster_not_found_response_code"],
        forwarded("cluster_header: x-none, cluster_not_found_response_code: NOT_FOUND"),
        "HTTP/1.1 404 ",
    ),
    (
        ["VirtualHost.require_tls"],
        routes("{match: {prefix: /}, route: {cluster: origin}}", host="require_tls: ALL,"),
        "location: https://a/a?q\r\n",
    ),
    (
        ["VirtualHost.include_attempt_count_in_response"],
        routes("{match: {prefix: /}, route: {cluster: origin}}", host="include_attempt_count_in_response: true,"),
        "x-envoy-attempt-count: 1\r\n",
    ),
    (
        ["RouteMatch.tls_context", "RouteMatch.TlsContextMatchOptions.presented"],
        routes("{match: {prefix: /, tls_context: {presented: true}}, direct_response: {status: 200}}"),
        "HTTP/1.1 404 ",
    ),
    (
        ["RouteMatch.TlsContextMatchOptions.validated"],
        routes("{match: {prefix: /, tls_context: {validated: true}}, direct_response: {status: 200}}"),
        "HTTP/1.1 404 ",
    ),
    (
        ["RouteConfiguration.ignore_path_parameters_in_path_matching"],
        routes(
            "{match: {path: /a}, direct_response: {status: 418}}",
            config="ignore_path_parameters_in_path_matching: true,",
        ),
        "HTTP/1.1 418 ",
        "/a;x=1",
    ),
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case[0][-1].rpartition(".")[2],
            marks=pytest.mark.field(*(f"{ROUTE}.{name}" for name in case[0])),
        )
        for case in TO_CLIENT
    ],
)
@virtual
async def test_what_the_client_gets(case: tuple[list[str], str, str, str]) -> None:
    _, config, text, *target = case
    found = await seen(config, target=target[0] if target else "/a?q")
    assert text.encode() in found.response


MUTATED = (
    "request_headers_to_add: [{header: {key: x-added, value: level}}], request_headers_to_remove: [x-theirs],"
    "response_headers_to_add: [{header: {key: x-added, value: level}}], response_headers_to_remove: [x-origins],"
)
LEVELS = {
    "RouteConfiguration": routes("{match: {prefix: /}, route: {cluster: origin}}", config=MUTATED),
    "VirtualHost": routes("{match: {prefix: /}, route: {cluster: origin}}", host=MUTATED),
    "Route": forwarded(route=MUTATED),
    "WeightedCluster.ClusterWeight": forwarded(
        f"weighted_clusters: {{clusters: [{{name: origin, {MUTATED} weight: 1}}]}}"
    ),
}


@pytest.mark.parametrize(
    "level",
    [
        pytest.param(level, marks=pytest.mark.field(*(f"{ROUTE}.{level}.{field}" for field in MUTATIONS)))
        for level in LEVELS
    ],
)
@virtual
async def test_header_mutations(level: str) -> None:
    response = b"HTTP/1.1 200 OK\r\nx-origins: 1\r\ncontent-length: 0\r\n\r\n"
    found = await seen(LEVELS[level], "x-theirs: 1", response=response)
    assert b"\r\nx-added: level\r\n" in found.request
    assert b"\r\nx-added: level\r\n" in found.response
    assert b"x-theirs" not in found.request
    assert b"x-origins" not in found.response


@virtual
@pytest.mark.field(f"{ROUTE}.RouteConfiguration.most_specific_header_mutations_wins")
async def test_the_most_specific_mutation_wins() -> None:
    def over(value: str) -> str:
        action = "append_action: OVERWRITE_IF_EXISTS_OR_ADD"
        return f"request_headers_to_add: [{{header: {{key: x-o, value: {value}}}, {action}}}],"

    route = f"{{match: {{prefix: /}}, {over('route')} route: {{cluster: origin}}}}"
    config = f"most_specific_header_mutations_wins: true, {over('config')}"
    assert b"\r\nx-o: route\r\n" in (await seen(routes(route, config=config))).request


@virtual
@pytest.mark.field(f"{ACTION}.auto_host_rewrite")
async def test_auto_host_rewrite() -> None:
    received = bytearray()
    config = forwarded("cluster: origin, auto_host_rewrite: true")
    async with origin(reading_into(received)) as upstream:
        named = cluster(upstream.address).replace("{endpoint: {", "{endpoint: {hostname: named, ")
        async with serving(one_listener(bootstrap(route_config=config, clusters=named))) as rig:
            await (await asked(rig)).response()
    assert b"host: named\r\n" in received


@virtual
@pytest.mark.field(
    f"{ROUTE}.VirtualHost.virtual_clusters", f"{ROUTE}.VirtualCluster.name", f"{ROUTE}.VirtualCluster.headers"
)
async def test_virtual_clusters() -> None:
    clusters = "virtual_clusters: [{name: marked, headers: [{name: x-mark, present_match: true}]}],"
    config = routes("{match: {prefix: /}, route: {cluster: origin}}", host=clusters)
    marked, other = await seen(config, "x-mark: 1"), await seen(config)
    assert marked.words["vhost.v.vcluster.marked.upstream_rq_total"] == 1
    assert marked.words["vhost.v.vcluster.marked.upstream_rq_200"] == 1
    assert other.words["vhost.v.vcluster.other.upstream_rq_total"] == 1


@virtual
@pytest.mark.field(f"{ROUTE}.Route.stat_prefix")
async def test_stats_of_a_route() -> None:
    found = await seen(forwarded(route="stat_prefix: p,"))
    assert found.words["vhost.v.route.p.upstream_rq_200"] == 1


@virtual
@pytest.mark.field(f"{MATCH}.connect_matcher")
async def test_connect_matcher() -> None:
    """Such a route is found; without an upgrade it answers 403."""
    config = routes("{match: {connect_matcher: {}}, route: {cluster: origin}}")
    assert (await seen(config, target="a:80", method="CONNECT")).response.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("field", "hcm", "target", "host", "text"),
    [
        pytest.param(field, *case, id=field, marks=pytest.mark.field(f"{HCM}.{field}"))
        for field, *case in [
            ("normalize_path", "normalize_path: true", "/x/../a", "a", b"GET /a "),
            ("merge_slashes", "merge_slashes: true", "//a", "a", b"GET /a "),
            ("strip_any_host_port", "strip_any_host_port: true", "/", "a:81", b"host: a\r\n"),
            ("strip_trailing_host_dot", "strip_trailing_host_dot: true", "/", "a.", b"host: a\r\n"),
            (
                "path_with_escaped_slashes_action",
                "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
                "/x%2fa",
                "a",
                b"GET /x/a ",
            ),
        ]
    ],
)
@virtual
async def test_hosts_and_paths(field: str, hcm: str, target: str, host: str, text: bytes) -> None:
    assert text in (await seen(hcm=hcm, target=target, host=host)).request


@virtual
@pytest.mark.field(f"{HCM}.strip_matching_host_port")
async def test_strip_matching_host_port() -> None:
    received = bytearray()
    async with proxy(reading_into(received), hcm="strip_matching_host_port: true") as rig:
        client = await rig.connect()
        port = client.stream.socket.getpeername()[1]
        await client.send(b"GET / HTTP/1.1\r\nhost: a:%d\r\n\r\n" % port)
        await client.response()
    assert b"host: a\r\n" in received
