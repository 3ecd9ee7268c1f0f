"""Tunnels through reloads, restarts and the end of a drain; curl through CONNECT to nginx."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.nginx import Nginx, free_port
from tests.integration.reload.reloading import reload
from tests.integration.restart.restarting import restart
from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tunnel_origin import TunnelOrigin

ASK = b"GET /echo HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
LINE = {"status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%"}


def web(**fields: Any) -> Fields:
    log = {"@type": FILE, "path": "{directory}/access.log", "log_format": {"json_format": LINE}}
    return http_listener(
        virtual_host("all", ["*"], route("/", "origin")),
        name="web",
        upgrade_configs=[{"upgrade_type": "websocket", **fields}],
        access_log=[{"name": "file", "typed_config": log}],
    )


@pytest.fixture
def origin() -> Iterator[TunnelOrigin]:
    with TunnelOrigin() as origin:
        yield origin


@contextlib.contextmanager
def opened(proxy: Proxy) -> Iterator[socket.socket]:
    """A tunnel to the origin, which gives everything back."""
    with socket.create_connection(proxy.address("web"), 30) as sock:
        sock.sendall(ASK)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield sock


def echoes(sock: socket.socket, data: bytes) -> bool:
    sock.sendall(data)
    return sock.recv(len(data), socket.MSG_WAITALL) == data


def change(proxy: Proxy, **fields: Any) -> dict[str, str]:
    """Reload with other fields of the listener or its upgrade: how each resource has changed."""
    tree = yaml.safe_load(proxy.config.read_text())
    (listener,) = tree["static_resources"]["listeners"]
    limit = fields.pop("per_connection_buffer_limit_bytes", None)
    if limit:
        listener["per_connection_buffer_limit_bytes"] = limit
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["upgrade_configs"][0].update(fields)
    proxy.config.write_text(yaml.safe_dump(tree))
    return {f"{change['kind']} {change['name']}": change["how"] for change in reload(proxy)["changes"]}


def test_a_tunnel_outlives_reloads_of_its_listener(origin: TunnelOrigin) -> None:
    with (
        Proxy(bootstrap([web()], [static_cluster("origin", origin.port)])) as proxy,
        opened(proxy) as first,
    ):
        assert change(proxy, per_connection_buffer_limit_bytes=40_000) == {"listener web": "drains"}
        assert echoes(first, b"after the first")
        with opened(proxy) as second:
            change(proxy, enabled=False)
            assert echoes(first, b"after the second")
            assert echoes(second, b"after the second")
            with pytest.raises(AssertionError, match=" 403 "), opened(proxy):
                pass
        assert proxy.stats()["http.web.downstream_cx_upgrades_active"] == 1
    wait_for(lambda: origin.connections == 2, deadline=5, what="nobody else came to the origin")


def test_a_drains_deadline_cuts_it_and_says_so(origin: TunnelOrigin) -> None:
    arguments = ("--parent-shutdown-time-s", "1", "--shutdown-drain-time-s", "0.1")
    config = bootstrap([web()], [static_cluster("origin", origin.port)])
    with Proxy(config, arguments=arguments) as proxy, opened(proxy) as sock:
        assert echoes(sock, b"x")
        assert restart(proxy).returncode == 0  # which may take as long as the drain
        assert sock.recv(1) == b""
        log = proxy.directory / "access.log"
        wait_for(lambda: log.exists() and log.read_text(), deadline=20, what="the end is logged")
        assert json.loads(log.read_text()) == {
            "status": 101, "flags": "DC", "details": "downstream_local_disconnect",
        }  # fmt: skip
        cut = [
            "http.web.downstream_cx_destroy_local_active_rq",
            "cluster.origin.upstream_cx_destroy_local_with_active_rq",
        ]
        wait_for(lambda: all(proxy.stats()[name] == 1 for name in cut), deadline=20, what="both ends are counted")
        assert proxy.stats()["http.web.downstream_cx_upgrades_active"] == 0
        (reason,) = json.loads(proxy.admin("/why?format=json").body)["failures"]
        assert reason["detail"] == "downstream_local_disconnect"


SITE = 'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "nginx says $http_host $request_uri\\n"; }} }}'


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """curl's --proxy. Tunnels to `terminated.test` end here, those to `forwarded.test` at the next one, `inner`."""
    if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None or shutil.which("curl") is None:
        pytest.skip("nginx or curl is not installed")
    port, inner = free_port(), tmp_path_factory.mktemp("inner") / "inner.sock"
    with Nginx(SITE.format(port=port), port):
        hosts = [
            connecting("terminated", "site", {"upgrade_type": "CONNECT", "connect_config": {}}),
            connecting("forwarded", "inner", {"upgrade_type": "CONNECT"}),
            connecting("refused", "inner", {"upgrade_type": "CONNECT", "enabled": False}),
        ]
        ending = connecting("*", "site", {"upgrade_type": "CONNECT", "connect_config": {}})
        next_proxy = http_listener(ending, name="inner") | {"address": {"pipe": {"path": str(inner)}}}
        to_inner = static_cluster("inner")
        to_inner["load_assignment"]["endpoints"] = [
            {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(inner)}}}}]}
        ]
        text = bootstrap([http_listener(*hosts, name="outer"), next_proxy], [static_cluster("site", port), to_inner])
        with Proxy(text) as proxy:
            yield "http://{}:{}".format(*proxy.address("outer"))


def connecting(name: str, cluster: str, upgrade: Fields) -> Fields:
    to = {"match": {"connect_matcher": {}}, "route": {"cluster": cluster, "upgrade_configs": [upgrade]}}
    return virtual_host(name, [name if name == "*" else f"{name}.test:80"], to)


def curl(proxy: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", "--max-time", "20", "--proxytunnel", "--proxy", proxy, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("host", ["terminated", "forwarded"])
def test_curl_through_a_tunnel_to_nginx(proxied: str, host: str, tmp_path: Path) -> None:
    site, body = f"http://{host}.test", tmp_path / "body"
    body.write_bytes(b"x" * 3_000_000)
    for arguments, targets in (((), ("/one", "/two")), (("-X", "POST", "-T", str(body)), ("/three",))):
        done = curl(proxied, *arguments, *(site + target for target in targets))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"nginx says {host}.test {target}" for target in targets]


def test_curl_is_refused_a_tunnel(proxied: str) -> None:
    done = curl(proxied, "http://refused.test/")
    assert done.returncode == 56, done
    assert "403" in done.stderr
