"""Broken and odd configurations: our loader refuses what Envoy refuses, and accepts what Envoy accepts.

Each case is otherwise complete, so that nothing but the rule it names decides. `--mode validate` is Envoy's verdict.
"""

from __future__ import annotations

import pytest

from master.config.loader import load
from master.config.report import render
from master.config.source import Source
from tests.kit.envoy import validate

CLUSTER = "static_resources: {clusters: [{name: a, connect_timeout: 1s, %s}]}"
NODE = "node: {id: i, cluster: c, %s}"
LISTENER = """\
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          %s
"""
HOST = "route_config: {virtual_hosts: [{name: v, domains: ['*'], %s}]}"
ROUTE = LISTENER % (HOST % "routes: [{direct_response: {status: 200}, %s}]")
BUFFER = "per_connection_buffer_limit_bytes"
CHECK = "health_checks: [{interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, %s}]"
SOCKET = "transport_socket: {name: t, typed_config: {%s}}"
RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
LOG = (
    "admin: {access_log: [{name: f, typed_config: {'@type': "
    "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null, %s}}]}"
)

CASES = {
    # The shape of the document.
    "empty": "",
    "a scalar": "word",
    "a list": "[]",
    "a tab as indentation": "node:\n\tid: x",
    "an alias without an anchor": "node: {id: *x}",
    "an alias": "node: {id: &x word, cluster: *x}",
    "an anchor set twice": "node: {id: &x a, cluster: *x, metadata: {a: &x b, b: *x}}",
    "a merge key": "node: {<<: {id: x}, cluster: c}",
    "an ignored key": "!ignore anything: 1\nnode: {id: x, cluster: c}",
    "a directive": "%YAML 1.2\n---\nnode: {id: x, cluster: c}",
    "a number as a key": "node: {id: x, cluster: c, metadata: {1: a}}",
    "null as a key": "node: {id: x, cluster: c, metadata: {~: a}}",
    "a list as a key": "node: {id: x, cluster: c, metadata: {[a]: b}}",
    "a trailing comma": "node: {id: x, cluster: c,}",
    "no space after the colon": "node: {id:x}",
    # The shape of fields.
    "an unknown field": CLUSTER % "nmae: b",
    "camelCase": "staticResources: {clusters: [{name: a, connectTimeout: 1s}]}",
    "camelCase at odd places": "static_Resources: {}",
    "null for a message": "node:",
    "null for a list": CLUSTER % "filters: ",
    "null in a list of strings": NODE % "client_features: [~]",
    "one value for a list": NODE % "client_features: word",
    "a number in a list of strings": NODE % "client_features: [1]",
    "one message for a list": "static_resources: {clusters: {name: a, connect_timeout: 1s}}",
    "a string for a message": CLUSTER % 'metadata: ""',
    "a list for a message": CLUSTER % "metadata: []",
    "an object for a string": "node: {id: {a: b}}",
    "a list for a map": CLUSTER % "metadata: {filter_metadata: []}",
    "null in a map": CLUSTER % "metadata: {filter_metadata: {a: }}",
    "a number for a Struct": CLUSTER % "metadata: {filter_metadata: {a: 5}}",
    "two fields of a oneof": CLUSTER % "round_robin_lb_config: {}, maglev_lb_config: {}",
    "two fields of a oneof, one null": CLUSTER % "round_robin_lb_config: {}, maglev_lb_config: ",
    # Scalars beyond what tests/parity/test_yaml_scalars.py shows.
    "a wrapper as an object": CLUSTER % f"{BUFFER}: {{value: 5}}",
    "a wrapper with an unknown field": CLUSTER % f"{BUFFER}: {{values: 5}}",
    "a list for a number": CLUSTER % f"{BUFFER}: [5]",
    "hexadecimal fraction": CLUSTER % f'{BUFFER}: "0x1.8p1"',
    "infinity for a whole number": CLUSTER % f'{BUFFER}: "inf"',
    "out of a double's range": CLUSTER % f'{BUFFER}: "1e400"',
    "two signs": CLUSTER % f'{BUFFER}: "+-1"',
    "infinity for a double": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: .inf}",
    "a boolean for a double": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: true}",
    "a double in hexadecimal": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: 0x2}",
    "an enum in lower case": CLUSTER % "type: static",
    "an enum with a dash": CLUSTER % "type: strict-dns",
    "an unknown enum name": CLUSTER % "type: STATICC",
    "an enum as a number": CLUSTER % "type: 0",
    "an enum as a quoted number": CLUSTER % 'type: "0"',
    "an enum as a quoted fraction": CLUSTER % 'type: "0.0"',
    "an empty enum name": CLUSTER % 'type: ""',
    "a boolean for an enum": CLUSTER % "type: true",
    "null for an enum": CLUSTER % "type: ",
    "base64": LOG % "log_format: {text_format_source: {inline_bytes: aGk=}}",
    "base64 without padding": LOG % "log_format: {text_format_source: {inline_bytes: aGk}}",
    "base64 for URLs": LOG % 'log_format: {text_format_source: {inline_bytes: "a-_="}}',
    "base64 with too much padding": LOG % 'log_format: {text_format_source: {inline_bytes: "aGk=="}}',
    "base64 with spaces": LOG % 'log_format: {text_format_source: {inline_bytes: "a G k"}}',
    "base64 of a lone digit": LOG % 'log_format: {text_format_source: {inline_bytes: "a"}}',
    # Durations.
    "a duration": "stats_flush_interval: 1.5s",
    "a duration as an object": "stats_flush_interval: {seconds: 1}",
    "a duration as a number": "stats_flush_interval: 1",
    "milliseconds": "stats_flush_interval: 100ms",
    "a duration without digits before the point": "stats_flush_interval: .5s",
    "a duration without digits after the point": "stats_flush_interval: 1.s",
    "a duration with ten decimals": "stats_flush_interval: 1.1234567891s",
    "a duration in upper case": "stats_flush_interval: 1S",
    "a duration with a sign": 'stats_flush_interval: "+1s"',
    "a duration beyond its range": CLUSTER.replace("1s", "315576000001s") % "",
    "an empty duration": 'stats_flush_interval: ""',
    # Any.
    "an Any without @type": CLUSTER % (SOCKET % "foo: 1"),
    "an Any with a bare name": CLUSTER % (SOCKET % f"'@type': {RAW.rpartition('/')[2]}"),
    "an Any without a host": CLUSTER % (SOCKET % f"'@type': /{RAW.rpartition('/')[2]}"),
    "an Any with a host of its own": CLUSTER % (SOCKET % f"'@type': example.com/{RAW.rpartition('/')[2]}"),
    "an Any of an unknown type": CLUSTER % (SOCKET % "'@type': type.googleapis.com/foo.Bar"),
    "an Any with an unknown field": CLUSTER % (SOCKET % f"'@type': {RAW}, foo: 1"),
    "an Any with a number as its type": CLUSTER % (SOCKET % "'@type': 5"),
    "an Any in binary form": CLUSTER % (SOCKET % f"type_url: {RAW}, value: ''"),
    "a v2 type": LOG.replace("extensions.access_loggers.file.v3", "config.accesslog.v2") % "",
    "a TypedStruct": CLUSTER
    % (SOCKET % f"'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: {RAW}, value: {{}}"),
    "a TypedStruct with an unknown field": CLUSTER
    % (SOCKET % f"'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: {RAW}, value: {{foo: 1}}"),
    "a TypedStruct of an unknown type": CLUSTER
    % (SOCKET % "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/foo, value: {}"),
    # The protos' own rules.
    "string.min_len": "static_resources: {clusters: [{name: '', connect_timeout: 1s}]}",
    "duration.gt": "static_resources: {clusters: [{name: a, connect_timeout: 0s}]}",
    "duration.lt": "stats_flush_interval: 300s",
    "duration.gte": "stats_flush_interval: 0.0001s",
    "enum.defined_only": CLUSTER % "type: 9",
    "uint32.lte": CLUSTER % "outlier_detection: {max_ejection_percent: 101}",
    "uint32.lte at its bound": CLUSTER % "outlier_detection: {max_ejection_percent: 100}",
    "double.gte": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: 0.5}",
    "double.lte": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: 3.5}",
    "message.required": CLUSTER % (CHECK % "tcp_health_check: {}"),
    "message.required, there": CLUSTER % (CHECK % "timeout: 1s, tcp_health_check: {}"),
    "oneof.required": CLUSTER % (CHECK % "timeout: 1s"),
    "a rule in an Any": LISTENER.replace("stat_prefix: s", "stat_prefix: ''") % "route_config: {}",
    "a required oneof in an Any": LISTENER % "",
    "repeated.min_items": LISTENER % "route_config: {virtual_hosts: [{name: v, domains: []}]}",
    "repeated.items.string": LISTENER % (HOST.replace("'*'", "''") % ""),
    "repeated.items.well_known_regex": LISTENER
    % (HOST % "response_headers_to_remove: ['a\\nb']").replace("['a\\nb']", '["a\\nb"]'),
    "repeated.max_items": LISTENER
    % (HOST % f"request_headers_to_add: [{', '.join(['{header: {key: a, value: b}}'] * 1001)}]"),
    "string.well_known_regex": ROUTE
    % 'match: {prefix: "/"}, name: r, response_headers_to_add: [{header: {key: "a\\nb"}}]',
    "string.max_bytes": ROUTE % f"match: {{prefix: /}}, response_headers_to_add: [{{header: {{key: {'a' * 16385}}}}}]",
    "uint32.lt": LISTENER % (HOST % "routes: [{match: {prefix: /}, direct_response: {status: 600}}]"),
    "uint32.gte": LISTENER % (HOST % "routes: [{match: {prefix: /}, direct_response: {status: 199}}]"),
    "string.pattern, refused": ROUTE % "match: {path_separated_prefix: /a/}",
    "string.pattern, accepted": ROUTE % "match: {path_separated_prefix: /a}",
    "string.in of a repeated": LOG.replace("%s", "%s").replace("path: /dev/null, ", "path: ''") % "",
    "a required member of a oneof that is not set": ROUTE % "match: {prefix: /}",
    "a required member of a oneof that is empty": ROUTE % "match: {safe_regex: {}}",
    "a oneof member of the wrong kind": ROUTE % "match: {prefix: [/a, /b]}",
}


@pytest.mark.parity("rule 66")
@pytest.mark.parametrize("name", CASES)
def test_same_verdict(name: str) -> None:
    accepted, output = validate(CASES[name])
    loaded = load([Source("envoy.yaml", CASES[name], "yaml")])
    assert (not loaded.findings) == accepted, output[-600:] + render(loaded.findings, loaded.locate, color=False)


DEVIATIONS = {
    "NaN, which breaks no comparison": CLUSTER % "preconnect_policy: {per_upstream_preconnect_ratio: nan}",
    "a key set twice": "node: {id: a, id: b, cluster: c}",
    "a field in both spellings": "node: {id: a, cluster: c, user_agent_name: a, userAgentName: b}",
    "a second document": "node: {id: a, cluster: c}\n---\nfoo: 1",
    "a list in a list": NODE % "client_features: [[a]]",
}


@pytest.mark.parity("rule 66", "rule 68")
@pytest.mark.parametrize("name", DEVIATIONS)
def test_refused_by_us_alone(name: str) -> None:
    accepted, output = validate(DEVIATIONS[name])
    assert accepted, output[-600:]
    assert load([Source("envoy.yaml", DEVIATIONS[name], "yaml")]).findings
