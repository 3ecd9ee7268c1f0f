"""Which configurations are refused: the real Envoy (`--mode validate`) and we, on the same text."""

from __future__ import annotations

import pytest
from _pytest.mark.structures import ParameterSet

from tests.kit.config import bootstrap, findings
from tests.kit.envoy import validate

LISTENER = "{name: main, address: %s, filter_chains: [{}]}"
ADDRESS = "{socket_address: {address: %s, port_value: %s}}"
ENDPOINT = "{endpoint: {address: %s}}"


def listeners(*bodies: str) -> str:
    return f"static_resources: {{listeners: [{', '.join(bodies)}]}}"


def address(text: str) -> str:
    return listeners(LISTENER % text)


def cluster(body: str) -> str:
    return f"static_resources: {{clusters: [{{name: origin, {body}}}]}}"


def endpoints(kind: str, *addresses: str) -> str:
    listed = ", ".join(ENDPOINT % text for text in addresses)
    return cluster(f"type: {kind}, load_assignment: {{cluster_name: x, endpoints: [{{lb_endpoints: [{listed}]}}]}}")


def hosts(*lists: str) -> str:
    listed = ", ".join(f"{{name: v{number}, domains: [{domains}]}}" for number, domains in enumerate(lists))
    return bootstrap(route_config=f"{{name: local, virtual_hosts: [{listed}]}}")


def match(text: str) -> str:
    return bootstrap().replace('match: {prefix: "/"}', f"match: {{{text}}}")


def redirects(policy: str) -> str:
    action = f"{{cluster: origin, internal_redirect_policy: {{{policy}}}}}"
    return bootstrap().replace("{cluster: origin}", action)


def regex(pattern: str) -> str:
    return match(f"safe_regex: {{regex: '{pattern}'}}")


IP, NAME, PIPE = ADDRESS % ("127.0.0.1", 80), ADDRESS % ("a.example", 80), "{pipe: {path: /run/x}}"
SET_METADATA = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
ROUTER = '- {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}'
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
OPTIONS = (
    f"typed_extension_protocol_options: {{{HTTP}: {{'@type': type.googleapis.com/{HTTP}, "
    "explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {%s}}}"
)
BOTH_TAKE = {
    "Cluster.max_requests_per_connection": cluster("max_requests_per_connection: 5"),
    "Cluster.max_requests_per_connection beside others": cluster(
        "max_requests_per_connection: 5, " + OPTIONS % "idle_timeout: 1s"
    ),
    "an empty bootstrap": "{}",
    "all of it": bootstrap(),
    "Node": "node: {id: a, cluster: b, locality: {zone: z}, metadata: {x: 1}}",
    "Admin.address": f"admin: {{address: {ADDRESS % ('127.0.0.1', 0)}}}",
    "Admin without an address": "admin: {}",
    "SocketAddress: IPv6": address(ADDRESS % ("'::1'", 0)),
    "SocketAddress: IPv4 in IPv6": address(ADDRESS % ("'::ffff:1.2.3.4'", 0)),
    "Pipe": address("{pipe: {path: /run/x, mode: 384}}"),
    "Pipe: abstract": address('{pipe: {path: "@x"}}'),
    "Pipe: 107 bytes": address(f"{{pipe: {{path: /{'x' * 106}}}}}"),
    "Listener without a name": listeners(f"{{address: {IP}, filter_chains: [{{}}]}}"),
    "Listener.additional_addresses": listeners(
        f"{{name: a, address: {IP}, additional_addresses: [{{address: {PIPE}}}], filter_chains: [{{}}]}}"
    ),
    "two listeners on port 0": listeners(
        LISTENER % (ADDRESS % ("127.0.0.1", 0)), LISTENER.replace("main", "b") % (ADDRESS % ("127.0.0.1", 0))
    ),
    "Listener.tcp_backlog_size": listeners(f"{{name: a, address: {IP}, tcp_backlog_size: 7, filter_chains: [{{}}]}}"),
    "HCM.codec_type": bootstrap(hcm="codec_type: HTTP1"),
    "HCM timeouts": bootstrap(hcm="stream_idle_timeout: 0s\nrequest_timeout: 1s\ndelayed_close_timeout: 0.5s"),
    "two virtual hosts of a name": hosts("a", "b").replace("v1", "v0"),
    "VirtualHost.domains: asterisks elsewhere": hosts("a.*.com, '*.a.*'"),
    "no virtual hosts": bootstrap(route_config="{name: local}"),
    "RouteMatch.path_separated_prefix": match("path_separated_prefix: /a"),
    "RegexMatcher of size 100": regex("a" * 96),
    "RegexMatcher.google_re2": match("safe_regex: {google_re2: {}, regex: a}"),
    "HeaderMatcher without a specifier": match("prefix: /, headers: [{name: a}]"),
    "HeaderMatcher.range_match, empty": match("prefix: /, headers: [{name: a, range_match: {start: 5, end: 1}}]"),
    "HeaderMatcher.exact_match": match("prefix: /, headers: [{name: a, exact_match: b}]"),
    "Cluster alone": cluster("connect_timeout: 1s"),
    "STATIC": endpoints("STATIC", IP, PIPE, IP),
    "Endpoint.hostname, Locality, weights": cluster(
        "load_assignment: {cluster_name: x, endpoints: [{locality: {zone: z}, lb_endpoints: [{load_balancing_weight: 2,"
        f"endpoint: {{hostname: a.example, address: {IP}}}}}]}}]}}"
    ),
    "Cluster.dns_*": cluster(
        "type: STRICT_DNS, dns_lookup_family: V4_ONLY, dns_refresh_rate: 1s, respect_dns_ttl: true,"
        "dns_failure_refresh_rate: {base_interval: 1s, max_interval: 2s}"
    ),
    "STRICT_DNS": endpoints("STRICT_DNS", NAME, IP),
    "STRICT_DNS without endpoints": cluster("type: STRICT_DNS"),
    "LOGICAL_DNS": endpoints("LOGICAL_DNS", NAME),
    "LOGICAL_DNS of an address": endpoints("LOGICAL_DNS", IP),
    "the longest duration": cluster("connect_timeout: 9223372035s"),
}
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def tcp_proxy(fields: str) -> str:
    typed = f"{{'@type': {TCP}, stat_prefix: t, {fields}}}"
    return listeners(f"{{name: a, address: {IP}, filter_chains: [{{filters: [{{name: t, typed_config: {typed}}}]}}]}}")


