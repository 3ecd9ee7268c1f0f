import random
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.rcode
import pytest
import trio

from proxy.dns.resolver import Resolver
from proxy.dns.result import Answer, Failed, Failure, Resolved
from tests.kit.dns_server import DnsServer
from tests.kit.trio import run_trio


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch a.test b.test\noptions timeout:1 attempts:1\n")
    (tmp_path / "hosts").write_text("10.1.1.1 filed\nfd00::1 filed\n10.1.1.2 only4.example\n")
    return tmp_path


def resolver(server: DnsServer, files: Path, deadline: float = 30.0) -> Resolver:
    return Resolver(
        resolv_conf_path=files / "resolv.conf", hosts_path=files / "hosts", port=server.port, deadline=deadline
    )


@run_trio
async def test_addresses_with_their_ttl(server: DnsServer, files: Path) -> None:
    server.add("web.example", "A", "10.0.0.1", "10.0.0.2", ttl=7)
    server.add("web.example", "AAAA", "fd00::2", ttl=9)
    looking = resolver(server, files)
    v4 = (Answer("10.0.0.1", 7), Answer("10.0.0.2", 7))
    assert await looking.lookup("web.example", "V4_ONLY") == Resolved(v4)
    assert await looking.lookup("WEB.example.", "AUTO") == Resolved((Answer("fd00::2", 9),))
    assert await looking.lookup("web.example", "ALL") == Resolved((*v4, Answer("fd00::2", 9)))


@run_trio
async def test_cname_chains_and_their_shortest_ttl(server: DnsServer, files: Path) -> None:
    server.add("www.example", "CNAME", "cdn.example.", ttl=5)
    server.add("cdn.example", "CNAME", "edge.example.", ttl=300)
    server.add("edge.example", "A", "10.0.0.9", ttl=60)
    server.add("loop.example", "CNAME", "loop.example.")
    looking = resolver(server, files)
    assert await looking.lookup("www.example", "V4_ONLY") == Resolved((Answer("10.0.0.9", 5),))
    assert not isinstance(await looking.lookup("loop.example", "V4_ONLY"), Resolved)


@run_trio
async def test_no_such_name_and_no_such_record_are_empty_answers(server: DnsServer, files: Path) -> None:
    server.add("six.example", "AAAA", "fd00::3")
    looking = resolver(server, files)
    assert await looking.lookup("six.example", "V4_ONLY") == Resolved()
    assert await looking.lookup("nowhere.example", "AUTO") == Resolved()


@run_trio
async def test_failures_are_told_from_empty_answers(server: DnsServer, files: Path) -> None:
    server.fail("bad.example", dns.rcode.SERVFAIL)
    server.fail("no.example", dns.rcode.REFUSED)
    server.drop("slow.example")
    looking = resolver(server, files)
    for name, failure in [
        ("bad.example.", Failure.SERVER_FAILURE),
        ("no.example.", Failure.SERVER_FAILURE),
        ("slow.example.", Failure.TIMEOUT),
        ("x" * 64 + ".example", Failure.BAD_NAME),
        ("a..b", Failure.BAD_NAME),
    ]:
        result = await looking.lookup(name, "V4_ONLY")
        assert isinstance(result, Failed)
        assert result.failure is failure, result
        assert name.rstrip(".") in result.detail


@run_trio
async def test_one_deadline_bounds_the_whole_lookup(server: DnsServer, files: Path) -> None:
    for name in ("slow", "slow.a.test", "slow.b.test"):
        server.drop(name)
    result = await resolver(server, files, deadline=0.05).lookup("slow", "ALL")
    assert result == Failed(Failure.TIMEOUT, "slow: no answer within 0.05 s")


@run_trio
async def test_long_answers_come_by_tcp_and_are_bounded(server: DnsServer, files: Path) -> None:
    server.add("many.example", "A", *(f"10.{n // 250}.0.{n % 250}" for n in range(2_000)))
    result = await resolver(server, files).lookup("many.example", "V4_ONLY")
    assert isinstance(result, Resolved)
    assert len(result.answers) == 1_024
    assert ("many.example", "A", "tcp") in server.queries


@run_trio
async def test_the_search_list_is_tried_until_a_name_has_addresses(server: DnsServer, files: Path) -> None:
    server.add("short.a.test", "AAAA", "fd00::4")  # no A: the search goes on, as in glibc
    server.add("short.b.test", "A", "10.0.0.5")
    server.add("dotted.x.b.test", "A", "10.0.0.6")
    looking = resolver(server, files)
    assert await looking.lookup("short", "V4_ONLY") == Resolved((Answer("10.0.0.5", 60),))
    assert [name for name, _, _ in server.queries] == ["short.a.test", "short.b.test"]
    server.queries.clear()
    assert await looking.lookup("dotted.x", "V4_ONLY") == Resolved((Answer("10.0.0.6", 60),))
    assert [name for name, _, _ in server.queries] == ["dotted.x", "dotted.x.a.test", "dotted.x.b.test"]
    server.queries.clear()
    assert await looking.lookup("short.", "V4_ONLY") == Resolved()
    assert [name for name, _, _ in server.queries] == ["short"]


