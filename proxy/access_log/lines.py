"""What the sinks that write lines have in common: a format, and a queue to an output."""

from __future__ import annotations

from proxy.access_log.log import PlannedLog
from proxy.access_log.rendering import Index, Rendering
from proxy.access_log.writer import LogQueue
from proxy.http.stream_info import StreamInfo


class LineLogger:
    """Logs an exchange as a line of `queue`."""

    def __init__(self, rendering: Rendering, queue: LogQueue) -> None:
        self._rendering = rendering
        self._render = rendering.render
        self._write = queue.write

    def log(self, info: StreamInfo) -> None:
        self._write(self._render(info))

    def planned(self, info: StreamInfo) -> PlannedLog:
        """A logger of exchanges with the heads of `info`."""
        render, write = self._rendering.planned(info), self._write

        def log(info: StreamInfo, sent: Index, got: Index) -> None:
            write(render(info, sent, got))

        return log
