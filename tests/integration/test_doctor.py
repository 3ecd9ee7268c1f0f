"""`proxyctl doctor` on this machine: beside a running proxy, before one, and with a port that is taken."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.envoy import with_free_ports
from tests.kit.proxy import Proxy, proxyctl


def examined(*arguments: str, runtime: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and the findings by check."""
    done = proxyctl("doctor", "--json", *arguments, runtime=runtime)
    return done.returncode, {found["check"]: found for found in json.loads(done.stdout)["data"]}


def test_a_running_proxy_is_recognised() -> None:
    with Proxy(one_cluster(1)) as proxy:
        host, port = proxy.address()
        fixed = proxy.config.read_text().replace("port_value: 0", f"port_value: {port}")
        proxy.config.write_text(fixed)
        code, found = examined("-c", str(proxy.config), runtime=proxy.runtime)
        assert found["runtime directory"]["text"].endswith(f"pid {proxy.pid}")
        assert "held by the proxy" in found[f"address {host}:{port}"]["text"]
        assert code == 0


def test_a_port_that_is_taken_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "envoy.yaml"
        config.write_text(with_free_ports(one_cluster(1)).replace("port_value: 0", f"port_value: {port}"))
        code, found = examined("-c", str(config), runtime=tmp_path / "run")
        assert code == 1
        assert found[f"address 127.0.0.1:{port}"]["level"] == "fault"


@pytest.mark.parametrize("text", ["static_resources: {listeners: [{nme: x}]}", "{"])
def test_a_bad_configuration_is_a_fault_and_the_rest_is_looked_at(tmp_path: Path, text: str) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(text)
    code, found = examined("-c", str(config), runtime=tmp_path / "run")
    assert code == 1
    assert found["configuration"]["level"] == "fault"
    assert "proxyctl validate" in found["configuration"]["remedy"]
    assert found["pidfd"]["level"] == "ok"


def test_the_text_names_level_and_remedy(tmp_path: Path) -> None:
    done = proxyctl("doctor", "-c", str(tmp_path / "missing.yaml"), runtime=tmp_path / "run")
    assert done.returncode == 1
    assert done.stdout.startswith("fault   configuration: ")
    assert "        → " in done.stdout
    assert "found a fault" in done.stderr
