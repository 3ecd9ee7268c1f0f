"""Do ours and Envoy do the same work? Both forward the scenarios' own requests to an origin that says what it received.

Names and values must be equal, apart from those that differ from request to request. A faster proxy that left out a
header would otherwise win.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

from bench.client import Way, fetch
from bench.load import Address
from bench.requests import HOST, RECORDED_HOST

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARYING = {"date": "a date", "x-envoy-upstream-service-time": "a time"}
Lines = Counter[tuple[str, str]]


def normal(headers: Iterable[tuple[str, str]]) -> Lines:
    """Header lines in lower case, with what varies from request to request replaced by what it is."""

    def value(name: str, text: str) -> str:
        return "a UUID" if _UUID.fullmatch(text) else _VARYING.get(name, text)

    return Counter((name.lower(), value(name.lower(), text)) for name, text in headers)


def record(address: Address, request: bytes, way: Way) -> tuple[Lines, Lines]:
    """What the origin received and what the client did, when `request` goes to the recording host instead."""
    response = fetch(address, request.replace(f"Host: {HOST}".encode(), f"Host: {RECORDED_HOST}".encode(), 1), way)
    if response.status != 200:
        raise AssertionError(f"status {response.status} from {address}: {response.body[:200]!r}")
    echo = json.loads(response.body)
    received = normal((name, value) for name, value in echo["headers"])
    # The lengths of the echo differ where what it echoes does.
    answered = normal(line for line in response.headers if line[0].lower() != "content-length")
    received["(request)", f"{echo['method']} {echo['target']}, body of {echo['body_length']} bytes"] = 1
    return received, answered


def differences(ours: Address, theirs: Address, request: bytes, way: Way = Way.HTTP1) -> list[str]:
    """One line per header that one of the two has and the other has not; empty when they do the same."""
    found = []
    for side, mine, other in zip(
        ("the origin received", "the client received"),
        record(ours, request, way),
        record(theirs, request, way),
        strict=True,
    ):
        found += [f"{side} from ours alone: {name}: {value}" for name, value in sorted(mine - other)]
        found += [f"{side} from Envoy alone: {name}: {value}" for name, value in sorted(other - mine)]
    return found
