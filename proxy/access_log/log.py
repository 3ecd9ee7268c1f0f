"""What an access log is to those who have something to log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from proxy.access_log.rendering import Index
from proxy.http.stream_info import StreamInfo

PlannedLog = Callable[[StreamInfo, Index, Index], None]
"""Logs one of many exchanges with the same heads, whose headers are indexed: the request's, the response's."""


class Log(NamedTuple):
    """Logs an exchange that is over, or not, as its filter says. The `StreamInfo` is read during the call alone.

    `planned` makes a logger for all exchanges with the heads of the given one (`Rendering.planned`).
    """

    log: Callable[[StreamInfo], None]
    planned: Callable[[StreamInfo], PlannedLog]


def log_meanwhile(logs: Sequence[Log], info: StreamInfo, log_type: bytes) -> None:
    """Log what is not over yet, as an entry of this type."""
    before = info.log_type, info.ended
    info.log_type, info.ended = log_type, trio.current_time()
    for each in logs:
        each.log(info)
    info.log_type, info.ended = before
