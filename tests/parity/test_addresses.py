"""Where listeners can be and where upstream hosts can be: IPv4, IPv6, Unix sockets, several addresses."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Answers, Pair, exchange, run_pair
from tests.kit.proxy import Proxy
from tests.parity.rules import of


def pipe(path: str, **fields: int) -> Fields:
    return {"pipe": {"path": path, **fields}}


def cluster_of(name: str, address: Fields) -> Fields:
    cluster = static_cluster(name, 1)
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = address
    return cluster


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not has_ipv6():
        pytest.skip("there is no IPv6 loopback to listen on")
    unix = tmp_path_factory.mktemp("origin") / "origin.sock"
    everything = virtual_host(
        "everything",
        ["*"],
        route("/unix", "unix"),
        route("/missing", "missing"),
        route("/six", "six"),
        route("/", "four"),
    )
    listeners = [
        http_listener(everything, name="four") | {"address": socket_address("0.0.0.0", 0)},
        http_listener(everything, name="six") | {"address": socket_address("::1", 0)},
        http_listener(everything, name="unix") | {"address": pipe("{directory}/in.sock", mode=0o640)},
        http_listener(everything, name="several")
        | {
            "additional_addresses": [{"address": socket_address("127.0.0.2", 0)}, {"address": socket_address("::1", 0)}]
        },
    ]
    with Origin("four") as four, Origin("six", host="::1") as six, Origin("unix", unix=unix):
        clusters = [
            static_cluster("four", four.port),
            static_cluster("six", six.port, host="::1"),
            cluster_of("unix", pipe(str(unix))),
            cluster_of("missing", pipe(str(unix.with_name("nobody.sock")))),
        ]
        with run_pair(bootstrap(listeners, clusters)) as running:
            yield running


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


@pytest.mark.parity(
    *of("config.listener.v3.Listener", "address"), *of("config.core.v3.SocketAddress", "address", "port_value")
)
@pytest.mark.parametrize("listener", ["four", "six", "several"])
def test_tcp_listener(pair: Pair, listener: str) -> None:
    answers = pair.send(get("/"), listener=listener)
    assert answers.ours.echo["origin"] == "four"
    answers.assert_same()


@pytest.mark.parity(*of("config.listener.v3.Listener", "additional_addresses"))
def test_every_additional_address_serves(pair: Pair) -> None:
    envoys, ours = pair.envoy.listeners["several"], pair.ours.listeners()["several"]
    assert [host for host, _ in ours] == [host for host, _ in envoys] == ["127.0.0.1", "127.0.0.2", "::1"]
    for addresses in zip(envoys, ours, strict=True):
        Answers(*(exchange(address, get("/")) for address in addresses)).assert_same()


@pytest.mark.parity(*of("config.core.v3.Pipe", "path"))
def test_unix_listener(pair: Pair) -> None:
    paths = [proxy.directory / "in.sock" for proxy in (pair.envoy, pair.ours)]
    assert len({stat.S_IMODE(path.stat().st_mode) for path in paths}) == 1
    Answers(*(exchange(path, get("/")) for path in paths)).assert_same()


@pytest.mark.parity(*of("config.core.v3.Pipe", "path"), *of("config.endpoint.v3.Endpoint", "address"))
@pytest.mark.parametrize("cluster", ["unix", "six", "missing"])
def test_upstream_address(pair: Pair, cluster: str) -> None:
    answers = pair.send(get(f"/{cluster}"), listener="four")
    answers.assert_same()
    if cluster != "missing":
        assert answers.ours.echo["origin"] == cluster


def test_nothing_is_left_of_a_unix_listener() -> None:
    listener = http_listener(virtual_host("v", ["*"], route("/", "c")), name="unix")
    listener["address"] = pipe("{directory}/in.sock")
    with Proxy(bootstrap([listener], [static_cluster("c", 1)])) as proxy:
        path: Path = proxy.directory / "in.sock"
        assert path.is_socket()
        proxy.stop()
        assert not path.exists()
