"""Which server name a cluster asks its hosts for, and whose certificate will do: by the request, by the host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.config.common import SocketAddress
from tests.integration.test_fields import cluster, one_listener
from tests.integration.tls.terminating import TLS, server
from tests.integration.tls.test_origination import Host, ask, speaking, trusting
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import serving
from tests.unit.upstream.rig import origin

CLUSTER = "envoy.config.cluster.v3.Cluster"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NAMES = "envoy.config.core.v3.UpstreamHttpProtocolOptions"
UPSTREAM = f"{TLS}.UpstreamTlsContext"


def options(**names: Any) -> dict[str, Any]:
    typed = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "upstream_http_protocol_options": names,
    }
    return {"typed_extension_protocol_options": {OPTIONS: typed}}


def configured(address: SocketAddress, transport_socket: dict[str, Any], hostname: str = "", **fields: Any) -> str:
    rest = ", ".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    text = bootstrap(
        clusters=cluster(
            address, fields=f"transport_socket: {json.dumps(transport_socket)}" + (f", {rest}" if rest else "")
        )
    )
    return text.replace("endpoint: {", f"endpoint: {{hostname: {hostname}, ") if hostname else text


async def statuses(
    host: Host, transport_socket: dict[str, Any], *requests: tuple[str, Mapping[str, str]], **fields: Any
) -> list[int]:
    """Those of requests for these hosts with these headers."""
    found = []
    async with (
        origin(host.serve) as upstream,
        serving(one_listener(configured(upstream.address, transport_socket, **fields))) as rig,
    ):
        for name, headers in requests:
            lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
            answer = await ask(rig, f"GET / HTTP/1.1\r\nhost: {name}\r\n{lines}\r\n".encode())
            found.append(int(answer.split(b" ")[1]))
    return found


def asked(*names: str) -> list[tuple[str, Mapping[str, str]]]:
    return [(name, {}) for name in names]


@run_trio
@pytest.mark.field(f"{OPTIONS}.upstream_http_protocol_options", f"{NAMES}.auto_sni")
async def test_a_connection_is_for_requests_of_one_name(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    await statuses(
        host, speaking(sni="else"), *asked("a.test", "A.test:80", "b.test", "a.test"), **options(auto_sni=True)
    )
    assert host.names == ["a.test", "b.test"]


@run_trio
@pytest.mark.field(f"{CLUSTER}.upstream_http_protocol_options")
async def test_the_option_in_the_cluster_itself(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    await statuses(host, speaking(), *asked("a.test"), upstream_http_protocol_options={"auto_sni": True})
    assert host.names == ["a.test"]


@run_trio
@pytest.mark.field(f"{NAMES}.override_auto_sni_header")
async def test_a_header_that_has_the_name(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    names = options(auto_sni=True, override_auto_sni_header="X-Name")
    await statuses(host, speaking(), ("a.test", {"x-name": "b.test"}), ("a.test", {}), **names)
    assert host.names == ["b.test", "a.test"]


@run_trio
async def test_a_header_whose_value_is_another_one_with_every_request(tmp_path: Path) -> None:
    """The express lane keeps one plan for all of them; it must not keep one name."""
    host = Host(tmp_path, server())
    names = options(auto_sni=True, override_auto_sni_header="x-correlation-id")
    async with (
        origin(host.serve) as upstream,
        serving(one_listener(configured(upstream.address, speaking(), **names))) as rig,
    ):
        requests = [f"GET / HTTP/1.1\r\nhost: a\r\nx-correlation-id: n{number % 3}.test\r\n\r\n" for number in range(9)]
        await ask(rig, *(request.encode() for request in requests))
    assert host.names == ["n0.test", "n1.test", "n2.test"]


@run_trio
@pytest.mark.field(f"{NAMES}.auto_san_validation")
async def test_the_certificate_is_for_the_requests_name(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    found = await statuses(
        host, speaking(trusting()), *asked("a.test", "x.b.test", "else.test"), **options(auto_san_validation=True)
    )
    assert found == [200, 200, 503]


@run_trio
@pytest.mark.field(f"{UPSTREAM}.auto_host_sni")
async def test_a_hosts_own_name(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    await statuses(host, speaking(sni="else", auto_host_sni=True), *asked("a"), hostname="host.test")
    await statuses(host, speaking(sni="else", auto_host_sni=True), *asked("a"))
    assert host.names == ["host.test", "else"]


@run_trio
@pytest.mark.field(f"{UPSTREAM}.auto_sni_san_validation")
async def test_the_certificate_is_for_the_name_that_was_sent(tmp_path: Path) -> None:
    host = Host(tmp_path, server())
    assert await statuses(host, speaking(trusting(), sni="x.b.test", auto_sni_san_validation=True), *asked("a")) == [
        200
    ]
    assert await statuses(host, speaking(trusting(), sni="else", auto_sni_san_validation=True), *asked("a")) == [503]


@run_trio
async def test_pools_of_names_are_bounded_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.pools.MAX_NAMED_POOLS", 2)
    host = Host(tmp_path, server())
    async with (
        origin(host.serve) as upstream,
        serving(one_listener(configured(upstream.address, speaking(), **options(auto_sni=True)))) as rig,
    ):
        for number in range(4):
            await ask(rig, f"GET / HTTP/1.1\r\nhost: n{number}.test\r\n\r\n".encode())
        assert rig.stats.value("cluster.origin.upstream_cx_active") == 2
        await ask(rig, b"GET / HTTP/1.1\r\nhost: n3.test\r\n\r\n")
        assert rig.stats.value("cluster.origin.upstream_cx_total") == 4
        upstreams = rig.server._clusters.get("origin")
        assert upstreams is not None
        upstreams.reap(trio.current_time() + 7200)
        upstreams.reap(trio.current_time() + 7200)
        assert rig.stats.value("cluster.origin.upstream_cx_active") == 0
        assert not upstreams.draining


def test_faults() -> None:
    def messages(transport_socket: dict[str, Any], **fields: Any) -> str:
        found = findings(configured(SocketAddress("127.0.0.1", 9), transport_socket, **fields))
        return " ".join(finding.message for finding in found)

    assert "nothing says who may" in messages(speaking(auto_sni_san_validation=True))
    assert "no certificate would do" in messages(speaking(), **options(auto_san_validation=True))
    assert not messages(speaking(trusting()), **options(auto_san_validation=True))
    both = {**options(auto_sni=True), "upstream_http_protocol_options": {"auto_sni": True}}
    assert "nobody reads it" in messages(speaking(), **both)
