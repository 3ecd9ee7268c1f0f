"""`proxy-status` (RFC 9209) of what fails, and the status that goes with it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import yaml

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair

OTHERWISE = {
    r"cluster\.origin\.upstream_cx_destroy_.*": "after what is no HTTP, either end may be the first to close",
    r"cluster\.breaker\.circuit_breakers\.default\.rq_open": "a breaker of 0 is open from the beginning",
}
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CONFIG = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ProxyStatusConfig"
LISTENERS: dict[str, Fields] = {
    "default": {},
    "no-details": {"remove_details": True},
    "no-flags": {"remove_response_flags": True, "remove_connection_termination_details": True},
    "recommended": {"set_recommended_response_code": True},
    "named": {"literal_proxy_name": "my proxy"},
    "node": {"use_node_id": True},
}
FAILURES = {
    "no route": "GET /none HTTP/1.1\r\nHost: h",
    "no cluster": "GET /by-header HTTP/1.1\r\nHost: h",
    "no hosts": "GET /empty HTTP/1.1\r\nHost: h",
    "refused": "GET /dead HTTP/1.1\r\nHost: h",
    "refused, retried": "GET /retry-dead HTTP/1.1\r\nHost: h",
    "refused, gRPC": "POST /dead HTTP/1.1\r\nHost: h\r\ncontent-type: application/grpc\r\ncontent-length: 0",
    "refused, HEAD": "HEAD /dead HTTP/1.1\r\nHost: h",
    "overflow": "GET /breaker HTTP/1.1\r\nHost: h",
    "timeout": "GET /timeout?delay=1 HTTP/1.1\r\nHost: h",
    "per-try timeout": "GET /per-try?delay=1 HTTP/1.1\r\nHost: h",
    "idle": "GET /idle?delay=1 HTTP/1.1\r\nHost: h",
    "stream duration": "GET /duration?delay=1 HTTP/1.1\r\nHost: h",
    "upstream duration": "GET /upstream-duration?delay=1 HTTP/1.1\r\nHost: h",
    "ended": "GET /o?close=before HTTP/1.1\r\nHost: h",
    "reset": "GET /o?close=before&reset=1 HTTP/1.1\r\nHost: h",
    "no HTTP": "GET /o?raw=junk HTTP/1.1\r\nHost: h",
    "retried 503": "GET /retry?status=503&header=proxy-status:up;error=dns_error HTTP/1.1\r\nHost: h",
    "theirs": "GET /o?status=503&header=proxy-status:up;error=dns_error HTTP/1.1\r\nHost: h",
    "direct response": "GET /direct HTTP/1.1\r\nHost: h",
    "HTTP/1.0": "GET / HTTP/1.0",
    "two lengths": "GET / HTTP/1.1\r\nHost: h\r\ncontent-length: 1\r\ncontent-length: 2",
    "upgrade": "GET /o HTTP/1.1\r\nHost: h\r\nconnection: upgrade\r\nupgrade: foo",
    "none": "GET /o HTTP/1.1\r\nHost: h",
}


def listeners() -> list[Fields]:
    retries: Fields = {"retry_on": "5xx,connect-failure", "num_retries": 1}
    everything = virtual_host(
        "everything",
        ["*"],
        route("/dead", "dead"),
        route("/retry-dead", "dead", retry_policy=retries),
        route("/empty", "empty"),
        route("/breaker", "breaker"),
        route("/upstream-duration", "limited"),
        {"match": {"prefix": "/by-header"}, "route": {"cluster_header": "x-cluster"}},
        route("/timeout", "origin", timeout="0.1s"),
        route("/per-try", "origin", retry_policy={**retries, "per_try_timeout": "0.1s"}),
        route("/retry", "origin", retry_policy=retries),
        route("/idle", "origin", idle_timeout="0.1s"),
        route("/duration", "origin", max_stream_duration={"max_stream_duration": "0.1s"}),
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 500}},
        route("/o", "origin"),
    )
    return [
        http_listener(
            everything, name=name, proxy_status_config=config, server_name="us" if name in ("default", "node") else ""
        )
        for name, config in LISTENERS.items()
    ]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    limits = {
        "@type": f"type.googleapis.com/{HTTP}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_stream_duration": "0.1s"},
    }
    with Origin() as origin, socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
        closed.close()
        clusters = [
            static_cluster("origin", origin.port),
            static_cluster("dead", dead),
            static_cluster("empty"),
            static_cluster("breaker", origin.port, circuit_breakers={"thresholds": [{"max_requests": 0}]}),
            static_cluster("limited", origin.port, typed_extension_protocol_options={HTTP: limits}),
        ]
        tree = yaml.safe_load(bootstrap(listeners(), clusters))
        tree["node"] = {"id": "our-node", "cluster": "c"}
        with run_pair(yaml.safe_dump(tree, sort_keys=False), otherwise=OTHERWISE) as running:
            yield running


@pytest.mark.parity("rule 28", f"{CONFIG}.set_recommended_response_code")
@pytest.mark.parametrize("listener", ["default", "recommended"])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_failed(pair: Pair, listener: str, failure: str) -> None:
    pair.send(f"{FAILURES[failure]}\r\n\r\n".encode(), listener=listener).assert_same()


@pytest.mark.parity(*(f"{CONFIG}.{name}" for name in ("remove_details", "remove_response_flags")))
@pytest.mark.parity(*(f"{CONFIG}.{name}" for name in ("use_node_id", "literal_proxy_name")))
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("failure", ["no route", "refused", "theirs"])
def test_how_it_is_told(pair: Pair, listener: str, failure: str) -> None:
    answers = pair.send(f"{FAILURES[failure]}\r\n\r\n".encode(), listener=listener)
    answers.assert_same()
    assert "proxy-status" in dict(answers.envoy.only.headers)
