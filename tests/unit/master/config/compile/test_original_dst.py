"""Clusters of type ORIGINAL_DST, and the listener filter that goes with them."""

from __future__ import annotations

import pytest

from proxy.config.original_dst import OriginalDst
from tests.kit.config import compiled, findings

CLUSTER = "envoy.config.cluster.v3.Cluster"
BODY = "name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED"


def text(body: str) -> str:
    return f"static_resources: {{clusters: [{{{body}}}]}}"


@pytest.mark.field(
    f"{CLUSTER}.type=ORIGINAL_DST",
    f"{CLUSTER}.lb_policy=CLUSTER_PROVIDED",
    f"{CLUSTER}.original_dst_lb_config",
    f"{CLUSTER}.cleanup_interval",
    f"{CLUSTER}.OriginalDstLbConfig.use_http_header",
    f"{CLUSTER}.OriginalDstLbConfig.http_header_name",
    f"{CLUSTER}.OriginalDstLbConfig.upstream_port_override",
    f"{CLUSTER}.OriginalDstLbConfig.metadata_key",
    "envoy.type.metadata.v3.MetadataKey.key",
    "envoy.type.metadata.v3.MetadataKey.path",
    "envoy.type.metadata.v3.MetadataKey.PathSegment.key",
)
def test_the_fields() -> None:
    config = compiled(
        text(
            f"{BODY}, cleanup_interval: 7s, original_dst_lb_config: {{use_http_header: true, http_header_name: X-To,"
            "upstream_port_override: 81, metadata_key: {key: ns, path: [{key: to}]}}"
        )
    )
    assert config.clusters[0].type == "ORIGINAL_DST"
    assert config.clusters[0].original_dst == OriginalDst(b"x-to", ("ns", "to"), 81, 7.0)
    ((host,),) = (locality.hosts for locality in config.endpoints.clusters["c"].localities)
    assert (host.slot, str(host.address)) == (0, "0.0.0.0:0")


def test_defaults() -> None:
    assert compiled(text(BODY)).clusters[0].original_dst == OriginalDst()
    found = compiled(text(f"{BODY}, original_dst_lb_config: {{use_http_header: true}}")).clusters[0].original_dst
    assert found == OriginalDst(b"x-envoy-original-dst-host")


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (
            "name: c, type: ORIGINAL_DST",
            "lb_policy",
            "not for a cluster of type ORIGINAL_DST",
        ),
        ("name: c, lb_policy: CLUSTER_PROVIDED", "lb_policy", "not for a cluster of type STATIC"),
        (f"{BODY}, load_assignment: {{cluster_name: c}}", "load_assignment", "knows no hosts beforehand"),
        (f"{BODY}, outlier_detection: {{}}", "outlier_detection", "knows no hosts beforehand"),
        (
            f"{BODY}, health_checks: [{{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1,"
            "tcp_health_check: {}}]",
            "health_checks",
            "knows no hosts beforehand",
        ),
        (
            f"{BODY}, original_dst_lb_config: {{http_header_name: x}}",
            "original_dst_lb_config.http_header_name",
            "nobody looks at the header",
        ),
    ],
)
def test_what_goes_with_it(body: str, path: str, message: str) -> None:
    (fault,) = findings(text(body))
    assert fault.field_path == f"static_resources.clusters[0].{path}"
    assert message in fault.message


FILTER = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
LISTENER = """
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: c
    %s
  clusters: [{name: c}]
"""


def test_the_listener_filter() -> None:
    filters = f'listener_filters: [{{name: x, typed_config: {{"@type": type.googleapis.com/{FILTER}}}}}]'
    assert compiled(LISTENER % filters).listeners[0].original_dst
    assert not compiled(LISTENER % "").listeners[0].original_dst
