"""`server.*` and the managers' gauges: facts about the whole instance, derived when somebody looks."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from shm.metrics import Metrics
from shm.processes import Role, State

if TYPE_CHECKING:
    from master.controller.controller import Controller

PAGE = resource.getpagesize()

# Envoy's server.state values (`envoy.admin.v3.ServerInfo.State`)
STATES = {"LIVE": 0, "DRAINING": 1, "PRE_INITIALIZING": 2, "INITIALIZING": 3}


def add(metrics: Metrics, controller: Controller) -> None:
    """Add the derived gauges to `metrics`."""
    processes = controller.processes()
    workers = [p for p in processes if p.role == Role.WORKER]
    own = [p for p in workers if p.generation == controller.generation]
    serving = [p for p in own if p.state == State.SERVING]
    metrics.gauges.update(
        {
            "server.state": STATES[controller.state],
            "server.live": int(controller.state == "LIVE"),
            "server.uptime": int(time.time() - controller.started_at),
            "server.concurrency": len(serving),
            "server.total_connections": sum(p.connections for p in workers),
            "server.parent_connections": sum(p.connections for p in workers if p.generation < controller.generation),
            "server.hot_restart_epoch": controller.generation - 1,
            "server.hot_restart_generation": controller.generation,
            "listener_manager.total_listeners_active": len(controller.listeners),
            "listener_manager.total_listeners_warming": 0,
            "listener_manager.total_listeners_draining": _draining(controller, chains_only=False),
            "listener_manager.total_filter_chains_draining": _draining(controller, chains_only=True),
            "listener_manager.workers_started": int(bool(serving)),
            "cluster_manager.active_clusters": len(controller.config.clusters),
            "cluster_manager.warming_clusters": 0,
            **_memory(p.pid for p in processes),
        }
    )
    controller.tls_stats.add(metrics)
    metrics.counters.update(controller.reload_status.get("counts", {}))
    metrics.counters["listener_manager.listener_stopped"] = controller.listeners_stopped
    metrics.counters["server.worker_restarts"] = sum(p.restarts + p.ended_restarts for p in processes)


def _draining(controller: Controller, *, chains_only: bool) -> int:
    """As in Envoy, a drain lasts its whole time."""
    drains = controller.reload_status.get("draining", ())
    return sum(until > time.monotonic() and only == chains_only for until, only in drains)


def _memory(pids: Iterable[int]) -> dict[str, int]:
    """Envoy asks its allocator; this is what the kernel holds for all processes (shared pages several times)."""
    resident = sum(_resident(pid) for pid in pids)
    return {f"server.memory_{name}": resident for name in ("allocated", "heap_size", "physical_size")}


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
