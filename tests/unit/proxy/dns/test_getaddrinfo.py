import socket
from typing import Any

import pytest
import trio

from proxy.config.dns import DnsResolver, LookupFamily
from proxy.dns import getaddrinfo
from proxy.dns.getaddrinfo import GetAddrInfo
from proxy.dns.result import Answer, Failed, Failure, Resolved
from tests.kit.trio import run_trio

V4, V6 = Answer("10.0.0.1", 60), Answer("fd00::1", 60)


class Library:
    """Stands in for the machine's files and servers: `errors` first, then the addresses of the family asked for."""

    def __init__(self, *errors: int, addresses: tuple[Answer, ...] = (V4, V6)) -> None:
        self.errors = list(errors)
        self.addresses = addresses
        self.asked = 0

    def getaddrinfo(self, name: str, port: None, family: int, kind: int) -> list[Any]:
        self.asked += 1
        if self.errors:
            raise socket.gaierror(self.errors.pop(0), "words")
        families = {V4: socket.AF_INET, V6: socket.AF_INET6}
        found = [each for each in self.addresses if family in (families[each], socket.AF_UNSPEC)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(families[each], kind, 6, "", (each.address, 0)) for each in found]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    return found


@pytest.mark.parametrize(
    ("family", "there", "expected"),
    [
        ("AUTO", (V4, V6), (V6,)),
        ("AUTO", (V4,), (V4,)),
        ("V4_PREFERRED", (V4, V6), (V4,)),
        ("V4_PREFERRED", (V6,), (V6,)),
        ("V4_ONLY", (V6,), ()),
        ("V6_ONLY", (V4, V6), (V6,)),
        ("ALL", (V4, V6), (V4, V6)),
    ],
)
def test_families(
    family: LookupFamily, there: tuple[Answer, ...], expected: tuple[Answer, ...], library: Library
) -> None:
    library.addresses = there
    result = trio.run(GetAddrInfo(DnsResolver()).lookup, "web", family)
    assert result == Resolved(expected) if expected else isinstance(result, Failed)


@run_trio
async def test_what_fails_for_a_moment_is_tried_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getaddrinfo, "PAUSE", 0.0)
    library.errors = [socket.EAI_AGAIN] * 3
    assert await GetAddrInfo(DnsResolver(retries=3)).lookup("web", "V4_ONLY") == Resolved((V4,))
    library.errors = [socket.EAI_AGAIN] * 3
    result = await GetAddrInfo(DnsResolver(retries=2)).lookup("web", "V4_ONLY")
    assert isinstance(result, Failed)
    assert result.failure is Failure.SERVER_FAILURE
    library.errors = [socket.EAI_FAIL]
    assert isinstance(await GetAddrInfo(DnsResolver()).lookup("web", "V4_ONLY"), Failed)
    assert library.asked == 4 + 3 + 1


def test_a_name_that_is_none() -> None:
    result = trio.run(GetAddrInfo(DnsResolver()).lookup, "x" * 64 + ".example", "V4_ONLY")
    assert isinstance(result, Failed)
    assert result.failure is Failure.BAD_NAME


def test_the_machines_own_library() -> None:
    found = trio.run(GetAddrInfo(DnsResolver()).lookup, "localhost", "V4_ONLY")
    assert found == Resolved((Answer("127.0.0.1", 60),))
