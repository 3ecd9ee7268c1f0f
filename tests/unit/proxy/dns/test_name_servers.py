"""Whom a resolver asks, and how, where a configuration says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.common import SocketAddress
from proxy.config.dns import DnsResolver
from proxy.dns.resolver import Resolver
from proxy.dns.result import Answer, Failed, Resolved
from tests.kit.dns_server import DnsServer
from tests.kit.trio import run_trio

OURS, MACHINES = Resolved((Answer("10.0.0.1"),)), Resolved((Answer("10.0.0.2"),))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[DnsServer, DnsServer]]:
    """One of our own, and the machine's."""
    with DnsServer() as own, DnsServer() as machines:
        own.add("web.example", "A", "10.0.0.1", ttl=0)
        machines.add("web.example", "A", "10.0.0.2", ttl=0)
        own.add("short.a.test", "A", "10.0.0.1", ttl=0)
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch a.test\noptions timeout:1 attempts:1\n")
        (tmp_path / "named.conf").write_text("nameserver 127.0.0.1\nnameserver 127.0.0.1\n")
        yield own, machines


def at(server: DnsServer) -> tuple[SocketAddress, ...]:
    return (SocketAddress("127.0.0.1", server.port),)


def resolver(how: DnsResolver, machines: DnsServer, tmp_path: Path, conf: str = "resolv.conf") -> Resolver:
    return Resolver(how, resolv_conf_path=tmp_path / conf, hosts_path=tmp_path / "none", port=machines.port)


@run_trio
async def test_servers_of_ones_own(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    assert await resolver(DnsResolver(), machines, tmp_path).lookup("web.example", "V4_ONLY") == MACHINES
    assert await resolver(DnsResolver(at(own)), machines, tmp_path).lookup("web.example", "V4_ONLY") == OURS


@run_trio
async def test_servers_that_only_help_out(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    how = DnsResolver(at(own), fallback=True)
    assert await resolver(how, machines, tmp_path).lookup("web.example", "V4_ONLY") == OURS
    assert await resolver(how, machines, tmp_path, "named.conf").lookup("web.example", "V4_ONLY") == MACHINES


@run_trio
async def test_tcp(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    assert await resolver(DnsResolver(at(own), tcp=True), machines, tmp_path).lookup("web.example", "V4_ONLY") == OURS
    assert [transport for _, _, transport in own.queries] == ["tcp"]


@run_trio
async def test_the_search_list(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    assert await resolver(DnsResolver(at(own)), machines, tmp_path).lookup("short", "V4_ONLY") == OURS
    how = DnsResolver(at(own), search=False)
    assert await resolver(how, machines, tmp_path).lookup("short", "V4_ONLY") == Resolved()


@run_trio
async def test_servers_that_take_turns(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    how = DnsResolver(at(own) + at(machines), rotate=True)
    looking = resolver(how, machines, tmp_path)
    assert [await looking.lookup("web.example", "V4_ONLY") for _ in range(3)] == [OURS, MACHINES, OURS]


@run_trio
async def test_how_often_and_how_long_a_server_is_asked(servers: tuple[DnsServer, DnsServer], tmp_path: Path) -> None:
    own, machines = servers
    own.drop("web.example")
    how = DnsResolver(at(own), search=False, timeout=1, tries=1)  # of 5 s and 2 tries, as the file says nothing
    assert isinstance(await resolver(how, machines, tmp_path, "none").lookup("web.example", "V4_ONLY"), Failed)
    assert own.asked("web.example") == ["A"]
