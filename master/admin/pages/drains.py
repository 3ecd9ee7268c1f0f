"""`/drains`: each listener as JSON: open, draining or closed, for how long, and how many connections it has.

`holders` asks the workers for the oldest connections of each that drains.
"""

from __future__ import annotations

import time
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
    if "holders" in request.query:
        for described in listeners:
            if described["state"] != "open" and described["connections"]:
                found = await view.sessions(older=0.0, listener=described["name"], limit=HOLDERS)
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
