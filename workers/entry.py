"""Where a forked worker begins: inherited descriptors in, `Worker.run` under trio, exit code out."""

from __future__ import annotations

import gc
import json
import math
import os
import traceback
from typing import Any

import trio

from proxy import log as process_log
from proxy.filters.http.python_loader import append_paths
from proxy.flight_recorder import RingRecorder
from proxy.server import Server
from shm.metrics import MetricsWriter
from shm.processes import ProcessTable
from shm.ring import RingWriter
from shm.table import TableWriter
from workers import committed, published
from workers.link import SupervisorLink
from workers.owners import LiveWorkers
from workers.worker import Worker

EXIT_FAILED = 1


class SharedTables:
    """This worker's planes of the shared tables (`proxy.upstream.tables.Tables`)."""

    def __init__(self, inherited: dict[str, int], slot: int) -> None:
        self.hosts = TableWriter(inherited["hosts"], slot)
        self.clusters = TableWriter(inherited["clusters"], slot)


def main(order: dict[str, Any], inherited: dict[str, int]) -> int:
    """Run one worker; returns its exit code. A failure is told to the supervisor with its traceback."""
    options = json.loads(order["options"])
    process_log.configure(options["log_level"])
    append_paths(options["filter_paths"])
    link = SupervisorLink(inherited["channel"])
    try:
        trio.run(_run, order, inherited, link)
    except BaseException:
        link.send_now({"type": "failed", "traceback": traceback.format_exc()[-16_000:]})
        return EXIT_FAILED
    return 0


async def _run(order: dict[str, Any], inherited: dict[str, int], link: SupervisorLink) -> None:
    slow: float = json.loads(order["options"])["slow_request"]
    config = committed.read(inherited["config"])
    slot = order["slot"]
    _, endpoints = published.read(config, inherited)
    processes = ProcessTable(inherited["processes"])
    server = Server(
        config,
        endpoints,
        MetricsWriter(inherited["region"]),
        SharedTables(inherited, slot),
        worker_index=order["index"],
        recorder=RingRecorder(RingWriter(inherited["ring"]), slow=slow or math.inf, worker=order["index"]),
        owners=LiveWorkers(processes, generation=order["generation"], slot=slot, inherits=order["generation"] > 1),
    )
    for name in ("config", "endpoints", "endpoints_delta"):
        if name in inherited:
            os.close(inherited[name])
    # What 10,000 routes are made of lives as long as the worker: each full collection would look at it for 0.2 s.
    gc.freeze()
    worker = Worker(
        server,
        link,
        processes,
        index=order["index"],
        slot=slot,
        generation=order["generation"],
        endpoints_version=endpoints.version,
        config_version=order["config_version"],
        orders=order["orders"],
    )
    await worker.run(inherited)
