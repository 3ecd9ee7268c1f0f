"""Numeric addresses and ranges of them."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from proxy.config.context import CompileContext


def parse_ip(text: str) -> str | None:
    """The canonical spelling of a numeric IPv4 or IPv6 address; None if `text` is none."""
    address = packed(text)
    return None if address is None else socket.inet_ntop(_FAMILIES[len(address)], address)


class CidrRanges:
    """Says whether a numeric address lies in one of `ranges` (`10.0.0.0/8`), which must be well-formed."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[str]) -> None:
        self._ranges = [parse_range(text) for text in ranges]

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, host: str) -> bool:
        address = packed(host)
        if address is None:
            return False
        number = int.from_bytes(address)
        return any(size == len(address) and number >> shift == prefix for size, shift, prefix in self._ranges)


def ranges_from_proto(messages: Iterable[Any], context: CompileContext) -> tuple[str, ...]:
    """A list of `CidrRange` messages as the texts that `CidrRanges` takes; `context` stands for the list."""
    ranges = []
    for index, value in enumerate(messages):
        host = parse_ip(value.address_prefix)
        if host is None:
            context.error((index, "address_prefix"), "is no numeric address", "10.0.0.0 or fd00::")
        else:
            # Envoy takes a longer prefix for the whole address.
            ranges.append(f"{host}/{min(value.prefix_len.value, 128 if ':' in str(host) else 32)}")
    return tuple(ranges)


_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}


def packed(text: str) -> bytes | None:
    """The bytes of a numeric address; None if `text` is none."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):  # not an address; a null character
        return None


def parse_range(text: str) -> tuple[int, int, int]:
    """(bytes of an address, host bits, the network's bits) of a range. Raises `ValueError` for what is none."""
    host, _, length = text.partition("/")
    address = packed(host)
    if address is None:
        raise ValueError(f"{text!r} is not a range of addresses")
    shift = max(8 * len(address) - int(length), 0)
    return len(address), shift, int.from_bytes(address) >> shift
