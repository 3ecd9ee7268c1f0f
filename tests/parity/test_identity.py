"""Who is asking: what the origin and the client see of it on the real Envoy and on ours (rules 21 to 26)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Response
from tests.kit.ledger import REFUSED_HEADS
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import HCM, of

LOOPBACK = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
TEN = {"cidr_ranges": [{"address_prefix": "fd00::", "prefix_len": 8}, {"address_prefix": "10.1.2.3", "prefix_len": 8}]}
LISTENERS: dict[str, dict[str, Any]] = {
    "default": {},
    "hops": {"xff_num_trusted_hops": 1},
    "ten": {"internal_address_config": TEN},
    "edge": {"use_remote_address": True},
    "edge-hops": {"use_remote_address": True, "xff_num_trusted_hops": 2},
    "edge-silent": {"use_remote_address": True, "skip_xff_append": True, "append_x_forwarded_port": True},
    "edge-inside": {"use_remote_address": True, "internal_address_config": LOOPBACK},
    "edge-keep": {"use_remote_address": True, "preserve_external_request_id": True, "via": "us"},
    "told": {"always_set_request_id_in_response": True, "via": "us", "append_x_forwarded_port": True},
    "nameless": {"generate_request_id": False, "server_header_transformation": "PASS_THROUGH"},
    "absent": {"server_header_transformation": "APPEND_IF_ABSENT", "server_name": "me"},
    "scheme": {"use_remote_address": True, "scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    "http10": {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "dflt"}},
    "methods": {"http_protocol_options": {"allow_custom_methods": True}},
    "relative": {"http_protocol_options": {"allow_absolute_url": False}},
    "reject": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "drop": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
}
CLAIMS = [
    *([f"X-Forwarded-For: {value}"] for value in ("1.1.1.1", "10.0.0.3", "1.1.1.1, 10.0.0.3", "fd00::7", "junk", "")),
    ["X-Forwarded-For: 10.0.0.3", "X-Forwarded-For: 10.0.0.4"],
    ["X-Forwarded-For: 1.1.1.1, 8.8.8.8, 10.0.0.3", "X-Forwarded-Proto: https", "X-Forwarded-Port: 7"],
    ["X-Request-Id: mine", "Via: 1.1 a", "Via: 1.1 b", "X-Envoy-External-Address: 9.9.9.9"],
    ["X-Forwarded-For: 10.0.0.3", "X-Request-Id: mine", "X-Envoy-Force-Trace: 1", "X-Envoy-Internal: false"],
    ["X-Envoy-Decorator-Operation: o", "X-Envoy-Downstream-Service-Cluster: c", "X-Envoy-Original-Path: /x"],
    ["X-Forwarded-For: 10.0.0.3", "X-Envoy-Max-Retries: 3", "X-Envoy-Retry-On: 5xx", "X-Envoy-Ip-Tags: t"],
    ["X-Forwarded-For: 10.0.0.3", "X-Forwarded-Client-Cert: Hash=1", "X-Only: 1", "X-Envoy-Expected-Rq-Timeout-Ms: 7"],
    ["x-script: header=Server:apache&header=via:1.1+a&header=x-request-id:theirs"],
    ["x_y: 1", "a: b_c"],
    [],
]
FAMILIAR = ("default", "edge")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    everything = virtual_host("everything", ["*"], route("/", "origin"))
    listeners = [http_listener(everything, name=name, **fields) for name, fields in LISTENERS.items()]
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["internal_only_headers"] = ["X-Only"]
    with Origin() as origin:
        text = bootstrap(listeners, [static_cluster("origin", origin.port)])
        with run_pair(text, otherwise=REFUSED_HEADS) as running:
            yield running


def head(*lines: str, first: str = "GET / HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


def settle(response: Response, pair: Pair, listener: str) -> None:
    """The two listen on ports of their own, which `x-forwarded-port` tells; and lines that Envoy joins stay as they
    came in ours (docs/parity.md)."""
    response.headers = [(name, value) for name, value in response.headers if name != "content-length"]
    if response.body.startswith(b'{"origin"'):
        echo = json.loads(response.body)
        joined: dict[str, str] = {}
        for name, value in echo["headers"]:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        ports = {str(proxy.address(listener)[1]) for proxy in (pair.envoy, pair.ours)}
        echo["headers"] = [[name, "PORT" if value in ports else value] for name, value in joined.items()]
        response.body = json.dumps(echo).encode()


@pytest.mark.parity(
    "rule 21",
    "rule 22",
    "rule 23",
    "rule 24",
    "rule 25",
    "rule 26",
    *of(
        HCM,
        "use_remote_address",
        "xff_num_trusted_hops",
        "internal_address_config",
        "skip_xff_append",
        "append_x_forwarded_port",
        "preserve_external_request_id",
        "always_set_request_id_in_response",
        "generate_request_id",
        "via",
        "server_name",
        "server_header_transformation",
        "scheme_header_transformation",
    ),
    *of("config.core.v3.HttpProtocolOptions", "headers_with_underscores_action"),
    *of("config.route.v3.RouteConfiguration", "internal_only_headers"),
    *of("config.core.v3.SchemeHeaderTransformation", "scheme_to_overwrite"),
)
@pytest.mark.parametrize("listener", LISTENERS)
def test_claims(pair: Pair, listener: str) -> None:
    for lines in CLAIMS:
        answers = pair.send(head("Host: h", *lines), listener=listener)
        for answer in answers:
            for response in answer.responses:
                settle(response, pair, listener)
        kept = [answer.status == 200 and (b'"mine"' in answer.only.body) for answer in answers]
        told = ["mine" in answer.only.values("x-request-id") for answer in answers]
        assert (lines, kept[0], told[0]) == (lines, kept[1], told[1])
        answers.assert_same()


@pytest.mark.parity(
    "rule 14",
    *of(HCM, "http_protocol_options"),
    *of(
        "config.core.v3.Http1ProtocolOptions",
        "accept_http_10",
        "default_host_for_http_10",
        "allow_custom_methods",
        "allow_absolute_url",
    ),
)
@pytest.mark.parametrize(
    ("listener", "data"),
    [
        ("http10", head("Host: h", first="GET / HTTP/1.0")),
        ("http10", head(first="GET / HTTP/1.0")),
        ("http10", head("Host: h", "x-script: chunked=50", first="GET / HTTP/1.0")),
        ("http10", head("Host: h", first="GET / HTTP/1.1")),
        ("http10", head(first="GET / HTTP/1.1")),
        ("methods", head("Host: h", first="BREW / HTTP/1.1")),
        ("default", head("Host: h", first="BREW / HTTP/1.1")),
        ("relative", head("Host: h", first="GET http://other/x HTTP/1.1")),
        ("relative", head("Host: h", first="GET https://other/x?q HTTP/1.1")),
        ("relative", head("Host: h", first="GET /x HTTP/1.1")),
        ("default", head("Host: h", first="OPTIONS * HTTP/1.1")),
        ("default", head("Host: h", "Connection: close", "x-script: chunked=5")),
    ],
)
def test_http1_options(pair: Pair, listener: str, data: bytes) -> None:
    pair.send(data, listener=listener).assert_same()


@pytest.mark.parity("rule 16", "rule 52")
def test_counters(pair: Pair) -> None:
    before = pair.envoy.stats(), pair.ours.stats()
    pair.send(head("Host: h", "x_y: 1"), listener="reject")
    pair.send(head("Host: h", "x_y: 1", "_: 2"), listener="drop")
    pair.send(head("Host: h", first="GET http://other/x HTTP/1.1"), listener="relative")
    after = pair.envoy.stats(), pair.ours.stats()
    for name in (
        "http1.requests_rejected_with_underscores_in_headers",
        "http1.dropped_headers_with_underscores",
        "http.relative.downstream_rq_non_relative_path",
        "http.relative.no_route",
        "http.reject.downstream_cx_protocol_error",
    ):
        theirs, ours = (late.get(name, 0) - early.get(name, 0) for early, late in zip(before, after, strict=True))
        assert (name, ours) == (name, theirs)
