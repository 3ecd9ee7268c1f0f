"""`Router.strict_check_headers`: headers for the router that make no sense are refused instead of passed over."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.route.retry import GRPC_NAMES, NAMES, RETRY_GRPC_ON, RETRY_ON, parse_names

_CONDITIONS = {RETRY_ON: NAMES, RETRY_GRPC_ON: GRPC_NAMES}
_MAX_DIGITS = 20  # of a number of 64 bits


def check(headers: Headers, names: Iterable[bytes]) -> None:
    """Raises `ProxyError` (400) for the first of `names` whose value is none."""
    for name in names:
        value = headers.joined(name)
        if value is not None and not _makes_sense(name, value):
            raise ProxyError(
                f"request_headers_failed_strict_check{{{name.decode()}}}",
                side="downstream",
                status=400,
                body=b"invalid header '%b' with value '%b'" % (name, value),
                flag=Flag.INVALID_ENVOY_REQUEST_HEADERS,
                close=True,
            )


def _makes_sense(name: bytes, value: bytes) -> bool:
    known = _CONDITIONS.get(name)
    if known is not None:
        return parse_names(value.decode("latin-1")) <= known
    digits = value.strip().removeprefix(b"+")
    return digits.isdigit() and len(digits) <= _MAX_DIGITS and int(digits) < 2**64
