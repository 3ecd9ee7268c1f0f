"""The `grpc-timeout` header (gRPC over HTTP/2, "Requests"): at most eight digits and a unit."""

from __future__ import annotations

import re

NAME = b"grpc-timeout"

_TIMEOUT = re.compile(rb"\+?([0-9]+)([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX = 99_999_999


def parse(value: bytes) -> float | None:
    """Seconds, rounded up to a whole millisecond; None if it is no timeout."""
    match = _TIMEOUT.fullmatch(value)
    if match is None or len(match[1]) > 20 or int(match[1]) > _MAX:
        return None
    number, unit = int(match[1]), match[2]
    if unit in (b"u", b"n"):
        per_millisecond = 1000 if unit == b"u" else 1_000_000
        return -(-number // per_millisecond) / 1000
    return number * _SECONDS[unit]


def render(seconds: float) -> bytes:
    """The header for `seconds`, in the finest unit from milliseconds on that holds it (`Common::toGrpcTimeout`)."""
    number = round(seconds * 1000)
    for unit, size in ((b"m", 1000), (b"S", 60), (b"M", 60), (b"H", 1)):
        if number <= _MAX:
            return b"%d%b" % (number, unit)
        number //= size
    return b"%dH" % _MAX