def secret_of(path: str) -> str:
    """A certificate that is in a file of secrets."""
    asked = f"{{name: a, sds_config: {{path_config_source: {{path: {path}}}}}}}"
    typed = (
        "{'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, "
        f"common_tls_context: {{tls_certificate_sds_secret_configs: [{asked}]}}}}"
    )
    chain = f"{{transport_socket: {{name: tls, typed_config: {typed}}}}}"
    return f"node: {{id: a, cluster: b}}\n{listeners(f'{{name: a, address: {IP}, filter_chains: [{chain}]}}')}"


BOTH_REFUSE = {
    "a file of secrets that is not there": secret_of("/nowhere/secrets.json"),
    "post_path without use_post": tcp_proxy("cluster: c, tunneling_config: {hostname: far, post_path: /a}").replace(
        "static_resources: {", "static_resources: {clusters: [{name: c}], "
    ),
    "RouteAction.cluster unknown (§13 rule 47)": bootstrap().replace("cluster: origin", "cluster: orign"),
    "Cluster.name twice": "static_resources: {clusters: [{name: a}, {name: a}]}",
    "two asterisks (§13 rule 1)": hosts("'*'", "'*'"),
    "a domain twice (§13 rule 1)": hosts("a.example", "b.example, A.example"),
    "a wildcard twice (§13 rule 1)": hosts("'*.a.example', '*.A.example'"),
    "an address twice": listeners(LISTENER % IP, LISTENER.replace("main", "b") % IP),
    "a pipe twice": listeners(LISTENER % PIPE, LISTENER.replace("main", "b") % PIPE),
    "SocketAddress: a name": address(NAME),
    "SocketAddress: leading zero": address(ADDRESS % ("127.0.0.01", 80)),
    "SocketAddress: short form": address(ADDRESS % ("127.1", 80)),
    "SocketAddress: brackets": address(ADDRESS % ("'[::1]'", 80)),
    "SocketAddress.port_value above 65535": address(ADDRESS % ("127.0.0.1", 65536)),
    "SocketAddress.protocol UDP": address("{socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 1}}"),
    "SocketAddress without a port": address("{socket_address: {address: 127.0.0.1}}"),
    "Admin.address: a name": f"admin: {{address: {NAME}}}",
    "Pipe: 108 bytes": address(f"{{pipe: {{path: /{'x' * 107}}}}}"),
    "Pipe: abstract with a mode": address('{pipe: {path: "@x", mode: 384}}'),
    "Pipe with a NUL": address('{pipe: {path: "/a\\0b"}}'),
    "Listener without an address": listeners("{name: main, filter_chains: [{}]}"),
    "Listener without filter chains": listeners(f"{{name: main, address: {IP}}}"),
    "two filter chains without a match": listeners(f"{{name: a, address: {IP}, filter_chains: [{{}}, {{name: b}}]}}"),
    "Filter without typed_config": bootstrap(http_filters="- name: envoy.filters.http.router"),
    "a router that is not the last": bootstrap(http_filters=f"{ROUTER}\n{ROUTER.replace('name: r', 'name: s')}"),
    "an HTTP filter in a filter chain": listeners(
        f"{{name: a, address: {IP}, filter_chains: [{{filters: [{ROUTER[2:]}]}}]}}"
    ),
    "HCM without stat_prefix": bootstrap().replace("stat_prefix: in", ""),
    "a negative duration": bootstrap(hcm="stream_idle_timeout: -1s"),
    "a duration beyond 64 bits": bootstrap(hcm="stream_idle_timeout: 9223372036s"),
    "VirtualHost without domains": hosts(""),
    "Route without an action": bootstrap().replace("route: {cluster: origin}", "name: r"),
    "RouteMatch.path_separated_prefix with a slash": match("path_separated_prefix: /a/"),
    "RegexMatcher: a parenthesis": regex("("),
    "RegexMatcher: lookahead": regex("(?=a)"),
    "RegexMatcher of size 101": regex("a" * 97),
    "HeaderMatcher: regex": match("prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: '[a'}}}]"),
    "StringMatcher.ignore_case of a regex": match(
        "prefix: /, headers: [{name: a, string_match: {safe_regex: {regex: a}, ignore_case: true}}]"
    ),
    "StringMatcher.prefix, empty": match("prefix: /, headers: [{name: a, string_match: {prefix: ''}}]"),
    "STATIC with a name": endpoints("STATIC", NAME),
    "Endpoint without an address": endpoints("STATIC", "{}"),
    "LOGICAL_DNS without endpoints": cluster("type: LOGICAL_DNS"),
    "LOGICAL_DNS with two endpoints": endpoints("LOGICAL_DNS", NAME, NAME),
    "Cluster.connect_timeout 0": cluster("connect_timeout: 0s"),
    "Cluster.max_requests_per_connection twice": cluster(
        "max_requests_per_connection: 5, " + OPTIONS % "max_requests_per_connection: 2"
    ),
    "Cluster.dns_failure_refresh_rate": cluster(
        "type: STRICT_DNS, dns_failure_refresh_rate: {base_interval: 5s, max_interval: 1s}"
    ),
    "ClusterLoadAssignment without a name": cluster("load_assignment: {endpoints: []}"),
}
WE_REFUSE_MORE = {
    "a listener's name twice (Envoy drops one)": listeners(LISTENER % IP, LISTENER % (ADDRESS % ("127.0.0.1", 81))),
    "no HTTP filters (Envoy never answers)": bootstrap(http_filters="[]"),
    "buffers without a limit": cluster("per_connection_buffer_limit_bytes: 0"),
    "a Unix socket in a DNS cluster": endpoints("STRICT_DNS", PIPE),
    "a TCP proxy to an unknown cluster": tcp_proxy("cluster: nope"),
    "a file of secrets without the secret": secret_of("/dev/null"),
    "use_hash_policy with nothing to hash": bootstrap().replace(
        "{cluster: origin}", "{weighted_clusters: {use_hash_policy: true, clusters: [{name: origin, weight: 1}]}}"
    ),
    "total_weight, which does nothing": bootstrap().replace(
        "{cluster: origin}", "{weighted_clusters: {total_weight: 5, clusters: [{name: origin, weight: 1}]}}"
    ),
    "set_metadata without a value": bootstrap(
        http_filters=f"- {{name: m, typed_config: {{'@type': {SET_METADATA}, metadata: [{{metadata_namespace: a}}]}}}}"
        f"\n{ROUTER}"
    ),
    "a response code to follow that is no redirect": redirects("redirect_response_codes: [300]"),
    "a header of framing copied from a redirect": redirects("response_headers_to_copy: [content-length]"),
    "an address twice in a listener": listeners(
        f"{{name: a, address: {IP}, additional_addresses: [{{address: {IP}}}], filter_chains: [{{}}]}}"
    ),
}


def cases(texts: dict[str, str]) -> list[ParameterSet]:
    """One case each; its name is the rule or proto field that it shows."""
    return [pytest.param(text, id=name, marks=pytest.mark.parity("rule 66")) for name, text in texts.items()]


@pytest.mark.parametrize("text", cases(BOTH_TAKE))
def test_both_take_it(text: str) -> None:
    assert findings(text) == []
    accepted, output = validate(text)
    assert accepted, output


@pytest.mark.parametrize("text", cases(BOTH_REFUSE))
def test_both_refuse_it(text: str) -> None:
    found = findings(text)
    assert found
    assert {finding.kind for finding in found} & {"syntax", "unknown_field"} == set()
    accepted, output = validate(text)
    assert not accepted, output


@pytest.mark.parametrize("text", cases(WE_REFUSE_MORE))
def test_we_refuse_what_envoy_takes(text: str) -> None:
    """Each of these is a row of docs/parity.md."""
    assert {finding.severity for finding in findings(text)} == {"error"}
    accepted, output = validate(text)
    assert accepted, output
