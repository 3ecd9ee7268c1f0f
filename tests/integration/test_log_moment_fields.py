"""Fields that have entries written at other moments than an exchange's end: text, compiler, sockets, lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.test_fields import one_listener
from tests.kit.bootstrap import (
    HCM,
    ROUTER,
    bootstrap,
    http_listener,
    route,
    socket_address,
    static_cluster,
    virtual_host,
)
from tests.unit.proxy.rig import serving
from tests.unit.upstream.rig import OK, origin

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
HCM_NAME, ROUTER_NAME = HCM.rpartition("/")[2], ROUTER.rpartition("/")[2]
GET = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
SWITCH = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def logger(path: Path) -> dict[str, Any]:
    line = {"text_format_source": {"inline_string": "%ACCESS_LOG_TYPE% %RESPONSE_CODE%\n"}}
    return {"name": "log", "typed_config": {"@type": FILE, "path": str(path), "log_format": line}}


def types(listener: dict[str, Any], path: Path, *, request: bytes = GET, wait: float = 0.0) -> list[str]:
    """The types of the entries for one request on one connection, whose answer takes `wait` seconds."""

    async def answer(stream: trio.SocketStream) -> None:
        if await stream.receive_some():
            await trio.sleep(wait)
            await stream.send_all(
                OK if request is GET else b"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
            )

    async def run() -> None:
        async with origin(answer) as upstream:
            port = upstream.address.port  # type: ignore[union-attr]
            config = one_listener(bootstrap([listener], [static_cluster("origin", port)]))
            async with serving(config) as rig:
                await rig.ask(request)
                await rig.quiet()
                await rig.stop()

    trio.run(run)
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def http(router: dict[str, Any] | None = None, **hcm: Any) -> dict[str, Any]:
    everything = virtual_host("v", ["*"], route("/", "origin"))
    filters = [{"name": "router", "typed_config": {"@type": ROUTER, **(router or {})}}]
    return http_listener(everything, http_filters=filters, **hcm)


@pytest.mark.field(f"{ROUTER_NAME}.upstream_log")
def test_attempts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert types(http({"upstream_log": [logger(path)]}), path) == ["UpstreamEnd"]


@pytest.mark.field(f"{ROUTER_NAME}.upstream_log_options")
@pytest.mark.field(f"{ROUTER_NAME}.UpstreamAccessLogOptions.flush_upstream_log_on_upstream_stream")
def test_attempts_that_have_a_connection(tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = {"flush_upstream_log_on_upstream_stream": True}
    listener = http({"upstream_log": [logger(path)], "upstream_log_options": options})
    assert types(listener, path) == ["UpstreamPoolReady", "UpstreamEnd"]


@pytest.mark.field(f"{ROUTER_NAME}.UpstreamAccessLogOptions.upstream_log_flush_interval")
def test_attempts_that_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = {"upstream_log_flush_interval": "0.05s"}
    found = types(http({"upstream_log": [logger(path)], "upstream_log_options": options}), path, wait=0.2)
    assert found[0] == "UpstreamPeriodic"
    assert found[-1] == "UpstreamEnd"


@pytest.mark.field(f"{HCM_NAME}.HcmAccessLogOptions.access_log_flush_interval")
def test_exchanges_that_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = {"access_log_flush_interval": "0.05s"}
    found = types(http(access_log=[logger(path)], access_log_options=options), path, wait=0.2)
    assert found[0] == "DownstreamPeriodic"
    assert found[-1] == "DownstreamEnd"


@pytest.mark.field(f"{HCM_NAME}.HcmAccessLogOptions.flush_log_on_tunnel_successfully_established")
def test_tunnels(tmp_path: Path) -> None:
    path = tmp_path / "log"
    listener = http(
        access_log=[logger(path)],
        access_log_options={"flush_log_on_tunnel_successfully_established": True},
        upgrade_configs=[{"upgrade_type": "websocket"}],
    )
    assert types(listener, path, request=SWITCH) == ["DownstreamTunnelSuccessfullyEstablished", "DownstreamEnd"]


@pytest.mark.field(f"{TCP_PROXY}.TcpAccessLogOptions.access_log_flush_interval")
def test_connections_that_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    proxy = {
        "@type": f"type.googleapis.com/{TCP_PROXY}",
        "stat_prefix": "t",
        "cluster": "origin",
        "access_log": [logger(path)],
        "access_log_options": {"access_log_flush_interval": "0.05s"},
    }
    filters = [{"name": "t", "typed_config": proxy}]
    listener = {"name": "main", "address": socket_address("127.0.0.1", 0), "filter_chains": [{"filters": filters}]}
    found = types(listener, path, wait=0.2)
    assert found[0] == "TcpPeriodic"
    assert found[-1] == "TcpConnectionEnd"


@pytest.mark.field("envoy.config.listener.v3.Listener.access_log")
def test_connections_of_a_listener(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert types({**http(), "access_log": [logger(path)]}, path) == ["NotSet"]
