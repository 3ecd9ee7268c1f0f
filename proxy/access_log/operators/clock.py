"""Points in time: `%START_TIME(format)%` in UTC, `%START_TIME_LOCAL(format)%` in the machine's time zone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from proxy.access_log.operator import Build, Getter
from proxy.http.stream_info import StreamInfo

DEFAULT = "%Y-%m-%dT%H:%M:%S.%3fZ"
DEFAULT_LOCAL = "%Y-%m-%dT%H:%M:%S.%3f%z"
_MICROSECONDS = 6
_NANOSECONDS = 9
_SHORTEST = 0
"""As many digits as are not zeros at the end."""

_UNIX = "\1"
_COLON_ZONE = "\2%z\3"
"""Stand for the second itself and for `+00:00` while the rest is rendered."""

_SPECIAL = re.compile(
    r"%(?:(?P<digits>[1-9])?f|[1-9]?(?P<unix>s)|E(?P<precision>[0-9*])(?P<unit>[Sf])|(?P<colon>Ez|:z)|(?P<zone>Z)|.)",
    re.DOTALL,
)


_ZONE = re.compile("\2([+-]\\d\\d)(\\d\\d)\3")


def _digits(found: re.Match[str]) -> int | None:
    """How many digits of a fraction are shown; None for no fraction."""
    precision = found["precision"]
    if precision is None:
        return int(found["digits"] or _NANOSECONDS)
    return _SHORTEST if precision == "*" else int(precision) or None


class TimeFormat:
    """strftime(3) with Envoy's sub-seconds: `%f` (9 digits), `%1f`…`%9f`, `%E3f`, and seconds with a fraction, `%E3S`.

    What only changes with the second is rendered once a second, and the whole once a tick, the finest unit that shows:
    a busy worker logs many lines within a millisecond.
    """

    __slots__ = ("_broken_down", "_fractions", "_line", "_points", "_rendered", "_second", "_texts", "_tick", "_ticks")

    def __init__(self, text: str, broken_down: Callable[[float], time.struct_time] = time.gmtime) -> None:
        self._broken_down = broken_down
        self._texts: list[str] = [""]
        self._fractions: list[int] = []
        self._second = self._tick = -1
        self._rendered: list[bytes] = []
        self._line = b""
        points = []
        position = 0
        for found in _SPECIAL.finditer(text):
            self._texts[-1] += text[position : found.start()]
            position = found.end()
            if found["unix"]:
                self._texts[-1] += _UNIX  # strftime's own %s takes `utc` for local time
            elif found["zone"] and broken_down is time.gmtime:
                self._texts[-1] += "UTC"
            elif found["colon"]:
                self._texts[-1] += _COLON_ZONE
            elif found["precision"] or found[0].endswith("f"):
                digits = _digits(found)
                of_seconds = found["unit"] == "S"
                if of_seconds:
                    self._texts[-1] += "%S"
                if digits is not None:
                    self._fractions.append(digits)
                    self._texts.append("")
                    points.append(of_seconds)
            else:
                self._texts[-1] += found[0]
        self._texts[-1] += text[position:]
        finest = max((_MICROSECONDS if digits == _SHORTEST else digits for digits in self._fractions), default=0)
        self._ticks = 10 ** min(finest, _MICROSECONDS)
        self._points = tuple(points)

    def __call__(self, moment: float) -> bytes:
        """`moment` in Unix seconds."""
        tick = int(moment * self._ticks)
        if tick != self._tick:
            self._tick = tick
            self._line = self._render(tick)
        return self._line

    def _render(self, tick: int) -> bytes:
        second, part = divmod(tick, self._ticks)
        if second != self._second:
            self._rendered = [self._of_second(text, second) for text in self._texts]
            self._second = second
        fraction = b"%06d000" % (part * (10**_MICROSECONDS // self._ticks))
        line = self._rendered[0]
        for digits, point, text in zip(self._fractions, self._points, self._rendered[1:], strict=True):
            shown = fraction.rstrip(b"0") if digits == _SHORTEST else fraction[:digits]
            line += (b"." if point and shown else b"") + (shown or (b"" if point else b"0")) + text
        return line

    def _of_second(self, text: str, second: int) -> bytes:
        line = time.strftime(text, self._broken_down(second)).replace(_UNIX, str(second))
        return _ZONE.sub(r"\1:\2", line).encode()


def _start_time(parameter: str | None) -> Getter:
    render = TimeFormat(parameter or DEFAULT)
    return lambda info: render(info.started_at)


def _start_time_local(parameter: str | None) -> Getter:
    render = TimeFormat(parameter or DEFAULT_LOCAL, time.localtime)
    return lambda info: render(info.started_at)


def _emit_time(parameter: str | None) -> Getter:
    return _now(TimeFormat(parameter or DEFAULT))


def _emit_time_local(parameter: str | None) -> Getter:
    return _now(TimeFormat(parameter or DEFAULT_LOCAL, time.localtime))


def _now(render: TimeFormat) -> Getter:
    def get(info: StreamInfo) -> bytes:
        return render(time.time())

    return get


OPERATORS: dict[str, Build] = {
    "START_TIME": _start_time,
    "START_TIME_LOCAL": _start_time_local,
    "EMIT_TIME": _emit_time,
    "EMIT_TIME_LOCAL": _emit_time_local,
}
