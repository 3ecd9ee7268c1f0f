"""Replaces workers whose memory has grown beyond `--worker-max-rss`, so that a leak costs no request."""

from __future__ import annotations

import logging
import resource
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

INTERVAL = 1.0  # seconds between looks
YOUNG = 5.0  # seconds in which nobody is replaced again: a limit below what a worker needs must not keep us busy
PAGE = resource.getpagesize()


class MemoryWatch:
    """One worker at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._next = 0.0

    def tick(self) -> None:
        limit, now = self._supervisor.options.worker_max_rss, time.monotonic()
        if not limit or now < self._next or self._supervisor.restart.changing:
            return
        self._next = now + INTERVAL
        workforce = self._supervisor.serving.workforce
        for worker in workforce.serving():
            size = resident(worker.pid)
            if size > limit and now - worker.started_ns / 1e9 > YOUNG and workforce.replace(worker):
                words = "%s (pid %d) holds %d MB of memory, more than --worker-max-rss: it is replaced, and drains"
                log.warning(words, worker.name, worker.pid, size >> 20)
                return


def resident(pid: int) -> int:
    """Bytes in memory, shared ones included; 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0
