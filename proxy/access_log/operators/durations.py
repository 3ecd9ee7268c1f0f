"""How long the phases of an exchange took."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.access_log.operator import Build, FormatError, Getter, Value, constant, plain, required
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.tls.session import TlsSession

Point = Callable[[StreamInfo], float]


def _opened(info: StreamInfo) -> float:
    return info.connection.opened_at if info.connection is not None else 0.0


def _tls(info: StreamInfo) -> TlsSession | None:
    return info.connection.tls if info.connection is not None else None


POINTS: dict[str, Point] = {
    "DS_CX_BEG": lambda info: _opened(info) if info.is_http else info.started,
    "DS_CX_END": lambda info: info.connection_ended,
    "DS_HS_BEG": lambda info: tls.began if (tls := _tls(info)) is not None else 0.0,
    "DS_HS_END": lambda info: tls.ended if (tls := _tls(info)) is not None else 0.0,
    "DS_RX_BEG": lambda info: info.started,
    "DS_RX_END": lambda info: info.request_received,
    "US_CX_BEG": lambda info: info.upstream_connection.began if info.upstream_connection is not None else 0.0,
    "US_CX_END": lambda info: info.upstream_connection.connected if info.upstream_connection is not None else 0.0,
    "US_TX_BEG": lambda info: info.request_begun,
    "US_TX_END": lambda info: info.request_sent,
    "US_RX_BEG": lambda info: info.response_begun,
    "US_RX_BODY_BEG": lambda info: info.response_body_begun,
    "US_RX_END": lambda info: info.response_received,
    "DS_TX_BEG": lambda info: info.response_out,
    "DS_TX_END": lambda info: info.ended if info.response_complete else 0.0,
}
_PRECISIONS = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def _between(begin: Point, end: Point, per_second: float = 1e3) -> Getter:
    """From `begin` to `end`, whole units; None if either was not reached."""

    def get(info: StreamInfo) -> Value:
        first, last = begin(info), end(info)
        return int((last - first) * per_second) if first and last >= first else None

    return get


def _duration(info: StreamInfo) -> Value:
    return int((info.ended - info.started) * 1e3) if info.started and info.ended >= info.started else None


def _handshake(info: StreamInfo) -> Value:
    """From the beginning of what the entry is about: of a request, the handshake is over before, so less than 0."""
    ended = POINTS["DS_HS_END"](info)
    return int((ended - info.started) * 1e3) if ended else None


def _common_duration(parameter: str | None) -> Getter:
    names = required(parameter, "BEGIN:END or BEGIN:END:ms|us|ns").split(":")
    if len(names) not in (2, 3):
        raise FormatError(f"incorrect duration {parameter!r}", "BEGIN:END or BEGIN:END:ms|us|ns")
    for name in names[:2]:
        if name not in POINTS:
            raise FormatError(f"unknown point in time {name!r}", f"one of {', '.join(POINTS)}")
    precision = names[2] if len(names) == 3 else "ms"
    if precision not in _PRECISIONS:
        raise FormatError(f"unknown precision {precision!r}", "ms, us or ns")
    return _between(POINTS[names[0]], POINTS[names[1]], _PRECISIONS[precision])


OPERATORS: dict[str, Build] = {
    "COMMON_DURATION": _common_duration,
    "DOWNSTREAM_HANDSHAKE_DURATION": plain(_handshake),
    "DURATION": plain(_duration),
    "REQUEST_DURATION": plain(_between(POINTS["DS_RX_BEG"], POINTS["DS_RX_END"])),
    "REQUEST_TX_DURATION": plain(_between(POINTS["DS_RX_BEG"], POINTS["US_TX_END"])),
    "RESPONSE_DURATION": plain(_between(POINTS["DS_RX_BEG"], POINTS["US_RX_BEG"])),
    "RESPONSE_TX_DURATION": plain(_between(POINTS["US_RX_BEG"], POINTS["DS_TX_END"])),
    "ROUNDTRIP_DURATION": plain(constant(None)),  # there is no HTTP/3
}
