"""Which address families are asked for, and in what order: Envoy's `Cluster.DnsLookupFamily`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import trio

from proxy.config.dns import LookupFamily
from proxy.dns.result import Failed, Resolved, Result

RecordType = Literal["A", "AAAA"]
Query = Callable[[RecordType], Awaitable[Result]]

# The record types in the order in which they are asked for. The second one is asked only if the first gave no
# address; ALL asks for both at once.
ORDER: Final[dict[LookupFamily, tuple[RecordType, ...]]] = {
    "AUTO": ("AAAA", "A"),
    "V4_ONLY": ("A",),
    "V6_ONLY": ("AAAA",),
    "V4_PREFERRED": ("A", "AAAA"),
    "ALL": ("A", "AAAA"),
}


async def resolve_family(family: LookupFamily, query: Query) -> Result:
    """Asks for the records of `family`."""
    results: list[Result] = []
    if family == "ALL":
        return combine(await _both(query))
    for record_type in ORDER[family]:
        result = await query(record_type)
        if isinstance(result, Resolved) and result.answers:
            return result
        results.append(result)
    return combine(results)


def combine(results: list[Result]) -> Result:
    """One verdict from those of the families: any address is a success, IPv4 first.

    Without an address a failure of either family is a failure. Envoy takes "no AAAA records" for the whole answer
    when the question for A then fails, which would remove all hosts because of one lost packet.
    """
    answers = tuple(answer for result in results if isinstance(result, Resolved) for answer in result.answers)
    failed = next((result for result in results if isinstance(result, Failed)), None)
    return Resolved(answers) if answers or failed is None else failed


async def _both(query: Query) -> list[Result]:
    results: dict[RecordType, Result] = {}

    async def ask(record_type: RecordType) -> None:
        results[record_type] = await query(record_type)

    async with trio.open_nursery() as nursery:
        for record_type in ORDER["ALL"]:
            nursery.start_soon(ask, record_type)
    return [results[record_type] for record_type in ORDER["ALL"]]
