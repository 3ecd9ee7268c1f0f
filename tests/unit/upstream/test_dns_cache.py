"""Names that requests bring: who waits for what, and how long a name is kept. On a virtual clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from proxy.config.dns import DnsResolver, LookupFamily
from proxy.config.dns_cache import DnsCache as Config
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result
from proxy.errors import Flag, ProxyError
from proxy.stats import MemoryStats
from proxy.upstream.background import Background
from proxy.upstream.dns_cache import DnsCache, key_of, split
from tests.kit.trio import run_trio


class Zone:
    """Answers after `takes` seconds."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}
        self.asked: list[tuple[float, str]] = []
        self.takes = 0.5

    async def lookup(self, name: str, family: LookupFamily, how: DnsResolver) -> Result:
        self.asked.append((trio.current_time(), name))
        await trio.sleep(self.takes)
        return self.results.get(name, Resolved())


class Rig:
    def __init__(self, nursery: trio.Nursery, **config: Any) -> None:
        self.zone, self.stats, self.retired, self.changes = Zone(), MemoryStats(), trio.Event(), 0
        self.zone.results["web"] = Resolved((Answer("10.0.0.1", 30), Answer("10.0.0.2", 20)))
        self.zone.results["lost"] = Failed(Failure.SERVER_FAILURE)
        self.background = Background()
        self.cache = DnsCache(
            Config("x", **config), self.stats, self.zone, self.background, self._changed, self.retired
        )
        nursery.start_soon(self.background.run)

    def _changed(self) -> None:
        self.changes += 1

    def count(self, name: str) -> int:
        return self.stats.value(f"dns_cache.x.{name}")

    def found(self, name: str = "web") -> list[str]:
        known = self.cache.find(name, 80)
        return [] if known is None else [str(address) for address in known.addresses]


def cached(**config: Any) -> Callable[[Callable[[Rig], Any]], Callable[[], None]]:
    def decorate(test: Callable[[Rig], Any]) -> Callable[[], None]:
        async def run() -> None:
            async with trio.open_nursery() as nursery:
                rig = Rig(nursery, **config)
                await wait_all_tasks_blocked()
                await test(rig)
                nursery.cancel_scope.cancel()

        return run_trio(virtual_time=True, deadline=100_000.0)(run)

    return decorate


@cached()
async def test_who_comes_first_waits_and_the_others_need_not(rig: Rig) -> None:
    assert rig.found() == []
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(rig.cache.load, "web", 80)
    assert trio.current_time() - start == 0.5
    assert rig.found() == ["10.0.0.1:80", "10.0.0.2:80"]
    await rig.cache.load("web", 80)
    assert trio.current_time() - start == 0.5
    assert len(rig.zone.asked) == 1
    counted = {name: rig.count(name) for name in ("dns_query_attempt", "dns_query_success", "host_added", "num_hosts")}
    assert set(counted.values()) == {1}
    assert (rig.count("host_address_changed"), rig.changes) == (1, 1)


@cached(host_ttl=10_000.0)
async def test_a_name_is_asked_for_again_after_its_ttl(rig: Rig) -> None:
    await rig.cache.load("web", 80)
    rig.zone.results["web"] = Resolved((Answer("10.0.0.3", 1),))
    await trio.sleep(25)
    assert rig.found() == ["10.0.0.3:80"]
    assert rig.count("host_address_changed") == 2
    rig.zone.results["web"] = Resolved((Answer("10.0.0.3", 0),))
    await trio.sleep(100)
    moments = [at for at, _ in rig.zone.asked]
    waits = [round(later - at - 0.5) for at, later in itertools.pairwise(moments)]
    assert waits[:2] == [20, 5]  # no less than dns_min_refresh_rate
    assert waits[2] == 60
    assert rig.count("host_address_changed") == 2


@cached(host_ttl=10_000.0, failure_base=2.0, failure_max=2.0, refresh_rate=2.0)
async def test_a_failure_takes_nothing_away(rig: Rig) -> None:
    await rig.cache.load("web", 80)
    rig.zone.results["web"] = Failed(Failure.SERVER_FAILURE)
    await trio.sleep(30)
    assert rig.count("dns_query_failure") > 1
    rig.zone.results["web"] = Resolved()
    await trio.sleep(30)
    await rig.cache.load("web", 80)
    assert rig.found() == ["10.0.0.1:80", "10.0.0.2:80"]


