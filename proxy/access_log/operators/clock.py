"""Points in time: `%START_TIME(format)%`, in UTC."""

from __future__ import annotations

import re
import time

from proxy.access_log.operator import Build, Getter
from proxy.http.stream_info import StreamInfo

DEFAULT = "%Y-%m-%dT%H:%M:%S.%3fZ"
_MICROSECONDS = 6
_NANOSECONDS = 9
_UNIX = "\1"
"""Stands for the second itself while the rest is rendered."""

_SPECIAL = re.compile(r"%(?:(?P<digits>[1-9])?f|[1-9]?(?P<unix>s)|E(?P<precision>[0-9*])S|(?P<zone>Z)|.)", re.DOTALL)


class TimeFormat:
    """strftime(3) with Envoy's sub-seconds: `%f` (9 digits), `%1f`…`%9f`, and seconds with a fraction, `%E3S`.

    What only changes with the second is rendered once a second, and the whole once a tick, the finest unit that shows:
    a busy worker logs many lines within a millisecond.
    """

    __slots__ = ("_fractions", "_line", "_rendered", "_second", "_texts", "_tick", "_ticks")

    def __init__(self, text: str) -> None:
        self._texts: list[str] = [""]
        self._fractions: list[int] = []
        self._second = self._tick = -1
        self._rendered: list[bytes] = []
        self._line = b""
        position = 0
        for found in _SPECIAL.finditer(text):
            self._texts[-1] += text[position : found.start()]
            position = found.end()
            if found["unix"]:
                self._texts[-1] += _UNIX  # strftime's own %s takes `utc` for local time
            elif found["zone"]:
                self._texts[-1] += "UTC"
            elif found["precision"]:
                digits = 6 if found["precision"] == "*" else int(found["precision"])
                self._texts[-1] += "%S." if digits else "%S"
                self._fraction(digits)
            elif found[0].endswith("f"):
                self._fraction(int(found["digits"] or _NANOSECONDS))
            else:
                self._texts[-1] += found[0]
        self._texts[-1] += text[position:]
        self._ticks = 10 ** min(max(self._fractions, default=0), _MICROSECONDS)

    def _fraction(self, digits: int) -> None:
        if digits:
            self._fractions.append(digits)
            self._texts.append("")

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
            utc = time.gmtime(second)
            number = str(second)
            self._rendered = [time.strftime(text, utc).replace(_UNIX, number).encode() for text in self._texts]
            self._second = second
        fraction = b"%06d000" % (part * (10**_MICROSECONDS // self._ticks))
        line = self._rendered[0]
        for digits, text in zip(self._fractions, self._rendered[1:], strict=True):
            line += fraction[:digits] + text
        return line


def _start_time(parameter: str | None) -> Getter:
    render = TimeFormat(parameter or DEFAULT)
    return lambda info: render(info.started_at)


def _emit_time(parameter: str | None) -> Getter:
    render = TimeFormat(parameter or DEFAULT)

    def get(info: StreamInfo) -> bytes:
        return render(time.time())

    return get


OPERATORS: dict[str, Build] = {"START_TIME": _start_time, "EMIT_TIME": _emit_time}
