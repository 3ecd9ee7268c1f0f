import itertools

import pytest

from proxy.config.dns import LookupFamily
from proxy.dns.family import RecordType, resolve_family
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result
from tests.kit.trio import run_trio

V4, V6, NONE, LOST = Resolved((Answer("10.0.0.1"),)), Resolved((Answer("::1"),)), Resolved(), Failed(Failure.TIMEOUT)


@pytest.mark.parametrize(
    ("family", "a", "aaaa", "expected", "asked"),
    [
        ("V4_ONLY", V4, V6, V4, ["A"]),
        ("V4_ONLY", NONE, V6, NONE, ["A"]),
        ("V6_ONLY", V4, V6, V6, ["AAAA"]),
        ("V6_ONLY", V4, LOST, LOST, ["AAAA"]),
        ("AUTO", V4, V6, V6, ["AAAA"]),
        ("AUTO", V4, NONE, V4, ["AAAA", "A"]),
        ("AUTO", V4, LOST, V4, ["AAAA", "A"]),
        ("AUTO", NONE, NONE, NONE, ["AAAA", "A"]),
        ("AUTO", LOST, NONE, LOST, ["AAAA", "A"]),
        ("AUTO", NONE, LOST, LOST, ["AAAA", "A"]),
        ("V4_PREFERRED", V4, V6, V4, ["A"]),
        ("V4_PREFERRED", NONE, V6, V6, ["A", "AAAA"]),
        ("ALL", V4, V6, Resolved((*V4.answers, *V6.answers)), ["A", "AAAA"]),
        ("ALL", V4, NONE, V4, ["A", "AAAA"]),
        ("ALL", V4, LOST, V4, ["A", "AAAA"]),
        ("ALL", NONE, LOST, LOST, ["A", "AAAA"]),
        ("ALL", NONE, NONE, NONE, ["A", "AAAA"]),
    ],
)
@run_trio
async def test_families(family: LookupFamily, a: Result, aaaa: Result, expected: Result, asked: list[str]) -> None:
    seen: list[str] = []

    async def query(record_type: RecordType) -> Result:
        seen.append(record_type)
        return a if record_type == "A" else aaaa

    assert await resolve_family(family, query) == expected
    assert sorted(seen) == sorted(asked) if family == "ALL" else seen == asked


@run_trio
async def test_a_failure_never_means_no_hosts() -> None:
    families: list[LookupFamily] = ["AUTO", "V4_PREFERRED", "ALL"]
    for family, results in itertools.product(families, [(NONE, LOST), (LOST, NONE), (LOST, LOST)]):

        async def query(record_type: RecordType, results: tuple[Result, Result] = results) -> Result:
            return results[record_type == "A"]

        assert await resolve_family(family, query) == LOST
