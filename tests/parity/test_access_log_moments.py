"""Entries at other moments than an exchange's end, on the real Envoy and on ours: attempts, tunnels, connections, and
what is not over yet.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

import pytest

from tests.kit.bootstrap import (
    ROUTER,
    Fields,
    bootstrap,
    http_listener,
    route,
    socket_address,
    static_cluster,
    virtual_host,
)
from tests.kit.client import Address, Connection, ConnectionEnded
from tests.kit.origin import Origin
from tests.parity.log_lines import END, Logs, json_of, log, run_logs, text, with_end

OF_ATTEMPTS = [
    "ACCESS_LOG_TYPE", "REQ(:PATH)", "REQ(:METHOD)", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS",
    "RESPONSE_FLAGS", "RESP(CONTENT-TYPE)", "RESP(SERVER)", "BYTES_RECEIVED", "BYTES_SENT", "UPSTREAM_CLUSTER",
    "UPSTREAM_HOST", "UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_PROTOCOL",
    "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HEADER_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_TRANSPORT_FAILURE_REASON", "ROUTE_NAME", "VIRTUAL_CLUSTER_NAME", "FILTER_CHAIN_NAME", "GRPC_STATUS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "UPSTREAM_DETECTED_CLOSE_TYPE",
]  # fmt: skip
DURATIONS = [
    "DURATION", "REQUEST_DURATION", "REQUEST_TX_DURATION", "RESPONSE_DURATION", "RESPONSE_TX_DURATION",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION", "UPSTREAM_CONNECTION_ID", "START_TIME",
]  # fmt: skip
OF_CONNECTIONS = [
    "ACCESS_LOG_TYPE", "PROTOCOL", "RESPONSE_CODE", "RESPONSE_FLAGS", "BYTES_RECEIVED", "REQ(:PATH)", "RESP(SERVER)",
    "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "ROUTE_NAME", "FILTER_CHAIN_NAME", "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT", "DOWNSTREAM_HEADER_BYTES_RECEIVED", "DOWNSTREAM_DETECTED_CLOSE_TYPE",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_HOSTS_ATTEMPTED", "RESPONSE_CODE_DETAILS",
]  # fmt: skip
HOST = b"Host: a.test\r\n"
REQUESTS = {
    "plain": b"GET /x?body=7 HTTP/1.1\r\n" + HOST + b"\r\n",
    "post": b"POST /x?body=12 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "again": b"GET /again?status=503&body=0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "down": b"GET /down HTTP/1.1\r\n" + HOST + b"\r\n",
    "nobody": b"GET /nobody HTTP/1.1\r\n" + HOST + b"\r\n",
    "cut": b"GET /x?close=before HTTP/1.1\r\n" + HOST + b"\r\n",
    "late": b"GET /late?delay=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "slow_try": b"GET /slow_try?delay=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "broken": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "nothing": b"",
}
HANDSHAKE = b"GET /echo HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def http(name: str, *, upstream_options: Fields, options: Fields, **more: Any) -> Fields:
    again = {"retry_on": "5xx", "num_retries": 1}
    each_try = {"retry_on": "5xx", "num_retries": 0, "per_try_timeout": "0.1s"}
    named = {**route("/", "origin"), "name": "named"}
    everything = virtual_host(
        "v",
        ["*"],
        route("/again", "origin", retry_policy=again),
        route("/down", "down", retry_policy=again),
        route("/nobody", "nobody"),
        route("/late", "origin", timeout="0.1s"),
        route("/slow_try", "origin", retry_policy=each_try),
        named,
    )
    upstream = [log(f"{name}_attempts", json_of([*OF_ATTEMPTS, *DURATIONS]))]
    router = {"@type": ROUTER, "upstream_log": upstream, "upstream_log_options": upstream_options}
    listener = http_listener(
        everything,
        name=name,
        http_filters=[{"name": "router", "typed_config": router}],
        access_log=with_end(log(f"{name}_entries", json_of(OF_ATTEMPTS))),
        access_log_options=options,
        **more,
    )
    listener["access_log"] = [log(f"{name}_connections", json_of(OF_CONNECTIONS))]
    listener["filter_chains"][0]["name"] = "chain"
    return listener


def tcp() -> Fields:
    proxy = {
        "@type": f"type.googleapis.com/{TCP_PROXY}",
        "stat_prefix": "tcp",
        "cluster": "origin",
        "access_log": [log("tcp_entries", json_of(OF_CONNECTIONS))],
        "access_log_options": {"access_log_flush_interval": "0.2s"},
    }
    return {
        "name": "tcp",
        "address": socket_address("127.0.0.1", 0),
        "access_log": [log("tcp_connections", json_of(OF_CONNECTIONS)), log(END, text("tcp %ACCESS_LOG_TYPE%"))],
        "filter_chains": [{"filters": [{"name": "t", "typed_config": proxy}]}],
    }


def talk(address: Address, data: bytes, *, seconds: float = 0.0, reset: bool = False) -> None:
    """Send `data`, read one response wholly (and what else comes, until `seconds` of silence), and go."""
    with Connection(address, timeout=seconds or 2) as connection:
        connection.send(data)
        with contextlib.suppress(TimeoutError, ConnectionEnded):
            if data:
                connection.receive()
            while seconds and connection.sock.recv(65536):
                pass
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Seen = dict[str, dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]]
QUICK = {"flush_upstream_log_on_upstream_stream": True}


def end_of(both: Logs, marker: str) -> None:
    for proxy in (both.pair.envoy, both.pair.ours):
        talk(proxy.address("marks"), f"GET /nobody?{marker} HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n".encode())
    both.settle(f"/nobody?{marker}")
    both.lines(END)


@pytest.fixture(scope="module")
def seen() -> Seen:
    """By request, then by log: Envoy's entries and ours."""
    with Origin() as origin:
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1), static_cluster("nobody")]
        periods = {"upstream_log_flush_interval": "0.2s"}
        upgrade = {"upgrade_configs": [{"upgrade_type": "websocket"}]}
        listeners = [
            http("plain", upstream_options={}, options={}),
            http("ready", upstream_options=QUICK, options={}),
            http(
                "periods",
                upstream_options=periods,
                options={"access_log_flush_interval": "0.2s", "flush_log_on_tunnel_successfully_established": True},
                **upgrade,
            ),
            http("marks", upstream_options={}, options={}),
            tcp(),
        ]
        found: Seen = {}
        with run_logs(bootstrap(listeners, clusters)) as both:

            def ask(case: str, listener: str, data: bytes, **how: Any) -> None:
                for proxy in (both.pair.envoy, both.pair.ours):
                    talk(proxy.address(listener), data, **how)
                if how.get("reset"):  # which we notice a little later
                    both.wait_for_lines(f"{listener}_connections", 1)
                end_of(both, case)
                found[case] = {
                    kind: both.values(f"{listener}_{kind}") for kind in ("entries", "attempts", "connections")
                }

            for name, data in REQUESTS.items():
                ask(name, "plain", data)
            ask("ready", "ready", REQUESTS["plain"])
            ask("period", "periods", b"GET /x?delay=0.5&body=1 HTTP/1.1\r\n" + HOST + b"\r\n")
            ask("tunnel", "periods", HANDSHAKE)
            ask("reset", "plain", b"GET /x?delay=3 HTTP/1.1\r\n" + HOST + b"\r\n", seconds=0.1, reset=True)
            ask("tcp", "tcp", REQUESTS["plain"], seconds=0.5)
            ask("tcp_reset", "tcp", REQUESTS["plain"], seconds=0.05, reset=True)
        return found


CASES = [*REQUESTS, "ready", "period", "tunnel", "reset", "tcp", "tcp_reset"]


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: _form(value) if name in DURATIONS else value for name, value in entry.items()}


def _form(value: Any) -> Any:
    return "there" if value is not None else None


@pytest.mark.parity("extensions.filters.http.router.v3.Router.upstream_log")
@pytest.mark.parametrize("name", CASES)
def test_the_same_attempts(seen: Seen, name: str) -> None:
    envoy, ours = seen[name]["attempts"]
    assert [comparable(entry) for entry in ours] == [comparable(entry) for entry in envoy]


@pytest.mark.parity("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.access_log_options")
@pytest.mark.parametrize("name", CASES)
def test_the_same_entries(seen: Seen, name: str) -> None:
    envoy, ours = seen[name]["entries"]
    assert ours == envoy


@pytest.mark.parity("config.listener.v3.Listener.access_log")
@pytest.mark.parametrize("name", CASES)
def test_the_same_connections(seen: Seen, name: str) -> None:
    envoy, ours = seen[name]["connections"]
    assert ours == envoy
    assert len(envoy) == 1
