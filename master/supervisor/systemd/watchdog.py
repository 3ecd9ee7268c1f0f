"""When to tell systemd that we are alive (WATCHDOG=1). Pure; times are `time.monotonic_ns()`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shm.processes import ProcessInfo, Role, State

SILENT_AFTER_NS = 5_000_000_000  # what the hang watch calls hung


def interval_ns(environment: Mapping[str, str], pid: int) -> int | None:
    """Half of the time after which systemd takes us for dead; None if it does not watch process `pid`."""
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) * 1000 // 2


def somebody_serves(processes: Iterable[ProcessInfo], now_ns: int) -> bool:
    """Does any worker accept connections and show signs of life? One that hangs is replaced, and its siblings foster
    its sockets: no reason to restart everything. When all are silent, the remedies of the supervisor have failed.
    """
    return any(
        process.role == Role.WORKER
        and process.state == State.SERVING
        and now_ns - max(process.heartbeat_ns, process.started_ns) < SILENT_AFTER_NS
        for process in processes
    )


class Watchdog:
    """Says when a sign of life is due; without an `interval_ns` never."""

    def __init__(self, interval_ns: int | None) -> None:
        self._interval_ns = interval_ns
        self._next_ns = 0

    def due(self, now_ns: int) -> bool:
        return self._interval_ns is not None and now_ns >= self._next_ns

    def given(self, now_ns: int) -> None:
        """It has been given: the next one is due after the interval."""
        self._next_ns = now_ns + (self._interval_ns or 0)
