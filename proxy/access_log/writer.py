"""The thread that writes log files: the event loop appends lines to bounded queues and never waits for a disk."""

from __future__ import annotations

import threading
from collections import deque

from proxy.access_log.output import Output
from proxy.limits import LOG_FLUSH_INTERVAL, LOG_FLUSH_LINES, LOG_QUEUE_LINES, LOG_QUEUE_SIZE
from proxy.stats import Stats


class LogQueue:
    """Lines on their way to one output. The loop adds, the thread takes; each counter has one of them as its writer."""

    __slots__ = ("_added", "_dropped", "_full", "_lines", "_pending", "_taken", "_write_buffered", "output")

    def __init__(self, output: Output, stats: Stats, pending: threading.Event, full: threading.Event) -> None:
        self.output = output
        self._lines: deque[bytes] = deque()
        self._added = 0
        self._taken = 0
        self._pending = pending
        self._full = full
        self._dropped = stats.counter("access_log.dropped")
        self._write_buffered = stats.counter("filesystem.write_buffered")

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._added - self._taken

    def write(self, line: bytes) -> None:
        """Queue one line, which ends with its own line break; dropped and counted if the queue is full."""
        lines = self._lines
        added = self._added + len(line)
        if len(lines) >= LOG_QUEUE_LINES or added - self._taken > LOG_QUEUE_SIZE:
            self._dropped.inc()
            return
        self._added = added
        lines.append(line)
        waiting = len(lines)  # counted now: those that were there before may just have been taken
        if waiting == 1:
            self._pending.set()
        elif waiting == LOG_FLUSH_LINES:
            self._full.set()

    def take(self) -> list[bytes]:
        """All lines that wait, until none is left: the next one wakes the thread again. For the thread alone."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        self._write_buffered.inc(len(lines))  # here, once for all of them: a line costs its request no shared word
        return lines

    def taken(self, size: int) -> None:
        """`size` bytes of taken lines are written or lost. For the thread alone."""
        self._taken += size


class LogWriter:
    """One per worker. `start` it after the fork; `close` flushes."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._queues: dict[str, LogQueue] = {}
        self._pending = threading.Event()
        self._full = threading.Event()
        self._started = False
        self._closing = False
        self._reopen = False
        self._thread: threading.Thread | None = None
        self._flushed_by_timer = stats.counter("filesystem.flushed_by_timer")
        self._write_completed = stats.counter("filesystem.write_completed")
        self._write_failed = stats.counter("filesystem.write_failed")
        self._reopen_failed = stats.counter("filesystem.reopen_failed")
        self._lost = stats.counter("access_log.lost")
        self._total_buffered = stats.gauge("filesystem.write_total_buffered")

    def queue(self, output: Output) -> LogQueue:
        """The queue to `output`; loggers of the same file share one."""
        if output.name not in self._queues:  # another dict, as the thread may be looking at this one
            queue = LogQueue(output, self._stats, self._pending, self._full)
            self._queues = {**self._queues, output.name: queue}
            if self._started:
                self.start()
        return self._queues[output.name]

    def start(self) -> None:
        """Start the thread once there is anything to log to. None lives through a fork, so the worker does this."""
        self._started = True
        if self._queues and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
            self._thread.start()

    def reopen(self) -> None:
        """Open every file anew before the next line is written: something has moved them away."""
        self._reopen = True
        self._full.set()
        self._pending.set()

    def close(self, deadline: float) -> None:
        """Write what is queued, for `deadline` seconds at most."""
        if self._thread is not None:
            self._closing = True
            self._full.set()
            self._pending.set()
            self._thread.join(deadline)

    def _run(self) -> None:
        while not self._closing:
            self._pending.wait()
            timer = not self._full.wait(LOG_FLUSH_INTERVAL)
            self._pending.clear()
            self._full.clear()
            if timer:
                self._flushed_by_timer.inc()
            self._flush()
        self._flush()
        for queue in self._queues.values():
            queue.output.close()

    def _flush(self) -> None:
        """One round: a file that cannot be written to loses its lines of this round and is tried again in the next."""
        if self._reopen:
            self._reopen = False
            for queue in self._queues.values():
                if not queue.output.reopen():
                    self._reopen_failed.inc()
        self._total_buffered.set(sum(queue.size for queue in self._queues.values()))
        for queue in self._queues.values():
            if lines := queue.take():
                self._write(queue, lines)
        self._total_buffered.set(sum(queue.size for queue in self._queues.values()))

    def _write(self, queue: LogQueue, lines: list[bytes]) -> None:
        written = queue.output.write(lines)
        if written:
            self._write_completed.inc()
        if written < len(lines):
            self._write_failed.inc()
            self._lost.inc(len(lines) - written)
        queue.taken(sum(map(len, lines)))
