"""The preflight process, from options to the committed form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from master.preflight import _needs_restart, committed
from proxy.config.bootstrap import CompiledConfig, Node, decode
from proxy.config.cluster import Endpoints
from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.config.listener import Listener
from tests.kit.config import compiled


def preflight(**options: Any) -> tuple[int, str, bytes]:
    """Exit code, standard error, what was written to the memfd."""
    out = os.memfd_create("out")
    try:
        process = subprocess.run(
            [sys.executable, "-m", "master.preflight", "--out-fd", str(out)],
            input=json.dumps(options),
            capture_output=True,
            text=True,
            pass_fds=[out],
            timeout=60,
            check=False,
        )
        return process.returncode, process.stderr, os.pread(out, 1 << 20, 0)
    finally:
        os.close(out)


def split(data: bytes) -> tuple[dict[str, Any], CompiledConfig]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), decode(data[8 + size :])


def test_listen_and_upstream_make_a_whole_configuration() -> None:
    code, errors, data = preflight(listen="127.0.0.1:0", upstream="[::1]:9000", version=7)
    assert (code, errors) == (0, "")
    manifest, config = split(data)
    assert manifest == {
        "version": 1,
        "listeners": [
            {
                "name": "main",
                "addresses": [{"host": "127.0.0.1", "port": 0}],
                "reuse_port": True,
                "backlog": 0,
                "takes_idle": True,
            }
        ],
        "admin": None,
        "state_versions": [1],
        "clusters": 1,
        "hosts": 1,
    }
    assert config.version == 7
    assert config.endpoints.clusters["upstream"].localities[0].hosts[0].address == SocketAddress("::1", 9000)


def test_a_bad_configuration_exits_3_and_writes_nothing() -> None:
    yaml = "static_resources: {listeners: [{name: l, address: {socket_address: {address: nowhere, port_value: 1}}}]}"
    code, errors, data = preflight(config_yaml=yaml)
    assert code == 3
    assert "nowhere" in errors
    assert "no filter chains" in errors
    assert data == b""


def test_config_yaml_is_merged_over_the_rest() -> None:
    code, errors, data = preflight(
        listen="127.0.0.1:0",
        upstream="127.0.0.1:1",
        config_yaml="{node: {id: me}, admin: {address: {pipe: {path: /tmp/admin.sock, mode: 384}}}}",
    )
    assert (code, errors) == (0, "")
    manifest, config = split(data)
    assert manifest["admin"] == {"path": "/tmp/admin.sock", "mode": 0o600}
    assert config.node.id == "me"


def test_a_missing_file_and_a_bad_shortcut_are_named() -> None:
    assert preflight(config_path="/nonexistent/envoy.yaml")[:2][0] == 3
    assert "/nonexistent/envoy.yaml" in preflight(config_path="/nonexistent/envoy.yaml")[1]
    assert "go together" in preflight(upstream="127.0.0.1:1")[1]
    assert "'8080' is not host:port" in preflight(listen="8080", upstream="127.0.0.1:1")[1]


@pytest.mark.field(
    "envoy.config.listener.v3.Listener.enable_reuse_port",
    "envoy.config.listener.v3.Listener.tcp_backlog_size",
    "envoy.config.core.v3.Pipe.mode",
)
def test_the_manifest_tells_the_supervisor_how_to_listen() -> None:
    text = (
        "static_resources: {listeners: [{name: a, address: {pipe: {path: /run/x, mode: 384}}, filter_chains: [{}],"
        "enable_reuse_port: false, tcp_backlog_size: 7}]}"
    )
    manifest, _ = split(committed(compiled(text)))
    assert manifest["listeners"] == [
        {
            "name": "a",
            "addresses": [{"path": "/run/x", "mode": 0o600}],
            "reuse_port": False,
            "backlog": 7,
            "takes_idle": False,
        }
    ]


def test_what_no_reload_can_change_is_named() -> None:
    def listening(*addresses: Address, name: str = "web", reuse_port: bool = True) -> CompiledConfig:
        made = Listener(name, addresses, "x", (), enable_reuse_port=reuse_port)
        return CompiledConfig(1, Node(), (made,), (), Endpoints(1, {}))

    tcp, pipe = SocketAddress("127.0.0.1", 80), PipeAddress("/run/a", 0o600)
    free = SocketAddress("127.0.0.1", 0)
    before = listening(tcp, pipe, free)
    assert _needs_restart(before, before) == []
    assert _needs_restart(listening(tcp, pipe, name="other"), before) == []
    assert len(_needs_restart(listening(tcp, reuse_port=False), before)) == 1
    assert len(_needs_restart(listening(tcp, PipeAddress("/run/a", 0o666)), before)) == 1
    assert _needs_restart(listening(free, name="other", reuse_port=False), before) == []
    moved = msgspec.structs.replace(before, admin_address=tcp)
    assert _needs_restart(moved, before) == ["admin.address"]
