"""`/processes`: what every process of this proxy is and how it feels, for `proxyctl ps`. Ours, not Envoy's."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil
import trio

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request
from shm.processes import ProcessInfo, Role, State

SAMPLE_SECONDS = 0.2
"""CPU use is measured over this long, while the page waits."""

Usage = dict[int, tuple[float, int]]
"""Process id → (CPU seconds so far, resident bytes)."""


async def page(request: Request, context: Context) -> Reply:
    before, started = _usage(context.view.processes()), time.monotonic()
    await trio.sleep(SAMPLE_SECONDS)
    processes = context.view.processes()
    now, elapsed = _usage(processes), time.monotonic() - started
    return Reply(envoy_json.dump({"processes": [_row(process, before, now, elapsed) for process in processes]}), JSON)


def _usage(processes: Iterable[ProcessInfo]) -> Usage:
    """Of those that still live; one that ends meanwhile is simply missing."""
    usage: Usage = {}
    for process in processes:
        try:
            handle = psutil.Process(process.pid)
            with handle.oneshot():
                times = handle.cpu_times()
                usage[process.pid] = (times.user + times.system, handle.memory_info().rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return usage


def _row(process: ProcessInfo, before: Usage, now: Usage, elapsed: float) -> dict[str, object]:
    """`cpu_percent` and `rss_bytes` are null where the kernel would not tell. Times in seconds."""
    pid = process.pid
    clock = time.monotonic_ns()
    cpu = round(100 * max(0.0, now[pid][0] - before[pid][0]) / elapsed, 1) if pid in before and pid in now else None
    return {
        "role": _name(Role, process.role),
        "index": process.index,
        "pid": pid,
        "generation": process.generation,
        "state": _name(State, process.state),
        "cpu_percent": cpu,
        "rss_bytes": now[pid][1] if pid in now else None,
        "connections": process.connections,
        "requests_active": process.requests_active,
        "loop_lag_seconds": process.loop_lag_ns / 1e9,
        "heartbeat_age_seconds": max(0, clock - process.heartbeat_ns) / 1e9 if process.heartbeat_ns else None,
        "uptime_seconds": max(0, clock - process.started_ns) / 1e9,
        "restarts": process.restarts,
    }


def _name(kind: type[Role] | type[State], value: int) -> str:
    """A member's name in lower case; a number that a newer program wrote stays a number."""
    return next((member.name.lower() for member in kind if member == value), str(value))
