"""Entries of proxied TCP connections on the real Envoy and on ours: once there is an upstream, and at their end."""

from __future__ import annotations

import socket

import pytest

from tests.kit.bootstrap import Fields, bootstrap, socket_address, static_cluster
from tests.kit.client import Address
from tests.kit.origin import Origin
from tests.parity.log_lines import END, json_of, log, run_logs, text
from tests.parity.rules import of

TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
OPERATORS = [
    "ACCESS_LOG_TYPE", "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "RESPONSE_FLAGS",
    "PROTOCOL", "UPSTREAM_PROTOCOL", "REQ(:PATH)", "RESPONSE_CODE", "GRPC_STATUS", "REQUEST_HEADERS_BYTES",
    "RESPONSE_HEADERS_BYTES", "RESPONSE_TRAILERS_BYTES", "QUERY_PARAMS",
]  # fmt: skip
CASES = {"connected": True, "silent": False, "down": True}


def listener(name: str, cluster: str, *, flush: bool) -> Fields:
    logs = [log("entries", json_of(OPERATORS)), log(END, text("%ACCESS_LOG_TYPE%"))]
    proxy = {
        "@type": f"type.googleapis.com/{TCP_PROXY}",
        "stat_prefix": name,
        "cluster": cluster,
        "access_log": logs,
        "access_log_options": {"flush_access_log_on_connected": flush},
    }
    address = socket_address("127.0.0.1", 0)
    return {"name": name, "address": address, "filter_chains": [{"filters": [{"name": "t", "typed_config": proxy}]}]}


def talk(address: Address) -> None:
    with socket.create_connection(address) as sock:  # type: ignore[arg-type]
        sock.settimeout(5)
        sock.sendall(b"GET /?body=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while sock.recv(65536):
            pass


@pytest.mark.parity(
    *of("extensions.filters.network.tcp_proxy.v3.TcpProxy", "access_log", "access_log_options"),
    "extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions.flush_access_log_on_connected",
)
@pytest.mark.field(f"{TCP_PROXY}.access_log_options", f"{TCP_PROXY}.TcpAccessLogOptions.flush_access_log_on_connected")
def test_the_same_entries() -> None:
    with Origin() as origin:
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        listeners = [
            listener(name, "down" if name == "down" else "origin", flush=flush) for name, flush in CASES.items()
        ]
        with run_logs(bootstrap(listeners, clusters)) as both:
            for name in CASES:
                for proxy in (both.pair.envoy, both.pair.ours):
                    try:
                        talk(proxy.address(name))
                    except ConnectionResetError:
                        assert name == "down"
                both.settle("TcpConnectionEnd")
                envoy, ours = both.values("entries")
                both.lines(END)
                assert ours == envoy, name
                types = [entry["ACCESS_LOG_TYPE"] for entry in ours]
                assert types == [*(["TcpUpstreamConnected"] if name == "connected" else []), "TcpConnectionEnd"]
