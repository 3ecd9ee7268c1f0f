import pytest
import trio
import trio.testing

from proxy.config.common import SocketAddress
from proxy.config.dns import MACHINE, DnsResolver, LookupFamily
from proxy.dns.resolvers import Counting, Resolvers
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result
from proxy.stats import MemoryStats
from tests.kit.dns_server import DnsServer
from tests.kit.trio import run_trio


def asking(server: DnsServer) -> DnsResolver:
    return DnsResolver((SocketAddress("127.0.0.1", server.port),), search=False)


@run_trio
async def test_the_same_question_is_asked_once_at_a_time() -> None:
    with DnsServer() as server:
        server.add("web.example", "A", "10.0.0.1")
        server.add("web.example", "AAAA", "fd00::1")
        resolvers, how, answers = Resolvers(MemoryStats()), asking(server), list[Result]()

        async def ask(family: LookupFamily) -> None:
            answers.append(await resolvers.lookup("web.example", family, how))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, "V4_ONLY")
            nursery.start_soon(ask, "V6_ONLY")
        assert sorted(server.asked("web.example")) == ["A", "AAAA"]
        assert answers.count(Resolved((Answer("10.0.0.1", 60),))) == 5
        await resolvers.lookup("web.example", "V4_ONLY", how)
        assert len(server.asked("web.example")) == 3


@run_trio
async def test_when_who_asks_goes_somebody_else_asks() -> None:
    with DnsServer() as server:
        server.add("web.example", "A", "10.0.0.1")
        resolvers, how, answers, scope = Resolvers(MemoryStats()), asking(server), list[Result](), trio.CancelScope()

        async def first() -> None:
            with scope:
                await resolvers.lookup("web.example", "V4_ONLY", how)

        async def second() -> None:
            scope.cancel()
            answers.append(await resolvers.lookup("web.example", "V4_ONLY", how))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(second)
        assert answers == [Resolved((Answer("10.0.0.1", 60),))]


@run_trio
async def test_each_way_of_asking_has_its_own_servers() -> None:
    with DnsServer() as one, DnsServer() as other:
        one.add("web.example", "A", "10.0.0.1", ttl=0)
        other.add("web.example", "A", "10.0.0.2", ttl=0)
        resolvers = Resolvers(MemoryStats())
        assert await resolvers.lookup("web.example", "V4_ONLY", asking(one)) == Resolved((Answer("10.0.0.1"),))
        assert await resolvers.lookup("web.example", "V4_ONLY", asking(other)) == Resolved((Answer("10.0.0.2"),))


class Fixed:
    def __init__(self, result: Result) -> None:
        self.result = result

    async def lookup(self, name: str, family: LookupFamily) -> Result:
        return self.result


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        (Resolved((Answer("10.0.0.1"),)), ""),
        (Resolved(), "not_found"),
        (Failed(Failure.TIMEOUT), "timeouts"),
        (Failed(Failure.SERVER_FAILURE), "get_addr_failure"),
    ],
)
@run_trio
async def test_what_is_counted(result: Result, counted: str) -> None:
    stats = MemoryStats()
    assert await Counting(Fixed(result), stats).lookup("x", "AUTO") == result
    assert stats.value("dns.cares.resolve_total") == 1
    assert stats.value("dns.cares.pending_resolutions") == 0
    for name in ("not_found", "timeouts", "get_addr_failure", "reinits"):
        assert stats.value(f"dns.cares.{name}") == (name == counted)


def test_the_c_library_is_asked_by_who_wants_it() -> None:
    stats = MemoryStats()

    def ask(how: DnsResolver) -> Result:
        return trio.run(Resolvers(stats).lookup, "127.0.0.9", "V4_ONLY", how)

    assert ask(DnsResolver(getaddrinfo=True)) == Resolved((Answer("127.0.0.9", 60),))
    assert "dns.cares.resolve_total" not in stats.words
    assert ask(MACHINE) == Resolved((Answer("127.0.0.9"),))
    assert stats.value("dns.cares.resolve_total") == 1
