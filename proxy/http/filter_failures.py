"""What a filter's own exception becomes: a 500 that names the place, a count, and one traceback in the log."""

from __future__ import annotations

import logging
import sysconfig
import traceback
from pathlib import Path

from proxy.errors import Flag, ProxyError
from proxy.stats import Counter

log = logging.getLogger("filter")

MAX_PLACES = 256
"""Places whose traceback was logged; beyond, failures are only counted."""

_OURS = str(Path(__file__).resolve().parents[1]) + "/"
_STANDARD = sysconfig.get_path("stdlib") + "/"


class FilterFailures:
    """Of one connection manager. `counter` is `http.<prefix>.filter_exceptions`."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._logged: set[tuple[str, int, str]] = set()

    def report(self, error: BaseException) -> ProxyError:
        """Counts `error`, logs it if it is the first of its kind from its place, and gives the reply to it."""
        self._counter.inc()
        kind = type(error).__name__
        file, line = place(error)
        key = (file, line, kind)
        if key not in self._logged and len(self._logged) < MAX_PLACES:
            self._logged.add(key)
            log.error("a filter failed at %s:%d; further %s there are counted only", file, line, kind, exc_info=error)
        return self.reply_to(error)

    @staticmethod
    def reply_to(error: BaseException) -> ProxyError:
        """500; the detail is `filter_exception{<file>:<line>|<class>}`."""
        file, line = place(error)
        detail = f"filter_exception{{{Path(file).name}:{line}|{type(error).__name__}}}".replace(" ", "_")
        return ProxyError(detail, side="internal", status=500, flag=Flag.FILTER_EXCEPTION)


def place(error: BaseException) -> tuple[str, int]:
    """File and line of the filter's code that raised `error`, or called what did."""
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    for skipped in ((_OURS, _STANDARD), (_OURS,), ()):
        for file, line in reversed(frames):
            if not file.startswith(skipped):
                return file, line
    return "?", 0
