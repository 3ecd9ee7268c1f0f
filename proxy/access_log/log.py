"""What an access log is to those who have something to log."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
