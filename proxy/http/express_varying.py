"""Fields whose value is another one with every request, and is only passed on: the ids of traces and of requests, and
what is left of a gRPC client's time.

Between services each request has its own. So that its head is still "the same bytes" as the one before (DESIGN §4),
their values are cut out of it: a plan is made of the head with marks in their place, which each request fills again.
Whether a value is really nobody's business is the caller's to know: no route may look at fields.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from proxy.http.h2_heads import Pair

_NAMES = (
    b"traceparent|tracestate|x-request-id|x-correlation-id|b3|x-b3-traceid|x-b3-spanid|x-b3-parentspanid|uber-trace-id"
    b"|x-amzn-trace-id|x-cloud-trace-context|x-datadog-trace-id|x-datadog-parent-id|idempotency-key|grpc-timeout"
)
NAMES = frozenset(_NAMES.decode().split("|"))
_LINE = re.compile(rb"(?mi)^((?:%b): ?)([\x21-\x7e]+)(?=\r\n)" % _NAMES)

MARK = b"mark-" + secrets.token_hex(8).encode() + b"-"
"""A field value that no client can know, and that every grammar lets pass."""

_MARK = re.compile(re.escape(MARK) + rb"([0-9]+);")


class Skeleton(NamedTuple):
    """Header lines without the `values` that vary: `key` is what is left."""

    key: tuple[bytes, ...]
    values: tuple[bytes, ...]


def mark(number: int) -> bytes:
    """Stands for value `number`."""
    return b"%b%d;" % (MARK, number)


def skeleton(fields: bytes) -> Skeleton | None:
    """What is left of `fields` without what varies; None if nothing does."""
    parts = _LINE.split(fields)
    if len(parts) == 1:
        return None
    return Skeleton((*parts[::3], *parts[1::3]), tuple(parts[2::3]))


def marked(fields: bytes) -> bytes:
    """`fields` with marks in place of what varies, numbered from 0."""
    parts = _LINE.split(fields)
    parts[2::3] = [mark(number) for number in range(len(parts) // 3)]
    return b"".join(parts)


def templates(items: list[Pair]) -> list[tuple[int, bytes, bytes, tuple[int, ...]]]:
    """Of those fields that have marks: the place, the name, and the `template` of the value."""
    return [(at, name, *template(value)) for at, (name, value) in enumerate(items) if MARK in value]


def template(text: bytes) -> tuple[bytes, tuple[int, ...]]:
    """`text` as a format for `%`, and the numbers of the values that it takes, in order."""
    parts = _MARK.split(text)
    return b"%b".join(part.replace(b"%", b"%%") for part in parts[::2]), tuple(map(int, parts[1::2]))
