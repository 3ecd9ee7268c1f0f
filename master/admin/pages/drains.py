"""`/drains`: each listener as JSON: open, draining or closed, for how long, and how many connections it has.

`holders` asks the workers for the oldest connections of each that drains. Listeners that share a `stat_prefix` share
their gauges, so of those that drain the workers are asked in any case.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request
from master.supervisor.draining import Drained
from proxy.config.listener import Listener

HOLDERS = 3
"""Connections that are named of each listener that drains."""


async def page(request: Request, context: Context) -> Reply:
    view, now = context.view, time.monotonic()
    gauges = view.metrics().gauges
    listeners = [_listener(listener, view.drains, gauges, now) for listener in view.config.listeners]
    prefixes = Counter(listener.stat_prefix for listener in view.config.listeners)
    for listener, described in zip(view.config.listeners, listeners, strict=True):
        shared, asked = prefixes[listener.stat_prefix] > 1, "holders" in request.query
        if described["state"] == "open" or not described["connections"] or not (shared or asked):
            continue
        found = await view.sessions(older=0.0, listener=listener.name, limit=HOLDERS)
        if shared and not found.silent:
            described["connections"] = found.total
        if asked:
            described["held_by"] = found.sessions
    return Reply(envoy_json.dump({"listeners": listeners}), JSON)


def _listener(
    listener: Listener, drains: Mapping[str, Drained], gauges: Mapping[str, int], now: float
) -> dict[str, Any]:
    """`closes_in_s` is null where nothing is going to close."""
    connections = gauges.get(f"listener.{listener.stat_prefix}.downstream_cx_active", 0)
    described: dict[str, Any] = {"name": listener.name, "state": "open", "connections": connections}
    drain = drains.get(listener.name)
    if drain is None:
        return described
    closes = drain["closes"]
    closed = closes is not None and closes <= now
    return described | {
        "state": "closed" if closed else "draining",
        "draining_s": round(now - drain["began"], 1),
        "closes_in_s": None if closes is None or closed else round(closes - now, 1),
    }
