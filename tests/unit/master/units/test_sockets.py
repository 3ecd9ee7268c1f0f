"""`--socket PORT`: the addresses of listeners."""

from __future__ import annotations

import pytest

from master.units.sockets import streams
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import PipeAddress, SocketAddress
from proxy.config.listener import Listener
from tests.kit.view import configuration


def config() -> CompiledConfig:
    web = Listener("web", (SocketAddress("0.0.0.0", 80), SocketAddress("::", 80)), "p", ())
    api = Listener("api", (PipeAddress("/run/api:80"),), "p", ())
    return configuration([], listeners=(web, api))


def test_ports_and_addresses() -> None:
    assert streams(config(), ["80"]) == ["0.0.0.0:80", "[::]:80"]
    assert streams(config(), ["[::]:80", "/run/api:80", "[::]:80"]) == ["[::]:80", "/run/api:80"]
    assert streams(config(), []) == []


def test_a_port_of_no_listener() -> None:
    with pytest.raises(LookupError, match=r"address 8080; there are 0\.0\.0\.0:80, \[::\]:80, /run/api:80"):
        streams(config(), ["80", "8080"])