@run_trio
async def test_a_failure_within_the_search_is_no_empty_answer(server: DnsServer, files: Path) -> None:
    server.fail("half.a.test", dns.rcode.SERVFAIL)
    looking = resolver(server, files)
    assert isinstance(await looking.lookup("half", "V4_ONLY"), Failed)
    server.add("half.b.test", "A", "10.0.0.7")
    assert await looking.lookup("half", "V4_ONLY") == Resolved((Answer("10.0.0.7", 60),))


@run_trio
async def test_ndots_is_honoured_and_changes_are_seen(server: DnsServer, files: Path) -> None:
    server.add("web.x", "A", "10.0.0.1")
    server.add("web.x.a.test", "A", "10.0.0.2")
    looking = resolver(server, files)
    assert await looking.lookup("web.x", "V4_ONLY") == Resolved((Answer("10.0.0.1", 60),))
    (files / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch a.test\noptions ndots:2\n")
    assert await looking.lookup("web.x", "V4_ONLY") == Resolved((Answer("10.0.0.2", 60),))


@run_trio
async def test_what_needs_no_server_asks_none(server: DnsServer, files: Path) -> None:
    looking = resolver(server, files)
    for name, family, expected in [
        ("127.0.0.1", "V6_ONLY", ["127.0.0.1"]),
        ("FD00:0::1", "V4_ONLY", ["fd00::1"]),
        ("localhost", "AUTO", ["::1"]),
        ("localhost.", "V4_ONLY", ["127.0.0.1"]),
        ("api.LocalHost", "V4_PREFERRED", ["127.0.0.1"]),
        ("localhost", "ALL", ["127.0.0.1", "::1"]),
        ("filed", "AUTO", ["fd00::1"]),
        ("Filed", "V4_ONLY", ["10.1.1.1"]),
        ("only4.example", "AUTO", ["10.1.1.2"]),
        ("only4.example", "V6_ONLY", []),
    ]:
        assert await looking.lookup(name, family) == Resolved(tuple(Answer(text) for text in expected)), name
    assert server.queries == []


@run_trio
async def test_the_hosts_file_comes_first_and_is_read_again(server: DnsServer, files: Path) -> None:
    server.add("moved.example", "A", "10.0.0.8")
    looking = resolver(server, files)
    (files / "hosts").write_text("10.1.1.9 moved.example localhost\n")
    assert await looking.lookup("moved.example", "V4_ONLY") == Resolved((Answer("10.1.1.9"),))
    assert await looking.lookup("localhost", "V4_ONLY") == Resolved((Answer("10.1.1.9"),))
    assert await looking.lookup("localhost", "V6_ONLY") == Resolved((Answer("::1"),))
    (files / "hosts").unlink()
    assert await looking.lookup("moved.example", "V4_ONLY") == Resolved((Answer("10.0.0.8", 60),))


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda reply: b"",
    "one byte": lambda reply: reply[:1],
    "cut": lambda reply: reply[:-3],
    "trailing bytes": lambda reply: reply + b"x",
    "another query's": lambda reply: bytes([reply[0] ^ 1]) + reply[1:],
    "a question": lambda reply: reply[:2] + bytes([reply[2] & 0x7F]) + reply[3:],
    "more answers promised": lambda reply: reply[:6] + b"\xff\xff" + reply[8:],
    "for another name": lambda reply: reply.replace(b"\x03web", b"\x03abc"),
    "a compression loop": lambda reply: reply[:12] + b"\xc0\x0c" + reply[14:],
    "zeros": lambda reply: bytes(len(reply)),
    "longer than any message": lambda reply: reply[:12] + b"\xff" * 60_000,
}


@pytest.mark.parametrize("spoiled", SPOILED)
@run_trio
async def test_a_spoiled_reply_is_a_failure(spoiled: str, server: DnsServer, files: Path) -> None:
    server.add("web.example", "A", "10.0.0.1")
    server.mangle = SPOILED[spoiled]
    result = await resolver(server, files, deadline=5.0).lookup("web.example.", "V4_ONLY")
    assert isinstance(result, Failed), result


@run_trio
async def test_replies_with_any_bytes_changed_end_the_lookup(server: DnsServer, files: Path) -> None:
    rng = random.Random(1)

    def mangle(reply: bytes) -> bytes:
        spoiled = bytearray(reply)
        for _ in range(rng.randint(1, 4)):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
        return bytes(spoiled)

    server.add("www.example", "CNAME", "web.example.")
    server.add("web.example", "A", "10.0.0.1", "10.0.0.2")
    server.mangle = mangle
    looking = resolver(server, files, deadline=5.0)
    kinds: list[type] = []

    async def look() -> None:
        kinds.append(type(await looking.lookup("www.example.", "V4_ONLY")))

    async with trio.open_nursery() as nursery:
        for _ in range(120):
            nursery.start_soon(look)
    assert len(kinds) == 120
    assert set(kinds) == {Resolved, Failed}


@run_trio
async def test_the_next_server_is_asked_when_one_is_down(server: DnsServer, files: Path) -> None:
    server.add("web.example", "A", "10.0.0.1")
    (files / "resolv.conf").write_text("nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1\n")
    assert await resolver(server, files).lookup("web.example", "V4_ONLY") == Resolved((Answer("10.0.0.1", 60),))
