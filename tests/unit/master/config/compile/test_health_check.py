"""Health checks as they are configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config.cluster import Cluster, Host
from proxy.config.common import SocketAddress, StringMatcher
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import EndpointCheck, GrpcCheck, HealthCheck, HttpCheck, TcpCheck
from tests.kit.bootstrap import bootstrap, socket_address
from tests.kit.config import compiled, findings

CLUSTER = "envoy.config.cluster.v3.Cluster"
CHECK = "envoy.config.core.v3.HealthCheck"
HTTP = f"{CHECK}.HttpHealthCheck"
ENDPOINT = "envoy.config.endpoint.v3.Endpoint"
SINK = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2 = {OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}}
Fields = dict[str, Any]

PLAIN: Fields = {"timeout": "1s", "interval": "2s", "unhealthy_threshold": 3, "healthy_threshold": 4}
PATH: Fields = {"http_health_check": {"path": "/hc"}}


def text(check: Fields, endpoint: Fields | None = None, **cluster: Any) -> str:
    host = {"endpoint": {"address": socket_address("127.0.0.1", 80), **(endpoint or {})}}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [host]}]}
    checks = {"health_checks": [{**PLAIN, **check}]} if check else {}
    return bootstrap([], [{"name": "c", "load_assignment": assignment, **checks, **cluster}])


def cluster_of(check: Fields, **fields: Any) -> Cluster:
    return compiled(text(check, **fields)).clusters[0]


def check_of(check: Fields, **fields: Any) -> HealthCheck:
    found = cluster_of(check, **fields).health_check
    assert found is not None
    return found


def host_of(endpoint: Fields) -> Host:
    return compiled(text(PATH, endpoint)).endpoints.clusters["c"].localities[0].hosts[0]


def faults(check: Fields, endpoint: Fields | None = None, **fields: Any) -> list[str]:
    """The places, from the cluster on, and what is wrong there."""
    return [
        f"{'.'.join(map(str, finding.path[3:]))}: {finding.message}"
        for finding in findings(text(check, endpoint, **fields))
    ]


@pytest.mark.field(
    f"{CLUSTER}.health_checks",
    f"{CHECK}.timeout",
    f"{CHECK}.interval",
    f"{CHECK}.unhealthy_threshold",
    f"{CHECK}.healthy_threshold",
    f"{CHECK}.http_health_check",
    f"{HTTP}.path",
)
def test_what_is_left_out_has_envoys_defaults() -> None:
    assert check_of(PATH) == HealthCheck(
        kind=HttpCheck("/hc", expected=((200, 201),), response_buffer_size=1024),
        timeout=1,
        interval=2,
        unhealthy_threshold=3,
        healthy_threshold=4,
        no_traffic_interval=60,
        no_traffic_healthy_interval=60,
        unhealthy_interval=2,
        unhealthy_edge_interval=2,
        healthy_edge_interval=2,
    )


@pytest.mark.parametrize(
    ("given", "intervals"),
    [
        ({"no_traffic_interval": "7s"}, {"no_traffic_interval": 7, "no_traffic_healthy_interval": 7}),
        ({"no_traffic_healthy_interval": "7s"}, {"no_traffic_interval": 60, "no_traffic_healthy_interval": 7}),
        ({"unhealthy_interval": "7s"}, {"unhealthy_interval": 7, "unhealthy_edge_interval": 7}),
        ({"unhealthy_edge_interval": "7s"}, {"unhealthy_interval": 2, "unhealthy_edge_interval": 7}),
        ({"healthy_edge_interval": "7s"}, {"healthy_edge_interval": 7}),
    ],
)
def test_intervals_stand_for_others(given: Fields, intervals: Fields) -> None:
    found = check_of({**PATH, **given})
    assert {name: getattr(found, name) for name in intervals} == intervals


@pytest.mark.field(
    f"{CHECK}.initial_jitter",
    f"{CHECK}.interval_jitter",
    f"{CHECK}.interval_jitter_percent",
    f"{CHECK}.reuse_connection",
    f"{CHECK}.no_traffic_interval",
    f"{CHECK}.no_traffic_healthy_interval",
    f"{CHECK}.unhealthy_interval",
    f"{CHECK}.unhealthy_edge_interval",
    f"{CHECK}.healthy_edge_interval",
    f"{CHECK}.always_log_health_check_failures",
    f"{CHECK}.always_log_health_check_success",
    f"{CHECK}.tls_options",
    f"{CHECK}.TlsOptions.alpn_protocols",
    f"{CHECK}.transport_socket_match_criteria",
    f"{CHECK}.tcp_health_check",
)
def test_what_all_kinds_have() -> None:
    given = {
        "tcp_health_check": {},
        "initial_jitter": "1s",
        "interval_jitter": "2s",
        "interval_jitter_percent": 3,
        "reuse_connection": False,
        "no_traffic_interval": "4s",
        "no_traffic_healthy_interval": "5s",
        "unhealthy_interval": "6s",
        "unhealthy_edge_interval": "7s",
        "healthy_edge_interval": "8s",
        "always_log_health_check_failures": True,
        "always_log_health_check_success": True,
        "tls_options": {"alpn_protocols": ["a", "b"]},
        "transport_socket_match_criteria": {"b": 1, "a": "x"},
    }
    assert check_of(given) == HealthCheck(
        kind=TcpCheck(),
        timeout=1,
        interval=2,
        unhealthy_threshold=3,
        healthy_threshold=4,
        no_traffic_interval=4,
        no_traffic_healthy_interval=5,
        unhealthy_interval=6,
        unhealthy_edge_interval=7,
        healthy_edge_interval=8,
        initial_jitter=1,
        interval_jitter=2,
        interval_jitter_percent=3,
        reuse_connection=False,
        always_log_failures=True,
        always_log_success=True,
        alpn=("a", "b"),
        socket_match='{"a":"x","b":1.0}',
    )


@pytest.mark.field(
    f"{HTTP}.host",
    f"{HTTP}.method",
    f"{HTTP}.send",
    f"{HTTP}.receive",
    f"{HTTP}.response_buffer_size",
    f"{HTTP}.request_headers_to_add",
    f"{HTTP}.request_headers_to_remove",
    f"{HTTP}.expected_statuses",
    f"{HTTP}.retriable_statuses",
    f"{HTTP}.codec_client_type=HTTP2",
    f"{HTTP}.service_name_matcher",
    f"{CHECK}.Payload.text",
    f"{CHECK}.Payload.binary",
    "envoy.type.v3.Int64Range.start",
    "envoy.type.v3.Int64Range.end",
)
def test_http() -> None:
    given = {
        "path": "/hc",
        "host": "a.test",
        "method": "POST",
        "send": {"text": "68656c6C6f"},
        "receive": [{"text": "00ff"}, {"binary": "b2s="}],
        "response_buffer_size": 9,
        "request_headers_to_add": [{"header": {"key": "X-A", "value": "1"}}],
        "request_headers_to_remove": ["user-agent"],
        "expected_statuses": [{"start": 200, "end": 300}],
        "retriable_statuses": [{"start": 500, "end": 600}],
        "codec_client_type": "HTTP2",
        "service_name_matcher": {"prefix": "loc"},
    }
    assert check_of({"http_health_check": given}).kind == HttpCheck(
        path="/hc",
        host="a.test",
        method="POST",
        send=b"hello",
        receive=(b"\0\xff", b"ok"),
        response_buffer_size=9,
        edits=(Mutation(b"user-agent", "REMOVE"), Mutation(b"x-a", "APPEND_IF_EXISTS_OR_ADD", "1")),
        expected=((200, 300),),
        retriable=((500, 600),),
        http2=True,
        service_name=StringMatcher("prefix", "loc"),
    )


def test_http1_can_be_said_too() -> None:
    kind = check_of({"http_health_check": {"path": "/hc", "codec_client_type": "HTTP1"}}).kind
    assert isinstance(kind, HttpCheck)
    assert not kind.http2


@pytest.mark.field(f"{CHECK}.TcpHealthCheck.send", f"{CHECK}.TcpHealthCheck.receive")
def test_tcp() -> None:
    given = {"send": {"text": "0a"}, "receive": [{"text": "0b"}, {"text": "0c"}]}
    assert check_of({"tcp_health_check": given}).kind == TcpCheck(b"\n", (b"\x0b", b"\x0c"))


@pytest.mark.field(
    f"{CHECK}.grpc_health_check",
    f"{CHECK}.GrpcHealthCheck.service_name",
    f"{CHECK}.GrpcHealthCheck.authority",
    f"{CHECK}.GrpcHealthCheck.initial_metadata",
)
def test_grpc() -> None:
    given = {
        "service_name": "shop",
        "authority": "a.test",
        "initial_metadata": [{"header": {"key": "x-a", "value": "1"}}],
    }
    found = check_of({"grpc_health_check": given}, typed_extension_protocol_options=HTTP2)
    edits = (Mutation(b"x-a", "APPEND_IF_EXISTS_OR_ADD", "1"),)
    assert found.kind == GrpcCheck("shop", "a.test", edits)


@pytest.mark.field(f"{CHECK}.event_log_path", f"{CHECK}.event_logger", f"{SINK}.event_log_path")
def test_event_logs(tmp_path: Path) -> None:
    sink = {"@type": f"type.googleapis.com/{SINK}", "event_log_path": f"{tmp_path}/b"}
    given = {"event_log_path": f"{tmp_path}/a", "event_logger": [{"name": "file", "typed_config": sink}]}
    assert check_of({**PATH, **given}).event_logs == (f"{tmp_path}/a", f"{tmp_path}/b")


@pytest.mark.field(
    f"{CLUSTER}.close_connections_on_host_health_failure",
    f"{CLUSTER}.ignore_health_on_host_removal",
    f"{CLUSTER}.CommonLbConfig.ignore_new_hosts_until_first_hc",
)
def test_what_a_cluster_does_with_hosts_that_fail() -> None:
    cluster = cluster_of(
        PATH,
        close_connections_on_host_health_failure=True,
        ignore_health_on_host_removal=True,
        common_lb_config={"ignore_new_hosts_until_first_hc": True},
    )
    assert cluster.close_connections_on_host_health_failure
    assert cluster.ignore_health_on_host_removal
    assert cluster.ignore_new_hosts_until_first_hc


OWN = f"{ENDPOINT}.HealthCheckConfig"


@pytest.mark.field(
    f"{ENDPOINT}.health_check_config",
    f"{OWN}.port_value",
    f"{OWN}.hostname",
    f"{OWN}.address",
    f"{OWN}.disable_active_health_check",
)
def test_what_a_host_has_of_its_own() -> None:
    own = {
        "port_value": 8080,
        "hostname": "h.test",
        "address": socket_address("127.0.0.2", 81),
        "disable_active_health_check": True,
    }
    host = host_of({"health_check_config": own})
    assert host.check == EndpointCheck(SocketAddress("127.0.0.2", 81), 8080, "h.test", disabled=True)


def test_names_have_it_too() -> None:
    host = {
        "endpoint": {"address": socket_address("a.test", 80), "health_check_config": {"port_value": 8080}},
    }
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [host]}]}
    cluster = {"name": "c", "type": "STRICT_DNS", "load_assignment": assignment, "health_checks": [{**PLAIN, **PATH}]}
    dns = compiled(bootstrap([], [cluster])).clusters[0].dns
    assert dns is not None
    assert dns.localities[0].endpoints[0].check == EndpointCheck(port=8080)


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (
            {"http_health_check": {"path": "/", "send": {"text": "00"}}},
            "health_checks.0.http_health_check.send: a GET has no body",
        ),
        (
            {"http_health_check": {"path": "/", "expected_statuses": [{"start": 300, "end": 300}]}},
            "health_checks.0.http_health_check.expected_statuses.0: no statuses are in [300, 300)",
        ),
        (
            {"http_health_check": {"path": "/", "retriable_statuses": [{"start": 500, "end": 601}]}},
            "health_checks.0.http_health_check.retriable_statuses.0: no statuses are in [500, 601)",
        ),
        (
            {
                "http_health_check": {
                    "path": "/",
                    "response_buffer_size": 1,
                    "receive": [{"text": "00"}, {"text": "00"}],
                }
            },
            "health_checks.0.http_health_check.receive: "
            "more than the 1 bytes that are looked at (response_buffer_size)",
        ),
        (
            {"tcp_health_check": {"send": {"text": "abc"}}},
            "health_checks.0.tcp_health_check.send.text: invalid hex string 'abc'",
        ),
        (
            {"grpc_health_check": {}},
            "health_checks.0.grpc_health_check: the hosts of this cluster do not speak HTTP/2",
        ),
        (
            {**PATH, "event_log_path": "/nowhere/a.log"},
            "health_checks.0.event_log_path: cannot open /nowhere/a.log: there is no directory /nowhere; create it",
        ),
        (
            {"tcp_health_check": {"proxy_protocol_config": {}}},
            "health_checks.0.tcp_health_check.proxy_protocol_config: "
            "envoy.config.core.v3.HealthCheck.TcpHealthCheck.proxy_protocol_config is not supported",
        ),
    ],
)
def test_what_cannot_be(check: Fields, fault: str) -> None:
    assert faults(check) == [fault]


def test_one_check_is_all_that_a_cluster_has() -> None:
    both = [{**PLAIN, **PATH}, {**PLAIN, "tcp_health_check": {}}]
    assert faults({}, health_checks=both) == ["health_checks.1: a cluster has one health check"]


def test_a_unix_socket_has_no_port() -> None:
    endpoint = {"address": {"pipe": {"path": "/run/a.sock"}}, "health_check_config": {"port_value": 80}}
    (fault,) = faults(PATH, endpoint)
    assert fault.endswith("endpoint.health_check_config.port_value: a Unix socket has no port")
