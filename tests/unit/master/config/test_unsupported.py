"""Valid Envoy that is not implemented: found by path, an error unless the user accepts it."""

from __future__ import annotations

import re

import pytest

from master.config import any_types
from master.config.finding import Finding
from master.config.support import NO_EFFECT, accepted, supported
from tests.kit.config import bootstrap, checked, compiled, findings

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
CHAIN = "static_resources.listeners[0].filter_chains[0]"
MANAGER = f"{CHAIN}.filters[0].typed_config"


def paths(text: str) -> list[str]:
    found = findings(text)
    assert {finding.kind for finding in found} <= {"unsupported"}
    return [finding.field_path for finding in found]


def test_a_field_that_nobody_reads_is_named_once_at_the_highest_path() -> None:
    text = bootstrap(
        clusters="- {name: origin, track_cluster_stats: {timeout_budgets: true, request_response_sizes: true}}"
    )
    assert findings(text) == [
        Finding(
            "unsupported",
            ("static_resources", "clusters", 0, "track_cluster_stats"),
            "envoy.config.cluster.v3.Cluster.track_cluster_stats is not supported",
        )
    ]


def test_every_unsupported_field_is_named_in_any_lists_and_maps_too() -> None:
    text = bootstrap(
        hcm="append_local_overload: true\ntracing: {}",
        route_config="""
            name: local
            virtual_hosts:
            - name: a
              domains: [a]
              routes:
              - match: {prefix: /}
                tracing: {client_sampling: {numerator: 1}}
                route: {cluster: origin, include_vh_rate_limits: true}
              - match: {prefix: /}
                non_forwarding_action: {}
              typed_per_filter_config:
                cors: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy}
            """,
        http_filters="""
            - name: cors
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
            - name: router
              typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
            """,
    )
    host = f"{MANAGER}.route_config.virtual_hosts[0]"
    assert sorted(paths(text)) == sorted(
        [
            f"{host}.routes[0].tracing",
            f"{host}.routes[0].route.include_vh_rate_limits",
            f"{host}.routes[1].non_forwarding_action",
            f"{host}.typed_per_filter_config.cors",
            f"{MANAGER}.http_filters[0].typed_config",
            f"{MANAGER}.tracing",
            f"{MANAGER}.append_local_overload",
        ]
    )


def test_only_some_values_of_an_enum_may_be_supported() -> None:
    (finding,) = findings(bootstrap(hcm="codec_type: HTTP3"))
    assert finding.field_path == f"{MANAGER}.codec_type"
    assert finding.message.endswith("HttpConnectionManager.codec_type = HTTP3 is not supported")
    assert finding.expected == "AUTO or HTTP1 or HTTP2"
    assert findings(bootstrap(hcm="codec_type: HTTP2")) == []


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_what_follows_from_something_unsupported_is_not_reported_again(severity: str) -> None:
    """No filter chain besides the default one, no STATIC host in an EDS cluster, no router after a Lua filter."""
    text = bootstrap(
        clusters="""
            - name: origin
              type: EDS
              eds_cluster_config: {eds_config: {ads: {}}}
            """,
    )
    text = re.sub(
        r"    filter_chains:.*(?=  clusters:)",
        "    fcds_config: {name: f, config_source: {ads: {}}}\n",
        text,
        flags=re.S,
    )
    result = checked(text, allow_unsupported=severity == "warning")
    assert [(finding.kind, finding.severity, finding.field_path) for finding in result.findings] == [
        ("unsupported", severity, path)
        for path in (
            "static_resources.listeners[0].fcds_config",
            "static_resources.clusters[0].type",
            "static_resources.clusters[0].eds_cluster_config",
        )
    ]


def test_a_user_who_accepts_it_gets_warnings_and_a_configuration_without_it() -> None:
    text = bootstrap(hcm="append_local_overload: true").replace(
        'prefix: "/"}', 'prefix: "/"}\n                tracing: {client_sampling: {numerator: 1}}'
    )
    result = checked(text, allow_unsupported=True)
    assert [finding.severity for finding in result.findings] == ["warning", "warning"]
    assert result.config is not None
    plain = compiled(bootstrap())
    assert (result.config.listeners, result.config.clusters) == (plain.listeners, plain.clusters)
    assert checked(text).config is None


def test_a_listener_whose_only_ways_in_are_unsupported_is_dropped() -> None:
    chain = "filter_chains: [{}]"
    udp = "socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 1}"
    for body in (
        f"address: {{{udp}}}, {chain}",
        f"address: {{envoy_internal_address: {{server_listener_name: x}}}}, {chain}",
        f"address: {{{udp.replace('UDP', 'TCP')}}}, fcds_config: {{name: f, config_source: {{ads: {{}}}}}}",
    ):
        text = f"static_resources: {{listeners: [{{name: a, {body}}}]}}"
        assert len(paths(text)) == 1
        result = checked(text, allow_unsupported=True)
        assert result.config is not None
        assert result.config.listeners == ()


def test_other_faults_stay_errors_for_a_user_who_accepts_it() -> None:
    result = checked(
        bootstrap(hcm="append_local_overload: true").replace("cluster: origin", "cluster: x"), allow_unsupported=True
    )
    assert [finding.severity for finding in result.findings] == ["warning", "error"]
    assert result.config is None


def test_every_claimed_field_exists() -> None:
    for message, fields in accepted().items():
        kind = any_types.find(message)
        assert kind is not None, message
        for field in fields:
            name, _, value = field.partition("=")
            found = kind.DESCRIPTOR.fields_by_name[name]
            assert not value or (found.enum_type is not None and value in found.enum_type.values_by_name)


def test_a_field_without_effect_is_not_called_supported() -> None:
    for message, fields in NO_EFFECT.items():
        assert not supported().get(message, set()) & set(fields)


def test_fields_without_effect_change_nothing() -> None:
    match = 'match: {safe_regex: {regex: "/.*"}}'
    plain = bootstrap().replace('match: {prefix: "/"}', match)
    text = bootstrap(hcm="represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true").replace(
        'match: {prefix: "/"}', match.replace('regex: "', 'google_re2: {}, regex: "')
    )
    text = text.replace("cluster_name: origin", "cluster_name: other")
    for name in ("represent_ipv4_remote_address", "google_re2", "cluster_name: other"):
        assert name in text
    found, expected = compiled(text), compiled(plain)
    assert (found.listeners, found.clusters, found.endpoints) == (
        expected.listeners,
        expected.clusters,
        expected.endpoints,
    )


def test_the_runtime_key_of_weights_and_the_name_of_an_extension_change_nothing() -> None:
    def text(prefix: str, name: str) -> str:
        kind = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
        template = f'{{name: {name}, typed_config: {{"@type": {kind}, path_template: /a}}}}'
        weighted = f"{{{prefix} clusters: [{{name: origin, weight: 1}}]}}"
        route = f"{{match: {{path_match_policy: {template}}}, route: {{weighted_clusters: {weighted}}}}}"
        return bootstrap(route_config=f"{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{route}]}}]}}")

    assert compiled(text("runtime_key_prefix: a,", "one")).listeners == compiled(text("", "other")).listeners


def test_a_reason_is_said_where_there_is_one() -> None:
    (finding,) = findings(bootstrap(hcm="http_protocol_options: {allow_chunked_length: true}"))
    assert finding.message.endswith("Content-Length beside chunked is request smuggling (RFC 9112 section 6.1)")
    assert finding.field_path == f"{MANAGER}.http_protocol_options.allow_chunked_length"
    assert findings(bootstrap(hcm="http_protocol_options: {allow_chunked_length: false}")) == []