@cached()
async def test_why_there_is_no_address(rig: Rig) -> None:
    for name, reason in (("lost", "server_failure"), ("nowhere", "no_records")):
        with pytest.raises(ProxyError) as caught:
            await rig.cache.load(name, 80)
        error = caught.value
        assert (error.detail, error.status) == (f"dns_resolution_failure{{{reason}}}", 503)
        assert error.flag is Flag.DNS_RESOLUTION_FAILED
    rig.zone.takes = 60.0
    with pytest.raises(ProxyError, match="resolve_timeout"):
        await rig.cache.load("slow", 80)
    assert (rig.count("dns_query_failure"), rig.count("dns_query_timeout"), rig.count("dns_query_success")) == (2, 1, 1)
    start = trio.current_time()
    with pytest.raises(ProxyError, match="resolve_timeout"):  # it is known, and nobody waits
        await rig.cache.load("slow", 80)
    assert trio.current_time() == start


@cached(refresh_on_failure=False)
async def test_without_refresh_the_next_request_asks_again(rig: Rig) -> None:
    for _ in range(2):
        with pytest.raises(ProxyError, match="server_failure"):
            await rig.cache.load("lost", 80)
    assert len(rig.zone.asked) == 2
    assert (rig.count("host_removed"), rig.count("num_hosts")) == (2, 0)


@cached(host_ttl=50.0)
async def test_a_name_that_nobody_asks_for_is_forgotten(rig: Rig) -> None:
    await rig.cache.load("web", 80)
    for _ in range(5):
        await trio.sleep(30)
        assert rig.found()  # which is asking for it
    changes = rig.changes
    await trio.sleep(100)
    assert rig.found() == []
    assert (rig.count("host_removed"), rig.count("num_hosts"), rig.changes) == (1, 0, changes + 1)


@cached(max_hosts=2)
async def test_there_are_so_many_names_at_most(rig: Rig) -> None:
    await rig.cache.load("web", 80)
    await rig.cache.load("web", 81)
    with pytest.raises(ProxyError, match="dns_cache_overflow"):
        await rig.cache.load("web", 82)
    await rig.cache.load("web", 80)
    assert (rig.count("host_overflow"), rig.count("host_added")) == (1, 2)


@cached(max_pending=2)
async def test_so_many_wait_at_most(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(rig.cache.load, "web", 80)
        await wait_all_tasks_blocked()
        with pytest.raises(ProxyError, match="pending_request_overflow") as caught:
            await rig.cache.load("web", 80)
        assert caught.value.flag is Flag.UPSTREAM_OVERFLOW
    await rig.cache.load("web", 80)
    assert rig.count("dns_rq_pending_overflow") == 1


@cached(preresolve=(("web", 80),))
async def test_names_of_the_configuration(rig: Rig) -> None:
    rig.cache.preresolve()
    await trio.sleep(1)
    assert rig.found() == ["10.0.0.1:80", "10.0.0.2:80"]


@cached()
async def test_it_ends_with_its_cluster(rig: Rig) -> None:
    await rig.cache.load("web", 80)
    rig.retired.set()
    await wait_all_tasks_blocked()
    assert rig.cache.names == {}


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"web.example", ("web.example", 80)),
        (b"web.example:8080", ("web.example", 8080)),
        (b"[2001:db8::1]:81", ("2001:db8::1", 81)),
        (b"[2001:db8::1]", ("2001:db8::1", 80)),
        (b"web.example:x", ("web.example:x", 80)),
        (b"web.example:65536", ("web.example:65536", 80)),
        (b"[x", ("[x", 80)),
        (b"", ("", 80)),
    ],
)
def test_authorities(authority: bytes, expected: tuple[str, int]) -> None:
    assert split(authority, 80) == expected


def test_keys() -> None:
    assert [key_of("web", 80), key_of("::1", 80)] == ["web:80", "[::1]:80"]
