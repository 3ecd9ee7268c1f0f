"""Access logs of gRPC services: the same entries from the real Envoy and from ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.kit.als_server import AlsServer
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
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.rules import of

PACKAGE = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3"
HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}
REQUESTS = {
    "plain": b"GET /x?body=7 HTTP/1.1\r\nhost: a.test\r\nuser-agent: me\r\nreferer: there\r\nx-mine: 1\r\n\r\n",
    "post": b"POST /x?status=503&body=3 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello",
    "nowhere": b"GET /nowhere HTTP/1.1\r\nhost: a.test\r\n\r\n",
    "down": b"GET /down HTTP/1.1\r\nhost: a.test\r\n\r\n",
    "options": b"OPTIONS /x?body=1 HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 10.1.1.1\r\n\r\n",
}
TIMES = ("startTime", "duration")


def logger(kind: str, name: str, **more: Any) -> Fields:
    common = {
        "log_name": name,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "als"}},
        "buffer_flush_interval": "0.05s",
    }
    return {"name": name, "typed_config": {"@type": f"{PACKAGE}.{kind}", "common_config": common, **more}}


def configuration(origin: int, als: int, name: str) -> str:
    headers = {
        "additional_request_headers_to_log": ["x-mine", ":method"],
        "additional_response_headers_to_log": ["content-type", "nothing"],
    }
    listener = http_listener(
        virtual_host(
            "v", ["*"], route("/nowhere", "none"), route("/down", "down"), {**route("/", "origin"), "name": "named"}
        ),
        access_log=[logger("HttpGrpcAccessLogConfig", f"{name}-http", **headers)],
        # Its header with the service time is a byte longer for whoever is slow.
        http_filters=[{"name": "router", "typed_config": {"@type": ROUTER, "suppress_envoy_headers": True}}],
    )
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "origin",
        "access_log": [logger("TcpGrpcAccessLogConfig", f"{name}-tcp")],
    }
    tcp = {
        "name": "tcp",
        "address": socket_address("127.0.0.1", 0),
        "filter_chains": [{"filters": [{"name": "t", "typed_config": proxy}]}],
    }
    clusters = [
        static_cluster("origin", origin),
        static_cluster("down", 1),
        static_cluster("none"),
        static_cluster("als", als, **HTTP2),
    ]
    tree = yaml.safe_load(bootstrap([listener, tcp], clusters))
    return yaml.safe_dump({"node": {"id": "me", "cluster": "ours"}, **tree})


Entries = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Entries, Entries, AlsServer]]:
    """Entries of HTTP and TCP, Envoy's and ours."""
    path = tmp_path_factory.mktemp("als") / "entries"
    with (
        Origin() as origin,
        AlsServer(path) as als,
        run_pair(configuration(origin.port, als.port, "log"), apart="the service is asked") as pair,
    ):
        wanted = {"http": len(REQUESTS), "tcp": 1}
        found = []
        for proxy in (pair.envoy, pair.ours):
            before = {name: len(als.entries(f"log-{name}")) for name in wanted}
            for data in REQUESTS.values():
                ask(proxy, "main", data)
            ask(proxy, "tcp", REQUESTS["plain"])

            def arrived(before: dict[str, int] = before) -> bool:
                return all(len(als.entries(f"log-{name}")) >= before[name] + wanted[name] for name in wanted)

            wait_for(arrived, deadline=20, what="the service has them")
            found.append({name: als.entries(f"log-{name}")[before[name] :] for name in wanted})
        yield found[0], found[1], als


def ask(proxy: Envoy | Proxy, listener: str, data: bytes) -> None:
    with Connection(proxy.address(listener)) as connection:
        connection.send(data)
        connection.receive()


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    common = entry["commonProperties"]
    for name in [name for name in common if name.startswith("timeTo") or name in TIMES]:
        common[name] = "there"
    for name in [name for name in common if name.endswith("Address")]:
        common[name]["socketAddress"].pop("portValue")
    for part in (common, entry.get("request", {})):
        for name in ("streamId", "requestId"):
            if name in part:
                part[name] = "there"
    return entry


@pytest.mark.parity(
    *of("extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", "common_config"),
    *of("data.accesslog.v3.HTTPAccessLogEntry", "common_properties", "request", "response"),
)
@pytest.mark.parametrize("number", range(len(REQUESTS)), ids=list(REQUESTS))
def test_the_same_entries(told: tuple[Entries, Entries, AlsServer], number: int) -> None:
    envoy, ours, _ = told
    assert comparable(ours["http"][number]) == comparable(envoy["http"][number])


@pytest.mark.parity("extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig.common_config")
def test_the_same_entries_of_connections(told: tuple[Entries, Entries, AlsServer]) -> None:
    envoy, ours, _ = told
    assert [comparable(entry) for entry in ours["tcp"]] == [comparable(entry) for entry in envoy["tcp"]]


@pytest.mark.parity("extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig.log_name")
def test_the_first_message_says_who_speaks(told: tuple[Entries, Entries, AlsServer]) -> None:
    _, _, als = told
    firsts = [message for message in als.messages() if message["first"]]
    assert {message["node"]["id"] for message in firsts} == {"me"}
    assert {message["node"]["cluster"] for message in firsts} == {"ours"}
